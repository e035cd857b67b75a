"""Chaos let loose: each fault at its time, marked in the run."""

import asyncio
from collections.abc import Callable, Sequence

from bus.envelope import now_us
from driftline.loadtest.chaos import Fault
from driftline.loadtest.cluster import Cluster
from driftline.loadtest.leaves import BrokenLeaves
from driftline.loadtest.samples import Mark


async def disturb(
    cluster: Cluster, leaves: BrokenLeaves, faults: Sequence[Fault], marked: Callable[[Mark], None]
) -> None:
    """Let in each fault at its time from now on; return when the last is over. ``marked`` is told as each begins."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for fault in faults:
            await asyncio.sleep(start + fault.at_s - loop.time())
            marked(Mark(at_us=now_us(), what=str(fault)))
            tasks.create_task(_let_in(cluster, leaves, fault), name=str(fault))


async def _let_in(cluster: Cluster, leaves: BrokenLeaves, fault: Fault) -> None:
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
            async with leaves.broken([fault.target], "broken by chaos"):
                await asyncio.sleep(fault.for_s)
