"""What the workers of device tables have in common: when to compare one, how to ask, and what was found.

Each worker says which of its devices have the table, what is wished in it, and how a difference is mended. A repair is
decided on the state of then: what was wished, or was gone, meanwhile is no difference any more.
"""

from collections.abc import Iterable, Mapping

from bus.envelope import Recorded
from bus.events import DeviceAudited, DeviceAuditRequested, TableDifference
from bus.events.device import DeviceTable
from projections.table_audits import TableAudits
from workers.effects import AuditTable, Result
from workers.worker import AUDIT_EVERY_US, Decision, Due, Now, Perform


def due(audits: TableAudits, table: DeviceTable, devices: Iterable[str], since_us: int, now: Now) -> Iterable[Due]:
    """The devices whose table was not compared for AUDIT_EVERY_US, since then or since this process began."""
    for device in devices:
        asked_us = audits.asked_us(device, table)
        if now.time_us - max(asked_us, since_us) >= AUDIT_EVERY_US:
            yield Due(DeviceAuditRequested(device=device, table=table), asked_us)


def look(r: Recorded, e: DeviceAuditRequested, wished: Mapping[str, str]) -> Iterable[Decision]:
    """Compare the table with what is ``wished`` now."""
    yield Perform(AuditTable(device=e.device, table=e.table, epoch=r.position, entries=dict(wished)))


def audited(effect: AuditTable, result: Result) -> DeviceAudited:
    """What the comparison found."""
    found = tuple(one for one in result.found if isinstance(one, TableDifference))
    return DeviceAudited(
        device=effect.device, table=effect.table, epoch=effect.epoch, differences=found, error=result.error
    )
