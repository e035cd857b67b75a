"""The EVPN routes of the fabric, made of what the leaves hold and of what they remember (RFC 7432, RFC 9135, RFC 9136).

- type 2, MAC/IP: each vNIC that is attached below a leaf, with its mobility sequence number; and the anycast gateway of
  each VNI, with the same MAC and IP on every leaf that carries the VNI (Default Gateway community, section 10.1);
- type 3, inclusive multicast: each VNI that a leaf carries, so that it is sent what is flooded there;
- type 5, IP prefix: each connected subnet of a VRF.

Every leaf has every route: the spines reflect them. A leaf that holds nothing originates nothing.
"""

import zlib
from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Literal

import msgspec

from workers.devices.simulated.attachment import Egress, egresses, newest, sequence
from workers.devices.simulated.fabric import Fabric, Place
from workers.devices.simulated.leaf import LeafDevice

#: The MAC of every anycast gateway, the same on all leaves: locally administered, so that no vNIC has it.
GATEWAY_MAC = "02:00:5e:00:00:01"
#: A VRF's route distinguisher has a number above all VLANs, which number the bridge domains.
_VRF_NUMBERS = range(4096, 65536)

RouteType = Literal[2, 3, 5]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route as ``leaf`` originates it. ``next_hop`` is its VTEP; ``ip`` an address (type 2) or a prefix (type 5).

    ``rd``: route distinguisher of type 1 (RFC 4364), VTEP and a number local to the leaf: the VLAN of a bridge domain.
    ``vni`` is 0 for type 5, which belongs to the VRF as a whole. ``port`` says whose MAC it is, for those who read it.
    ``flags``: gateway, superseded (another leaf pair has a higher sequence number), duplicate (frozen).
    """

    type: RouteType
    leaf: str
    rd: str
    vni: int
    vrf: str
    mac: str = ""
    ip: str = ""
    next_hop: str
    sequence: int = 0
    port: str = ""
    flags: tuple[str, ...] = ()


def routes(fabric: Fabric, leaf: str = "", route_type: int = 0, vni: int = 0) -> list[Route]:
    """The routes that ``leaf`` originates, or all leaves if it is empty; of one type or VNI unless these are 0.

    In the order of leaf, type, VNI, VRF, MAC and address. Raises ValueError for a leaf that is not cabled.
    """
    if leaf and leaf not in fabric.leaves:
        raise ValueError(f"leaf: {leaf} is no leaf of the fabric")
    devices = [fabric.leaf(name) for name in ([leaf] if leaf else fabric.leaves)]
    found = [route for device in devices for route in _of_leaf(device)]
    found += [route for route in _of_vnics(fabric) if leaf in ("", route.leaf)]
    wanted = [r for r in found if route_type in (0, r.type) and vni in (0, r.vni)]
    return sorted(wanted, key=lambda r: (r.leaf, r.type, r.vni, r.vrf, r.mac, r.ip, r.port))


def _of_leaf(leaf: LeafDevice) -> Iterator[Route]:
    """What the leaf says of itself: the VNIs that it carries, their gateways, and the subnets behind these."""
    vlans = {entry.vni: vlan for held in leaf.interfaces.values() for vlan, entry in held.items()}
    prefixes: dict[tuple[str, str], None] = {}
    for vni, carried in leaf.vnis.items():
        rd = f"{leaf.vtep}:{vlans[vni]}"
        yield Route(type=3, leaf=leaf.leaf, rd=rd, vni=vni, vrf=carried.vrf, next_hop=leaf.vtep)
        for gateway in carried.gateways:
            ip, _, _ = gateway.partition("/")
            prefixes[carried.vrf, str(IPv4Interface(gateway).network)] = None
            yield Route(
                type=2,
                leaf=leaf.leaf,
                rd=rd,
                vni=vni,
                vrf=carried.vrf,
                mac=GATEWAY_MAC,
                ip=ip,
                next_hop=leaf.vtep,
                flags=("gateway",),
            )
    for vrf, prefix in prefixes:
        rd = f"{leaf.vtep}:{_number_of(vrf)}"
        yield Route(type=5, leaf=leaf.leaf, rd=rd, vni=0, vrf=vrf, ip=prefix, next_hop=leaf.vtep)


def _of_vnics(fabric: Fabric) -> Iterator[Route]:
    hosts = [fabric.host(name) for name in fabric.hosts]
    found = [egress for host in hosts for port in host.vnics for egress in egresses(fabric, Place(host, port))]
    current = set(newest(fabric, found))
    for egress in found:
        yield _of_vnic(fabric, egress, () if egress in current else ("superseded",))


def _of_vnic(fabric: Fabric, egress: Egress, flags: tuple[str, ...]) -> Route:
    (_, port), leaf, vnic = egress.place, egress.uplink.leaf, egress.place.vnic
    station = fabric.mobility.get(*egress.mac_key)
    frozen = ("duplicate",) if station is not None and station.frozen_us else ()
    return Route(
        type=2,
        leaf=leaf.leaf,
        rd=f"{leaf.vtep}:{egress.vlan}",
        vni=egress.entry.vni,
        vrf=egress.entry.vrf,
        mac=vnic.mac,
        ip=vnic.ip,
        next_hop=leaf.vtep,
        sequence=sequence(fabric, egress),
        port=port,
        flags=flags + frozen,
    )


def _number_of(vrf: str) -> int:
    """The number of a VRF in route distinguishers: the same on every leaf, as an operator would configure it."""
    return _VRF_NUMBERS[zlib.crc32(vrf.encode()) % len(_VRF_NUMBERS)]
