"""One worker, step by step: event in, envelopes and effects out. No I/O, no clock, no tasks.

The asyncio runner and the simulator both drive this. The rules:

- A *decision* (an event that ``decide`` answered) is folded at once, before the log has it, so that the next decision
  of the same batch sees it. When it comes back from the log it is passed over.
- An *outcome* (what ``settle`` made of an effect) is folded when it comes back from the log, like anybody else's event.
- So the state at any point depends on the order of the log alone, and a replay decides the same.
- ``checkpoint`` is the position up to which every decision is on disk and every effect has its outcome on disk.
"""

import zlib
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from bus.envelope import Envelope, Recorded
from bus.errors import Conflict
from bus.events import Event, WorkerStarted
from bus.subjects import key_of, name_of
from projections.fold import AHEAD
from workers.effects import AnyEffect, Result
from workers.worker import Commons, Emit, Folds, Now, State, Worker


class Planned(msgspec.Struct, frozen=True, gc=False):
    """An effect to be performed, and the event that led to it; ``traceparent`` is that event's."""

    effect: AnyEffect
    position: int
    cause: str
    correlation: str
    traceparent: str | UnsetType = UNSET


class Kept(NamedTuple):
    """What a snapshot keeps of a machine: its state, and what it has decided that the log has not brought back yet."""

    state: State
    ahead: dict[str, Event]
    sleeps_through: frozenset[type[Event]]


class Output(msgspec.Struct, frozen=True, gc=False):
    """What one step asks for. Each envelope and each effect keeps ``position`` open until ``done`` is called."""

    envelopes: list[Envelope]
    effects: list[Planned]
    position: int


