"""Leaves that are broken on purpose while a run goes on: by the profile, by chaos, or by both at once."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import stamina

from bus.errors import LogUnavailable
from driftline.channel import BusChannel
from driftline.stack import Stack
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.remote import RemoteDevices
from workers.errors import DevicesUnavailable

#: How long it is tried to tell the fabric, which may be away itself, seconds.
RETRY_S = 60.0


class BrokenLeaves:
    """Has leaves of the modelled fabric answer with errors, beside the faults of ``plan`` that it has all the time."""

    def __init__(self, stack: Stack, plan: FaultPlan) -> None:
        self._fabric = RemoteDevices(BusChannel(stack.connection))
        self._plan = plan
        self._times: Counter[str] = Counter()

    @asynccontextmanager
    async def broken(self, leaves: Sequence[str], why: str) -> AsyncIterator[None]:
        """``leaves`` take no configuration until the block ends. Raises DevicesUnavailable and LogUnavailable."""
        self._times.update(leaves)
        try:
            await self._tell(why)
            yield
        finally:
            self._times.subtract(leaves)
            await self._tell(why)

    @stamina.retry(
        on=(DevicesUnavailable, LogUnavailable), attempts=None, timeout=RETRY_S, wait_initial=0.1, wait_max=2.0
    )
    async def _tell(self, why: str) -> None:
        now = {leaf: why for leaf, times in self._times.items() if times > 0}
        await self._fabric.set_faults(msgspec.structs.replace(self._plan, broken=self._plan.broken | now))
