"""The border worker: has the zones' borders leak the routes of connected VPCs, and use the lines between regions.

A connection is ready once all borders concerned hold it, and gone once none does.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    AzAdded,
    BorderEntryAdded,
    BorderEntryEvent,
    BorderEntryFailed,
    BorderEntryRemoved,
    DeviceAudited,
    DeviceAuditRequested,
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectRestored,
    DirectConnectSettled,
    Event,
    VpcConnected,
    VpcConnectionFailed,
    VpcConnectionReady,
    VpcDisconnected,
    VpcDisconnecting,
)
from bus.events.device import DeviceTable
from projections.borders import BorderEntryRow, Borders
from projections.table_audits import TableAudits
from projections.vpcs import ConnectionRow, LineRow, Vpcs
from workers import table_audits, tables
from workers.effects import AnyEffect, AuditTable, BorderEntry, Result
from workers.worker import Decision, Due, Emit, Folds, Now, Perform, State, Worker

TABLE: DeviceTable = "border"


class BorderState(State):
    """The connections, the lines and what the borders hold."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.vpcs, self.borders, self.audits = self.fold(Vpcs), self.fold(Borders), self.fold(TableAudits)
        self.watching_since_us = 0


def decide(state: BorderState, r: Recorded) -> Iterable[Decision]:
    """What the borders are still to be brought to, and what has come of it."""
    if isinstance(r.event, DeviceAuditRequested):
        if r.event.table == TABLE:
            yield from table_audits.look(r, r.event, _wished(state, r.event.device))
        return
    if isinstance(r.event, DeviceAudited):
        if r.event.table == TABLE:
            yield from _repairs(state, r, r.event)
        return
    if not isinstance(r.event, BorderEntryEvent):
        for entry in state.borders.pending():
            yield Perform(_wish(entry))
    for row in list(state.vpcs.connections.values()):
        yield from _connection(state, row)
    for line in state.vpcs.lines():
        yield from _line(state, line)


def _wished(state: BorderState, border: str) -> dict[str, str]:
    wanted = (entry for entry in state.borders.entries_of(border) if entry.needed)
    return {tables.border(entry.kind, entry.one, entry.other): tables.HELD for entry in wanted}


def _repairs(state: BorderState, r: Recorded, e: DeviceAudited) -> Iterable[Decision]:
    """What is lacking is given again, and what nobody needs goes. What is on its way is left alone."""
    entries = {tables.border(one.kind, one.one, one.other): one for one in state.borders.entries_of(e.device)}
    for found in e.differences:
        entry = entries.get(found.key)
        if entry is not None and entry.needed and found.missing and entry.state in ("present", "error"):
            yield Perform(_wish(entry))
        elif entry is None and not found.missing:
            yield Perform(_removal(state, e.device, found.key, epoch=r.position))


def _removal(state: BorderState, border: str, key: str, epoch: int) -> BorderEntry:
    kind, one, other = key.split()
    az = state.borders.az_of(border)
    return BorderEntry(device=border, az=az, kind=kind, one=one, other=other, epoch=epoch, present=False)


def _connection(state: BorderState, row: ConnectionRow) -> Iterable[Decision]:
    entries = state.borders.of_connection(row)
    failed = next((entry for entry in entries if entry.state == "error"), None)
    if row.state == "disconnecting":
        if all(entry.needed for entry in entries):  # others need what is left of it
            yield Emit(VpcDisconnected(vpc=row.vpc, peer=row.peer), row.request)
    elif row.state == "connecting" and failed is not None:
        reason = f"{failed.border}: {failed.reason}"
        yield Emit(VpcConnectionFailed(vpc=row.vpc, peer=row.peer, reason=reason), row.request)
    elif row.state in ("connecting", "error") and all(entry.state == "present" for entry in entries):
        yield Emit(VpcConnectionReady(vpc=row.vpc, peer=row.peer), row.request)


def _line(state: BorderState, line: LineRow) -> Iterable[Decision]:
    entries = state.borders.of_line(line)
    failed = next((entry for entry in entries if entry.state == "error"), None)
    if line.settled:
        return
    if line.up and failed is not None:
        reason = f"{failed.border}: {failed.reason}"
        yield Emit(DirectConnectSettled(direct_connect=line.direct_connect, up=False, reason=reason), line.request)
    elif all(entry.state == "present" if line.up else entry.needed for entry in entries):
        yield Emit(DirectConnectSettled(direct_connect=line.direct_connect, up=line.up), line.request)


def _wish(entry: BorderEntryRow) -> BorderEntry:
    return BorderEntry(
        device=entry.border,
        az=entry.az,
        kind=entry.kind,
        one=entry.one,
        other=entry.other,
        epoch=entry.epoch,
        present=entry.needed,
    )


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What a border acknowledged or refused, or where it differs."""
    if isinstance(effect, AuditTable):
        return (table_audits.audited(effect, result),)
    if not isinstance(effect, BorderEntry):
        raise TypeError(f"the border worker did not ask for {effect}")
    answer = BorderEntryAdded if effect.present else BorderEntryRemoved
    said = {
        "border": effect.device,
        "az": effect.az,
        "kind": effect.kind,
        "one": effect.one,
        "other": effect.other,
        "epoch": effect.epoch,
    }
    if result.error:
        return (BorderEntryFailed(**said, reason=result.error),)  # type: ignore[arg-type]  # kind is one of two
    return (answer(**said),)  # type: ignore[arg-type]  # the same


def due(state: BorderState, now: Now) -> Iterable[Due]:
    """The borders that were not compared for long, if any has anything to hold."""
    state.watching_since_us = state.watching_since_us or now.time_us
    return table_audits.due(state.audits, TABLE, state.borders.in_use(), state.watching_since_us, now)


WORKER = Worker(
    name="border",
    state=BorderState,
    inputs=frozenset(
        {
            *(
                AzAdded,
                VpcConnected,
                VpcDisconnecting,
                DirectConnectCreated,
                DirectConnectFailed,
                DirectConnectRestored,
            ),
            *(BorderEntryAdded, BorderEntryRemoved, BorderEntryFailed),
            *(DeviceAuditRequested, DeviceAudited),
        }
    ),
    says=frozenset({DirectConnectSettled, VpcConnectionFailed, VpcConnectionReady, VpcDisconnected}),
    decide=decide,
    settle=settle,
    due=due,
)
