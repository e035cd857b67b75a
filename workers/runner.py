"""Runs workers over a log: follow → fold → decide → append and perform → checkpoint. Any number in a process."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import stamina
import structlog

from bus.envelope import Recorded, Rejected, now_us
from bus.errors import Conflict, LogMismatch, LogUnavailable
from bus.events import EVENT_TYPES, Event
from bus.log import Beats, Checkpoints, Log
from bus.memory import MemoryBeats
from bus.subjects import key_of, name_of
from workers.appender import Appender
from workers.devices.protocol import Devices
from workers.errors import DevicesUnavailable
from workers.machine import Machine, Output, Planned
from workers.performer import Performer
from workers.snapshots import Snapshot, Snapshots, SnapshotWrong, Whose, whose_of
from workers.watch import UNWATCHED, Watch
from workers.worker import Commons, Now, Worker

#: How often checkpoints are saved, seconds. An old one only costs deciding again at the next start.
CHECKPOINT_EVERY_S = 2.0
#: How often machines are told the time, and how often the agents' beats are sent and read, seconds.
CLOCK_EVERY_S = 1.0
BEAT_EVERY_S = 5.0
#: How many events are decided on before others of the process have their turn: about 15 ms of work.
STRETCH = 200
#: How often a conflict is answered by refolding before it is taken for a second process of the same worker.
REFOLDS = 5
CONFLICT_WINDOW_S = 60.0

log = structlog.get_logger("worker")


class Role(NamedTuple):
    """A worker as it is run here. ``hosts``: the hosts a per-host worker serves, None for all."""

    worker: Worker
    hosts: frozenset[str] | None = None

    @property
    def checkpoint_name(self) -> str:
        """The name its checkpoint is kept under: a worker for other hosts has another one."""
        return self.worker.name if self.hosts is None else f"{self.worker.name}.{'.'.join(sorted(self.hosts))}"


class Runner:
    """Runs ``roles`` in one loop: each batch is read and decoded once, and given to those who want it."""

    def __init__(  # noqa: PLR0913 - each is a part that a test or a process may want another one of
        self,
        bus: Log,
        checkpoints: Checkpoints,
        devices: Devices,
        roles: Sequence[Role],
        *,
        beats: Beats | None = None,
        subject: str = "",
        clock: Callable[[], int] = now_us,
        snapshots: Snapshots | None = None,
        watch: Watch = UNWATCHED,
    ) -> None:
        self._bus = bus
        self._checkpoints = checkpoints
        self._devices = devices
        self._roles = roles
        self._beats = beats if beats is not None else MemoryBeats()
        self._subject = subject
        self._clock = clock
        self._snapshots = snapshots
        self._watch = watch
        self._performer: Performer | None = None
        self.machines: Sequence[Machine] = ()
        self.ready = asyncio.Event()
        self.position = 0
        self._conflicts_at: list[float] = []
        self._newer: set[str] = set()

    def effects_under_way(self) -> Mapping[str, int]:
        """How many effects are being performed or wait for their slot, by worker."""
        return self._performer.under_way() if self._performer is not None else {}

    async def run(self) -> None:
        """Run until cancelled.

        A conflict (another process decided first) or a log that was away too long is answered by folding anew from
        the log. More than REFOLDS conflicts within CONFLICT_WINDOW_S raise the Conflict: two processes run one worker.
        Raises LogMismatch when the checkpoints are of a longer log than this one.
        """
        async for attempt in stamina.retry_context(
            on=self._may_refold, attempts=None, timeout=None, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                await self._run_once()

    def _may_refold(self, error: Exception) -> bool:
        if isinstance(error, Conflict):
            now = time.monotonic()
            self._conflicts_at = [at for at in self._conflicts_at if now - at < CONFLICT_WINDOW_S] + [now]
            refold = len(self._conflicts_at) <= REFOLDS
        else:
            refold = isinstance(error, LogUnavailable | SnapshotWrong)
        if refold:
            log.warning("folding anew from the log", reason=str(error))
        return refold

    async def _run_once(self) -> None:
        snapshot = self._snapshots.load(await self._whose()) if self._snapshots is not None else None
        commons, machines = self._made(snapshot)
        self.machines = machines
        try:
            async with asyncio.TaskGroup() as tasks:
                appender = Appender(self._bus)
                performer = Performer(self._devices, appender, tasks, self._clock, self._watch)
                self._performer = performer
                self._watch.began(self)
                tasks.create_task(appender.run(), name="append")
                await self._catch_up(machines, commons, appender, performer)
                # Not before: what was folded and not decided yet must stay above the checkpoint.
                tasks.create_task(self._save_checkpoints(machines), name="save checkpoints")
                self._wake(machines, appender)
                tasks.create_task(self._tell_time(machines, appender), name="tell the time")
                tasks.create_task(self._send_beats(machines), name="send beats")
                self.ready.set()
                await self._follow(machines, commons, appender, performer, tasks)
        except BaseExceptionGroup as group:
            expected, other = group.split((Conflict, LogUnavailable, SnapshotWrong))
            error = _first(other or expected or group)
            if self._snapshots is not None and isinstance(error, Conflict | SnapshotWrong):
                self._snapshots.discard()
            raise error from group

    async def _whose(self) -> Whose:
        roles = [(role.worker.name, role.hosts) for role in self._roles]
        return whose_of(await self._bus.identity(), self._subject, roles)

    def _made(self, snapshot: Snapshot | None) -> tuple[Commons, list[Machine]]:
        """The machines as a snapshot has kept them, or as they are before the first event."""
        commons = snapshot.commons if snapshot is not None else Commons()
        machines = [Machine(role.worker, role.hosts, commons) for role in self._roles]
        if snapshot is not None:
            for machine, kept in zip(machines, snapshot.kept, strict=True):
                machine.restore(kept, snapshot.position)
        return commons, machines

    async def _catch_up(
        self, machines: list[Machine], commons: Commons, appender: Appender, performer: Performer
    ) -> None:
        """Fold the past, then decide on what may not have been dealt with."""
        saved = [await self._checkpoints.load(role.checkpoint_name) for role in self._roles]
        until = await self._bus.last_position()  # after: another process may save a later one meanwhile
        if max(saved, default=0) > until:
            raise LogMismatch(f"a checkpoint is at {max(saved)}, the log ends at {until}: another log, or cut off")
        undecided: list[tuple[Machine, Recorded]] = []
        folded = min(machine.position for machine in machines)  # 0 without a snapshot
        async for batch in self._bus.read(min(folded, *saved), until, self._subject):
            self._tell_newer(batch.rejects)
            for r in batch.records:
                commons.evolve(r)
                for machine, checkpoint in zip(machines, saved, strict=True):
                    machine.replay(r, checkpoint)
                    if r.position > checkpoint and machine.decides_on(r):
                        undecided.append((machine, r))
        if folded > until or any(machine.is_ahead for machine in machines):
            raise SnapshotWrong(f"the snapshot at {folded} has what is not in the log up to {until}")
        self._reached(machines, until)
        now = self._clock()
        self._carry_out(((machine, machine.decide(r, now)) for machine, r in undecided), appender, performer)
        for machine, checkpoint in zip(machines, saved, strict=True):
            _append(machine, machine.started(checkpoint, self._subject, now), appender)
        log.info(
            "caught up",
            position=until,
            snapshot=folded,
            decided_again=len(undecided),
            workers=[m.worker.name for m in machines],
        )

    async def _follow(
        self,
        machines: list[Machine],
        commons: Commons,
        appender: Appender,
        performer: Performer,
        tasks: asyncio.TaskGroup,
    ) -> None:
        takers = _Takers(machines)
        async for batch in self._bus.follow(self.position, self._subject):
            self._tell_newer(batch.rejects)
            for stretch in _stretches(batch.records):
                now = self._clock()
                self._carry_out(self._watch.steps(_steps(stretch, commons, takers, now)), appender, performer)
                await asyncio.sleep(0)  # so that an answer that has come is not kept waiting for a whole batch
            self._reached(machines, batch.last)
            if self._snapshots is not None and self._snapshots.due(self.position):
                pending = self._snapshots.begin(Snapshot(self.position, commons, [one.keep() for one in machines]))
                # What is decided and not on disk yet must come to be there, or the snapshot is of what never was.
                on_disk = partial(appender.stored, appender.taken)
                if pending is not None:
                    tasks.create_task(self._snapshots.take(pending, on_disk), name="snapshot")
            await appender.room()

    def _tell_newer(self, rejects: Iterable[Rejected]) -> None:
        """Say of each newer type once that it is passed over: these workers are too old to decide on it."""
        for one in rejects:
            if not one.malformed and one.tag not in self._newer:
                self._newer.add(one.tag)
                log.warning("newer event type passed over", type=one.tag, position=one.position)

    def _carry_out(
        self, outputs: Iterable[tuple[Machine, Output | None]], appender: Appender, performer: Performer
    ) -> None:
        effects: dict[Machine, list[Planned]] = {}
        telling = log.is_enabled_for(logging.DEBUG)
        for machine, decided in outputs:
            if decided is None:
                continue
            output = self._watch.decided(machine, decided)
            if telling:
                _tell(machine, output)
            appender.put(machine, output.position, output.envelopes)
            if output.effects:
                effects.setdefault(machine, []).extend(output.effects)
        for machine, planned in effects.items():
            performer.submit(machine, planned)

    def _reached(self, machines: list[Machine], position: int) -> None:
        self.position = position
        for machine in machines:
            machine.position = position

    def _wake(self, machines: list[Machine], appender: Appender) -> None:
        now = self._clock()
        for machine in machines:
            _append(machine, machine.wake(now), appender)

    async def _tell_time(self, machines: list[Machine], appender: Appender) -> None:
        """Ask each machine what the clock has made true. Beats are read as often as they are sent."""
        listening = any(machine.worker.listens for machine in machines)
        heard: dict[str, int] | None = {}
        read_s = float("-inf")
        while True:
            if listening and asyncio.get_running_loop().time() - read_s >= BEAT_EVERY_S:
                heard = await self._heard()
                read_s = asyncio.get_running_loop().time()
            now = Now(self._clock(), heard)
            for machine in machines:
                _append(machine, machine.tick(now), appender)
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _heard(self) -> dict[str, int] | None:
        try:
            return await self._beats.heard()
        except LogUnavailable as error:  # nobody is blamed for a silence that may be ours
            log.warning("beats not read", reason=str(error))
            return None

    async def _send_beats(self, machines: list[Machine]) -> None:
        beating = [machine for machine in machines if machine.worker.beats]
        agent = f"{socket.gethostname()}.{os.getpid()}"
        while beating:
            hosts = [host for machine in beating for host in machine.hosts()]
            try:
                alive = await self._devices.alive(hosts)
                await self._beats.beat(agent, [host for host in hosts if host in alive], self._clock())
            except (LogUnavailable, DevicesUnavailable) as error:  # silence is what is to be heard then
                log.warning("no beat", reason=str(error))
            await asyncio.sleep(BEAT_EVERY_S)

    async def _save_checkpoints(self, machines: list[Machine]) -> None:
        saved: dict[str, int] = {}
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            for role, machine in zip(self._roles, machines, strict=True):
                checkpoint = machine.checkpoint  # it goes on while it is being saved
                name = role.checkpoint_name
                if checkpoint != saved.get(name) and await self._save_checkpoint(name, checkpoint):
                    saved[name] = checkpoint

    async def _save_checkpoint(self, name: str, position: int) -> bool:
        try:
            await self._checkpoints.save(name, position)
        except LogUnavailable as error:  # a later try will do as well
            log.warning("checkpoint not saved", checkpoint=name, position=position, reason=str(error))
            return False
        return True


def _stretches(records: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    for start in range(0, len(records), STRETCH):
        yield records[start : start + STRETCH]


class _Takers:
    """Which of ``machines`` are to be given events of which type, as they sleep and wake."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._look()

    def of(self, event_type: type[Event]) -> list[Machine]:
        """Those that are to be given an event of this type now."""
        return self._of[event_type]

    def given(self, event_type: type[Event]) -> None:
        """They were given one, which may have woken some."""
        if event_type in self._waking and not all(machine.is_asleep for machine in self._asleep):
            self._look()

    def _look(self) -> None:
        self._asleep = [machine for machine in self._machines if machine.is_asleep]
        self._waking = {kind for machine in self._asleep for kind in machine.worker.wakes}
        self._of = {kind: [m for m in self._machines if m.wants(kind)] for kind in EVENT_TYPES}


def _steps(
    records: Iterable[Recorded], commons: Commons, takers: _Takers, now_us: int
) -> Iterator[tuple[Machine, Output | None]]:
    """Each event through what the machines share, and then through each machine that is to be given it."""
    for r in records:
        kind = type(r.event)
        commons.evolve(r)
        for machine in takers.of(kind):
            yield machine, machine.step(r, now_us)
        takers.given(kind)


def _append(machine: Machine, output: Output | None, appender: Appender) -> None:
    if output is not None:
        appender.put(machine, output.position, output.envelopes)


def _tell(machine: Machine, output: Output) -> None:
    """One line for each thing that was decided, under the story that it belongs to."""
    for envelope in output.envelopes:
        story = log.bind(correlation=envelope.correlation, worker=machine.worker.name)
        story.debug(name_of(type(envelope.event)), key=key_of(envelope.event), cause=envelope.cause)
    for planned in output.effects:
        story = log.bind(correlation=planned.correlation, worker=machine.worker.name)
        story.debug(type(planned.effect).__name__, slot=planned.effect.slot, cause=planned.cause)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
