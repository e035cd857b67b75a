"""The SDN fabric: VLAN to VNI at the leaf, over the spine, and back.

A packet goes br-int → trunk → leaf (VLAN to VNI) → spine → leaf → trunk → br-int. Within a subnet the ingress leaf
follows the MAC route (EVPN type 2, RFC 7432 section 7.2), between subnets the host route in the VRF of its anycast
gateway (symmetric IRB, RFC 9135). The bond may hash a packet to either leaf, so it must get through from both. Two
instances on one VLAN of one host talk within br-int and need no leaf.
"""

from functools import lru_cache
from ipaddress import IPv4Address

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
    powered_first,
    tag,
)
from workers.devices.simulated.backbone import between, leaked_into
from workers.devices.simulated.fabric import Fabric, Place, Uplink
from workers.devices.simulated.leaf import Entry
from workers.devices.simulated.walks.walk import LAST, Packet, Walk


def takes(fabric: Fabric, place: Place) -> bool:
    """Whatever no other walk takes."""
    return True


def send(packet: Packet) -> Place:
    """Follow the packet. Raises StoppedError."""
    return _Walker(packet).send()


class _Walker:
    """One packet. Methods raise StoppedError where it gets no further."""

    def __init__(self, packet: Packet) -> None:
        self._fabric, self._source, self._dst_port, self._dst_ip, self.ways = packet
        self._places = self._fabric.places_of_ip(packet.dst_ip)

    def send(self) -> Place:
        source, dst_ip = self._source, self._dst_ip
        vnic, host = source.vnic, source.host
        hops = [f"{source.port}@{host.host} vnic", f"{host.host} br-int"]
        self.ways[0] += hops
        vlan = tag(source)
        switched = _same_subnet(vnic.ip, dst_ip, vnic.prefix_length)
        if switched and on_bridge(self._places, host, vlan):
            return self._within_host(vlan)
        check_trunk(source, vlan)
        hops.append(f"{host.host} trunk vlan {vlan}")
        self.ways.clear()
        for uplink in self._fabric.uplinks(host.host):
            self.ways.append(hops.copy())
            target = self._through(uplink, vlan, switched=switched)
        return target

    def _within_host(self, vlan: int) -> Place:
        """br-int switches between two of its ports on one VLAN by itself."""
        source, fabric = self._source, self._fabric
        entries = [uplink.leaf.entry(uplink.interface, vlan) for uplink in fabric.uplinks(source.host.host)]
        segment = Segment(source.host, vlan, tuple(entry.vni for entry in entries if entry is not None))
        place = only_one(on_segment(fabric, self._places, segment))
        self._expect(place)
        check_alone(fabric, source, segment)
        check_alone(fabric, place, segment)
        self.ways[-1].append(f"{place.port}@{place.host.host} vnic")
        return place

    def _through(self, uplink: Uplink, vlan: int, *, switched: bool) -> Place:
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
        self._across(uplink, egress.uplink, f"vni {entry.vni}" if switched else f"vrf {egress.entry.vrf}")
        self._down(egress)
        return egress.place

    def _mac_route(self, ingress: Uplink, entry: Entry) -> Egress:
        """Where the MAC route in the VNI of the ingress interface leads."""
        owners = [e for place in self._places for e in egresses(self._fabric, place) if e.entry.vni == entry.vni]
        if not owners:
            self._explain(vni=entry.vni)
            raise StoppedError(f"leaf {ingress.leaf.leaf}: no MAC route to {self._dst_ip} in VNI {entry.vni}")
        return _nearest(owners, ingress)

    def _host_route(self, ingress: Uplink, entry: Entry) -> Egress:
        """Where the host route in the VRF of the ingress interface's VNI leads."""
        routes = [e for place in self._places for e in egresses(self._fabric, place)]
        owners = [e for e in routes if e.entry.vrf == entry.vrf]
        if not owners:
            leaked = leaked_into(self._fabric, ingress.leaf, entry.vrf)
            owners = [e for e in routes if e.entry.vrf in leaked]
            if owners:
                self.ways[-1].append(f"border of {ingress.leaf.az}: vrf {entry.vrf} to vrf {owners[0].entry.vrf}")
        if not owners:
            self._explain(vrf=entry.vrf)
            raise StoppedError(f"leaf {ingress.leaf.leaf}: no host route to {self._dst_ip} in VRF {entry.vrf}")
        return _nearest(owners, ingress)

    def _explain(self, *, vni: int = 0, vrf: str = "") -> None:
        """Say what keeps the wanted vNIC from being found, if it is clear which is wanted."""
        wanted = powered_first([place for place in self._places if self._dst_port in ("", place.port)])
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
        beyond = between(self._fabric, near, far)
        first, last = f"{near.leaf} vtep {near.vtep} {scope}", f"{far.leaf} vtep {far.vtep} {scope}"
        self.ways[-1] += [first, "spine", *beyond, *(["spine"] if beyond else []), last]

    def _down(self, egress: Egress) -> None:
        """From the egress leaf into the instance. All of it is in place, or the leaf would not advertise it."""
        (host, port), uplink = egress.place, egress.uplink
        self.ways[-1] += [
            f"{uplink.leaf.leaf} {uplink.interface}",
            f"{host.host} trunk vlan {egress.vlan}",
            f"{host.host} br-int",
            f"{port}@{host.host} vnic",
        ]


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


WALK = Walk("evpn", takes, send, LAST)
