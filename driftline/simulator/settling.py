"""How a run comes to rest: everybody is done with everything, the hosts are back, and what must hold then holds.

A worker's checkpoint says how far it is done, effects and all. So when every checkpoint is at the end of the log and
nothing is on its way, nobody has anything left to do but what the clock will bring.
"""

import asyncio
from typing import Any

from bus.envelope import Envelope
from bus.events import (
    CLOUD,
    AnyEvent,
    CloudAuditRequested,
    DeviceAudited,
    DeviceAuditRequested,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    HostReturnRequested,
    LeafAudited,
    LeafAuditRequested,
    LeafDifference,
    TableDifference,
)
from bus.events.device import DeviceTable
from driftline.invariants import Violation
from driftline.simulator.loop import now_us
from driftline.simulator.mirror import beliefs
from driftline.simulator.site import Site
from driftline.simulator.worlds import AZ
from workers import tables

#: How long everybody must have been done, seconds: longer than a beat takes to be heard.
QUIET_S = 12.0
#: How long it may take until then once all faults have stopped, seconds: a deadline may pass (of a spawn or drift).
PATIENCE_S = 500.0
#: The same where ports that nobody owns may have to be collected: two looks and two grace periods.
PATIENCE_FOR_ORPHANS_S = 1100.0
#: How often an operator asks again that a host be returned, seconds.
ASK_AGAIN_S = 20.0


_Audited = HostAudited | LeafAudited | DeviceAudited


