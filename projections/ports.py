"""Ports: who they are, where they are bound, and the state of their two planes (Figure 8).

A report counts only for the host and generation of the current claim, and only once the port is bound (Figure 10:
steps 7–8 run beside 9–12, so an underlay report may come first; it is kept until then).
"""

from bus.envelope import Recorded
from bus.events import (
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortDeleted,
    PortDeleteRequested,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortRefused,
    PortRegistered,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on


class PortRow(Row):
    """A port that is not deleted. ``underlay`` and ``overlay`` are Figure 8's two statuses; the rest says why."""

    port: str
    name: str
    instance: str
    az: str
    host: str
    generation: int
    network: str
    subnet: str
    vpc: str
    vrf: str
    ip: str
    prefix_length: int
    mac: str
    gateway: str
    physical_network: str
    vlan: int
    vni: int
    correlation: str
    underlay: str = "DOWN"
    overlay: str = "DOWN"
    underlay_report: str = ""
    overlay_report: str = ""
    registered: bool = False
    plugged: bool = False
    bind_requested: bool = False
    bound: bool = False
    unplugged: bool = False
    delete_requested: bool = False
    unbound: bool = False
    underlay_removed: bool = False
    overlay_removed: bool = False
    reason: str = ""
    allocated_us: int = 0
    changed_us: int = 0

    @property
    def usable(self) -> bool:
        """Both planes ACTIVE for the current binding (invariant 4)."""
        return self.underlay == "ACTIVE" and self.overlay == "ACTIVE"


class Ports(Fold):
    """All ports that are not deleted, by id; ``gone`` are the ids that will never come back."""

    TABLES = (Table("ports", PortRow, ("port",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, PortRow] = self.tables["ports"]
        self.by_name: dict[str, str] = {}
        self.gone: set[str] = set()

    def get(self, port: str) -> PortRow | None:
        """The port, None if it does not exist or not any more."""
        return self._rows.get((port,))

    def current(self, event: PortEvent) -> PortRow | None:
        """The port that ``event`` speaks of, None unless its host and generation are those of the current claim."""
        row = self._rows.get((event.port,))
        if row is None or row.host != event.host or row.generation != getattr(event, "generation", row.generation):
            return None
        return row

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        key = (e.port,)
        if key in self._rows or e.port in self.gone:
            return NOTHING
        self._rows[key] = PortRow(
            port=e.port,
            name=e.name,
            instance=e.instance,
            az=e.az,
            host=e.host,
            generation=e.generation,
            network=e.network,
            subnet=e.subnet,
            vpc=e.vpc,
            vrf=e.vrf,
            ip=e.ip,
            prefix_length=e.prefix_length,
            mac=e.mac,
            gateway=e.gateway,
            physical_network=e.physical_network,
            vlan=e.vlan,
            vni=e.vni,
            correlation=r.correlation,
            allocated_us=r.time_us,
            changed_us=r.time_us,
        )
        self.by_name[e.name] = e.port
        return (("ports", key),)

    @on(PortRefused)
    def _refused(self, r: Recorded, e: PortRefused) -> tuple[Touched, ...]:
        if (e.port,) not in self._rows:
            self.gone.add(e.port)
        return NOTHING

    @on(PortRegistered)
    def _registered(self, r: Recorded, e: PortRegistered) -> tuple[Touched, ...]:
        return self._mark(r, e, "registered")

    @on(PortPlugged)
    def _plugged(self, r: Recorded, e: PortPlugged) -> tuple[Touched, ...]:
        return self._mark(r, e, "plugged")

    @on(PortPlugFailed)
    def _plug_failed(self, r: Recorded, e: PortPlugFailed) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or row.underlay_report == "ERROR":
            return NOTHING
        row.reason = e.reason
        row.underlay_report = "ERROR"
        return self._changed(r, row)

    @on(PortUnderlayReported)
    def _underlay(self, r: Recorded, e: PortUnderlayReported) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or row.underlay_removed or row.underlay_report == e.status:
            return NOTHING
        row.underlay_report = e.status
        row.reason = e.reason or row.reason
        return self._changed(r, row)

    @on(PortBindRequested)
    def _bind_requested(self, r: Recorded, e: PortBindRequested) -> tuple[Touched, ...]:
        return self._mark(r, e, "bind_requested")

    @on(PortBound)
    def _bound(self, r: Recorded, e: PortBound) -> tuple[Touched, ...]:
        row = self.current(e)
        return NOTHING if row is None or row.unbound else self._mark(r, e, "bound")

    @on(PortOverlayReported)
    def _overlay(self, r: Recorded, e: PortOverlayReported) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or row.overlay_removed or row.overlay_report == e.status:
            return NOTHING
        row.overlay_report = e.status
        row.reason = e.reason or row.reason
        return self._changed(r, row)

    @on(PortUnplugged)
    def _unplugged(self, r: Recorded, e: PortUnplugged) -> tuple[Touched, ...]:
        return self._mark(r, e, "unplugged")

    @on(PortDeleteRequested)
    def _delete_requested(self, r: Recorded, e: PortDeleteRequested) -> tuple[Touched, ...]:
        return self._mark(r, e, "delete_requested")

    @on(PortUnderlayRemoved)
    def _underlay_removed(self, r: Recorded, e: PortUnderlayRemoved) -> tuple[Touched, ...]:
        return self._mark(r, e, "underlay_removed")

    @on(PortUnbound)
    def _unbound(self, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is not None:
            row.bound = False
        return self._mark(r, e, "unbound")

    @on(PortOverlayRemoved)
    def _overlay_removed(self, r: Recorded, e: PortOverlayRemoved) -> tuple[Touched, ...]:
        return self._mark(r, e, "overlay_removed")

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        row = self._rows.pop((e.port,), None)
        self.gone.add(e.port)
        if row is None:
            return NOTHING
        self.by_name.pop(row.name, None)
        return (("ports", (e.port,)),)

    def _mark(self, r: Recorded, e: PortEvent, flag: str) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or getattr(row, flag):
            return NOTHING
        setattr(row, flag, True)
        return self._changed(r, row)

    def _changed(self, r: Recorded, row: PortRow) -> tuple[Touched, ...]:
        row.underlay = _plane(row.underlay_report, row.bound, row.unplugged or row.underlay_removed)
        row.overlay = _plane(row.overlay_report, row.bound, row.overlay_removed)
        row.changed_us = r.time_us
        return (("ports", (row.port,)),)


def _plane(report: str, bound: bool, removed: bool) -> str:
    """One plane's status: what was last reported for the current claim, once the port is bound and while it lasts."""
    if removed or not report:
        return "DOWN"
    return report if bound or report == "ERROR" else "DOWN"
