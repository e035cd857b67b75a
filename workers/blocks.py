"""The central IPAM's part in host-local addressing: which host gets which block of a network's subnet."""

import ipaddress
from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import Event, HostBlockAssigned, HostBlockRefused, HostBlockRequested
from projections.blocks import BLOCK_LENGTH
from projections.world import NetworkRow, SubnetRow
from workers.ipam_state import Handler, IpamState
from workers.models import allocator_of
from workers.models.model import IPAM, Refusal
from workers.worker import Decision, Emit


def requested(state: IpamState, r: Recorded, request: HostBlockRequested) -> Iterable[Decision]:
    """Assign a block that meets no other, out of the subnet of the first network that fits and has one left."""
    if state.blocks.has_answered(r.id):
        return
    found = _find(state, request)
    if isinstance(found, HostBlockAssigned):
        yield Emit(found)
        return
    refused = HostBlockRefused(
        host=request.host, az=request.az, network=request.network, label=request.label, **found._asdict()
    )
    yield Emit(refused)


def _find(state: IpamState, request: HostBlockRequested) -> HostBlockAssigned | Refusal:
    if request.host not in state.world.hosts:
        return Refusal("unknown host", "host", request.host)
    names = [request.network] if request.network else state.world.by_label.get(request.label or "", [])
    networks = [state.world.networks[name] for name in names if name in state.world.networks]
    networks = [network for network in networks if allocator_of(network) != IPAM]
    field, value = ("network", request.network) if request.network else ("label", str(request.label))
    if not networks:
        return Refusal("no such network gives blocks to hosts", field, value)
    for network in networks:
        subnet = next((row for row in state.world.tables["subnets"].values() if row.network == network.network), None)
        cidr = _free(state, network, subnet) if subnet is not None else None
        if subnet is not None and cidr is not None:
            return _assigned(request, network, subnet, cidr)
    return Refusal("block exhausted: no block is left in the subnet", field, value)


def _free(state: IpamState, network: NetworkRow, subnet: SubnetRow) -> ipaddress.IPv4Network | None:
    net = ipaddress.IPv4Network(subnet.cidr)
    length = network.block_length or BLOCK_LENGTH
    if length < net.prefixlen:
        return None
    taken = [ipaddress.IPv4Network(row.cidr) for row in state.blocks.all()]
    taken = [one for one in taken if one.overlaps(net)]
    if any(one.supernet_of(net) for one in taken):
        return None
    exact = set(taken)
    mixed = [one for one in taken if one.prefixlen != length]
    for block in net.subnets(new_prefix=length):
        if block not in exact and not any(block.overlaps(one) for one in mixed):
            return block
    return None


def _assigned(
    request: HostBlockRequested, network: NetworkRow, subnet: SubnetRow, cidr: ipaddress.IPv4Network
) -> HostBlockAssigned:
    gateway = str(cidr.network_address + 1)
    mine = ipaddress.IPv4Address(subnet.gateway) in cidr and subnet.gateway != gateway
    return HostBlockAssigned(
        host=request.host,
        az=request.az,
        network=network.network,
        labels=tuple(network.labels),
        subnet=subnet.subnet,
        vpc=network.vpc,
        vrf=network.vrf,
        model=network.model,
        cidr=str(cidr),
        gateway=gateway,
        reserved=(subnet.gateway,) if mine else (),
    )


#: What answers which request.
REQUESTS: dict[type[Event], Handler] = {HostBlockRequested: requested}
