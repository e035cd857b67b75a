"""A public cloud (Figure 13): a node is an EC2 instance, each pod has an ENI of its own, attached to its node.

A subnet belongs to an AZ, and an ENI never leaves it. How many an instance takes depends on its type: EC2 user guide,
"IP addresses per network interface per instance type".
"""

import ipaddress

from bus.events import CLOUD, NetworkCreated
from projections.addresses import Addresses
from projections.port_rows import PortRow
from projections.world import HostRow, NetworkRow, World
from workers import cloud
from workers.enis_of_types import NODES_OWN, eni_limit
from workers.models.model import NetworkModel, Refusal, Segment

NODE = "node"
#: Router, name server, and one for later: AWS keeps the first three host addresses of a subnet for itself.
RESERVED = 3
#: The prefix lengths that EC2 takes for a subnet (VPC user guide, "Subnet CIDR blocks").
SUBNETS = range(16, 29)


def segment(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """Neither VLAN nor VNI; the overlay is the cloud's. Refused in another AZ, and where no further ENI fits."""
    subnet = world.subnet_of.get(network.network)
    if subnet is None or not subnet.zone:
        return Refusal("the network has no subnet in an AZ", "network", network.network)
    if subnet.zone != host.az:
        reason = f"the subnet {subnet.subnet} is in {subnet.zone}, the node in {host.az}: an ENI does not leave its AZ"
        return Refusal(reason, "host", f"{host.host} ({host.az})")
    limit = eni_limit(host.instance_type)
    if not limit:
        reason = "how many ENIs the node takes is not known: its instance type is none that is known"
        return Refusal(reason, "host", f"{host.host} ({host.instance_type or 'no instance type'})")
    if addresses.ports_on(host.host) + NODES_OWN >= limit:
        reason = f"a {host.instance_type} takes {limit} ENIs, one of them the node's own, and all are taken"
        return Refusal(reason, "host", f"{host.host} ({host.instance_type}, {limit} ENIs)")
    return Segment(vlan=0, vni=0, underlay_by="", overlay_by=CLOUD)


def check(world: World, network: NetworkCreated) -> Refusal | None:
    """There is neither VLAN nor VNI for a tenant in a public cloud."""
    for field in ("vni", "vlan"):
        if getattr(network, field):
            return Refusal(f"a network of a public cloud has no {field.upper()}", field, str(getattr(network, field)))
    return None


def check_subnet(network: NetworkCreated, cidr: str) -> Refusal | None:
    """EC2 takes no other sizes."""
    if ipaddress.IPv4Network(cidr).prefixlen not in SUBNETS:
        return Refusal(f"a subnet of EC2 is a /{SUBNETS[0]} to a /{SUBNETS[-1]}", "cidr", cidr)
    return None


def may_move(port: PortRow, source: HostRow, target: HostRow) -> Refusal | None:
    """Within the AZ only."""
    if source.az != target.az:
        reason = f"the ENI is in {source.az} and the host in {target.az}: an ENI does not leave its AZ"
        return Refusal(reason, "host", f"{target.host} ({target.az})")
    return None


MODEL = NetworkModel(
    name=cloud.MODEL,
    host_kinds=frozenset({NODE}),
    segment=segment,
    check=check,
    check_subnet=check_subnet,
    may_move=may_move,
    secondary_ips=1,
    reserved=RESERVED,
    zoned=True,
    workers=(cloud.WORKER,),
)
