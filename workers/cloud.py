"""The cloud's worker: the global IPAM's hands in a public cloud (Figure 13). Sees to the ENI of each port.

An ENI is made as soon as its port has its addresses, attached to the node once the port is bound there, and detached
when the claim is over, by force if the node is dead. A drift moves it with both addresses and the floating IP.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    CLOUD,
    CloudAudited,
    CloudAuditRequested,
    CloudDifference,
    CloudLeakCollected,
    CloudResource,
    Event,
    HostDown,
    HostUp,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortClaimed,
    PortEniAttached,
    PortEniAvailable,
    PortEniDeleted,
    PortEniFailed,
    PortFloatingIpAssociated,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
    PortOverlayRemoved,
    PortOverlayReported,
    PortUnbound,
)
from projections.enis import PENDING, EniRow, Enis
from projections.hosts import Hosts
from projections.port_rows import PortRow, StaleClaimRow
from projections.ports import Ports
from projections.world import World
from workers.claims import claim
from workers.cloud_effects import (
    AssociateFloatingIp,
    AttachEni,
    AuditCloud,
    CollectLeak,
    DeleteEni,
    EnsureEni,
)
from workers.effects import AnyEffect, Result
from workers.worker import AUDIT_EVERY_US, STORIES, Decision, Due, Emit, Folds, Now, Perform, State, Worker

#: The network model whose ports have ENIs.
MODEL = "eni"
#: How long a leak must have been known before it is collected, microseconds.
GRACE_US = 300_000_000
#: When to look again at what leaked: an audit itself takes a while, and the grace period counts from its end.
LOOK_AGAIN_US = GRACE_US + 30_000_000
#: States in which the cloud has answered, so that it is known where the ENI is.
_SETTLED = frozenset({"available", "attached", "error", "deleted"})


class CloudState(State):
    """The nodes, the ports, which hosts live, and the ENIs."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.ports, self.hosts, self.enis = (
            self.fold(World),
            self.fold(Ports),
            self.fold(Hosts),
            self.fold(Enis),
        )
        #: As the log has them, of whatever network: its own fold may be asleep.
        self.every_port = self.commons.fold(Ports)


