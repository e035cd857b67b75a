"""A small fabric and the effects that wire ports to it: what the tests of the modelled devices share."""

from typing import NamedTuple

from workers.devices.simulated.fabric import Cable, CableHost, CableLeaf, Fabric
from workers.effects import (
    AnyEffect,
    AuditHost,
    AuditLeaf,
    FlowWish,
    InstallFlows,
    LeafVlan,
    PlugVnic,
    RemoveFlows,
    ResyncFlows,
    ResyncHost,
    UnplugVnic,
    WishedEntry,
)

CABLES: tuple[Cable, ...] = (
    *(CableLeaf(f"l{n}", f"10.255.0.{n}") for n in (1, 2, 3, 4)),
    CableHost("h1", "l1", "l2", "Ethernet1"),
    CableHost("h2", "l1", "l2", "Ethernet2"),
    CableHost("h3", "l3", "l4", "Ethernet1"),
    CableHost("h4", "l3", "l4", "Ethernet2"),
)
HOSTS = {cable.host: cable for cable in CABLES if isinstance(cable, CableHost)}


class Net(NamedTuple):
    """A network with one /24; every host tags it with ``vlan``."""

    vlan: int
    vni: int
    vrf: str
    prefix: str

    @property
    def gateway(self) -> str:
        return f"{self.prefix}.1"


RED_1 = Net(11, 5011, "red", "10.0.1")
RED_2 = Net(12, 5012, "red", "10.0.2")
BLUE = Net(13, 5013, "blue", "10.0.1")  # the same addresses as RED_1


class Port(NamedTuple):
    """A port of a network on a host; ``last`` is the last byte of its address."""

    port: str
    host: str
    net: Net
    last: int

    @property
    def ip(self) -> str:
        return f"{self.net.prefix}.{self.last}"

    @property
    def mac(self) -> str:
        return f"fa:16:3e:00:{self.net.vlan:02x}:{self.last:02x}"

    @property
    def leaves(self) -> tuple[str, str]:
        cable = HOSTS[self.host]
        return cable.leaf_a, cable.leaf_b


def cabled() -> Fabric:
    fabric = Fabric()
    for cable in CABLES:
        fabric.cable(cable)
    return fabric


def plug(port: Port, generation: int = 1) -> PlugVnic:
    return PlugVnic(
        device=port.host,
        port=port.port,
        az="az1",
        generation=generation,
        mac=port.mac,
        ip=port.ip,
        prefix_length=24,
        gateway=port.net.gateway,
    )


def unplug(port: Port, generation: int = 1) -> UnplugVnic:
    return UnplugVnic(device=port.host, port=port.port, az="az1", generation=generation)


def flows(port: Port, generation: int = 1, cookie: int = 0) -> InstallFlows:
    return InstallFlows(
        device=port.host,
        port=port.port,
        az="az1",
        generation=generation,
        mac=port.mac,
        vlan=port.net.vlan,
        cookie=cookie,
    )


def no_flows(port: Port, generation: int = 1) -> RemoveFlows:
    return RemoveFlows(device=port.host, port=port.port, az="az1", generation=generation)


def leaf_vlan(leaf: str, interface: str, net: Net, epoch: int = 1, *, present: bool = True) -> LeafVlan:
    return LeafVlan(
        device=leaf,
        az="az1",
        interface=interface,
        vlan=net.vlan,
        vni=net.vni,
        vrf=net.vrf,
        gateway=f"{net.gateway}/24",
        epoch=epoch,
        present=present,
    )


def wish(port: Port, generation: int = 1) -> FlowWish:
    return FlowWish(generation, port.mac, port.net.vlan)


def resync_host(host: str, epoch: int, keep: dict[str, int]) -> ResyncHost:
    return ResyncHost(device=host, az="az1", epoch=epoch, keep=keep)


def resync_flows(host: str, epoch: int, wishes: dict[str, FlowWish]) -> ResyncFlows:
    return ResyncFlows(device=host, az="az1", epoch=epoch, flows=wishes)


def audit_host(host: str, vnics: dict[str, int], wishes: dict[str, FlowWish]) -> AuditHost:
    return AuditHost(device=host, az="az1", epoch=1, vnics=vnics, flows=wishes)


def audit_leaf(leaf: str, *entries: WishedEntry) -> AuditLeaf:
    return AuditLeaf(device=leaf, az="az1", epoch=1, entries=entries)


def wiring(port: Port, epoch: int = 1) -> list[AnyEffect]:
    """All that it takes to wire ``port``."""
    interface = HOSTS[port.host].interface
    return [plug(port), flows(port), *(leaf_vlan(leaf, interface, port.net, epoch) for leaf in port.leaves)]


def unwiring(port: Port, epoch: int = 2) -> list[AnyEffect]:
    """The way back of ``wiring``, as if no other port needed the leaves."""
    interface = HOSTS[port.host].interface
    return [
        unplug(port),
        no_flows(port),
        *(leaf_vlan(leaf, interface, port.net, epoch, present=False) for leaf in port.leaves),
    ]


def wired(*ports: Port) -> Fabric:
    """A fabric with ``ports`` on it, all healthy."""
    fabric = cabled()
    for port in ports:
        for effect in wiring(port):
            assert fabric.apply(effect) == ""
    return fabric
