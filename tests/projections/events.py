"""Events of one port, with what does not matter filled in."""

from typing import TypedDict

from bus.events import (
    HostAdded,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortDeleted,
    PortOverlayReported,
    PortUnbound,
    PortUnderlayReported,
    Status,
    SubnetCreated,
    VpcCreated,
)

HOST = HostAdded(host="h1", az="az1", leaf_a="leaf1", leaf_b="leaf2", interface="eth1")
TENANCY = (
    VpcCreated(vpc="vpc1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
    NetworkCreated(network="net1", vpc="vpc1", vni=5001),
)
SUBNET = SubnetCreated(subnet="s1", network="net1", cidr="10.0.0.0/29", gateway="10.0.0.1")


class Claim(TypedDict):
    """The fields that every report has."""

    port: str
    az: str
    host: str
    generation: int


def claim(port: str = "p1", host: str = "h1", generation: int = 1) -> Claim:
    """A claim of ``port``, by default the current one."""
    return {"port": port, "az": "az1", "host": host, "generation": generation}


def allocated(
    port: str = "p1",
    ip: str = "10.0.0.2",
    *,
    generation: int = 1,
    host: str = "h1",
    vlan: int = 100,
    vni: int = 5001,
    pair: str = "leaf1-leaf2",
) -> PortAllocated:
    """``port`` as IPAM commits it."""
    return PortAllocated(
        **claim(port, host, generation),
        name=f"n-{port}",
        instance=f"i-{port}",
        network="net1",
        subnet="s1",
        vpc="vpc1",
        vrf="vrf1",
        ip=ip,
        prefix_length=29,
        gateway="10.0.0.1",
        mac="fa:16:0a:00:00:02",
        physical_network=pair,
        vlan=vlan,
        vni=vni,
    )


def deleted(of: PortAllocated) -> PortDeleted:
    """The end of an allocated port."""
    return PortDeleted(
        port=of.port,
        az=of.az,
        host=of.host,
        instance=of.instance,
        subnet=of.subnet,
        ip=of.ip,
        physical_network=of.physical_network,
        vni=of.vni,
    )


def bound(port: str = "p1", host: str = "h1", generation: int = 1, vlan: int = 100) -> PortBound:
    return PortBound(**claim(port, host, generation), vlan=vlan, vni=5001)


def unbound(port: str = "p1", host: str = "h1", generation: int = 1, vlan: int = 100) -> PortUnbound:
    return PortUnbound(**claim(port, host, generation), vlan=vlan, vni=5001)


def underlay(
    status: Status = "ACTIVE", port: str = "p1", host: str = "h1", generation: int = 1, reason: str = ""
) -> PortUnderlayReported:
    return PortUnderlayReported(**claim(port, host, generation), status=status, detected_us=1, reason=reason)


def overlay(
    status: Status = "ACTIVE", port: str = "p1", host: str = "h1", generation: int = 1, reason: str = ""
) -> PortOverlayReported:
    return PortOverlayReported(**claim(port, host, generation), status=status, configured_us=2, reason=reason)
