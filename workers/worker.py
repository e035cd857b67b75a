"""What a worker is: a pure ``decide`` over pure folds, and a pure ``settle`` for what its effects came to.

``decide`` looks at the aggregate that an event concerns and answers what is still to be done about it. It never asks
"is this event new?", so a redelivered event, or an old one decided again after a crash, yields nothing more.
"""

from collections.abc import Callable, Iterable
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
        self._evolvers: dict[type[Event], list[Callable[[Recorded], object]]] = {}
        for fold in folds:
            for event_type in fold.inputs():
                self._evolvers.setdefault(event_type, []).append(fold.evolve)

    def evolve(self, recorded: Recorded) -> None:
        """Take one event in."""
        for evolve in self._evolvers.get(type(recorded.event), ()):
            evolve(recorded)

    def handles(self, event_type: type[Event]) -> bool:
        """Whether any fold of this state handles ``event_type``."""
        return event_type in self._evolvers


class Worker(NamedTuple):
    """One role. ``inputs`` are the events it decides on; ``per_host``: it acts for hosts, and may serve only some."""

    name: str
    state: Callable[[], State]
    inputs: frozenset[type[Event]]
    decide: Callable[[Any, Recorded], Iterable[Decision]]
    settle: Callable[[AnyEffect, Result], Iterable[Event]]
    per_host: bool = False


def settles_nothing(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The ``settle`` of a worker that performs no effects."""
    raise TypeError(f"no effect was asked for, but {effect} was performed")
