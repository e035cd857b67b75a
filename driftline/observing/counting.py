"""Counters of what the parts of a process do. Plain numbers: what is done with them costs only when somebody looks."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager

from bus.envelope import Envelope, now_us
from bus.errors import BusError
from bus.events import Event
from bus.log import Appended, Batch, Log
from driftline.observing.look import LogLook, OperationsLook, ProjectorLook, SpawnsLook, WorkerLook
from driftline.observing.spawns import SpawnCounts
from driftline.observing.times import Times
from projections.fold import Touched
from projections.views import PROJECTIONS
from projections.watch import Projecting, ProjectionWatch
from workers.devices.protocol import Devices, Outcome
from workers.effects import AnyEffect, Result
from workers.machine import Machine, Output, Planned
from workers.watch import Running, Step, Watch


class CountedLog:
    """Implements ``bus.log.Log`` over another one: counts what goes to it, by actor, and what is followed, by type."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.appended: Counter[str] = Counter()
        self.duplicates = 0
        self.failed = 0
        self.followed: Counter[type[Event]] = Counter()
        self.append_times = Times()
        self.delay = Times()

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        began = time.perf_counter()
        try:
            appended = await self._log.append(envelopes)
        except BusError:
            self.failed += 1
            raise
        self.append_times.add(time.perf_counter() - began)
        self.appended.update([envelope.actor for envelope in envelopes])
        self.duplicates += sum([one.duplicate for one in appended])
        return appended

    def look(self) -> LogLook:
        """What was done with it."""
        return LogLook(
            appended=self.appended.total(),
            duplicates=self.duplicates,
            failed=self.failed,
            append=self.append_times,
            delay=self.delay,
        )

    async def last_position(self) -> int:
        return await self._log.last_position()

    async def identity(self) -> str:
        return await self._log.identity()

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.read(after, until, subject)

    async def follow(self, after: int, subject: str = "") -> AsyncGenerator[Batch, None]:
        async for batch in self._log.follow(after, subject):
            if batch.records:
                self.followed.update([type(r.event) for r in batch.records])
                self.delay.add((now_us() - batch.records[-1].stored_us) / 1e6)
            yield batch


class _Tally:
    """What one worker did."""

    __slots__ = ("decided", "done", "effect", "failed", "retried", "step")

    def __init__(self) -> None:
        self.decided = self.done = self.failed = self.retried = 0
        self.step, self.effect = Times(), Times()


class WorkerCounts(Watch):
    """Counts what the workers of one runner do. ``timed``: each step is measured as well."""

    def __init__(self, log: CountedLog, *, timed: bool = False) -> None:
        self._log = log
        self._timed = timed
        self._tallies: dict[str, _Tally] = {}
        self.runner: Running | None = None

    def began(self, runner: Running) -> None:
        self.runner = runner
        for machine in runner.machines:
            self._tallies.setdefault(machine.worker.name, _Tally())

    def steps(self, steps: Iterator[Step]) -> Iterator[Step]:
        return self._measured(steps) if self._timed else steps

    def _measured(self, steps: Iterator[Step]) -> Iterator[Step]:
        clock, tallies = time.perf_counter, self._tallies
        began = clock()
        for step in steps:
            tallies[step[0].worker.name].step.add(clock() - began)
            yield step
            began = clock()

    def decided(self, machine: Machine, output: Output) -> Output:
        self._tallies[machine.worker.name].decided += 1
        return output

    def settled(
        self, machine: Machine, planned: Planned, result: Result, envelopes: list[Envelope], now_us: int
    ) -> list[Envelope]:
        tally = self._tallies[machine.worker.name]
        tally.effect.add((now_us - result.started_us) / 1e6)
        if result.error:
            tally.failed += 1
        else:
            tally.done += 1
        return envelopes

    def retrying(self, failed: Iterable[tuple[Machine, Planned]]) -> None:
        for machine, _ in failed:
            self._tallies[machine.worker.name].retried += 1

    def look(self) -> list[WorkerLook]:
        """How each worker stands; none before the runner has begun."""
        if self.runner is None:
            return []
        under_way = self.runner.effects_under_way()
        return [self._look(machine, under_way.get(machine.worker.name, 0)) for machine in self.runner.machines]

    def _look(self, machine: Machine, in_flight: int) -> WorkerLook:
        name, followed = machine.worker.name, self._log.followed
        tally = self._tallies[name]
        return WorkerLook(
            worker=name,
            hosts=sorted(machine.serves or ()),
            position=machine.position,
            checkpoint=machine.checkpoint,
            folded=sum(count for kind, count in followed.items() if machine.looks_at(kind)),
            decided=tally.decided,
            appended=self._log.appended[name],
            effects_in_flight=in_flight,
            effects_done=tally.done,
            effects_failed=tally.failed,
            effects_retried=tally.retried,
            step=tally.step,
            effect=tally.effect,
        )


_PROJECTION_OF = {table.name: fold.__name__.lower() for fold in PROJECTIONS for table in fold.TABLES}


class ProjectorCounts(ProjectionWatch):
    """Counts what a projector does."""

    def __init__(self) -> None:
        self.projector: Projecting | None = None
        self._spawns: SpawnCounts | None = None
        self._folded = 0
        self._rows: Counter[str] = Counter()
        self._commit = Times()

    def began(self, projector: Projecting) -> None:
        self.projector = projector
        if self._spawns is None:
            self._spawns = SpawnCounts(projector.views)
        else:
            self._spawns.begin(projector.views)

    def folded(self, batch: Batch) -> None:
        self._folded += len(batch.records)
        assert self._spawns is not None, "what has not begun folds nothing"
        self._spawns.take(batch.records)

    def cut(self, touched: Set[Touched]) -> None:
        self._rows.update([table for table, _ in touched])

    @contextmanager
    def committing(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._commit.add(time.perf_counter() - began)

    def look(self) -> ProjectorLook | None:
        """How it stands; None before it has begun."""
        if self.projector is None:
            return None
        rows: Counter[str] = Counter()
        for table, count in self._rows.items():
            rows[_PROJECTION_OF.get(table, table)] += count
        return ProjectorLook(
            position=self.projector.position,
            folded=self._folded,
            rows=dict(rows),
            commit=self._commit,
            states=self.projector.views.port_state_counts(),
            away=self.projector.is_away,
        )

    def look_at_spawns(self) -> SpawnsLook | None:
        """How spawns stand; None before the projector has begun."""
        return self._spawns.look() if self._spawns is not None else None


class Operations:
    """Counts what devices are asked to do and what comes of it."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    async def counted(self, devices: Devices, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """As ``devices.apply(effects)``. What never gets an outcome is counted as unknown."""
        kinds = [type(effect).__name__ for effect in effects]
        self._asked.update(kinds)
        async for group in devices.apply(effects):
            for outcome in group:
                (self._failed if outcome.error else self._done)[kinds[outcome.index]] += 1
            yield group

    def look(self) -> list[OperationsLook]:
        """By type of effect."""
        return [
            OperationsLook(effect=kind, done=self._done[kind], failed=self._failed[kind], asked=self._asked[kind])
            for kind in sorted(self._asked)
        ]


class CountedDevices:
    """Implements ``workers.devices.protocol.Devices`` over others."""

    def __init__(self, devices: Devices, operations: Operations) -> None:
        self._devices = devices
        self._operations = operations

    def apply(self, effects: Sequence[AnyEffect]) -> AsyncIterator[Sequence[Outcome]]:
        return self._operations.counted(self._devices, effects)

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        return await self._devices.alive(hosts)
