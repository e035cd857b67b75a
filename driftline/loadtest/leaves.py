"""Leaves that are broken on purpose while a run goes on: by the profile, by chaos, or by both at once."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import stamina

from bus.errors import LogUnavailable
from bus.jetstream import Connection
from driftline.channel import BusChannel
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.remote import RemoteDevices
from workers.errors import DevicesUnavailable

#: How long it is tried to tell the fabric, which may be away itself, seconds.
RETRY_S = 60.0


class BrokenLeaves:
    """Has leaves of the modelled fabric answer with errors, beside the faults of ``plan`` that it has all the time."""

    def __init__(self, connection: Connection, plan: FaultPlan) -> None:
        self._fabric = RemoteDevices(BusChannel(connection))
        self._plan = plan
        #: Why each leaf is broken: one reason from each who has it so.
        self._reasons: defaultdict[str, list[str]] = defaultdict(list)

    @asynccontextmanager
    async def broken(self, leaves: Sequence[str], why: str) -> AsyncIterator[None]:
        """``leaves`` take no configuration until the block ends, and say ``why``; of several reasons the newest.

        Raises DevicesUnavailable and LogUnavailable.
        """
        for leaf in leaves:
            self._reasons[leaf].append(why)
        try:
            await self._tell()
            yield
        finally:
            for leaf in leaves:
                self._reasons[leaf].remove(why)
            await self._tell()

    @stamina.retry(
        on=(DevicesUnavailable, LogUnavailable), attempts=None, timeout=RETRY_S, wait_initial=0.1, wait_max=2.0
    )
    async def _tell(self) -> None:
        now = {leaf: reasons[-1] for leaf, reasons in self._reasons.items() if reasons}
        await self._fabric.set_faults(msgspec.structs.replace(self._plan, broken=self._plan.broken | now))
