"""The oracle: does a packet from instance A reach instance B? Answered from what the devices hold, and nothing else.

A packet goes br-int → trunk → leaf (VLAN to VNI) → spine → leaf → trunk → br-int. Within a subnet the ingress leaf
follows the MAC route (EVPN type 2, RFC 7432 section 7.2), between subnets the host route in the VRF of its anycast
gateway (symmetric IRB, RFC 9135). The bond may hash a packet to either leaf, so it must get through from both. Two
instances on one VLAN of one host talk within br-int and need no leaf.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address

import msgspec

from workers.devices.simulated.attachment import (
    Egress,
    Segment,
    StoppedError,
    carried,
    check_alone,
    check_trunk,
    egresses,
    explain,
    on_bridge,
    on_segment,
    only_one,
    tag,
)
from workers.devices.simulated.fabric import Fabric, Place, Uplink
from workers.devices.simulated.leaf import Entry


class Path(msgspec.Struct, frozen=True):
    """The way of a packet. ``reason`` is the first thing that stopped it, naming the device; ``""`` if nothing did.

    ``ways``: the hops through each leaf of the sender's bond. If unreachable, the last way ends where it was stopped.
    """

    reachable: bool
    reason: str
    ways: tuple[tuple[str, ...], ...]

    @property
    def hops(self) -> tuple[str, ...]:
        """The first way that arrives, or the one that is stopped."""
        return self.ways[0 if self.reachable else -1]


def trace(fabric: Fabric, src_port: str, dst_port: str = "", *, dst_ip: str = "") -> Path:
    """Follow a packet one way, from ``src_port`` to ``dst_port``, or to whoever has ``dst_ip`` where it gets to.

    Ports are told apart by id, so the same address in two VRFs does no harm.
    Raises ValueError unless exactly one of ``dst_port`` and ``dst_ip`` is given, or if ``dst_ip`` is no IPv4 address.
    """
    if bool(dst_port) == bool(dst_ip):
        raise ValueError(f"dst_port, dst_ip: give one of them, not {dst_port!r} and {dst_ip!r}")
    try:
        _number(dst_ip or "0.0.0.0")
    except ValueError as error:
        raise ValueError(f"dst_ip: {error}") from error
    packet = _Packet(fabric, dst_port)
    try:
        packet.send(_source(fabric, src_port), dst_ip or _vnic_of(fabric, dst_port).vnic.ip)
    except StoppedError as stopped:
        return Path(False, str(stopped), tuple(map(tuple, packet.ways)))
    return Path(True, "", tuple(map(tuple, packet.ways)))


def ping(fabric: Fabric, port: str, other: str) -> Path:
    """There and back: the way of the request, or of the answer if that is the one that is stopped.

    Unlike ``trace`` it needs every piece of configuration of both ports, as each of their leaves may be the ingress.
    """
    there = trace(fabric, port, other)
    if not there.reachable:
        return there
    back = trace(fabric, other, port)
    return there if back.reachable else back


class _Packet:
    """A packet and the hops of each way that it may take. Methods raise StoppedError where it gets no further."""

    def __init__(self, fabric: Fabric, dst_port: str) -> None:
        self._fabric = fabric
        self._dst_port = dst_port
        self.ways: list[list[str]] = [[]]

    def send(self, source: Place, dst_ip: str) -> None:
        self._source, self._dst_ip = source, dst_ip
        self._places = self._fabric.places_of_ip(dst_ip)
        vnic, host = source.vnic, source.host
        hops = [f"{source.port}@{host.host} vnic", f"{host.host} br-int"]
        self.ways[0] += hops
        vlan = tag(source)
        switched = _same_subnet(vnic.ip, dst_ip, vnic.prefix_length)
        if switched and on_bridge(self._places, host, vlan):
            self._within_host(vlan)
            return
        check_trunk(source, vlan)
        hops.append(f"{host.host} trunk vlan {vlan}")
        self.ways = []
        for uplink in self._fabric.uplinks(host.host):
            self.ways.append(hops.copy())
            self._through(uplink, vlan, switched=switched)

    def _within_host(self, vlan: int) -> None:
        """br-int switches between two of its ports on one VLAN by itself."""
        source, fabric = self._source, self._fabric
        entries = [uplink.leaf.entry(uplink.interface, vlan) for uplink in fabric.uplinks(source.host.host)]
        segment = Segment(source.host, vlan, tuple(entry.vni for entry in entries if entry is not None))
        place = only_one(on_segment(fabric, self._places, segment))
        self._expect(place)
        check_alone(fabric, source, segment)
        check_alone(fabric, place, segment)
        self.ways[-1].append(f"{place.port}@{place.host.host} vnic")

    def _through(self, uplink: Uplink, vlan: int, *, switched: bool) -> None:
        """Out of the host by one end of its bond, into the leaf, and on from there."""
        hops, source, fabric = self.ways[-1], self._source, self._fabric
        entry = carried(uplink, vlan)
        hops.append(f"{uplink.leaf.leaf} {uplink.interface}")
        check_alone(fabric, source, Segment(source.host, vlan, (entry.vni,)))
        if switched:
            egress = self._mac_route(uplink, entry)
        else:
            hops.append(_gateway(uplink, entry, source))
            egress = self._host_route(uplink, entry)
        self._expect(egress.place)
        check_alone(fabric, egress.place, Segment(egress.place.host, egress.vlan, (egress.entry.vni,)))
        self._across(uplink, egress.uplink, f"vni {entry.vni}" if switched else f"vrf {entry.vrf}")
        self._down(egress)

    def _mac_route(self, ingress: Uplink, entry: Entry) -> Egress:
        """Where the MAC route in the VNI of the ingress interface leads."""
        owners = [e for place in self._places for e in egresses(self._fabric, place) if e.entry.vni == entry.vni]
        if not owners:
            self._explain(vni=entry.vni)
            raise StoppedError(f"leaf {ingress.leaf.leaf}: no MAC route to {self._dst_ip} in VNI {entry.vni}")
        return _nearest(owners, ingress)

    def _host_route(self, ingress: Uplink, entry: Entry) -> Egress:
        """Where the host route in the VRF of the ingress interface's VNI leads."""
        owners = [e for place in self._places for e in egresses(self._fabric, place) if e.entry.vrf == entry.vrf]
        if not owners:
            self._explain(vrf=entry.vrf)
            raise StoppedError(f"leaf {ingress.leaf.leaf}: no host route to {self._dst_ip} in VRF {entry.vrf}")
        return _nearest(owners, ingress)

    def _explain(self, *, vni: int = 0, vrf: str = "") -> None:
        """Say what keeps the wanted vNIC from being found, if it is clear which is wanted."""
        wanted = _powered_first([place for place in self._places if self._dst_port in ("", place.port)])
        if wanted and (self._dst_port or len(wanted) == 1):
            explain(self._fabric, wanted[0], vni=vni, vrf=vrf)

    def _expect(self, place: Place) -> None:
        if self._dst_port not in ("", place.port):
            where = f"port {place.port} at host {place.host.host}"
            raise StoppedError(f"IP {self._dst_ip} leads to {where}, not to port {self._dst_port}")

    def _across(self, ingress: Uplink, egress: Uplink, scope: str) -> None:
        """From leaf to leaf over a spine; nothing to do if it is one and the same."""
        near, far = ingress.leaf, egress.leaf
        if near is far:
            return
        for leaf in (near, far):
            if not leaf.vtep:
                raise StoppedError(f"leaf {leaf.leaf}: no VTEP")
        self.ways[-1] += [f"{near.leaf} vtep {near.vtep} {scope}", "spine", f"{far.leaf} vtep {far.vtep} {scope}"]

    def _down(self, egress: Egress) -> None:
        """From the egress leaf into the instance. All of it is in place, or the leaf would not advertise it."""
        (host, port), uplink = egress.place, egress.uplink
        self.ways[-1] += [
            f"{uplink.leaf.leaf} {uplink.interface}",
            f"{host.host} trunk vlan {egress.vlan}",
            f"{host.host} br-int",
            f"{port}@{host.host} vnic",
        ]


