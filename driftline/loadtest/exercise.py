"""One run from beginning to end: phase after phase is driven, watched and timed; then the oracle judges all of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import msgspec
import stamina

from bus.envelope import now_us
from bus.errors import LogUnavailable, first_error
from bus.events import HostFailRequested, InstanceDriftRequested, OperationPortsRequested
from bus.events.operation import PortItem
from driftline.channel import BusChannel
from driftline.current import rows, shown, wait_projected
from driftline.evacuation import Evacuation, evacuate
from driftline.ledger import Entry
from driftline.loadtest import checking
from driftline.loadtest.harness import EXAMPLES_MAX, STALLED_S, Harness, Tally
from driftline.loadtest.latency import Latency
from driftline.loadtest.leaves import BrokenLeaves
from driftline.loadtest.oracle import judge
from driftline.loadtest.profile import Bulk, HostsFail, Instances, LeavesFail, Phase, PodsDrift
from driftline.loadtest.report import Report, Timing, made
from driftline.loadtest.samples import Mark, Sample, Sampler, use
from driftline.observing.positions import Positions
from driftline.plane import Plane
from driftline.stack import Stack
from driftline.trace import Target, TimedRequest, deletion, instance_id, plan
from projections.errors import DatabaseUnavailable
from projections.instances import InstanceRow
from projections.world import World
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.remote import RemoteDevices

#: How many requests are under way at most where nothing else bounds them.
IN_FLIGHT = 2000
#: How long PostgreSQL may be away at the end of a run, seconds.
RETRY_S = 60.0
#: How long what failed may take until nothing of it is left, seconds: taking down is tried until it succeeds.
TAKE_DOWN_S = 120.0
#: How long the projections may take to catch up at the end: this, and at least this many events a second.
PROJECT_S, PROJECT_EVENTS_PER_S = 60.0, 1000


class Watcher:
    """Is told how a run goes. This one does nothing with it."""

    def update(self, tally: Tally) -> None:
        """Take in how far the requests are."""

    def sampled(self, sample: Sample) -> None:
        """Take in how it looks now."""

    def checking(self, what: str) -> None:
        """Take in what the oracle looks at, now that all has ended."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds a run. ``for_s``: what is due later than that, seconds from the start of its phase, is left out.

    ``in_flight``: how many requests may be under way at most; None: IN_FLIGHT where they come as fast as is allowed,
    and no limit where each comes when it is due, for how the system fares shall not hold it back (open loop).
    """

    in_flight: int | None = None
    for_s: float | None = None


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where the instances of a run go: zones and targets in turn. ``prefix``: of their names, one of its own a run."""

    azs: Sequence[str]
    targets: Sequence[Target]
    prefix: str
    host_azs: dict[str, str] = {}


def check(phases: Sequence[Phase], places: Places, world: World) -> None:
    """Raise UsageError if ``phases`` cannot be asked for as they are, before anything is."""
    checking.check(phases, world)
    for phase in phases:
        if isinstance(phase, Instances):
            _plan(phase, places)


def _plan(phase: Instances, places: Places) -> list[TimedRequest]:
    coming = plan(phase.rows, places.azs, places.targets, host_azs=places.host_azs, prefix=places.prefix)
    going = [deletion(at_s, instance_id(places.prefix + name)) for name, at_s in phase.gone_s.items()]
    return sorted(coming + going, key=lambda request: request.at_s)


