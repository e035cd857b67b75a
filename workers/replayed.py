"""Verified replay: today's ``decide`` over a recorded log, compared with what the worker said then. PURE.

What a worker says follows from the log alone (ARCHITECTURE.md, rule 3), so each of its decisions can be made again:

- an event of the worker that today's code decides as well, word for word, is *matched*;
- an event that answers an effect is an *outcome*: today's code must ask for that effect, and make such an event of it;
- what the clock led to (``due``, ``wake``, ``start``) is taken as it was;
- all else is a divergence: said otherwise, said then and not now, or now and not then.

``worker.started`` says from where on a worker began anew, so a log with crashes replays as exactly as one without.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from bus.envelope import Envelope, Recorded
from bus.events import Event, MacDuplicate, WorkerStarted
from bus.subjects import key_of, matches, name_of, subject_of
from projections.fold import Fold
from workers.effects import AnyEffect, Result
from workers.machine import Machine, Output
from workers.worker import State, Worker

Kind = Literal["differs", "decided on another event", "not decided now", "not said then", "no such effect"]


#: What an audit may find that makes an event of its own.
_DUPLICATE = MacDuplicate(vni=1, mac="fa:16:00:00:00:01", port="any", sequence=1, detected_us=0)


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """Where today's code and the log part. ``position``: of the event then, or of what now leads to one.

    ``then``, ``now``: the two events, None where there is none; ``cause`` is the event that was decided on; ``state``:
    the rows about what the event concerns, as the worker knew them, by fold and table.
    """

    kind: Kind
    position: int
    id: str
    then: Event | None
    now: Event | None
    cause: Recorded | None
    state: dict[str, list[Any]]

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """The fields in which the two versions differ: (then, now)."""
        if self.then is None or self.now is None:
            return {}
        if type(self.then) is not type(self.now):
            return {"type": (name_of(type(self.then)), name_of(type(self.now)))}
        names = self.then.__struct_fields__
        pairs = {name: (getattr(self.then, name), getattr(self.now, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to. ``open``: decided now, and the log ends before it can have been said."""

    worker: str
    equal: bool
    events: int
    matched: int
    outcomes: int
    by_clock: int
    starts: int
    open: int
    divergences: list[Divergence]


class _Expected(NamedTuple):
    """A decision of today's code that the log has not shown yet. ``order``: how many were made before it."""

    envelope: Envelope
    input: Recorded
    order: int


class _Life:
    """One life of the worker, from one start to the next. ``known``: what earlier lives may still bring."""

    def __init__(self, worker: Worker, start: WorkerStarted | None, before: "_Life | None") -> None:
        self.hosts = start.hosts if start else ()
        self.subject = start.subject if start else ""
        self.machine = Machine(worker, frozenset(self.hosts) or None)
        self.expected: dict[str, _Expected] = {}
        self.dying: dict[str, _Expected] = {**before.dying, **before.expected} if before else {}
        #: (input position, slot and version): an effect that was asked for.
        self.effects: dict[tuple[int, str], AnyEffect] = dict(before.effects) if before else {}
        self.decided = 0
        #: The order of the newest decision that was said.
        self.said = -1

    def reads(self, r: Recorded) -> bool:
        """Whether this life is handed ``r``."""
        return not self.subject or matches(self.subject, subject_of(r.event))

    def settled(self, r: Recorded) -> _Expected | None:
        """What was expected under the id of ``r``, which the log shows now; None if nothing was."""
        dying, found = self.dying.pop(r.id, None), self.expected.pop(r.id, None)
        if found is not None:
            self.said = max(self.said, found.order)
        return found or dying

    def late(self) -> list[str]:
        """What is still expected although the worker, which says things in order, has said what it decided later."""
        return [name for name, one in self.expected.items() if one.order < self.said]

    def until(self, position: int) -> list[str]:
        """What is still expected of inputs up to ``position``."""
        return [name for name, one in self.expected.items() if one.input.position <= position]

    def take(self, output: Output | None, input: Recorded) -> None:
        """Note what was decided on ``input``."""
        if output is None:
            return
        for envelope in output.envelopes:
            self.expected[envelope.id] = _Expected(envelope, input, self.decided)
            self.decided += 1
        for planned in output.effects:
            self.effects[planned.position, _slot(planned.effect)] = planned.effect


