"""What the devices of a fabric know about where a vNIC is: on a bridge's VLAN, and below which leaf interfaces.

A vNIC is attached to a leaf when its host has power, br-int tags its frames, the trunk carries the VLAN and the leaf's
interface maps that to a VNI. On bare metal it sends untagged frames, on the access VLAN of the leaf's interface. The
leaf then advertises its MAC and its host route (EVPN type 2, RFC 7432 section 7.2).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from workers.devices.simulated.fabric import Fabric, Place, Uplink
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.leaf import Entry
from workers.devices.simulated.mobility import MacKey, attached, pair_of


class StoppedError(Exception):
    """A packet is stopped here; the text is the reason and names the device."""


class Egress(NamedTuple):
    """A leaf interface below which a vNIC is attached, and the type 2 route that the leaf advertises for it."""

    place: Place
    uplink: Uplink
    vlan: int
    entry: Entry

    @property
    def mac_key(self) -> MacKey:
        """What the leaves remember the vNIC by."""
        return self.entry.vni, self.place.vnic.mac


class Segment(NamedTuple):
    """A layer 2 segment as one host sees it: a VLAN of its bridge and what leaves map that to."""

    host: HostDevice
    vlan: int
    vnis: tuple[int, ...]


def egresses(fabric: Fabric, place: Place) -> Iterator[Egress]:
    """The leaf interfaces below which the vNIC at ``place`` is attached."""
    for uplink, vlan, entry in attached(fabric.uplinks(place.host.host), place.host, place.port):
        yield Egress(place, uplink, vlan, entry)


def is_heard(fabric: Fabric, place: Place) -> bool:
    """Whether a leaf takes in what the vNIC at ``place`` sends: mapped to a VNI, or on its trunk as it is."""
    vlan = _vlan(place)
    return vlan in place.host.trunk and any(
        uplink.interface not in uplink.leaf.trunk.shut
        and (vlan in uplink.leaf.trunk.vlans or uplink.leaf.entry(uplink.interface, vlan) is not None)
        for uplink in fabric.uplinks(place.host.host)
    )


def tag(place: Place) -> int:
    """The VLAN that br-int gives to the vNIC's frames. Raises StoppedError if it drops them."""
    host, port = place
    if not host.powered:
        raise StoppedError(f"host {host.host}: no power")
    flow, vnic = host.flows.get(port), place.vnic
    if flow is None:
        raise StoppedError(f"host {host.host}: no flows of port {port} on br-int")
    if flow.mac != vnic.mac:
        raise StoppedError(f"host {host.host}: the flows of port {port} are for MAC {flow.mac}, not {vnic.mac}")
    if flow.generation != vnic.generation:
        was = f"generation {flow.generation}, not {vnic.generation}"
        raise StoppedError(f"host {host.host}: the flows of port {port} are for {was}")
    return flow.vlan


def sends_on(fabric: Fabric, place: Place) -> list[tuple[Uplink, int]]:
    """The ends of the host's bond, and the VLAN that each leaf takes the vNIC's frames for; 0 where it takes none.

    Raises StoppedError if they do not leave the host.
    """
    uplinks = fabric.uplinks(place.host.host)
    if place.host.bare:
        if not place.host.powered:
            raise StoppedError(f"host {place.host.host}: no power")
        return [(uplink, uplink.leaf.access_vlan(uplink.interface)) for uplink in uplinks]
    vlan = tag(place)
    check_trunk(place, vlan)
    return [(uplink, vlan) for uplink in uplinks]


def check_trunk(place: Place, vlan: int) -> None:
    """Raises StoppedError if the trunk of the vNIC's host does not carry ``vlan``."""
    if vlan not in place.host.trunk:
        raise StoppedError(f"host {place.host.host}: the trunk does not carry VLAN {vlan}")


def carried(uplink: Uplink, vlan: int) -> Entry:
    """What the leaf interface maps ``vlan`` to. Raises StoppedError if it does not carry it."""
    check_open(uplink)
    if not vlan:
        count = len(uplink.leaf.interfaces.get(uplink.interface, {}))
        raise StoppedError(f"leaf {uplink.leaf.leaf}: {uplink.interface} has no access VLAN, it carries {count} VLANs")
    entry = uplink.leaf.entry(uplink.interface, vlan)
    if entry is None:
        raise StoppedError(f"leaf {uplink.leaf.leaf}: {uplink.interface} does not carry VLAN {vlan}")
    return entry


def check_open(uplink: Uplink) -> None:
    """Raises StoppedError if the leaf interface is shut."""
    if uplink.interface in uplink.leaf.trunk.shut:
        raise StoppedError(f"leaf {uplink.leaf.leaf}: {uplink.interface} is shut")