class Exercise:
    """Drives phases through the control plane and adds up what came of them. Made by ``exercising``."""

    def __init__(self, stack: Stack, plane: Plane, limits: Limits, watcher: Watcher, leaves: BrokenLeaves) -> None:
        self._stack = stack
        self._plane = plane
        self._watcher = watcher
        self._limits = limits
        self._leaves = leaves
        self._positions = Positions(stack.connection)
        self._sampler = Sampler(self.look, watcher.sampled)
        self._entries: list[Entry] = []
        self._spawns_due_us: dict[str, int] = {}
        self._drifts_due_us: dict[str, int] = {}
        self.tally = Tally(first_us=now_us())
        self.latencies: dict[str, Latency] = {}
        self.marks: list[Mark] = []
        #: Whether devices are broken on purpose: then a spawn may fail, if it says so and leaves nothing behind.
        self.may_fail = False
        self._active: list[str] = []

    async def watch(self) -> None:
        """Take samples for ever."""
        await self._sampler.run()

    async def phases(self, phases: Sequence[Phase], places: Places, world: World) -> None:
        """Drive ``phases``, each when all of the one before has ended. Raises as ``requests`` does."""
        for number, phase in enumerate(phases):
            if number:
                self.marks.append(Mark(at_us=now_us(), what=type(phase).__name__))
            match phase:
                case Instances(timed=timed, fill=fill):
                    await self.requests(self._askable(phase, places), timed=timed, fill=fill)
                case Bulk() as bulk:
                    await self.requests(list(_operations(bulk, number, places, world)), timed=True)
                case HostsFail(hosts=hosts):
                    await self._lose(hosts, SetHosts(power_off=hosts))
                case LeavesFail(leaves=leaves, hosts=hosts):
                    async with self._leaves.broken(leaves, "failed with its whole pair"):
                        await self._lose(hosts, SetHosts(cut_off=hosts))
                case PodsDrift(az=az):
                    await self.requests([_drift(instance) for instance in await self._living(az)], timed=False)

    def _askable(self, phase: Instances, places: Places) -> list[TimedRequest]:
        """The requests of ``phase`` but for deletes of what never became active, which are counted as skipped."""
        active, planned = set(self._active), _plan(phase, places)
        came = {request.instance for request in planned if request.kind == "spawn"} | active
        askable = [request for request in planned if request.instance in came]
        self.tally.skipped += len(planned) - len(askable)
        return askable

    async def requests(self, asked: Sequence[TimedRequest], *, timed: bool, fill: bool = False) -> None:
        """Drive ``asked`` until each of them has ended; ``fill`` as in ``Instances``.

        Raises LogUnavailable and NotDone.
        """
        latencies = {} if fill else self.latencies
        harness = Harness(
            self._stack.log,
            asked,
            tally=self.tally,
            latencies=latencies,
            in_flight_max=self._limits.in_flight or (len(asked) if timed else IN_FLIGHT),
            timed=timed,
            for_s=self._limits.for_s,
            on_progress=self._watcher.update,
        )
        try:
            await harness.run()
        finally:
            self._active += harness.active
            self._entries += harness.entries
            self._drifts_due_us |= harness.drifts_due_us
            if fill:
                for kind, latency in latencies.items():
                    self.latencies.setdefault("fill" if kind == "spawn" else kind, Latency()).add(latency)
            else:
                self._spawns_due_us |= harness.spawns_due_us

    async def _lose(self, hosts: Sequence[str], change: SetHosts) -> None:
        """Have ``change`` befall ``hosts`` and declare them dead; return when all that was on them has drifted."""
        await RemoteDevices(BusChannel(self._stack.connection)).set_hosts(change)
        requests = [HostFailRequested(host=host, reason="load test") for host in hosts]
        before = msgspec.structs.replace(self.tally)
        due_us = now_us()

        def progress(evacuation: Evacuation) -> None:
            self._count(evacuation, before)
            self._watcher.update(self.tally)

        ended = await evacuate(self._stack, self._plane, requests, STALLED_S, progress)
        self._count(ended, before)
        self._time(ended, due_us)

    def _count(self, evacuation: Evacuation, before: Tally) -> None:
        """Add what ``evacuation`` has come to so far to what was counted before it."""
        tally = self.tally
        tally.drift_requested = before.drift_requested + evacuation.total
        tally.drifted = before.drifted + evacuation.count("drifted")
        tally.drift_failed = before.drift_failed + evacuation.count("failed")
        tally.drift_refused = before.drift_refused + evacuation.count("refused")

    def _time(self, evacuation: Evacuation, due_us: int) -> None:
        tally, latency = self.tally, self.latencies.setdefault("drift", Latency())
        for row in evacuation.rows():
            self._drifts_due_us[row.request] = due_us
            latency.record(due_us, row.ended_us)
            tally.last_us = max(tally.last_us, row.ended_us)
            if row.outcome != "drifted" and len(tally.problems) < EXAMPLES_MAX:
                tally.problems.append(f"{row.instance} {row.outcome}: {row.reason}")
        tally.problems += [f"{refusal.host} refused: {refusal.reason}" for refusal in evacuation.refusals]

    async def _living(self, az: str) -> list[str]:
        """The instances of this run that live in ``az``."""
        await wait_projected(self._stack, self._plane.projector, await self._stack.log.last_position())
        found = cast(list[InstanceRow], await rows(self._stack.database, "instances", {"az": az, "state": "active"}))
        live = {row.instance for row in found}
        return [instance for instance in self._active if instance in live]

    @stamina.retry(
        on=(DatabaseUnavailable, LogUnavailable), attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0
    )
    async def report(self) -> Report:
        """Wait until all is projected, and have the oracle judge it.

        From the start again if PostgreSQL went away: it may come back behind. Raises NotDone.
        """
        stack, tally = self._stack, self.tally
        last = await stack.log.last_position()
        timeout_s = PROJECT_S + tally.events / PROJECT_EVENTS_PER_S
        await wait_projected(stack, self._plane.projector, last, timeout_s=timeout_s)
        with suppress(TimeoutError):  # the oracle tells what is left then
            async with asyncio.timeout(TAKE_DOWN_S):
                await self._taken_down(last)
        await self._sampler.take()  # a short run may be over before the next is due
        projected_us = now_us()
        judged = await judge(stack, self._plane.projector, self._entries, self._watcher.checking)
        await self._sampler.take()
        return made(tally, judged, projected_us, self.timing(), may_fail=self.may_fail)

    async def _taken_down(self, position: int) -> None:
        """Wait until nothing of what failed is being taken down: a device that errs is tried again and again."""
        stack, failed = self._stack, self.tally.failed + self.tally.drift_failed
        while failed and await rows(stack.database, "instances", {"terminating": True, "cleaned": False}):
            async for batch in stack.log.follow(position):
                position = batch.last
                break
            await wait_projected(stack, self._plane.projector, position)

    def timing(self) -> Timing:
        """How long what has been done so far took, and how it looked."""
        return Timing(
            latencies=self.latencies,
            samples=self._sampler.samples,
            marks=self.marks,
            started_us=self._sampler.started_us,
            spawns_due_us=self._spawns_due_us,
            drifts_due_us=self._drifts_due_us,
        )

    async def look(self, at_s: float) -> Sample:
        """How it looks now. Raises LogUnavailable."""
        tally, projector, runner = self.tally, self._plane.projector, self._plane.runner
        last = max(tally.last_position, await self._stack.log.last_position())
        read = {"workers": runner.position} if runner else {}
        states: dict[str, int] = {}
        if projector is not None:
            read["projections"], states = projector.position, projector.views.port_state_counts()
        else:
            with suppress(DatabaseUnavailable):  # then it is not known, and not zero
                read["projections"], states = await shown(self._stack.database)
        used = use()
        sample = Sample(
            at_s=round(at_s, 3),
            requested=tally.requested,
            active=tally.active,
            ended=tally.active + tally.refused + tally.failed,
            deleted=tally.deleted,
            drifted=tally.drifted,
            bulk_done=tally.bulk_done,
            in_flight=tally.in_flight,
            events=tally.events,
            lags={name: max(last - position, 0) for name, position in read.items()},
            states=states,
            memory_mib=used.memory_mib,
            cpu_s=used.cpu_s,
        )
        if runner is not None:
            return sample
        elsewhere = await self._positions.lags(last)  # at the end: it waits, for nobody knows how many answer
        return msgspec.structs.replace(sample, lags=elsewhere | sample.lags)


