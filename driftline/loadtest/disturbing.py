"""Chaos let loose: each fault at its time, marked in the run."""

import asyncio
from collections.abc import Callable, Sequence

import stamina

from bus.envelope import now_us
from bus.errors import LogUnavailable
from driftline.channel import BusChannel
from driftline.loadtest.chaos import Fault
from driftline.loadtest.cluster import Cluster
from driftline.loadtest.samples import Mark
from driftline.stack import Stack
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.remote import RemoteDevices
from workers.errors import DevicesUnavailable

#: How long it is tried to tell the fabric, which may be away itself, seconds.
RETRY_S = 60.0


async def disturb(cluster: Cluster, stack: Stack, faults: Sequence[Fault], marked: Callable[[Mark], None]) -> None:
    """Let in each fault at its time from now on; return when the last is over. ``marked`` is told as each begins."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    broken: dict[str, int] = {}
    async with asyncio.TaskGroup() as tasks:
        for fault in faults:
            await asyncio.sleep(start + fault.at_s - loop.time())
            marked(Mark(at_us=now_us(), what=str(fault)))
            tasks.create_task(_let_in(cluster, stack, fault, broken), name=str(fault))


async def _let_in(cluster: Cluster, stack: Stack, fault: Fault, broken: dict[str, int]) -> None:
    match fault.what:
        case "kill":
            cluster.parts[fault.target].kill()
        case "restart":
            async with cluster.restarting:  # a guard does one thing at a time
                await (cluster.nats if fault.target == "nats" else cluster.postgres).restart()
        case "pause":
            cluster.parts[fault.target].stop()
            try:
                await asyncio.sleep(fault.for_s)
            finally:
                cluster.parts[fault.target].resume()
        case "break":
            broken[fault.target] = broken.get(fault.target, 0) + 1
            try:
                await _tell(stack, broken)
                await asyncio.sleep(fault.for_s)
            finally:
                broken[fault.target] -= 1
                await _tell(stack, broken)


@stamina.retry(on=(DevicesUnavailable, LogUnavailable), attempts=None, timeout=RETRY_S, wait_initial=0.1, wait_max=2.0)
async def _tell(stack: Stack, broken: dict[str, int]) -> None:
    """Have exactly the leaves that are broken now answer with errors."""
    plan = FaultPlan(broken={leaf: "broken by chaos" for leaf, times in broken.items() if times > 0})
    await RemoteDevices(BusChannel(stack.connection)).set_faults(plan)