class Settling:
    """Waits for a site to come to rest and judges it then."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._asked = 0
        self._asked_at: dict[str, float] = {}

    async def until_quiet(self) -> None:
        """Faults have stopped. Raises Violation for what does not hold in the end, or never comes to rest."""
        until_s = self._loop.time() + PATIENCE_FOR_ORPHANS_S
        if self._site.counts["tampered: leak eni"]:
            self._say(CloudAuditRequested(cloud=CLOUD))
        while True:
            await self._rest(until_s)
            try:
                self._site.auditor.once_quiet(self._site.fabric)
            except Violation:
                if self._loop.time() >= until_s:
                    raise
                await asyncio.sleep(5.0)
            else:
                break
        self._check_folds()

    async def audit(self) -> None:
        """Have all devices compared with the log. Somebody has tampered, or there must be no difference."""
        tampered = any(kind.startswith("tampered") for kind in self._site.counts)
        if tampered:
            await self._audit_all()
            self._site.auditor.mended()
        differences = await self._audit_all()
        if differences:
            raise Violation(21, f"an audit at rest found {differences[0]}", position=self._site.store.last)
        self._site.auditor.once_quiet(self._site.fabric)

    async def until_deleted(self) -> None:
        """Everything was to be deleted. Raises Violation for what is left."""
        await self._rest(self._loop.time() + PATIENCE_S, late=True)
        self._site.auditor.once_deleted(self._site.fabric)
        self._check(self._site.mirror.difference(self._site.store.records, twice=True))

    async def _audit_all(self) -> list[object]:
        place, before = self._site.scenario.place, self._site.store.last
        excused = self._in_error()
        for host in place.hosts:
            self._say(HostAuditRequested(host=host, az=AZ))
        for leaf in place.leaves:
            self._say(LeafAuditRequested(leaf=leaf, az=AZ))
        asked = self._tables()
        for request in asked:
            self._say(request)
        await self._rest(self._loop.time() + PATIENCE_S, quiet_s=3.0)
        audits = [r.event for r in self._site.store.records[before:] if isinstance(r.event, _Audited)]
        if len(audits) < len(place.hosts) + len(place.leaves) + len(asked):
            raise Violation(19, f"only {len(audits)} audits were done", position=self._site.store.last)
        return [one for audit in audits for one in audit.differences if _part(audit, one) not in excused]

    def _tables(self) -> list[DeviceAuditRequested]:
        """All tables of which anything is wished somewhere."""
        views, fabric, place = self._site.mirror.views, self._site.fabric, self._site.scenario.place
        servers = [host for host in place.hosts if host not in place.bare]
        devices: dict[DeviceTable, list[str]] = {
            "trunk": [*place.leaves] if views.rows("leaf_trunks") else [],
            "gateways": fabric.devices_of("router") if views.rows("gateways") else [],
            "border": fabric.devices_of("border") if views.rows("border_entries") else [],
            "blocks": [*servers, *place.leaves] if views.rows("block_routes") else [],
        }
        return [DeviceAuditRequested(device=name, table=table) for table, names in devices.items() for name in names]

    def _in_error(self) -> set[object]:
        """What was reported as failed: nobody but an audit tries again, so what is lacking is no surprise."""
        views = self._site.mirror.views
        ports = {port.port for port in views.rows("ports").values() if "ERROR" in (port.underlay, port.overlay)}
        entries = views.rows("leaf_interfaces").values()
        borders = [row for row in views.rows("border_entries").values() if row.state == "error"]
        rows = {(row.border, tables.border(row.kind, row.one, row.other)) for row in borders}
        return ports | rows | {(one.leaf, one.interface, one.vlan) for one in entries if one.state == "error"}

    async def _rest(self, until_s: float, quiet_s: float = QUIET_S, *, late: bool = False) -> None:
        """Wait until everybody is done with everything for a while; ``late``: and what was late has come."""
        since_s = self._loop.time()
        while self._loop.time() - since_s < quiet_s:
            await asyncio.sleep(1.0)
            self._return_hosts()
            restless = self._restless() or (late and self._late())
            if restless:
                since_s = self._loop.time()
                if since_s >= until_s:
                    raise Violation(19, f"waits for ever: {restless}", position=self._site.store.last)

    def _restless(self) -> str:
        """Who is not done yet, and with what; empty if all are."""
        site = self._site
        if site.store.in_flight or site.devices.busy:
            return f"{site.store.in_flight} appends and {site.devices.busy} effects are on their way"
        for process in site.processes.values():
            if not process.lives:
                return f"{process.name} is dead"
            if process.checkpoint < site.store.last:
                return f"{process.name} is done up to {process.checkpoint} of {site.store.last}"
        for row in self._host_rows():
            if row.state != "up" or row.draining:
                return f"host {row.host} is {row.state}{' and drained' if row.draining else ''}"
        for leak in site.mirror.views.rows("cloud_leaks").values():
            return f"{leak.resource} has leaked"
        orphan = self._orphan()
        return f"port {orphan} belongs to nobody" if orphan else ""

    def _late(self) -> str:
        count = self._site.devices.on_their_way
        return f"{count} late effects are on their way" if count else ""

    def _return_hosts(self) -> None:
        """Operators give back what they took away."""
        for row in self._host_rows():
            taken = row.held if row.state == "down" else row.draining
            if taken and self._loop.time() - self._asked_at.get(row.host, -ASK_AGAIN_S) >= ASK_AGAIN_S:
                self._asked_at[row.host] = self._loop.time()
                self._say(HostReturnRequested(host=row.host))

    def _host_rows(self) -> list[Any]:
        return list(self._site.mirror.views.rows("host_states").values())

    def _orphan(self) -> str:
        """A port that no instance owns, which only time can take away; empty if there is none."""
        views = self._site.mirror.views
        orphans = (p.port for p in views.rows("ports").values() if views.row("instances", (p.instance,)) is None)
        return next(orphans, "")

    def _check_folds(self) -> None:
        site = self._site
        self._check(site.mirror.difference(site.store.records))
        for process in site.processes.values():
            self._check(beliefs(process, site.store.records))

    def _check(self, difference: str) -> None:
        if difference:
            raise Violation(7, difference, position=self._site.store.last)

    def _say(self, event: AnyEvent) -> None:
        self._asked += 1
        number = f"calm-{self._asked}"
        self._site.publish(Envelope(id=number, event=event, correlation=number, actor="operator", time_us=now_us()))


def _part(audit: _Audited, difference: HostDifference | LeafDifference | TableDifference) -> object:
    """What of a device differs: a port on a host, a VLAN of a leaf interface, or an entry of a table."""
    if isinstance(audit, DeviceAudited) and isinstance(difference, TableDifference):
        return audit.device, difference.key
    if isinstance(audit, LeafAudited) and isinstance(difference, LeafDifference):
        return audit.leaf, difference.interface, difference.vlan
    return getattr(difference, "port", "")
