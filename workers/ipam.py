"""IPAM, which is also the Neutron server: ports, addresses, VLANs and bindings (Figure 10, steps 3, 5 and 10).

An address is given out once and given back only when both planes have confirmed that nothing of the port is left.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    ClusterCreated,
    ClusterRefused,
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectRefused,
    DirectConnectRestored,
    HostBlockAssigned,
    HostBlockRefused,
    HostDown,
    HostFenced,
    HostResynced,
    InstanceTerminating,
    NetworkCreated,
    NetworkGatewayChanged,
    NetworkRefused,
    OperationCompleted,
    OperationRefused,
    OperationReleased,
    PolicyCreated,
    PolicyDeleted,
    PolicyRefused,
    PortAddressOffered,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaimCleared,
    PortClaimed,
    PortClaimRefused,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleted,
    PortDeleteRequested,
    PortOrphanSeen,
    PortOverlayRemoved,
    PortRefused,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnplugged,
    SubnetCreated,
    VpcConnected,
    VpcConnectRefused,
    VpcCreated,
    VpcDisconnecting,
    VpcDisconnectRefused,
    VpcRefused,
)
from projections.instances import ENDED
from projections.port_rows import PortRow
from workers import claims_of_ports
from workers.claims import claim
from workers.grants import allocate, allocator, find, refuse
from workers.ipam_requests import REQUESTS
from workers.ipam_state import IpamState
from workers.models import MODELS
from workers.models.model import IPAM, Refusal
from workers.orphans import LAST_LOOK, is_unclaimed, orphans
from workers.worker import Decision, Due, Emit, Now, Worker, settles_nothing


def decide(state: IpamState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the port, the host or the request that ``r`` concerns."""
    answer = REQUESTS.get(type(r.event))
    if answer is not None:
        return answer(state, r, r.event)
    match r.event:
        case PortCreateRequested() as request:
            return _create(state, request)
        case PortAllocated(port=name):  # by a host that had died meanwhile
            port = state.ports.get(name)
            return _unbind_for_dead_host(state, port) if port is not None else ()
        case PortClaimed(port=name):  # said by a process that died before its next word
            return claims_of_ports.tell_the_old(state, name)
        case PortClaimRequested() | PortAddressOffered() as request:
            return claims_of_ports.requested(state, r, request)
        case PortBindRequested() | PortDeleteRequested() as request:
            return _bind_or_unbind(state, state.ports.current(request), request)
        case PortUnplugged() | PortUnderlayRemoved() | PortOverlayRemoved() | PortUnbound() as report:
            return claims_of_ports.clear(state, report.port)
        case PortOrphanSeen() as seen:
            return _orphan_seen(state, seen, r.time_us)
        case _:
            return _taken_from_host(state, r)


def _bind_or_unbind(
    state: IpamState, port: PortRow | None, request: PortBindRequested | PortDeleteRequested
) -> Iterable[Decision]:
    if port is None or port.unbound:
        return
    if isinstance(request, PortDeleteRequested):
        yield from _unbind(state, port)
    elif not port.bound and (port.model not in MODELS or MODELS[port.model].allocator == IPAM):
        yield Emit(PortBound(**claim(port), vlan=port.vlan, vni=port.vni))


def _taken_from_host(state: IpamState, r: Recorded) -> Iterable[Decision]:
    """What a host that is down would do, if it could, is done without it."""
    match r.event:
        case InstanceTerminating(instance=instance):
            for port in state.ports.of_instance(instance):
                yield from _unbind_for_dead_host(state, port)
        case HostDown(host=host):
            for port in state.ports.on_host(host):
                yield from _unbind_for_dead_host(state, port)
        case HostFenced(host=host) | HostResynced(host=host):
            current = [row.port for row in state.ports.on_host(host)]
            stale = [row.port for row in state.ports.stale_on_host(host)]
            for name in dict.fromkeys(current + stale):
                yield from claims_of_ports.clear(state, name)
        case _:
            return


def _unbind_for_dead_host(state: IpamState, port: PortRow) -> Iterable[Decision]:
    instance = state.instances.get(port.instance)
    if state.hosts.is_down(port.host) and instance is not None and instance.terminating and not port.unbound:
        yield from _unbind(state, port, port.correlation)


def _unbind(state: IpamState, port: PortRow, correlation: str = "") -> Iterable[Decision]:
    """The port's claim is over; where no plane has anything left of it, so is the port."""
    yield Emit(PortUnbound(**claim(port), vlan=port.vlan, vni=port.vni), correlation)
    yield from claims_of_ports.clear(state, port.port)


def _orphan_seen(state: IpamState, seen: PortOrphanSeen, now_us: int) -> Iterable[Decision]:
    port = state.ports.current(seen)
    if seen.look == LAST_LOOK and port is not None and not port.unbound and is_unclaimed(state, port, now_us):
        yield from _unbind(state, port, port.correlation)


def due(state: IpamState, now: Now) -> Iterable[Due]:
    """Ports that nobody owns: a first look, and a second one if nobody has reported on them for a grace period."""
    return orphans(state, now)


def _create(state: IpamState, request: PortCreateRequested) -> Iterable[Decision]:
    if state.ports.get(request.port) or request.port in state.ports.gone:
        return ()
    if allocator(state, request) != IPAM:
        return ()
    instance = state.instances.get(request.instance)
    if instance is not None and (instance.terminating or instance.cleaned or instance.state in ENDED):
        gone = Refusal("the instance is being deleted", "instance", request.instance)
        return (Emit(refuse(request, gone)),)
    found = find(state, request)
    return (Emit(refuse(request, found) if isinstance(found, Refusal) else allocate(request, found)),)


WORKER = Worker(
    name="ipam",
    state=IpamState,
    inputs=frozenset(
        {
            *(
                PortCreateRequested,
                PortBindRequested,
                PortDeleteRequested,
                PortClaimRequested,
                PortAddressOffered,
                PortAllocated,
                PortClaimed,
                PortOrphanSeen,
            ),
            *(PortUnplugged, PortUnderlayRemoved, PortOverlayRemoved, PortUnbound),
            *(InstanceTerminating, HostDown, HostFenced, HostResynced),
            *REQUESTS,
        }
    ),
    says=frozenset(
        {
            ClusterCreated,
            ClusterRefused,
            DirectConnectCreated,
            DirectConnectFailed,
            DirectConnectRefused,
            DirectConnectRestored,
            HostBlockAssigned,
            HostBlockRefused,
            NetworkCreated,
            NetworkGatewayChanged,
            NetworkRefused,
            OperationCompleted,
            OperationRefused,
            OperationReleased,
            PolicyCreated,
            PolicyDeleted,
            PolicyRefused,
            PortAllocated,
            PortBound,
            PortClaimCleared,
            PortClaimRefused,
            PortClaimed,
            PortCreateRequested,
            PortDeleted,
            PortRefused,
            PortUnbound,
            SubnetCreated,
            VpcConnectRefused,
            VpcConnected,
            VpcCreated,
            VpcDisconnectRefused,
            VpcDisconnecting,
            VpcRefused,
        }
    ),
    decide=decide,
    settle=settles_nothing,
    due=due,
)
