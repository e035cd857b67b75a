"""What a worker is: a pure ``decide`` over pure folds, and a pure ``settle`` for what its effects came to.

``decide`` looks at the aggregate that an event concerns and answers what is still to be done about it. It never asks
"is this event new?", so a redelivered event, or an old one decided again after a crash, yields nothing more.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from bus.envelope import Recorded
from bus.events import Event
from projections.fold import Fold
from workers.effects import AnyEffect, Result


class Emit(NamedTuple):
    """Decided: append this event. ``correlation``: whose story it belongs to, if not that of the event decided on."""

    event: Event
    correlation: str = ""


class Perform(NamedTuple):
    """Decided: bring a device to this state."""

    effect: AnyEffect
    correlation: str = ""


Decision = Emit | Perform


class State:
    """A worker's state: the folds it reads. Each event goes to those that handle it."""

    def __init__(self, *folds: Fold) -> None:
        self._placing = [fold.placed for fold in folds if type(fold).placed is not Fold.placed]
        self._evolvers: dict[type[Event], list[Callable[[Recorded, Event], object]]] = {}
        for fold in folds:
            for event_type in fold.inputs():
                self._evolvers.setdefault(event_type, []).append(fold.evolver(event_type))

    def evolve(self, recorded: Recorded) -> None:
        """Take one event in."""
        event = recorded.event
        for evolve in self._evolvers.get(type(event), ()):
            evolve(recorded, event)

    def placed(self, recorded: Recorded) -> None:
        """What was folded ahead of the log has come back from it."""
        for placed in self._placing:
            placed(recorded)

    def handles(self, event_type: type[Event]) -> bool:
        """Whether any fold of this state handles ``event_type``."""
        return event_type in self._evolvers


#: How often each device is compared with the log, microseconds.
AUDIT_EVERY_US = 600_000_000


class Now(NamedTuple):
    """What the outside world says at one moment: the time, and when each host's agent was last heard, microseconds.

    ``heard`` is None when the beats could not be read; it is empty for a worker that does not listen to them.
    """

    time_us: int
    heard: Mapping[str, int] | None = None


class Due(NamedTuple):
    """What the clock has made true. ``version`` tells it from an earlier one of the same event type and aggregate."""

    event: Event
    version: int


def nothing_due(state: Any, now: Now) -> Iterable[Due]:
    """The ``due`` of a worker that never waits for a time."""
    return ()


def wakes_quietly(state: Any) -> Iterable[Event]:
    """The ``wake`` of a worker whose start changes nothing."""
    return ()


class Worker(NamedTuple):
    """One role. ``inputs`` are the events it decides on; ``per_host``: it acts for hosts, and may serve only some.

    ``due`` is the only place where time enters: what it answers goes to the log, and is decided on when it comes back.
    ``wake`` is asked once, when the worker has caught up with the log. ``beats``: it says which of the hosts that
    it ``knows`` are alive; ``listens``: its ``due`` wants to know.
    """

    name: str
    state: Callable[[], State]
    inputs: frozenset[type[Event]]
    decide: Callable[[Any, Recorded], Iterable[Decision]]
    settle: Callable[[AnyEffect, Result], Iterable[Event]]
    due: Callable[[Any, Now], Iterable[Due]] = nothing_due
    wake: Callable[[Any], Iterable[Event]] = wakes_quietly
    per_host: bool = False
    beats: bool = False
    knows: Callable[[Any], list[str]] = lambda state: []
    listens: bool = False


def settles_nothing(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The ``settle`` of a worker that performs no effects."""
    raise TypeError(f"no effect was asked for, but {effect} was performed")
