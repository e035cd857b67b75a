"""What a network model is: how a segment is realised on a host, who makes each plane ready, and what a drift means.

IPAM asks the network's model when it grants a claim; nova asks it which hosts can carry its ports. Whatever else
differs (devices, events, a worker of its own) belongs to the model's own files: see docs/howto/add-a-network-model.md.
"""

from collections.abc import Callable
from typing import NamedTuple

from bus.events import BARE_METAL, NetworkCreated
from projections.addresses import Addresses
from projections.port_rows import PortRow
from projections.world import HostRow, NetworkRow, World
from workers.worker import Worker

__all__ = ["BARE_METAL", "IPAM", "NetworkModel", "Refusal", "Segment", "any_subnet", "moves_freely", "no_rules"]

#: The worker that allocates unless a model says otherwise.
IPAM = "ipam"


class Refusal(NamedTuple):
    """Why something cannot be granted. ``field`` and ``value`` name what was wrong."""

    reason: str
    field: str
    value: str


class Segment(NamedTuple):
    """How a port of the network is realised on one host: see ``PortClaim``. ``vlan`` and ``vni`` are 0 for none."""

    vlan: int
    vni: int
    underlay_by: str
    overlay_by: str
    policy_by: str = ""


def no_rules(world: World, network: NetworkCreated) -> Refusal | None:
    """The ``check`` of a model whose networks need nothing of their own."""
    return None


def any_subnet(network: NetworkCreated, cidr: str) -> Refusal | None:
    """The ``check_subnet`` of a model whose networks take a subnet of any size."""
    return None


def moves_freely(port: PortRow, source: HostRow, target: HostRow) -> Refusal | None:
    """The ``may_move`` of a model whose ports can go to any host that carries them."""
    return None


class NetworkModel(NamedTuple):
    """One way to realise networks.

    ``segment`` answers how a claim on this host is realised, or why it cannot be; ``check`` whether a network of this
    model may be created, ``check_subnet`` whether with a subnet of this CIDR; ``may_move`` whether a port may drift
    from one host to another. ``host_kinds``: what it runs on. ``allocator`` is the worker that grants its ports,
    ``workers`` are those that it brings along.
    ``gateway_moves``: a network of it can be given another gateway.
    ``secondary_ips``: how many further addresses each port gets, from the pool of its first. ``reserved``: how many
    host addresses at the start of a subnet are never given out, besides the gateway. ``zoned``: a subnet is in one AZ.
    """

    name: str
    host_kinds: frozenset[str]
    segment: Callable[[World, Addresses, NetworkRow, HostRow], Segment | Refusal]
    check: Callable[[World, NetworkCreated], Refusal | None] = no_rules
    check_subnet: Callable[[NetworkCreated, str], Refusal | None] = any_subnet
    may_move: Callable[[PortRow, HostRow, HostRow], Refusal | None] = moves_freely
    allocator: str = IPAM
    secondary_ips: int = 0
    reserved: int = 0
    workers: tuple[Worker, ...] = ()
    gateway_moves: bool = False
    zoned: bool = False
