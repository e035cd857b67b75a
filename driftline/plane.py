"""The control plane put together: workers, modelled fabric and projector, in one process or each in its own."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from bus.envelope import Recorded
from bus.log import Log
from bus.subjects import PREFIX, host_filter
from driftline.channel import BusChannel
from driftline.clouds import with_cloud
from driftline.errors import NotDone, UsageError
from driftline.observing.observer import UNOBSERVED, Observer
from driftline.parts import all_workers, cables_of
from driftline.processes import Part
from driftline.projecting import Start, only_projector, running
from driftline.stack import Bus, Stack
from projections.runner import Projector
from projections.world import World
from workers.devices.aws.settings import AwsSettings
from workers.devices.protocol import Devices
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.journal import Journal, JournalBroken
from workers.devices.simulated.mobility import DuplicateRule
from workers.devices.simulated.remote import RemoteDevices, serve_fabric
from workers.errors import DevicesUnavailable
from workers.runner import Role, Runner
from workers.snapshots import Snapshots

log = structlog.get_logger("plane")

#: All that describes leaves and hosts. Few events, read once when the fabric starts.
_CABLING = f"{PREFIX}.*.*.*.*.added"
#: The role of a process that is all workers and the fabric.
ALL = "all"


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in this process; None where it runs elsewhere or not at all."""

    runner: Runner | None = None
    projector: Projector | None = None


class Setup(NamedTuple):
    """How a control plane is to be made.

    ``faults``: how devices fare; ``duplicates``: what a duplicate MAC is; ``journal``: keeps what is configured on
    devices when the process ends; ``snapshots``: the folder for what workers have folded; ``aws``: the cloud is
    Amazon's; ``observer``: who looks on. Without a journal or snapshots of their own, ``--data`` has room for them.
    """

    faults: FaultPlan | None = None
    duplicates: DuplicateRule | None = None
    journal: Path | None = None
    snapshots: Path | None = None
    aws: AwsSettings | None = None
    observer: Observer = UNOBSERVED


@asynccontextmanager
async def all_in_one(stack: Stack, setup: Setup = Setup()) -> AsyncIterator[Plane]:  # noqa: B008 a tuple of constants
    """Everything in this process: all workers, modelled fabric, projector."""
    async with _all_workers(stack, setup) as runner, only_projector(stack, setup.observer) as projector:
        yield Plane(runner=runner, projector=projector)


@asynccontextmanager
async def all_but_projector(stack: Bus, setup: Setup) -> AsyncIterator[Plane]:
    """All workers and the modelled fabric in this process."""
    async with _all_workers(stack, setup) as runner:
        yield Plane(runner=runner)


@asynccontextmanager
async def workers_apart(stack: Stack, setup: Setup) -> AsyncIterator[Plane]:
    """As ``all_in_one``, on two cores: workers and fabric in a process of their own, the projector in this one.

    Of ``setup`` the faults and the observer count. Raises NotDone when that process ends.
    """
    journal = _in_data(stack, "fabric.jsonl")
    kept = ("--journal", str(journal), "--snapshots", str(_in_data(stack, "snapshots"))) if journal else ()
    part = Part(ALL, ("--nats", stack.servers.nats, *kept))
    async with running() as start:
        start(part.run())
        await part.at_work()
        if setup.faults is not None:
            await RemoteDevices(BusChannel(stack.connection)).set_faults(setup.faults)
        async with only_projector(stack, setup.observer) as projector:
            yield Plane(projector=projector)


@asynccontextmanager
async def _all_workers(stack: Bus, setup: Setup) -> AsyncIterator[Runner]:
    async with (
        running() as start,
        _fabric(stack, start, setup) as fabric,
        _cloud(fabric, setup) as devices,
    ):
        roles = [Role(worker) for worker in all_workers().values()]
        worked_on, watch = setup.observer.workers(stack.log)
        runner = Runner(
            *(worked_on, stack.checkpoints, devices, roles),
            beats=stack.beats,
            snapshots=_snapshots(stack, setup),
            watch=watch,
        )
        start(runner.run())
        await runner.ready.wait()
        yield runner


