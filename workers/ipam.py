"""IPAM, which is also the Neutron server: ports, addresses, VLANs and bindings (Figure 10, steps 3, 5 and 10).

An address is given out once and given back only when both planes have confirmed that nothing of the port is left.
"""

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import (
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortDeleted,
    PortDeleteRequested,
    PortOverlayRemoved,
    PortRefused,
    PortUnbound,
    PortUnderlayRemoved,
)
from projections.addresses import Addresses, Pool
from projections.ports import PortRow, Ports
from projections.world import HostRow, NetworkRow, World
from workers.claims import claim
from workers.worker import Decision, Emit, State, Worker, settles_nothing


class IpamState(State):
    """The world, the ports, and every address and VLAN in use."""

    def __init__(self) -> None:
        self.world, self.ports, self.addresses = World(), Ports(), Addresses()
        super().__init__(self.world, self.ports, self.addresses)


class Refusal(NamedTuple):
    """Why no port can be given."""

    reason: str
    field: str
    value: str


class Grant(NamedTuple):
    """Where a port's address and VLAN come from."""

    network: NetworkRow
    pool: Pool
    ip: str
    physical_network: str
    vlan: int


def decide(state: IpamState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the port that ``r`` concerns."""
    match r.event:
        case PortCreateRequested() as request:
            return _create(state, request)
        case PortBindRequested() as request:
            port = state.ports.current(request)
            if port is None or port.bound or port.unbound:
                return ()
            return (Emit(PortBound(**claim(port), vlan=port.vlan, vni=port.vni)),)
        case PortDeleteRequested() as request:
            port = state.ports.current(request)
            return (
                ()
                if port is None or port.unbound
                else (Emit(PortUnbound(**claim(port), vlan=port.vlan, vni=port.vni)),)
            )
        case PortUnderlayRemoved() | PortOverlayRemoved() as report:
            return _clear(state.ports.current(report))
        case _:
            return ()


def _create(state: IpamState, request: PortCreateRequested) -> Iterable[Decision]:
    if state.ports.get(request.port) or request.port in state.ports.gone:
        return ()
    found = _find(state, request)
    return (Emit(_refuse(request, found) if isinstance(found, Refusal) else _allocate(request, found)),)


def _find(state: IpamState, request: PortCreateRequested) -> Grant | Refusal:
    """The first network that fits and has an address and a VLAN left on the host's leaf pair."""
    host = state.world.hosts.get(request.host)
    if host is None:
        return Refusal("unknown host", "host", request.host)
    if request.name in state.ports.by_name:
        return Refusal("the port name is in use", "name", request.name)
    candidates = _candidates(state, request)
    return candidates if isinstance(candidates, Refusal) else _grant(state, request, host, candidates)


def _grant(
    state: IpamState, request: PortCreateRequested, host: HostRow, candidates: list[NetworkRow]
) -> Grant | Refusal:
    lacks_vlan = False
    for network in candidates:
        offer = state.addresses.offer(network.network, network.vrf)
        if offer is None:
            continue
        vlan = state.addresses.vlan_for(host.physical_network, network.vni)
        if vlan is not None:
            return Grant(network, *offer, host.physical_network, vlan)
        lacks_vlan = True
    if lacks_vlan:
        return Refusal("no VLAN is left on the leaf pair", "host", f"{request.host} ({host.physical_network})")
    if request.network is not None:
        return Refusal("no address is left in the network", "network", request.network)
    return Refusal("no address is left in any network with this label", "label", str(request.label))


def _candidates(state: IpamState, request: PortCreateRequested) -> list[NetworkRow] | Refusal:
    networks = state.world.networks
    if request.network is not None:
        network = networks.get(request.network)
        return [network] if network else Refusal("unknown network", "network", request.network)
    names = state.world.by_label.get(request.label or "", [])
    if not names:
        return Refusal("no network carries this label", "label", str(request.label))
    return [networks[name] for name in names]


def _refuse(request: PortCreateRequested, why: Refusal) -> PortRefused:
    return PortRefused(
        port=request.port,
        az=request.az,
        host=request.host,
        instance=request.instance,
        reason=why.reason,
        field=why.field,
        value=why.value,
    )


def _allocate(request: PortCreateRequested, grant: Grant) -> PortAllocated:
    return PortAllocated(
        port=request.port,
        az=request.az,
        host=request.host,
        name=request.name,
        instance=request.instance,
        network=grant.network.network,
        subnet=grant.pool.row.subnet,
        vpc=grant.network.vpc,
        vrf=grant.network.vrf,
        ip=grant.ip,
        prefix_length=grant.pool.prefix_length,
        gateway=grant.pool.gateway,
        mac=mac_of(grant.ip),
        physical_network=grant.physical_network,
        vlan=grant.vlan,
        vni=grant.network.vni,
    )


def mac_of(ip: str) -> str:
    """The MAC that goes with an address: OpenStack's fa:16 and the four octets, so unique wherever the address is."""
    return "fa:16:" + ipaddress.IPv4Address(ip).packed.hex(":")


def _clear(port: PortRow | None) -> Iterable[Decision]:
    if port is None or not (port.underlay_removed and port.overlay_removed):
        return ()
    deleted = PortDeleted(
        port=port.port,
        az=port.az,
        host=port.host,
        instance=port.instance,
        subnet=port.subnet,
        ip=port.ip,
        physical_network=port.physical_network,
        vni=port.vni,
    )
    return (Emit(deleted, port.correlation),)


WORKER = Worker(
    name="ipam",
    state=IpamState,
    inputs=frozenset(
        {PortCreateRequested, PortBindRequested, PortDeleteRequested, PortUnderlayRemoved, PortOverlayRemoved}
    ),
    decide=decide,
    settle=settles_nothing,
)