def decide(state: CloudState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the ENI, the node or the cloud that ``r`` concerns."""
    match r.event:
        case PortAllocated() | PortClaimed() | PortBound() | PortUnbound() as e:
            return _changed(state, state.enis.get(e.port))
        case PortEniAvailable() | PortEniAttached() | PortEniDeleted() | PortEniFailed() as e:
            return _answered(state, r, state.enis.get(e.port), e)
        case HostDown(host=host) | HostUp(host=host):
            return [one for row in state.enis.on_host(host) for one in _changed(state, row)]
        case PortFloatingIpRequested() as request:
            return _floating_ip(state, r, request)
        case CloudAuditRequested():
            return _audit(state, r)
        case CloudAudited() as audited:
            return _audited(state, r, audited)
        case _:
            return ()


def _changed(state: CloudState, row: EniRow | None) -> Iterable[Decision]:
    """Bring the ENI to what is needed now, and tell of what is so already."""
    if row is None:
        return
    if row.leaving and row.floating_request and not row.eni:
        yield Emit(_refused(row.port, "the port is being deleted"), row.floating_request)
    if row.state in PENDING:
        yield Perform(_wish(state, row), row.correlation)
    yield from _reports(state, row, 0)


def _answered(
    state: CloudState,
    r: Recorded,
    row: EniRow | None,
    e: PortEniAvailable | PortEniAttached | PortEniDeleted | PortEniFailed,
) -> Iterable[Decision]:
    if row is None:
        return
    if isinstance(e, PortEniFailed) and row.state == "detaching" and row.epoch == r.position:
        yield Perform(_wish(state, row), row.correlation)  # nobody knows how far it came
    if row.floating_request and not row.floating_ip and row.eni and not row.leaving:
        yield Perform(_associate(row), row.floating_request)
    yield from _reports(state, row, r.time_us)


def _wish(state: CloudState, row: EniRow) -> EnsureEni | AttachEni | DeleteEni:
    """What the cloud is to be brought to."""
    if row.leaving:
        return DeleteEni(device=CLOUD, port=row.port, az=row.az, epoch=row.epoch)
    detached = EnsureEni(
        device=CLOUD,
        port=row.port,
        az=row.az,
        epoch=row.epoch,
        subnet=row.subnet,
        vpc=row.vpc,
        ip=row.ip,
        secondary_ips=tuple(row.secondary_ips),
        generation=row.generation,
        detach=row.state == "detaching",
    )
    node = state.world.hosts.get(row.node)
    return detached if node is None else _attach(detached, node.host, node.az, node.instance_type)


def _attach(eni: EnsureEni, node: str, node_az: str, instance_type: str) -> AttachEni:
    return AttachEni(
        device=eni.device,
        port=eni.port,
        az=eni.az,
        epoch=eni.epoch,
        subnet=eni.subnet,
        vpc=eni.vpc,
        ip=eni.ip,
        secondary_ips=eni.secondary_ips,
        generation=eni.generation,
        node=node,
        node_az=node_az,
        instance_type=instance_type,
    )


def _reports(state: CloudState, row: EniRow, configured_us: int) -> Iterable[Decision]:
    """The overlay reports that the ENI's state allows now."""
    for stale in state.ports.stale_of(row.port):
        if stale.unbound and stale.overlay_by == CLOUD and not stale.overlay_removed and _lets_go(row, stale):
            yield Emit(PortOverlayRemoved(**claim(stale)), stale.correlation)
    port = state.ports.get(row.port)
    if port is None:
        return
    if port.unbound:
        if row.state == "deleted" and not port.overlay_removed:
            yield Emit(PortOverlayRemoved(**claim(port)), port.correlation)
    elif port.bound and state.hosts.claims(port.host):
        yield from _of_current(row, port, configured_us)


def _lets_go(row: EniRow, stale: StaleClaimRow) -> bool:
    """Whether nothing leads to the host of a claim that is over, or what does is a newer claim's."""
    return row.node == stale.host or (row.state in _SETTLED and row.attached_to != stale.host)


def _of_current(row: EniRow, port: PortRow, configured_us: int) -> Iterable[Decision]:
    if row.state == "attached" and row.attached_to == port.host:
        if port.overlay_report != "ACTIVE":
            report = PortOverlayReported(**claim(port), status="ACTIVE", configured_us=configured_us)
            yield Emit(report, row.correlation)
    elif row.reason and row.state != "error" and not port.overlay_report:
        yield Emit(PortOverlayReported(**claim(port), status="ERROR", reason=row.reason), row.correlation)


def _floating_ip(state: CloudState, r: Recorded, request: PortFloatingIpRequested) -> Iterable[Decision]:
    row = state.enis.get(request.port)
    if (request.port, r.correlation) in state.enis.floating_answered:
        return
    if row is None:
        known = state.every_port.get(request.port) is not None
        yield Emit(_refused(request.port, "the port is in no network of a public cloud" if known else "unknown port"))
    elif row.leaving:
        yield Emit(_refused(request.port, "the port is being deleted"))
    elif row.floating_request != r.correlation:
        has = row.floating_ip or "it is on its way"
        yield Emit(_refused(request.port, f"the port has a floating IP already: {has}"))
    elif row.eni and not row.floating_ip:
        yield Perform(_associate(row), r.correlation)


def _refused(port: str, reason: str) -> PortFloatingIpRefused:
    return PortFloatingIpRefused(port=port, reason=reason, field="port", value=port)


def _associate(row: EniRow) -> AssociateFloatingIp:
    return AssociateFloatingIp(device=CLOUD, port=row.port, az=row.az, epoch=row.epoch, ip=row.ip)


def _audit(state: CloudState, r: Recorded) -> Iterable[Decision]:
    enis = {row.port: row.node if row.state == "attached" else "" for row in state.enis.all()}
    yield Perform(AuditCloud(device=CLOUD, epoch=r.position, enis=enis))


def _audited(state: CloudState, r: Recorded, audited: CloudAudited) -> Iterable[Decision]:
    """What was lost is made again; what leaked goes at the second look, a grace period after the first."""
    for row in state.enis.all():
        if row.epoch == r.position and row.state in PENDING:
            yield Perform(_wish(state, row), row.correlation)
    for one in audited.found:
        leak = state.enis.leaks.get((one.resource,))
        seen_twice = leak is not None and audited.epoch > leak.epoch and r.time_us - leak.seen_us >= GRACE_US
        if not one.missing and seen_twice and state.enis.get(one.port) is None:
            collect = CollectLeak(
                device=CLOUD, kind=one.kind, resource=one.resource, port=one.port, epoch=audited.epoch
            )
            yield Perform(collect)


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What the cloud acknowledged or refused."""
    match effect:
        case AssociateFloatingIp(port=port, az=az):
            if result.error:
                return (_refused(port, result.error),)
            return (PortFloatingIpAssociated(port=port, az=az, address=_id(result)),)
        case AuditCloud(epoch=epoch):
            found = tuple(one for one in result.found if isinstance(one, CloudDifference))
            return (CloudAudited(cloud=CLOUD, epoch=epoch, found=found, error=result.error),)
        case CollectLeak(kind=kind, resource=resource, port=port):
            return (CloudLeakCollected(cloud=CLOUD, kind=kind, resource=resource, port=port),)
        case EnsureEni() | DeleteEni():
            return (_of_eni(effect, result),)
        case _:
            raise TypeError(f"cloud did not ask for {effect}")


def _of_eni(effect: EnsureEni | DeleteEni, result: Result) -> Event:
    if result.error:
        return PortEniFailed(port=effect.port, az=effect.az, epoch=effect.epoch, reason=result.error)
    match effect:
        case AttachEni(port=port, az=az, epoch=epoch, node=node):
            return PortEniAttached(port=port, az=az, epoch=epoch, eni=_id(result), node=node)
        case EnsureEni(port=port, az=az, epoch=epoch):
            return PortEniAvailable(port=port, az=az, epoch=epoch, eni=_id(result))
        case DeleteEni(port=port, az=az, epoch=epoch):
            return PortEniDeleted(port=port, az=az, epoch=epoch)


def _id(result: Result) -> str:
    return next((one.id for one in result.found if isinstance(one, CloudResource)), "")


def due(state: CloudState, now: Now) -> Iterable[Due]:
    """The cloud was not compared with the log for long; where something leaked, for a grace period."""
    every_us = LOOK_AGAIN_US if state.enis.leaks else AUDIT_EVERY_US
    if state.enis.is_used and now.time_us - state.enis.audited_us >= every_us:
        yield Due(CloudAuditRequested(cloud=CLOUD), state.enis.audited_us)


WORKER = Worker(
    name=CLOUD,
    state=CloudState,
    inputs=frozenset(
        {
            *(PortAllocated, PortClaimed, PortBound, PortUnbound, HostDown, HostUp),
            *(PortEniAvailable, PortEniAttached, PortEniDeleted, PortEniFailed),
            *(PortFloatingIpRequested, CloudAuditRequested, CloudAudited),
        }
    ),
    says=frozenset({PortFloatingIpRefused, PortOverlayRemoved, PortOverlayReported}),
    decide=decide,
    settle=settle,
    due=due,
    sleeps_through=STORIES - {PortFloatingIpRequested},
    wakes={NetworkCreated: lambda event: event.model == MODEL},
)
