"""The provider network (2013, Figures 3 to 6): a VLAN that is the same everywhere, a gateway on the core router.

The OVS agent makes the underlay. There is no overlay: every leaf trunks the VLAN, whoever is bound where. A port that
drifts keeps its address, and its VLAN too.
"""

from bus.events import OVS_AGENT, NetworkCreated
from projections.addresses import Addresses
from projections.world import HostRow, NetworkRow, World
from workers import core_router
from workers.models.model import NetworkModel, Refusal, Segment


def segment(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """The network's own VLAN. A leaf pair where a VNI has it carries no port of the network."""
    if host.physical_network in addresses.pairs_with(network.vlan):
        where = f"{network.vlan} on {host.physical_network}"
        return Refusal("the VLAN of the network stands for a VNI on the leaf pair", "vlan", where)
    return Segment(network.vlan, 0, OVS_AGENT, "")


def check(world: World, network: NetworkCreated) -> Refusal | None:
    """It needs a VLAN, and a core router for its gateway; it has no VNI."""
    if not network.vlan:
        return Refusal("a network of this model needs a VLAN", "vlan", str(network.vlan))
    if network.vni:
        return Refusal("a network of this model has no VNI", "vni", str(network.vni))
    if not world.router:
        return Refusal("there is no core router to hold its gateway", "model", network.model)
    return None


MODEL = NetworkModel(
    name="vlan",
    host_kinds=frozenset({"server"}),
    segment=segment,
    check=check,
    gateway_moves=True,
    workers=(core_router.WORKER,),
)
