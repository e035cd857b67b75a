"""A site for tests of the asyncio runner: a log, checkpoints and devices that outlive the runners started on them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bus.envelope import Envelope, Recorded, now_us
from bus.events import (
    AzAdded,
    Event,
    HostAdded,
    InstanceDeleteRequested,
    NetworkCreated,
    RegionAdded,
    SpawnRequested,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from bus.memory import MemoryCheckpoints, MemoryLog
from driftline.invariants import Auditor
from projections.instances import InstanceRow, Instances
from tests.workers.fakes import FakeDevices
from workers import cnc, compute, ipam, nova, ovs_agent
from workers.runner import Role, Runner
from workers.snapshots import Snapshots

AZ = "az1"
HOSTS = tuple(f"h{n}" for n in range(10))
ROLES = tuple(Role(module.WORKER) for module in (nova, compute, ovs_agent, cnc, ipam))
#: A test that never ends is a failure; this only says when.
PATIENCE_S = 60


def world() -> list[Event]:
    """Ten hosts on five leaf pairs, one network of 1,021 addresses."""
    hosts = [
        HostAdded(host=host, az=AZ, leaf_a=f"l{n // 2}a", leaf_b=f"l{n // 2}b", interface=f"e{n % 2}", capacity=40)
        for n, host in enumerate(HOSTS)
    ]
    return [
        RegionAdded(region="r1"),
        AzAdded(az=AZ, region="r1"),
        *hosts,
        TenantAdded(tenant="t1"),
        VpcCreated(vpc="v1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
        NetworkCreated(network="n1", vpc="v1", vni=5001, labels=("prod",)),
        SubnetCreated(subnet="s1", network="n1", cidr="10.1.0.0/22", gateway="10.1.0.1"),
    ]


def spawn(n: int, host: str | None = None) -> SpawnRequested:
    return SpawnRequested(instance=f"i{n}", name=f"name-{n}", az=AZ, label="prod", host=host)


def delete(n: int) -> InstanceDeleteRequested:
    return InstanceDeleteRequested(instance=f"i{n}")


class WatchedCheckpoints(MemoryCheckpoints):
    """Checkpoints that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def save(self, name: str, position: int) -> None:
        await super().save(name, position)
        async with self._changed:
            self._saved[name] = position
            self._changed.notify_all()

    async def until_all(self, position: int, count: int) -> None:
        """Wait until ``count`` checkpoints have reached ``position``."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(at >= position for at in self._saved.values()) == count)


class Site:
    """A log, checkpoints and devices that outlive the runners."""

    def __init__(self, log: MemoryLog | None = None, devices: FakeDevices | None = None) -> None:
        self.log = log or MemoryLog()
        self.checkpoints = WatchedCheckpoints()
        self.devices = devices or FakeDevices()
        self.devices.cable(event for event in world() if isinstance(event, HostAdded))
        self.clock: Callable[[], int] = now_us
        self.snapshots: Path | None = None

    def runner(self, roles: Sequence[Role] = ROLES) -> Runner:
        snapshots = Snapshots(self.snapshots, every_events=1) if self.snapshots is not None else None
        return Runner(self.log, self.checkpoints, self.devices, roles, clock=self.clock, snapshots=snapshots)

    async def ask(self, events: Iterable[Event]) -> None:
        """Append requests, each its own story."""
        first = await self.log.last_position() + 1
        await MemoryLog.append(
            self.log,
            [
                Envelope(id=f"q{number}", event=event, correlation=f"q{number}")  # type: ignore[arg-type]
                for number, event in enumerate(events, first)
            ],
        )

    async def until(self, kind: type[Event], count: int, after: int = 0) -> None:
        """Wait until the log holds ``count`` events of this type, after position ``after``."""
        async for batch in self.log.follow(after):
            count -= sum(type(r.event) is kind for r in batch.records)
            if count <= 0:
                return

    async def records(self) -> list[Recorded]:
        """The whole log."""
        return [r async for batch in self.log.read(0, await self.log.last_position()) for r in batch.records]

    async def audit(self) -> Auditor:
        """Read the whole log, checking what must hold at its end."""
        auditor = Auditor()
        auditor.take(await self.records())
        auditor.always(self.devices.fabric)
        auditor.once_quiet(self.devices.fabric)
        return auditor

    async def audit_deleted(self) -> None:
        """As ``audit``, after everything was deleted."""
        (await self.audit()).once_deleted(self.devices.fabric)

    async def instances(self) -> list[InstanceRow]:
        """The instances, as the log says."""
        fold = Instances()
        for r in await self.records():
            fold.evolve(r)
        return list(fold.tables["instances"].values())

    async def count(self, kind: type[Event]) -> int:
        """How many events of this type the log holds."""
        return sum(type(r.event) is kind for r in await self.records())


@asynccontextmanager
async def running(*runners: Runner) -> AsyncIterator[None]:
    """Run ``runners`` meanwhile; one that fails ends the test. They are ready when the block starts."""
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(runner.run()) for runner in runners]
        for runner in runners:
            await runner.ready.wait()
        yield
        for task in started:
            task.cancel()
