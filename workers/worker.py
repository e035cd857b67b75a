"""What a worker is: a pure ``decide`` over pure folds, and a pure ``settle`` for what its effects came to.

``decide`` looks at the aggregate that an event concerns and answers what is still to be done about it. It never asks
"is this event new?", so a redelivered event, or an old one decided again after a crash, yields nothing more.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from bus.envelope import Recorded
from bus.events import EVENT_TYPES, Event
from bus.subjects import name_of
from projections.fold import Fold
from workers.effects import AnyEffect, Result


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Decided: append this event. ``correlation``: whose story it belongs to, if not that of the event decided on."""

    event: Event
    correlation: str = ""


class Perform(msgspec.Struct, frozen=True, gc=False):
    """Decided: bring a device to this state."""

    effect: AnyEffect
    correlation: str = ""


Decision = Emit | Perform


F = TypeVar("F", bound=Fold)
_Evolvers = dict[type[Event], list[Callable[[Recorded, Event], object]]]


class Commons:
    """The folds that the workers of one process have in common: those that none of them folds ahead of the log."""

    def __init__(self) -> None:
        self._folds: dict[type[Fold], Fold] = {}
        self._evolvers: _Evolvers = {}
        self.position = 0

    def __getstate__(self) -> tuple[list[Fold], int]:
        return list(self._folds.values()), self.position

    def __setstate__(self, kept: tuple[list[Fold], int]) -> None:
        folds, self.position = kept
        self._folds = {type(fold): fold for fold in folds}
        self._evolvers = _evolvers_of(folds)

    def fold(self, kind: type[F]) -> F:
        """The one fold of this kind; made when it is asked for first, which must be before the first event."""
        if kind not in self._folds:
            self._folds[kind] = fold = kind()
            _add(self._evolvers, fold)
        return self._folds[kind]  # type: ignore[return-value]  # filed under its own type

    def evolve(self, recorded: Recorded) -> None:
        """Take one event in, before any worker does. A redelivered one (position not above the last) does nothing."""
        if recorded.position > self.position:
            self.position = recorded.position
            event = recorded.event
            for evolve in self._evolvers.get(type(event), ()):
                evolve(recorded, event)

    def handles(self, event_type: type[Event]) -> bool:
        """Whether any of these folds handles ``event_type``."""
        return event_type in self._evolvers


class Folds(NamedTuple):
    """Where a state gets its folds from: ``commons`` has those that no event of ``says`` is folded into.

    What a worker decides is folded before the log has it, into folds of its own. Where it decides nothing that a fold
    handles, that fold is a function of the log alone: the same for all workers of a process.
    """

    says: frozenset[type[Event]]
    commons: Commons


class State:
    """A worker's state: the folds it reads. Each event goes to those of its own that handle it, oldest first."""

    def __init__(self, folds: Folds) -> None:
        self._folds = folds
        self._own: list[Fold] = []
        self._index()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_evolvers", "_placing")}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._index()

    def _index(self) -> None:
        """Who wants which events, of the folds of its own."""
        self._evolvers = _evolvers_of(self._own)
        self._placing = [fold.placed for fold in self._own if type(fold).placed is not Fold.placed]

    def fold(self, kind: type[F]) -> F:
        """A fold of this kind: one of its own, or that of all workers of the process."""
        says, commons = self._folds
        return commons.fold(kind) if says.isdisjoint(kind.inputs()) else self.own(kind())

    @property
    def commons(self) -> Commons:
        """The folds that are not its own."""
        return self._folds.commons

    def own(self, fold: F) -> F:
        """``fold`` as one of its own, for folds that are made of others: they take each event after those."""
        self._own.append(fold)
        self._index()
        return fold

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
        """Whether any fold of its own handles ``event_type``."""
        return event_type in self._evolvers


def _add(evolvers: _Evolvers, fold: Fold) -> None:
    for event_type in fold.inputs():
        evolvers.setdefault(event_type, []).append(fold.evolver(event_type))


def _evolvers_of(folds: Iterable[Fold]) -> _Evolvers:
    evolvers: _Evolvers = {}
    for fold in folds:
        _add(evolvers, fold)
    return evolvers


#: All that is told of instances and of their ports: most of any log.
STORIES: frozenset[type[Event]] = frozenset(
    event_type for event_type in EVENT_TYPES if name_of(event_type).partition(".")[0] in ("instance", "port")
)
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
    """One role. ``inputs`` are the events it decides on, ``says`` those that it may decide; what the clock makes true
    and what effects come to are not among them. ``per_host``: it acts for hosts, and may serve only some.

    ``due`` is the only place where time enters: what it answers goes to the log, and is decided on when it comes back.
    ``wake`` is asked once, when the worker has caught up with the log. ``beats``: it says which of the hosts that
    it ``knows`` are alive; ``listens``: its ``due`` wants to know.

    One that is there for networks of some kind ``sleeps_through`` what comes before an event that ``wakes`` it: none of
    that is folded by it or decided on, but for what it said itself. So a network that is not there costs next to
    nothing. It must not sleep through a request that it answers, nor through what it would need once it is awake.
    """

    name: str
    state: Callable[[Folds], State]
    inputs: frozenset[type[Event]]
    says: frozenset[type[Event]]
    decide: Callable[[Any, Recorded], Iterable[Decision]]
    settle: Callable[[AnyEffect, Result], Iterable[Event]]
    due: Callable[[Any, Now], Iterable[Due]] = nothing_due
    wake: Callable[[Any], Iterable[Event]] = wakes_quietly
    per_host: bool = False
    beats: bool = False
    knows: Callable[[Any], list[str]] = lambda state: []
    listens: bool = False
    sleeps_through: frozenset[type[Event]] = frozenset()
    wakes: Mapping[type[Event], Callable[[Any], bool]] = {}


def settles_nothing(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The ``settle`` of a worker that performs no effects."""
    raise TypeError(f"no effect was asked for, but {effect} was performed")
