"""A control plane on real NATS and PostgreSQL servers of its own, in real time."""

import asyncio
import time
from collections.abc import Callable, Sequence

from bus.envelope import Envelope, Recorded, request
from driftline.channel import BusChannel
from driftline.invariants import Auditor
from driftline.parts import all_workers
from driftline.plane import all_in_one
from driftline.scenario.file import ScenarioFile
from driftline.scenario.play import Played, Told, play
from driftline.stack import Options, Stack, open_stack
from workers.devices.simulated.fabric import Leftovers, SetHosts
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.reachability import Path
from workers.devices.simulated.remote import RemoteDevices
from workers.devices.simulated.tamper import Act
from workers.devices.simulated.wire import Ask
from workers.runner import Role


class RealGround:
    """Implements ``driftline.scenario.play.Ground`` on the servers of ``stack``, where a control plane runs."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._fabric = RemoteDevices(BusChannel(stack.connection))
        self._records: list[Recorded] = []
        self._auditor = Auditor(keep=False)

    @property
    def records(self) -> Sequence[Recorded]:
        return self._records

    async def read(self) -> None:
        """Take in what the log has got since."""
        after = self._records[-1].position if self._records else 0
        async for batch in self._stack.log.read(after, await self._stack.log.last_position()):
            self._records += batch.records
            self._auditor.take(batch.records)

    async def publish(self, envelope: Envelope) -> None:
        await self._stack.log.append([envelope])

    async def set_hosts(self, change: SetHosts) -> None:
        await self._fabric.set_hosts(change)

    async def tamper(self, acts: Sequence[Act]) -> None:
        await self._fabric.tamper(acts)

    async def set_faults(self, plan: FaultPlan) -> None:
        await self._fabric.set_faults(plan)

    async def trace(self, asks: Sequence[Ask]) -> Sequence[Path]:
        return await self._fabric.trace(asks)

    async def leftovers(self) -> Leftovers:
        return await self._fabric.leftovers()

    async def is_done(self) -> bool:
        await self.read()
        last = await self._stack.log.last_position()
        done = [await self._stack.checkpoints.load(Role(worker).checkpoint_name) for worker in all_workers().values()]
        return min(done) >= last == (self._records[-1].position if self._records else 0)

    async def sleep(self, for_s: float) -> None:
        await asyncio.sleep(for_s)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def judge(self, *, deleted: bool) -> str:
        return ""  # the auditor raises where the log breaks an invariant; the devices are another process's


async def play_really(file: ScenarioFile, told: Callable[[Told], None] = lambda step: None) -> Played:
    """Play ``file`` on servers of its own. Raises Violation when the log breaks an invariant."""
    async with open_stack(Options(), join_running=False) as stack, all_in_one(stack):
        ground = RealGround(stack)
        await stack.log.append([request(event, actor="operator") for event in file.world])
        await ground.read()
        return await play(file, ground, told)
