"""When each table of each device was last to be compared with the log."""

from bus.envelope import Recorded
from bus.events import DeviceAuditRequested
from bus.events.device import DeviceTable
from projections.fold import NOTHING, Fold, Touched, on


class TableAudits(Fold):
    """It has no rows: only the clock asks."""

    def __init__(self) -> None:
        super().__init__()
        self._asked_us: dict[tuple[str, DeviceTable], int] = {}

    def asked_us(self, device: str, table: DeviceTable) -> int:
        """When ``table`` of ``device`` was last asked for, microseconds; 0 for never."""
        return self._asked_us.get((device, table), 0)

    @on(DeviceAuditRequested)
    def _requested(self, r: Recorded, e: DeviceAuditRequested) -> tuple[Touched, ...]:
        self._asked_us[e.device, e.table] = r.time_us
        return NOTHING
