"""The SDN fabric: VLAN to VNI at the leaf, over the spine, and back.

A packet goes br-int → trunk → leaf (VLAN to VNI) → spine → leaf → trunk → br-int. Within a subnet the ingress leaf
follows the MAC route (EVPN type 2, RFC 7432 section 7.2), between subnets the host route in the VRF of its anycast
gateway (symmetric IRB, RFC 9135). Among several routes to a MAC the highest mobility sequence number wins. The bond may
hash a packet to either leaf, so it must get through from both. Two instances on one VLAN of one host talk within br-int
and need no leaf. Bare metal hangs on its leaves directly: untagged frames, without br-int and trunk.
"""

from functools import lru_cache
from ipaddress import IPv4Address

from workers.devices.simulated.attachment import (
    Egress,
    Segment,
    StoppedError,
    carried,
    check_alone,
    check_not_frozen,
    egresses,
    explain,
    newest,
    on_bridge,
    on_segment,
    only_one,
    powered_first,
    sends_on,
    tag,
)
from workers.devices.simulated.backbone import between, leaked_into
from workers.devices.simulated.fabric import Fabric, Place, Uplink
from workers.devices.simulated.leaf import Entry
from workers.devices.simulated.walks.provider import Wanted, core_gateway, from_core
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
        self._fabric, self._source, self._dst_port, self._dst_ip = packet[:4]
        self.ways = packet.ways
        self._places = self._fabric.places_of_ip(packet.dst_ip)

    def send(self) -> Place:
        source, dst_ip = self._source, self._dst_ip
        vnic, host = source.vnic, source.host
        hops = [_nic(source)] if host.bare else [_nic(source), f"{host.host} br-int"]
        self.ways[0] += hops
        switched = _same_subnet(vnic.ip, dst_ip, vnic.prefix_length)
        if not host.bare and switched and on_bridge(self._places, host, tag(source)):
            return self._within_host(tag(source))
        ends = sends_on(self._fabric, source)
        self.ways.clear()
        for uplink, vlan in ends:
            self.ways.append(hops.copy() if host.bare else [*hops, f"{host.host} trunk vlan {vlan}"])
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
        self.ways[-1].append(_nic(place))
        return place

    def _through(self, uplink: Uplink, vlan: int, *, switched: bool) -> Place:
        """Out of the host by one end of its bond, into the leaf, and on from there."""
        hops, source, fabric = self.ways[-1], self._source, self._fabric
        entry = carried(uplink, vlan)
        hops.append(f"{uplink.leaf.leaf} {uplink.interface}")
        check_not_frozen(fabric, uplink, entry.vni, source.vnic.mac)
        check_alone(fabric, source, Segment(source.host, vlan, (entry.vni,)))
        if switched:
            egress = self._mac_route(uplink, entry)
        else:
            hops.append(_gateway(uplink, entry, source))
            core = self._by_core(uplink, entry)
            if core is not None:
                return core
            egress = self._host_route(uplink, entry)
        self._expect(egress.place)
        check_not_frozen(fabric, uplink, *egress.mac_key)
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
        return self._nearest(owners, ingress)

    def _by_core(self, ingress: Uplink, entry: Entry) -> Place | None:
        """Over the core router, if the address is in a provider network that it routes in the VRF; else None."""
        if any(e.entry.vrf == entry.vrf for place in self._places for e in egresses(self._fabric, place)):
            return None  # a host route is longer than the prefix that the router advertises
        found = core_gateway(self._fabric, entry.vrf, self._dst_ip)
        if found is None:
            return None
        router, gateway = found
        self.ways[-1].append(f"{router} vrf {entry.vrf}")
        wanted = Wanted(self._fabric, self._dst_ip, self._dst_port)
        return from_core(wanted, router, gateway, ingress, self.ways[-1])

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
        return self._nearest(owners, ingress)

    def _nearest(self, owners: list[Egress], ingress: Uplink) -> Egress:
        """The newest route to the MAC; a leaf prefers what is attached to itself, otherwise they are equal.

        Raises StoppedError for different owners.
        """
        current = newest(self._fabric, owners)
        only_one([owner.place for owner in current])
        return next((owner for owner in current if owner.uplink.leaf is ingress.leaf), current[0])

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
        host, uplink = egress.place.host, egress.uplink
        inside = [] if host.bare else [f"{host.host} trunk vlan {egress.vlan}", f"{host.host} br-int"]
        self.ways[-1] += [f"{uplink.leaf.leaf} {uplink.interface}", *inside, _nic(egress.place)]


def _gateway(uplink: Uplink, entry: Entry, source: Place) -> str:
    """The anycast gateway of the sender on the ingress leaf."""
    leaf, wanted = uplink.leaf, f"{source.vnic.gateway}/{source.vnic.prefix_length}"
    if wanted not in leaf.vnis[entry.vni].gateways:
        raise StoppedError(f"leaf {leaf.leaf}: VNI {entry.vni} has no gateway {wanted}")
    return f"{leaf.leaf} gateway {wanted} vrf {entry.vrf}"


def _nic(place: Place) -> str:
    """A vNIC of a server, or the NIC of a host of bare metal."""
    return f"{place.port}@{place.host.host} {'nic' if place.host.bare else 'vnic'}"


def _same_subnet(ip: str, other: str, prefix_length: int) -> bool:
    return (_number(ip) ^ _number(other)) >> (32 - prefix_length) == 0


@lru_cache(maxsize=1 << 17)
def _number(ip: str) -> int:
    return int(IPv4Address(ip))


WALK = Walk("evpn", takes, send, LAST)