class Replay:
    """Replays one worker over ``records``, whole and in order. ``most``: after so many divergences it ends."""

    def __init__(
        self,
        worker: Worker,
        records: Sequence[Recorded],
        *,
        most: int = 1,
        progress: Callable[[int, int], None] = lambda done, until: None,
    ) -> None:
        self._worker = worker
        self._records = records
        self._most = most
        self._progress = progress
        starts = [r.event for r in records if isinstance(r.event, WorkerStarted) and r.event.worker == worker.name]
        self._starts = sorted(starts, key=lambda start: start.position)
        self._lives: dict[tuple[tuple[str, ...], str], _Life] = {}
        self._times = _times_of(worker.name, records)
        self._matched = self._outcomes = self._by_clock = 0
        self._divergences: list[Divergence] = []

    def run(self) -> Verdict:
        """Compare the whole log, or up to the last divergence that is wanted."""
        waiting = list(reversed(self._starts))
        if not waiting:
            self._lives[(), ""] = _Life(self._worker, None, None)
        for index, r in enumerate(self._records):
            while waiting and waiting[-1].position < r.position:
                self._ended(waiting[-1])
                self._begin(waiting.pop(), index)
            self._step(r)
            if len(self._divergences) >= self._most:
                break
            if index % 10_000 == 0:
                self._progress(index, len(self._records))
        for life in self._lives.values():
            self._not_said(life, life.late())
        return Verdict(
            worker=self._worker.name,
            equal=not self._divergences,
            events=len(self._records),
            matched=self._matched,
            outcomes=self._outcomes,
            by_clock=self._by_clock,
            starts=len(self._starts),
            open=sum(len(life.expected) for life in self._lives.values()),
            divergences=sorted(self._divergences, key=lambda one: one.position)[: self._most],
        )

    def _ended(self, start: WorkerStarted) -> None:
        """The life before ``start`` is over: its checkpoint says up to where all that it decided is in the log."""
        life = self._lives.get((start.hosts, start.subject))
        if life is not None:
            self._not_said(life, life.until(start.checkpoint))

    def _not_said(self, life: _Life, ids: Iterable[str]) -> None:
        for name in ids:
            one = life.expected.pop(name)
            position, now = one.input.position, one.envelope.event
            self._divergences.append(self._divergence("not said then", position, name, None, now, one.input, life))

    def _begin(self, start: WorkerStarted, index: int) -> None:
        """A new life: fold what was there, and decide again on what lies above the checkpoint, as the runner does."""
        key = (start.hosts, start.subject)
        life = _Life(self._worker, start, self._lives.get(key))
        undecided = []
        for r in self._records[:index]:
            if life.reads(r):
                life.machine.replay(r, start.checkpoint)
                if r.position > start.checkpoint and life.machine.decides_on(r):
                    undecided.append(r)
        life.machine.position = start.position
        for r in undecided:
            life.take(life.machine.decide(r, self._said_us(r, start.position)), r)
        self._lives[key] = life

    def _step(self, r: Recorded) -> None:
        # Under another id it is somebody else's, whoever it says that it is of.
        own = r.actor == self._worker.name and r.id.startswith(f"{self._worker.name}:")
        if own and not self._explained(r):
            return
        for life in self._lives.values():
            if life.reads(r):
                life.take(life.machine.step(r, self._said_us(r, r.position)), r)

    def _said_us(self, input: Recorded, after: int) -> int:
        """When the worker said then what ``input`` led to: its own clock, which it folds with its decisions."""
        said = self._times.get(input.position, ())
        return next((time_us for position, time_us in said if position > after), 0)

    def _explained(self, r: Recorded) -> bool:
        """Whether the worker would say ``r`` today; if not, that is noted, and the lives go on as the log says."""
        if r.id.startswith(tuple(f"{self._worker.name}:{what}:" for what in ("due", "wake", "start"))):
            self._by_clock += 1
            if isinstance(r.event, WorkerStarted) and (begun := self._lives.get((r.event.hosts, r.event.subject))):
                self._not_said(begun, begun.until(r.event.position))  # it says so after all that it decided again
            return True
        for life in self._lives.values():
            found = life.settled(r)
            if found is not None:
                return self._compared(r, found, life)
        found_outcome = self._outcome(r)
        if found_outcome is None:
            self._outcomes += 1
            return True
        self._diverge(found_outcome)
        return False

    def _compared(self, r: Recorded, found: _Expected, life: _Life) -> bool:
        envelope = found.envelope
        if (envelope.event, envelope.cause, envelope.correlation) == (r.event, r.cause, r.correlation):
            self._matched += 1
            return True
        self._diverge(self._divergence("differs", r.position, r.id, r.event, envelope.event, found.input, life))
        return False

    def _outcome(self, r: Recorded) -> Divergence | None:
        """None if ``r`` is what comes of an effect that today's code asked for."""
        parts = r.id.split("~")[0].split(":", 3)
        position = int(parts[1]) if len(parts) == 4 and parts[1].isdecimal() else 0
        if not self._lives:  # said before the first start that the log knows of
            return None
        life = next(iter(self._lives.values()))
        for life in self._lives.values():
            effect = life.effects.get((position, parts[-1]))
            if effect is not None:
                if _may_come_of(self._worker, effect, r.event):
                    return None
                return self._divergence("no such effect", r.position, r.id, r.event, None, self._find(r.cause), life)
        same = (one for one in life.expected.values() if _concern(one.envelope.event) == _concern(r.event))
        earlier = next(same, None)
        if earlier is not None:
            position, now = earlier.input.position, earlier.envelope.event
            return self._divergence("decided on another event", position, r.id, r.event, now, earlier.input, life)
        return self._divergence("not decided now", r.position, r.id, r.event, None, self._find(r.cause), life)

    def _find(self, id: str) -> Recorded | None:
        return next((r for r in self._records if r.id == id), None)

    def _diverge(self, divergence: Divergence) -> None:
        self._divergences.append(divergence)
        index = next((i for i, r in enumerate(self._records) if r.position > divergence.position), len(self._records))
        if len(self._divergences) < self._most:  # from here on as the log says
            for key, life in self._lives.items():
                start = WorkerStarted(
                    worker=self._worker.name,
                    position=divergence.position,
                    checkpoint=divergence.position,
                    hosts=key[0],
                    subject=key[1],
                )
                expected = {
                    name: one for name, one in life.expected.items() if one.input.position != divergence.position
                }
                self._begin(start, index)
                begun = self._lives[key]
                begun.expected |= expected
                begun.decided, begun.said = life.decided, life.said

    def _divergence(
        self,
        kind: Kind,
        position: int,
        id: str,
        then: Event | None,
        now: Event | None,
        cause: Recorded | None,
        life: _Life,
    ) -> Divergence:
        about = then or now
        assert about is not None
        state = dict(_rows_about(life.machine.state, key_of(about)))
        return Divergence(kind=kind, position=position, id=id, then=then, now=now, cause=cause, state=state)