@asynccontextmanager
async def working_plane(
    stack: Stack,
    setup: Setup = Setup(),  # noqa: B008 a tuple of constants
    *,
    apart: bool = False,
) -> AsyncIterator[Plane]:
    """A control plane that works: the one that runs already on these servers, or one on servers of our own.

    ``apart``: one of our own has its workers in a process of their own.

    Raises NotDone when the servers were found and no control plane works on them: it may be away for a moment only,
    and a second one would be a second truth. Raises UsageError when faults are given for a fabric elsewhere.
    """
    if not stack.servers.nats_found:
        async with workers_apart(stack, setup) if apart else all_in_one(stack, setup) as plane:
            yield plane
    elif not await _fabric_answers(stack):
        raise NotDone(
            f"no fabric answers at {stack.servers.nats}: does the control plane run? (driftline up, or worker)"
        )
    elif setup.faults is not None and setup.faults != FaultPlan():
        raise UsageError("--faults: the fabric runs in another process; give them to `up` or `worker fabric`")
    elif stack.servers.postgres_found:
        yield Plane()
    else:
        async with only_projector(stack, setup.observer) as projector:
            yield Plane(projector=projector)


async def _fabric_answers(stack: Bus) -> bool:
    """Whether a control plane works on these servers: no effect is performed without a fabric."""
    try:
        await RemoteDevices(BusChannel(stack.connection)).leftovers()
    except DevicesUnavailable:
        return False
    return True


@asynccontextmanager
async def one_worker(stack: Bus, setup: Setup, name: str, hosts: Sequence[str] = ()) -> AsyncIterator[Plane]:
    """One worker alone; its devices are reached over the bus, the cloud by its API if that is Amazon's.

    One that serves a single host reads its host alone.
    """
    subject = host_filter(hosts[0]) if len(hosts) == 1 else ""
    role = Role(all_workers()[name], frozenset(hosts) or None)
    fabric = RemoteDevices(BusChannel(stack.connection))
    async with _cloud(fabric, setup) as devices, running() as start:
        worked_on, watch = setup.observer.workers(stack.log)
        runner = Runner(
            *(worked_on, stack.checkpoints, devices, [role]),
            beats=stack.beats,
            subject=subject,
            snapshots=_snapshots(stack, setup),
            watch=watch,
        )
        start(runner.run())
        await runner.ready.wait()
        yield Plane(runner=runner)


@asynccontextmanager
async def only_fabric(stack: Bus, setup: Setup) -> AsyncIterator[Plane]:
    """The modelled fabric alone, served over the bus."""
    async with running() as start, _fabric(stack, start, setup):
        yield Plane()


@asynccontextmanager
async def _cloud(fabric: Devices, setup: Setup) -> AsyncIterator[Devices]:
    with with_cloud(fabric, setup.aws) as devices:
        yield setup.observer.devices(devices)


def _in_data(stack: Bus, name: str) -> Path | None:
    return stack.servers.data / name if stack.servers.data else None


def _snapshots(stack: Bus, setup: Setup) -> Snapshots | None:
    folder = setup.snapshots or _in_data(stack, "snapshots")
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--snapshots {folder}: {error.strerror}") from error
    return Snapshots(folder)


@asynccontextmanager
async def _fabric(stack: Bus, start: Start, setup: Setup) -> AsyncIterator[SimulatedDevices]:
    """The modelled fabric, cabled as the log's world says and served over the bus."""
    journal_path = setup.journal or _in_data(stack, "fabric.jsonl")
    with _opened(journal_path) if journal_path else nullcontext() as journal:
        devices = SimulatedDevices(plan=setup.faults, journal=journal, duplicates=setup.duplicates)
        world = World()
        described = await stack.log.last_position()
        async for batch in stack.log.read(0, described, _CABLING):
            cable(devices, world, batch.records)
        start(_keep_cabled(stack.log, devices, world, described))
        start(serve_fabric(devices, BusChannel(stack.connection), asked=setup.observer.devices(devices)))
        yield devices


def _opened(path: Path) -> Journal:
    try:
        return Journal(path)
    except (OSError, JournalBroken) as error:
        raise UsageError(f"--journal {path}: {error}") from error


async def _keep_cabled(log: Log, devices: SimulatedDevices, world: World, after: int) -> None:
    async for batch in log.follow(after, _CABLING):
        cable(devices, world, batch.records)


def cable(devices: SimulatedDevices, world: World, records: Iterable[Recorded]) -> None:
    """Put up what ``world`` takes of ``records``, and so every fold; what cannot be is told and left out."""
    for r in records:
        described = cables_of(r.event)
        taken = world.evolve(r)
        if not described:
            continue
        if not taken:
            log.warning("not cabled", id=r.id, cables=described, reason="repeats or contradicts what the log says")
            continue
        try:
            devices.cable(described)
        except ValueError as error:
            log.warning("not cabled", id=r.id, cables=described, reason=str(error))