class Machine:
    """Runs one ``Worker`` over a log. ``hosts`` limits a per-host worker to these; None serves all.

    ``commons``: folds that it shares with other machines, which take each event in before this machine does. One that
    serves some hosts is handed their events alone, so it has commons of its own, as has one that is given none.
    """

    def __init__(self, worker: Worker, hosts: frozenset[str] | None = None, commons: Commons | None = None) -> None:
        self.worker = worker
        self._hosts = hosts if worker.per_host else None
        shared = commons if self._hosts is None else None
        self._alone = shared is None
        self.state = worker.state(Folds(worker.says, shared or Commons()))
        self.position = 0
        #: Empty once it is awake.
        self._sleeps_through = worker.sleeps_through
        self._ahead: dict[str, Event] = {}
        self._open: dict[int, int] = {}
        #: What earlier runs of this worker have said about inputs that are decided on again.
        self._said: set[str] = set()

    def keep(self) -> Kept:
        """What a snapshot keeps of it, as it is now."""
        return Kept(self.state, self._ahead, self._sleeps_through)

    def restore(self, kept: Kept, position: int) -> None:
        """Go on from a snapshot of ``position``, in place of folding the log up to there."""
        self.state, self._ahead, self._sleeps_through = kept
        self.position = position

    @property
    def is_ahead(self) -> bool:
        """Whether something is decided that the log has not brought back yet."""
        return bool(self._ahead)

    @property
    def is_asleep(self) -> bool:
        """Whether it still sleeps through some events: see ``Worker``."""
        return bool(self._sleeps_through)

    @property
    def checkpoint(self) -> int:
        """Everything up to here is dealt with for good."""
        return next(iter(self._open)) - 1 if self._open else self.position

    def looks_at(self, event_type: type[Event]) -> bool:
        """Whether events of ``event_type`` concern it: it decides on them, folds them, or may be woken by them."""
        worker = self.worker
        own = event_type in worker.inputs or event_type in worker.wakes or self.state.handles(event_type)
        return own or (self._alone and self.state.commons.handles(event_type))

    def wants(self, event_type: type[Event]) -> bool:
        """Whether it is to be given events of ``event_type`` now. What it says itself it is given asleep, too."""
        worker = self.worker
        asleep = event_type in self._sleeps_through and event_type not in worker.wakes and event_type not in worker.says
        return self.looks_at(event_type) and (self._alone or not asleep)

    def decides_on(self, r: Recorded) -> bool:
        """Whether ``r`` is one of this worker's inputs, and of a host it serves."""
        kind = type(r.event)
        return kind in self.worker.inputs and kind not in self._sleeps_through and self._serves_host(r.event)

    def replay(self, r: Recorded, checkpoint: int = 1 << 62) -> None:
        """Fold an event of the past; nothing is decided. What lies above ``checkpoint`` may be decided on again.

        What a snapshot has folded is not folded twice. Raises Conflict as ``step`` does.
        """
        if r.position > checkpoint and r.actor == self.worker.name:
            self._said.add(r.id)
        if r.position > self.position:
            self.position = r.position
            self._share(r)
            if r.id in self._ahead:
                self._came_back(r)
            elif self._hears(r):
                self.state.evolve(r)

    def step(self, r: Recorded, now_us: int) -> Output | None:
        """Fold a new event and decide on it. A redelivered one (position not above the last) does nothing.

        Raises Conflict when the log holds another decision than the one this machine made and folded.
        """
        if r.position <= self.position:
            return None
        self.position = r.position
        self._share(r)
        if r.id in self._ahead:
            self._came_back(r)
            return None
        if not self._hears(r):
            return None
        self.state.evolve(r)
        return self.decide(r, now_us) if type(r.event) in self.worker.inputs else None

    def decide(self, r: Recorded, now_us: int) -> Output | None:
        """Decide on an event that is folded already: a new one, or at start one above the checkpoint."""
        envelopes: list[Envelope] = []
        effects: list[Planned] = []
        for decision in self.worker.decide(self.state, r):
            correlation = decision.correlation or r.correlation
            told_in = r.traceparent if correlation == r.correlation else UNSET  # a trace is that of one story
            if isinstance(decision, Emit):
                about = key_of(decision.event)
                if correlation != r.correlation:  # decided again after a crash, it may be said of a later story
                    about = f"{about}:{zlib.crc32(correlation.encode()):08x}"
                envelope = self._envelope(decision.event, about, r.position, r.id, correlation, now_us, told_in)
                self._apply(envelope)
                envelopes.append(envelope)
            else:
                effects.append(Planned(decision.effect, r.position, r.id, correlation, told_in))
        if not envelopes and not effects:
            return None
        if len(envelopes) > 1 and len({one.id for one in envelopes}) < len(envelopes):  # one would be lost
            raise ValueError(f"{self.worker.name} says several things under one id about {r.id}: {envelopes}")
        self._open[r.position] = self._open.get(r.position, 0) + len(envelopes) + len(effects)
        return Output(envelopes, effects, r.position)

    @property
    def serves(self) -> frozenset[str] | None:
        """The hosts that it is limited to; None for all."""
        return self._hosts

    def hosts(self) -> list[str]:
        """The hosts that this machine serves, as far as they are known."""
        return sorted(self._hosts) if self._hosts is not None else self.worker.knows(self.state)

    def started(self, checkpoint: int, subject: str, now_us: int) -> Output | None:
        """That this worker has folded the log up to here, and decides again on what lies above ``checkpoint``."""
        name, hosts = self.worker.name, sorted(self._hosts or ())
        event = WorkerStarted(
            worker=name, position=self.position, checkpoint=checkpoint, hosts=tuple(hosts), subject=subject
        )
        whom = f"{hosts[0]}+{len(hosts) - 1}" if hosts else "all"
        number = f"{name}:start:{whom}:{self.position}:{now_us}"
        return self._opened([self._by_clock(number, event, now_us)])

    def tick(self, now: Now) -> Output | None:
        """What the clock has made true. It is folded and decided on when it comes back from the log."""
        name = self.worker.name
        envelopes = [
            self._by_clock(f"{name}:due:{name_of(type(event))}:{key_of(event)}:{version}", event, now.time_us)
            for event, version in self.worker.due(self.state, now)
            if self._serves_host(event)
        ]
        return self._opened(envelopes)

    def wake(self, now_us: int) -> Output | None:
        """What the start of this worker has to say. Folded and decided on when it comes back from the log."""
        name = self.worker.name
        envelopes = [
            self._by_clock(f"{name}:wake:{name_of(type(event))}:{key_of(event)}:{now_us}", event, now_us)
            for event in self.worker.wake(self.state)
            if self._serves_host(event)
        ]
        return self._opened(envelopes)

    def settle(self, planned: Planned, result: Result, now_us: int) -> list[Envelope]:
        """The outcome of an effect, as envelopes to append. They keep the position open in place of the effect."""
        # After a crash the same input may ask for a newer wish than it did at first, so the wish is part of the id:
        # else the log would take the answer to the newer one for a copy of the answer to the older.
        about = ":".join((*planned.effect.slot, str(planned.effect.version)))
        envelopes = [
            self._envelope(
                event, about, planned.position, planned.cause, planned.correlation, now_us, planned.traceparent
            )
            for event in self.worker.settle(planned.effect, result)
        ]
        self._open[planned.position] += len(envelopes)
        self.done(planned.position)
        return envelopes

    def done(self, position: int, count: int = 1) -> None:
        """``count`` envelopes are on disk, or effects were superseded, that ``position`` was open for."""
        left = self._open[position] - count
        if left:
            self._open[position] = left
        else:
            del self._open[position]

    def _came_back(self, r: Recorded) -> None:
        """Take in that the log has what was decided and folded here. Raises Conflict if it says otherwise."""
        decided = self._ahead.pop(r.id)
        if decided != r.event:
            raise Conflict(f"{r.id} at position {r.position} is not what was decided here: {decided}")
        self.state.placed(r)

    def _share(self, r: Recorded) -> None:
        """Into the commons, if they are its own. Nobody sleeps in there: what is shared is not any one worker's."""
        if self._alone and self._serves_host(r.event):
            self.state.commons.evolve(r)

    def _hears(self, r: Recorded) -> bool:
        """Whether ``r`` is to be folded: of a host that it serves, and not slept through. It may be what wakes it.

        What it has said itself it always hears, for it folds that when it decides it, awake or not.
        """
        if not self._serves_host(r.event):
            return False
        if self._sleeps_through:
            kind = type(r.event)
            if kind in self.worker.wakes and self.worker.wakes[kind](r.event):
                self._sleeps_through = frozenset()
            elif kind in self._sleeps_through:
                return r.actor == self.worker.name
        return True

    def _serves_host(self, event: Event) -> bool:
        return self._hosts is None or getattr(event, "host", None) in self._hosts

    def _opened(self, envelopes: list[Envelope]) -> Output | None:
        """What no event of the log led to. If it is lost, the next tick or start says it again."""
        if not envelopes:
            return None
        self._open[self.position] = self._open.get(self.position, 0) + len(envelopes)
        return Output(envelopes, [], self.position)

    def _by_clock(self, number: str, event: Event, now_us: int) -> Envelope:
        return Envelope(id=number, event=event, correlation=number, actor=self.worker.name, time_us=now_us)  # type: ignore[arg-type]

    def _envelope(
        self,
        event: Event,
        about: str,
        position: int,
        cause: str,
        correlation: str,
        now_us: int,
        traceparent: str | UnsetType,
    ) -> Envelope:
        # Worker, input position and what it says of whom: the same decision has the same id, whoever makes it again.
        number = f"{self.worker.name}:{position}:{name_of(type(event))}:{about}"
        if number in self._said:  # and yet it is still to be said: of something that has happened since
            number = f"{number}~{self.position}"
        return Envelope(
            id=number,
            event=event,  # type: ignore[arg-type]  # decide answers members of the union
            cause=cause,
            correlation=correlation,
            actor=self.worker.name,
            time_us=now_us,
            traceparent=traceparent,
        )

    def _apply(self, envelope: Envelope) -> None:
        if type(envelope.event) not in self.worker.says:  # what is shared would not have it until the log brings it
            raise TypeError(f"{self.worker.name} decides what is not among what it says: {envelope.event}")
        if not self.state.handles(type(envelope.event)):
            return
        self._ahead[envelope.id] = envelope.event
        self.state.evolve(
            Recorded(
                AHEAD,
                envelope.id,
                envelope.event,
                envelope.cause,
                envelope.correlation,
                envelope.actor,
                envelope.time_us,
            )
        )
