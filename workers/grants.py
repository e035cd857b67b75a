"""What IPAM grants: an address of a network that fits, a VLAN of the host's leaf pair and room in both its leaves."""

from typing import NamedTuple

from bus.events import PortAllocated, PortCreateRequested, PortRefused
from projections.addresses import Pool
from projections.world import HostRow, NetworkRow
from workers.claims import mac_of
from workers.ipam_state import IpamState
from workers.limits import fits
from workers.models import addresses_of, allocator_of, segment_on
from workers.models.model import IPAM, Refusal, Segment


class Grant(NamedTuple):
    """Where a port's address comes from, and how it is realised on its host."""

    network: NetworkRow
    pool: Pool
    ips: tuple[str, ...]
    physical_network: str
    segment: Segment


def find(state: IpamState, request: PortCreateRequested) -> Grant | Refusal:
    """The first network that fits and has an address and a VLAN left on the host's leaf pair."""
    host = state.world.hosts.get(request.host)
    if host is None:
        return Refusal("unknown host", "host", request.host)
    if request.name in state.ports.by_name or _is_promised(state, request):
        return Refusal("the port name is in use", "name", request.name)
    candidates = _candidates(state, request)
    return candidates if isinstance(candidates, Refusal) else _grant(state, request, host, candidates)


def _is_promised(state: IpamState, request: PortCreateRequested) -> bool:
    """Whether the name is that of another instance, whose host may be giving its port an address right now."""
    return state.instances.by_port_name.get(request.name, request.instance) != request.instance


def _grant(
    state: IpamState, request: PortCreateRequested, host: HostRow, candidates: list[NetworkRow]
) -> Grant | Refusal:
    refusal: Refusal | None = None
    for network in (one for one in candidates if allocator_of(one) == IPAM):
        offer = state.addresses.offer_many(network.network, network.vrf, *addresses_of(network))
        if offer is None:
            continue
        segment = fits(state, host, segment_on(state.world, state.addresses, network, host))
        if isinstance(segment, Segment):
            return Grant(network, *offer, host.physical_network, segment)
        refusal = segment
    if refusal is not None:
        return refusal
    if request.network is not None:
        return Refusal("no address is left in the network", "network", request.network)
    return Refusal("no address is left in any network with this label", "label", str(request.label))


def allocator(state: IpamState, request: PortCreateRequested) -> str:
    """Who grants the port: whoever allocates in the first of the networks that fit."""
    candidates = _candidates(state, request)
    return IPAM if isinstance(candidates, Refusal) else allocator_of(candidates[0])


def _candidates(state: IpamState, request: PortCreateRequested) -> list[NetworkRow] | Refusal:
    networks = state.world.networks
    if request.network is not None:
        network = networks.get(request.network)
        return [network] if network else Refusal("unknown network", "network", request.network)
    names = state.world.by_label.get(request.label or "", [])
    if not names:
        return Refusal("no network carries this label", "label", str(request.label))
    return [networks[name] for name in names]


def refuse(request: PortCreateRequested, why: Refusal) -> PortRefused:
    """The answer to a request that is not granted."""
    return PortRefused(
        port=request.port,
        az=request.az,
        host=request.host,
        instance=request.instance,
        reason=why.reason,
        field=why.field,
        value=why.value,
    )


def allocate(request: PortCreateRequested, grant: Grant) -> PortAllocated:
    """The answer to a request that is granted."""
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
        ip=grant.ips[0],
        secondary_ips=grant.ips[1:],
        prefix_length=grant.pool.prefix_length,
        gateway=grant.pool.gateway,
        mac=mac_of(grant.ips[0]),
        physical_network=grant.physical_network,
        model=grant.network.model,
        **grant.segment._asdict(),
    )
