"""Requests about networks, which IPAM decides on as the Neutron server: create one, and give it another gateway.

What differs between models is asked of the model (``check``, ``gateway_moves``); a number that it needs and that the
request does not name is chosen here, the lowest that is free. A refusal leaves nothing behind.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from bus.envelope import Recorded
from bus.events import (
    Event,
    NetworkCreated,
    NetworkCreateRequested,
    NetworkGatewayChanged,
    NetworkGatewayChangeRequested,
    NetworkRefused,
    SubnetCreated,
)
from projections.addresses import VLAN_MAX, VLAN_MIN
from projections.world import SubnetRow, is_host_address
from workers.ipam_state import IpamState
from workers.models import MODELS, label_problem, model_of
from workers.models.model import IPAM, Refusal
from workers.worker import Decision, Emit

#: VNIs that IPAM chooses begin above all VLANs, so that nobody takes one for the other. RFC 7348: 24 bits.
VNI_FIRST, VNI_MAX = 4096, (1 << 24) - 1
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
#: A network needs a gateway and at least one address to give out.
PREFIX_MAX = 30


def create(state: IpamState, r: Recorded, request: NetworkCreateRequested) -> Iterable[Decision]:
    """Create the network and its subnet, or refuse."""
    if state.requests.created_by(request.network, r.correlation):  # perhaps this process died before its next word
        if state.world.subnet_of.get(request.network) is None:
            yield Emit(_subnet(request))
        return
    if state.requests.has_answer(request.network, r.correlation):
        return
    found = _network(state, request)
    if isinstance(found, Refusal):
        yield _refuse(request.network, found)
        return
    yield Emit(found)
    yield Emit(_subnet(request))


def set_gateway(state: IpamState, r: Recorded, request: NetworkGatewayChangeRequested) -> Iterable[Decision]:
    """Give the network the gateway, or refuse."""
    if state.requests.has_answer(request.network, r.correlation):
        return
    subnet = state.world.subnet_of.get(request.network)
    refusal = _gateway_problem(state, request, subnet)
    if refusal is not None or subnet is None:
        yield _refuse(request.network, refusal or Refusal("the network has no subnet", "network", request.network))
    else:
        yield Emit(_changed(state, request, subnet))


def _network(state: IpamState, request: NetworkCreateRequested) -> NetworkCreated | Refusal:
    """The network as it can be created, or why it cannot."""
    vlan, vni = request.vlan, request.vni
    for problem in (_name_problem, _number_problem, _place_problem, _zone_problem):
        refusal = problem(state, request)
        if refusal is not None:
            return refusal
    network = NetworkCreated(
        network=request.network,
        vpc=request.vpc,
        vni=vni or 0,
        labels=request.labels,
        model=request.model,
        vlan=vlan or 0,
        policy=request.policy,
        block_length=request.block_length,
    )
    checked = _checked(state, network)
    if isinstance(checked, Refusal):
        return checked
    unfit = MODELS[checked.model].check_subnet(checked, request.cidr) or label_problem(state.world, checked)
    return unfit or checked


def _checked(state: IpamState, network: NetworkCreated) -> NetworkCreated | Refusal:
    """``network`` as its model takes it: a number that the model asks for and that nobody named is chosen."""
    refusal = MODELS[network.model].check(state.world, network)
    if refusal is None:
        return network
    if refusal.field not in _CHOICES or getattr(network, refusal.field):
        return refusal
    chosen = _CHOICES[refusal.field](state)
    if chosen is None:
        return Refusal(f"no {refusal.field.upper()} is free, all are taken", refusal.field, "any")
    return _checked(state, msgspec.structs.replace(network, **{refusal.field: chosen}))


def _free_vlan(state: IpamState) -> int | None:
    return state.addresses.free_vlan()


def _free_vni(state: IpamState) -> int | None:
    taken = {row.vni for row in state.world.networks.values()}
    return next((vni for vni in range(VNI_FIRST, VNI_MAX + 1) if vni not in taken), None)


_CHOICES: dict[str, Callable[[IpamState], int | None]] = {"vlan": _free_vlan, "vni": _free_vni}


def _name_problem(state: IpamState, request: NetworkCreateRequested) -> Refusal | None:
    if request.network in state.world.networks:
        return Refusal("there is a network of this name already", "network", request.network)
    subnet = _subnet_name(request)
    if not _TOKEN.fullmatch(subnet):
        return Refusal("is no name: letters, digits, _ and -, at most 63", "subnet", subnet)
    if (subnet,) in state.world.tables["subnets"]:
        return Refusal("there is a subnet of this name already", "subnet", subnet)
    for index, label in enumerate(request.labels):
        if not _TOKEN.fullmatch(label):
            return Refusal("is no label: letters, digits, _ and -, at most 63", "labels", label)
        if label in request.labels[:index]:
            return Refusal("the label is given twice", "labels", label)
    if request.model not in MODELS:
        return Refusal(f"no known network model; there are {', '.join(sorted(MODELS))}", "model", request.model)
    return None


def _number_problem(state: IpamState, request: NetworkCreateRequested) -> Refusal | None:
    vlan, vni = request.vlan, request.vni
    if vlan is not None and not VLAN_MIN <= vlan <= VLAN_MAX:
        return Refusal(f"no VLAN id: IEEE 802.1Q has {VLAN_MIN} to {VLAN_MAX}", "vlan", str(vlan))
    if vni is not None and not 1 <= vni <= VNI_MAX:
        return Refusal(f"no VXLAN network identifier: RFC 7348 has 1 to {VNI_MAX}", "vni", str(vni))
    if vlan in state.world.vlans:
        return Refusal(f"the VLAN is that of network {state.world.vlans[vlan]}", "vlan", str(vlan))
    owner = next((row.network for row in state.world.networks.values() if vni and row.vni == vni), None)
    if owner is not None:
        return Refusal(f"the VNI is that of network {owner}", "vni", str(vni))
    pairs = state.addresses.pairs_with(vlan) if vlan else []
    if pairs:
        return Refusal(f"the VLAN stands for a VNI on leaf pair {pairs[0]}", "vlan", str(vlan))
    return None


def _place_problem(state: IpamState, request: NetworkCreateRequested) -> Refusal | None:
    """What is wrong with the network's VPC and addresses."""
    vpc = state.world.tables["vpcs"].get((request.vpc,))
    if vpc is None:
        return Refusal("unknown VPC", "vpc", request.vpc)
    try:
        net = ipaddress.IPv4Network(request.cidr)
    except ValueError as error:
        return Refusal(f"no IPv4 network: {error}", "cidr", request.cidr)
    if net.prefixlen > PREFIX_MAX:
        return Refusal("has no room for a gateway and a host", "cidr", request.cidr)
    if not net.subnet_of(ipaddress.IPv4Network(vpc.cidr)):
        return Refusal(f"is outside {vpc.cidr} of VPC {vpc.vpc}", "cidr", request.cidr)
    for row in state.world.tables["subnets"].values():
        if state.world.networks[row.network].vrf == vpc.vrf and net.overlaps(ipaddress.IPv4Network(row.cidr)):
            return Refusal(f"overlaps {row.cidr} of network {row.network} in VRF {vpc.vrf}", "cidr", request.cidr)
    if request.gateway and not is_host_address(request.gateway, request.cidr):
        return Refusal(f"is no host address of {request.cidr}", "gateway", request.gateway)
    return None