def _operations(bulk: Bulk, phase: int, places: Places, world: World) -> Iterator[TimedRequest]:
    """Requests for ``bulk.size`` ports each, all on hosts of one zone, zones and targets in turn.

    The names have the number of the ``phase`` in them: nobody else's, and no other phase's.
    """
    by_az = {az: sorted(row.host for row in world.hosts.values() if row.az == az) for az in places.azs}
    for number, first in enumerate(range(0, bulk.ports, bulk.size)):
        az, target = places.azs[number % len(places.azs)], places.targets[number % len(places.targets)]
        hosts = by_az[az]
        items = tuple(
            PortItem(
                instance=instance_id(f"{places.prefix}b{phase}-{n + 1}"),
                host=hosts[n % len(hosts)],
                network=target.network,
                label=target.label,
            )
            for n in range(first, min(first + bulk.size, bulk.ports))
        )
        operation = f"{places.prefix}op{phase}-{number}"
        event = OperationPortsRequested(operation=operation, az=az, items=items)
        yield TimedRequest(number / bulk.rate, "bulk", operation, event)


def _drift(instance: str) -> TimedRequest:
    return TimedRequest(0.0, "drift", instance, InstanceDriftRequested(instance=instance, reason="load test"))


@asynccontextmanager
async def exercising(
    stack: Stack,
    plane: Plane,
    limits: Limits = Limits(),  # noqa: B008 frozen
    watcher: Watcher | None = None,
    leaves: BrokenLeaves | None = None,
) -> AsyncIterator[Exercise]:
    """An exercise that samples are taken of until the block ends; ``watcher`` is told how it goes.

    ``leaves``: those that are broken on purpose, if something beside the profile may break some too.
    """
    leaves = leaves or BrokenLeaves(stack.connection, FaultPlan())
    exercise = Exercise(stack, plane, limits, watcher or Watcher(), leaves)
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(exercise.watch(), name="sample")
            try:
                yield exercise
            finally:
                watching.cancel()
    except BaseExceptionGroup as group:  # the caller catches errors by their type
        raise first_error(group) from group
