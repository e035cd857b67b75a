"""What the network models with host-local addresses have in common."""

import ipaddress

from bus.events import NetworkCreated
from projections.addresses import Addresses
from projections.blocks import BLOCK_LENGTH
from projections.world import HostRow, NetworkRow, World
from workers.models.model import Refusal, Segment

#: The sizes that a block may have; the seed's are /24 and /25.
_LENGTHS = range(24, 30)


def segment(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """Routed from the host on: no VLAN, no VNI of a segment, and no plane to wait for."""
    return Segment(0, 0, "", "")


def check(world: World, network: NetworkCreated) -> Refusal | None:
    """It has neither VNI nor VLAN, and blocks of a sensible size."""
    for field in ("vni", "vlan"):
        if getattr(network, field):
            return Refusal(f"a network of this model has no {field.upper()}", field, str(getattr(network, field)))
    if network.block_length and network.block_length not in _LENGTHS:
        return Refusal("a block is a /24 to a /29", "block_length", str(network.block_length))
    return None


def check_subnet(network: NetworkCreated, cidr: str) -> Refusal | None:
    """It holds a block at least: without one, no host would ever get an address."""
    length = network.block_length or BLOCK_LENGTH
    if ipaddress.IPv4Network(cidr).prefixlen > length:
        return Refusal(f"a block, a /{length}, is larger than the subnet {cidr}", "block_length", str(length))
    return None