def _zone_problem(state: IpamState, request: NetworkCreateRequested) -> Refusal | None:
    """A subnet of a public cloud is in one AZ, and no other is in any; blocks are for who gives them out."""
    model = MODELS[request.model]
    if not model.zoned and request.zone:
        return Refusal("a subnet of this model is in no single AZ", "zone", request.zone)
    if model.zoned and request.zone not in state.world.azs:
        return Refusal("unknown availability zone; a subnet of this model is in one", "zone", request.zone or "none")
    if request.block_length and model.allocator == IPAM:
        return Refusal("hosts have no blocks in this model", "block_length", str(request.block_length))
    return None


def _subnet_name(request: NetworkCreateRequested) -> str:
    return request.subnet or f"{request.network}-a"


def _subnet(request: NetworkCreateRequested) -> SubnetCreated:
    first = ipaddress.IPv4Network(request.cidr).network_address + 1
    return SubnetCreated(
        subnet=_subnet_name(request),
        network=request.network,
        cidr=request.cidr,
        gateway=request.gateway or str(first),
        zone=request.zone,
    )


def _gateway_problem(
    state: IpamState, request: NetworkGatewayChangeRequested, subnet: SubnetRow | None
) -> Refusal | None:
    network = state.world.networks.get(request.network)
    if network is None:
        return Refusal("unknown network", "network", request.network)
    model = model_of(network)
    if model is None or not model.gateway_moves:
        where = f"{network.network} ({network.model})"
        return Refusal("the gateway of a network of this model is on every leaf and stays", "network", where)
    if subnet is None:
        return Refusal("the network has no subnet", "network", request.network)
    if not is_host_address(request.address, subnet.cidr):
        return Refusal(f"is no host address of {subnet.cidr}", "address", request.address)
    if request.address == subnet.gateway:
        return Refusal("is the gateway already", "address", request.address)
    held = state.addresses.tables["addresses"].get((network.vrf, request.address))
    if held is not None:
        return Refusal(f"is held by port {held.port}", "address", request.address)
    return None


def _changed(state: IpamState, request: NetworkGatewayChangeRequested, subnet: SubnetRow) -> NetworkGatewayChanged:
    """The change and its blast radius: all ports that were told another gateway than the new one."""
    ports = state.ports.tables["ports"].values()
    hit = [port for port in ports if port.network == request.network and port.gateway != request.address]
    hosts: dict[str, int] = {}
    for port in hit:
        hosts[port.host] = hosts.get(port.host, 0) + 1
    return NetworkGatewayChanged(
        network=request.network,
        subnet=subnet.subnet,
        address=request.address,
        from_address=subnet.gateway,
        ports=len(hit),
        instances=len({port.instance for port in hit}),
        hosts=dict(sorted(hosts.items())),
    )


def _refuse(network: str, why: Refusal) -> Emit:
    return Emit(NetworkRefused(network=network, reason=why.reason, field=why.field, value=why.value))


#: What answers which request (``ipam_requests``).
ANSWERS: dict[type[Event], Callable[[IpamState, Recorded, Any], Iterable[Decision]]] = {
    NetworkCreateRequested: create,
    NetworkGatewayChangeRequested: set_gateway,
}
