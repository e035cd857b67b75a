"""ENIs (Figure 13): which ports have one in the public cloud, where it is to be attached, and where it is.

What is needed changes with claims and with the life of nodes; each change has an epoch, its log position. What the
cloud answers counts for the epoch it answers.
"""

from typing import TypeAlias

from bus.envelope import Recorded
from bus.events import (
    CLOUD,
    CloudAudited,
    CloudAuditRequested,
    CloudDifference,
    CloudLeakCollected,
    HostDown,
    HostReturned,
    HostUp,
    PortAllocated,
    PortBound,
    PortClaim,
    PortClaimed,
    PortDeleted,
    PortEniAttached,
    PortEniAvailable,
    PortEniDeleted,
    PortEniFailed,
    PortFloatingIpAssociated,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
    PortUnbound,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on

_Answer: TypeAlias = PortEniAvailable | PortEniAttached | PortEniDeleted | PortEniFailed
#: States that the cloud has yet to bring about.
PENDING = frozenset({"creating", "attaching", "detaching", "deleting"})


class EniRow(Row):
    """The ENI of a port. ``host`` and ``generation`` are those of the port's current claim.

    ``node``: to whose instance it is to be attached, empty for none; ``attached_to``: to whose it is, as far as known.
    ``state``: creating → available → attaching → attached → detaching → available; deleting → deleted; error, if it
    could not be made. ``reason``: why the last wish failed. ``floating_request`` asked for ``floating_ip``.
    """

    port: str
    az: str
    subnet: str
    vpc: str
    ip: str
    secondary_ips: list[str]
    host: str
    generation: int
    correlation: str
    epoch: int
    state: str = "creating"
    eni: str = ""
    node: str = ""
    attached_to: str = ""
    bound: bool = False
    leaving: bool = False
    reason: str = ""
    floating_request: str = ""
    floating_ip: str = ""


class LeakRow(Row):
    """What the cloud holds under our tag for no port of the log. ``seen_us``: when that was first found."""

    resource: str
    kind: str
    port: str
    seen_us: int
    epoch: int


class Enis(Fold):
    """All ENIs of ports that are not deleted, and what leaked."""

    TABLES = (Table("enis", EniRow, ("port",)), Table("cloud_leaks", LeakRow, ("resource",)))

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, EniRow] = self.tables["enis"]
        self.leaks: dict[Key, LeakRow] = self.tables["cloud_leaks"]
        self._gone: set[str] = set()
        self._down: set[str] = set()
        self._returned: set[str] = set()
        #: (port, correlation) of the requests for a floating IP that have their answer.
        self.floating_answered: set[tuple[str, str]] = set()
        #: When the cloud was last compared with the log, microseconds.
        self.audited_us = 0
        #: Whether any port ever had an ENI: else there is nothing to compare.
        self.is_used = False

    def get(self, port: str) -> EniRow | None:
        """The ENI of ``port``, None if it has none."""
        return self._rows.get((port,))

    def all(self) -> list[EniRow]:
        """All ENIs, in the order in which their ports were allocated."""
        return list(self._rows.values())

    def on_host(self, host: str) -> list[EniRow]:
        """The ENIs of ports whose current claim is of ``host``."""
        return [row for row in self._rows.values() if row.host == host]

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        if e.overlay_by != CLOUD or (e.port,) in self._rows or e.port in self._gone:
            return NOTHING
        self.is_used = True
        self._rows[e.port,] = EniRow(
            port=e.port,
            az=e.az,
            subnet=e.subnet,
            vpc=e.vpc,
            ip=e.ip,
            secondary_ips=list(e.secondary_ips),
            host=e.host,
            generation=e.generation,
            correlation=r.correlation,
            epoch=r.position,
        )
        return _touch(e.port)

    @on(PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaim) -> tuple[Touched, ...]:
        row = self.get(e.port)
        if row is None or e.generation <= row.generation or row.leaving:
            return NOTHING
        row.host, row.generation, row.correlation, row.bound = e.host, e.generation, r.correlation, False
        return self._release(r, row)

    @on(PortBound)
    def _bound(self, r: Recorded, e: PortBound) -> tuple[Touched, ...]:
        row = self._of_claim(e)
        if row is None or row.bound or row.leaving:
            return NOTHING
        row.bound = True
        return self._need(r, row)

    @on(PortUnbound)
    def _unbound(self, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        row = self._of_claim(e)
        if row is None or row.leaving:
            return NOTHING
        row.leaving, row.bound, row.node, row.reason = True, False, "", ""
        row.state, row.epoch = "deleting", r.position
        return _touch(e.port)

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._gone.add(e.port)
        return NOTHING if self._rows.pop((e.port,), None) is None else _touch(e.port)

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        """What is on a dead node is detached, so that nothing there can answer for an address that has moved."""
        self._down.add(e.host)
        self._returned.discard(e.host)
        return tuple(one for row in self.on_host(e.host) if row.node for one in self._release(r, row))

    @on(HostReturned)
    def _host_returned(self, r: Recorded, e: HostReturned) -> tuple[Touched, ...]:
        if e.host in self._down:
            self._returned.add(e.host)
        return NOTHING

    @on(HostUp)
    def _host_up(self, r: Recorded, e: HostUp) -> tuple[Touched, ...]:
        if e.host not in self._down or e.host not in self._returned:  # a late one is no return from the dead
            return NOTHING
        self._down.discard(e.host)
        self._returned.discard(e.host)
        return tuple(one for row in self.on_host(e.host) if row.bound for one in self._need(r, row))

    @on(PortEniAvailable, PortEniAttached, PortEniDeleted, PortEniFailed)
    def _answered(self, r: Recorded, e: _Answer) -> tuple[Touched, ...]:
        row = self.get(e.port)
        if row is None or row.epoch != e.epoch or row.state not in PENDING | {"error"}:
            return NOTHING
        match e:
            case PortEniAvailable() if row.state in ("creating", "detaching", "error"):
                row.state, row.eni, row.attached_to = "available", e.eni, ""
            case PortEniAttached() if row.state == "attaching":
                row.state, row.eni, row.attached_to, row.reason = "attached", e.eni, e.node, ""
            case PortEniDeleted() if row.state == "deleting":
                row.state, row.attached_to, row.floating_ip = "deleted", "", ""
            case PortEniFailed() if row.state == "creating":
                row.state, row.reason = "error", e.reason
            case PortEniFailed() if row.state == "attaching":  # nobody knows how far it came: undone
                row.reason = e.reason
                return self._release(r, row)
            case _:
                return NOTHING
        return _touch(e.port)

    @on(PortFloatingIpRequested)
    def _floating_requested(self, r: Recorded, e: PortFloatingIpRequested) -> tuple[Touched, ...]:
        row = self.get(e.port)
        if row is None or row.leaving or row.floating_request or (e.port, r.correlation) in self.floating_answered:
            return NOTHING
        row.floating_request = r.correlation
        return _touch(e.port)

    @on(PortFloatingIpAssociated)
    def _floating_associated(self, r: Recorded, e: PortFloatingIpAssociated) -> tuple[Touched, ...]:
        self.floating_answered.add((e.port, r.correlation))
        row = self.get(e.port)
        if row is None or row.leaving or row.floating_ip or row.floating_request != r.correlation:
            return NOTHING
        row.floating_ip = e.address
        return _touch(e.port)

    @on(PortFloatingIpRefused)
    def _floating_refused(self, r: Recorded, e: PortFloatingIpRefused) -> tuple[Touched, ...]:
        self.floating_answered.add((e.port, r.correlation))
        row = self.get(e.port)
        if row is None or row.floating_ip or row.floating_request != r.correlation:
            return NOTHING
        row.floating_request = ""
        return _touch(e.port)

    @on(CloudAuditRequested)
    def _audit_requested(self, r: Recorded, e: CloudAuditRequested) -> tuple[Touched, ...]:
        self.audited_us = r.time_us
        return NOTHING

    @on(CloudAudited)
    def _audited(self, r: Recorded, e: CloudAudited) -> tuple[Touched, ...]:
        if e.error:
            return NOTHING
        touched = [*self._leaked(r, e)]
        missing = {one.port for one in e.found if one.missing}
        for row in self._rows.values():
            settled = row.state in ("available", "attached", "error") and row.epoch <= e.epoch
            if settled and not row.leaving and (row.reason or row.port in missing):
                touched += self._again(r, row)
        return tuple(touched)

    @on(CloudLeakCollected)
    def _collected(self, r: Recorded, e: CloudLeakCollected) -> tuple[Touched, ...]:
        return () if self.leaks.pop((e.resource,), None) is None else (("cloud_leaks", (e.resource,)),)

    def _leaked(self, r: Recorded, e: CloudAudited) -> list[Touched]:
        """What is found a first time is noted; what is not found any more, or belongs to a port, is no leak."""
        found = {one.resource: one for one in e.found if not one.missing and (one.port,) not in self._rows}
        touched: list[Touched] = []
        for key in [key for key in self.leaks if key[0] not in found and self.leaks[key].epoch < e.epoch]:
            del self.leaks[key]
            touched.append(("cloud_leaks", key))
        for one in found.values():
            if (one.resource,) not in self.leaks:
                self.leaks[one.resource,] = _leak(r, e, one)
                touched.append(("cloud_leaks", (one.resource,)))
        return touched

    def _again(self, r: Recorded, row: EniRow) -> tuple[Touched, ...]:
        """What was lost, or failed, is tried again."""
        if row.bound and row.host not in self._down:
            row.node, row.state = row.host, "attaching"
        else:
            row.node, row.state = "", "creating"
        row.epoch, row.reason = r.position, ""
        return _touch(row.port)

    def _need(self, r: Recorded, row: EniRow) -> tuple[Touched, ...]:
        """The ENI is to be attached to the node of its port, if that lives."""
        if row.host not in self._down and row.node != row.host:
            row.node, row.state, row.epoch, row.reason = row.host, "attaching", r.position, ""
        return _touch(row.port)

    def _release(self, r: Recorded, row: EniRow) -> tuple[Touched, ...]:
        """The ENI is to be attached to no instance. One that was never to be attached is left as it is."""
        if row.node:
            row.node, row.state, row.epoch = "", "detaching", r.position
        return _touch(row.port)

    def _of_claim(self, e: PortBound | PortUnbound) -> EniRow | None:
        row = self.get(e.port)
        return row if row is not None and (row.host, row.generation) == (e.host, e.generation) else None


def _leak(r: Recorded, e: CloudAudited, one: CloudDifference) -> LeakRow:
    return LeakRow(resource=one.resource, kind=one.kind, port=one.port, seen_us=r.time_us, epoch=e.epoch)


def _touch(port: str) -> tuple[Touched, ...]:
    return (("enis", (port,)),)