def _times_of(worker: str, records: Iterable[Recorded]) -> dict[int, list[tuple[int, int]]]:
    """By input: the positions and times of what ``worker`` said about it."""
    times: dict[int, list[tuple[int, int]]] = {}
    for r in records:
        if r.actor == worker and r.id.startswith(f"{worker}:"):
            number = r.id.split(":", 2)[1]
            if number.isdecimal():
                times.setdefault(int(number), []).append((r.position, r.time_us))
    return times


def _slot(effect: AnyEffect) -> str:
    return ":".join((*effect.slot, str(effect.version)))


def _may_come_of(worker: Worker, effect: AnyEffect, event: Event) -> bool:
    """Whether ``settle`` makes an event of this type about this aggregate of ``effect``, done or failed."""
    results = (Result(), Result(error="failed"), Result(found=(_DUPLICATE,)))
    return any(_concern(one) == _concern(event) for one in _settled(worker, effect, results))


def _concern(event: Event) -> tuple[type[Event], str]:
    return type(event), key_of(event)


def _settled(worker: Worker, effect: AnyEffect, results: Iterable[Result]) -> Iterator[Event]:
    for result in results:
        yield from worker.settle(effect, result)


def _rows_about(state: State, key: str) -> Iterator[tuple[str, list[Any]]]:
    for name, fold in vars(state).items():
        if isinstance(fold, Fold):
            for table, rows in fold.tables.items():
                found = [msgspec.to_builtins(row) for row_key, row in rows.items() if key in row_key]
                if found:
                    yield f"{name}.{table}", found