def _source(fabric: Fabric, port: str) -> Place:
    """Where ``port`` sends from: if it has several vNICs, one that a leaf hears."""
    first = _vnic_of(fabric, port)
    heard = (place for place in fabric.places_of_port(port) if any(egresses(fabric, place)))
    return next(heard, first)


def _vnic_of(fabric: Fabric, port: str) -> Place:
    places = fabric.places_of_port(port)
    if places:
        return _powered_first(places)[0]
    wired = fabric.flow_locations(port)
    if wired:
        raise StoppedError(f"host {wired[0]}: br-int has flows of port {port}, and no vNIC")
    raise StoppedError(f"port {port}: no host has a vNIC of it")


def _powered_first(places: Sequence[Place]) -> Sequence[Place]:
    """A host without power tells less about what is wrong than the one that the port has moved to."""
    return sorted(places, key=lambda place: not place.host.powered)


def _gateway(uplink: Uplink, entry: Entry, source: Place) -> str:
    """The anycast gateway of the sender on the ingress leaf."""
    leaf, wanted = uplink.leaf, f"{source.vnic.gateway}/{source.vnic.prefix_length}"
    if wanted not in leaf.vnis[entry.vni].gateways:
        raise StoppedError(f"leaf {leaf.leaf}: VNI {entry.vni} has no gateway {wanted}")
    return f"{leaf.leaf} gateway {wanted} vrf {entry.vrf}"


def _nearest(owners: list[Egress], ingress: Uplink) -> Egress:
    """A leaf prefers what is attached to itself; other routes are equal. Raises StoppedError for different owners."""
    only_one([owner.place for owner in owners])
    return next((owner for owner in owners if owner.uplink.leaf is ingress.leaf), owners[0])


def _same_subnet(ip: str, other: str, prefix_length: int) -> bool:
    return (_number(ip) ^ _number(other)) >> (32 - prefix_length) == 0


@lru_cache(maxsize=1 << 17)
def _number(ip: str) -> int:
    return int(IPv4Address(ip))
