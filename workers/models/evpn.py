"""The SDN fabric (2016, Figures 7 to 10): a VLAN that is local to the leaf pair, a VNI that is global.

The OVS agent makes the underlay, CNC the overlay. Bare metal has neither agent nor OVS: its leaves alone carry it.
"""

from bus.events import CNC, OVS_AGENT, NetworkCreated
from projections.addresses import Addresses
from projections.port_rows import PortRow
from projections.world import HostRow, NetworkRow, World
from workers.models.model import BARE_METAL, NetworkModel, Refusal, Segment


def segment(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """The VLAN of the network's VNI on the host's leaf pair, the lowest free one if it has none there yet."""
    vlan = addresses.vlan_for(host.physical_network, network.vni)
    if vlan is None:
        return Refusal("no VLAN is left on the leaf pair", "host", f"{host.host} ({host.physical_network})")
    return Segment(vlan, network.vni, "" if host.kind == BARE_METAL else OVS_AGENT, CNC)


def check(world: World, network: NetworkCreated) -> Refusal | None:
    """It needs a VNI, and has no VLAN of its own."""
    if not network.vni:
        return Refusal("a network of this model needs a VNI", "vni", str(network.vni))
    if network.vlan:
        return Refusal("the VLANs of this model are local to the leaf pairs", "vlan", str(network.vlan))
    return None


def may_move(port: PortRow, source: HostRow, target: HostRow) -> Refusal | None:
    """An instance on bare metal is its host: it goes nowhere, and none comes."""
    for host in (source, target):
        if host.kind == BARE_METAL:
            return Refusal("a host of bare metal takes part in no drift", "host", f"{host.host} ({host.kind})")
    return None


MODEL = NetworkModel(
    name="evpn", host_kinds=frozenset({"server", BARE_METAL}), segment=segment, check=check, may_move=may_move
)