def explain(fabric: Fabric, place: Place, *, vni: int = 0, vrf: str = "") -> None:
    """Raises StoppedError with the first reason why no leaf advertises the vNIC in ``vni`` or in ``vrf``."""
    for uplink, vlan in sends_on(fabric, place):
        entry = carried(uplink, vlan)
        leaf = uplink.leaf.leaf
        if vni and entry.vni != vni:
            raise StoppedError(f"leaf {leaf}: {uplink.interface} maps VLAN {vlan} to VNI {entry.vni}, not {vni}")
        if vrf and entry.vrf != vrf:
            raise StoppedError(f"leaf {leaf}: VNI {entry.vni} is in VRF {entry.vrf}, not {vrf}")


def on_bridge(places: Iterable[Place], host: HostDevice, vlan: int) -> list[Place]:
    """Those of ``places`` that ``host`` switches to by itself: on its bridge, tagged with ``vlan``."""
    return [place for place in places if place.host is host and _vlan(place) == vlan]


def check_alone(fabric: Fabric, place: Place, segment: Segment) -> None:
    """Raises StoppedError if the MAC of the vNIC is at another place of the segment as well."""
    places = fabric.places_of_mac(place.vnic.mac)
    if len(places) > 1:
        only_one([place, *on_segment(fabric, places, segment)])


def on_segment(fabric: Fabric, places: Iterable[Place], segment: Segment) -> list[Place]:
    """Those of ``places`` that share the segment, within the host or over the leaves."""
    places = list(places)
    heard = [e for place in places for e in egresses(fabric, place) if e.entry.vni in segment.vnis]
    return on_bridge(places, segment.host, segment.vlan) + [egress.place for egress in newest(fabric, heard)]


def newest(fabric: Fabric, found: Iterable[Egress]) -> list[Egress]:
    """Of routes to a MAC those with its highest sequence number (RFC 7432, section 15); equal ones are all kept."""
    known = [(egress, sequence(fabric, egress)) for egress in found]
    highest: dict[MacKey, int] = {}
    for egress, number in known:
        highest[egress.mac_key] = max(number, highest.get(egress.mac_key, 0))
    return [egress for egress, number in known if highest[egress.mac_key] == number]


def sequence(fabric: Fabric, egress: Egress) -> int:
    """The sequence number of the route that the leaf advertises."""
    pair = pair_of(fabric.uplinks(egress.place.host.host))
    return fabric.mobility.sequence(*egress.mac_key, pair)


def heard_last(fabric: Fabric, places: Iterable[Place]) -> Place | None:
    """Of ``places``, one that a leaf hears: that with the highest sequence number. None if no leaf hears any."""
    heard = [egress for place in places for egress in egresses(fabric, place)]
    return max(heard, key=lambda egress: sequence(fabric, egress)).place if heard else None


def check_not_frozen(fabric: Fabric, uplink: Uplink, vni: int, mac: str) -> None:
    """Raises StoppedError if ``mac`` is frozen as a duplicate: the leaves drop its frames (RFC 7432, section 15.1)."""
    station = fabric.mobility.get(vni, mac)
    if station is not None and station.frozen_us:
        where = " and ".join(sorted(pair.replace(" ", "/") for pair in station.sequences))
        raise StoppedError(
            f"leaf {uplink.leaf.leaf}: MAC {mac} in VNI {vni} is frozen as a duplicate: it moved "
            f"{len(station.moved_us)} times within {fabric.mobility.rule.window_us // 1_000_000} s, between {where}"
        )


def only_one(places: Sequence[Place]) -> Place:
    """The one place that all of ``places``, which share an address, are. Raises StoppedError if there are several."""
    first = places[0]
    if all(place == first for place in places):
        return first
    macs = {place.vnic.mac for place in places}
    shared = f"MAC {first.vnic.mac}" if len(macs) == 1 else f"IP {first.vnic.ip}"
    where = " and ".join(sorted({f"{place.host.host} (port {place.port})" for place in places}))
    raise StoppedError(f"{shared} is ambiguous: attached at {where}")


def powered_first(places: Sequence[Place]) -> Sequence[Place]:
    """A host without power tells less about what is wrong than the one that the port has moved to."""
    return sorted(places, key=lambda place: not place.host.powered)


def _vlan(place: Place) -> int:
    """As ``tag``; 0 if br-int drops the vNIC's frames."""
    flow, vnic = place.host.flows.get(place.port), place.vnic
    if flow is None or not place.host.powered:
        return 0
    return flow.vlan if (flow.mac, flow.generation) == (vnic.mac, vnic.generation) else 0
