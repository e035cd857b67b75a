"""Pods with addresses of their host's block (cloud-native, 2019): routed from the host on.

The host is the gateway of its blocks. In VXLAN mode it has a tunnel to each other host's block; in BGP mode it sends to
either leaf, and a leaf knows a block if the host announces it and the leaf accepts it from that host. What a host
announces beyond that no leaf learns.
"""

from ipaddress import IPv4Address, IPv4Network

from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.blocks import BlockEntry
from workers.devices.simulated.fabric import Fabric, Place
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.walks.walk import Packet, Walk


def takes(fabric: Fabric, place: Place) -> bool:
    """Whether the vNIC's address is of a block that its host has for its own."""
    return bool(_containing(place.host.blocks.own(), place.vnic.ip))


def send(packet: Packet) -> Place:
    """Follow the packet. Raises StoppedError."""
    source, dst_ip, ways = packet.source, packet.dst_ip, packet.ways
    host = source.host
    if not host.powered:
        raise StoppedError(f"host {host.host}: no power")
    cidr, own = _containing(host.blocks.own(), source.vnic.ip)[0]
    if source.vnic.gateway != own.gateway:
        raise StoppedError(f"host {host.host}: block {cidr} has the gateway {own.gateway}, not {source.vnic.gateway}")
    ways[0] += [f"{source.port}@{host.host} vnic", f"{host.host} gateway {own.gateway} vrf {own.vrf}"]
    here = _containing(host.blocks.own(), dst_ip)
    if here and here[0][1].vrf == own.vrf:
        return _arrive(packet, host, dst_ip, ways[0])
    return _by_bgp(packet, own, cidr) if own.kind == "own-bgp" else _by_tunnel(packet, own)


def learnt(fabric: Fabric) -> dict[str, dict[str, str]]:
    """By leaf: the prefixes that it learns from its hosts, and from which. What it does not accept is not there."""
    routes: dict[str, dict[str, str]] = {leaf: {} for leaf in fabric.leaves}
    for leaf, cidr, host, accepted in _announcements(fabric):
        if accepted:
            routes[leaf][cidr] = host
    return routes


def refused(fabric: Fabric) -> dict[str, dict[str, str]]:
    """By leaf: the prefixes that a host announces and the leaf does not accept from it."""
    routes: dict[str, dict[str, str]] = {}
    for leaf, cidr, host, accepted in _announcements(fabric):
        if not accepted:
            routes.setdefault(leaf, {})[cidr] = host
    return routes


def _announcements(fabric: Fabric) -> list[tuple[str, str, str, bool]]:
    """(leaf, prefix, announcing host, whether the leaf accepts it)."""
    found: list[tuple[str, str, str, bool]] = []
    for name in fabric.hosts:
        host = fabric.host(name)
        announced = [cidr for cidr, entry in host.blocks.own().items() if entry.kind == "own-bgp" and host.powered]
        for uplink in fabric.uplinks(name) if announced else ():
            accepts = uplink.leaf.blocks.entries
            accepted = {cidr for cidr in announced if cidr in accepts and accepts[cidr].host == name}
            found += [(uplink.leaf.leaf, cidr, name, cidr in accepted) for cidr in announced]
    return found


def _by_tunnel(packet: Packet, own: BlockEntry) -> Place:
    fabric, source, _, dst_ip, ways, _ = packet
    host = source.host
    tunnels = {cidr: entry for cidr, entry in host.blocks.entries.items() if entry.kind == "tunnel"}
    found = [(cidr, entry) for cidr, entry in _containing(tunnels, dst_ip) if entry.vrf == own.vrf]
    if not found:
        raise StoppedError(f"host {host.host}: no tunnel to {dst_ip} in VRF {own.vrf}")
    cidr, entry = found[0]
    target = fabric.host(entry.host)
    near, far = fabric.uplinks(host.host), fabric.uplinks(target.host)
    first = ways[0].copy()
    ways.clear()
    for one, other in zip(near, far, strict=True):
        across = [one.leaf.leaf] if one.leaf is other.leaf else [one.leaf.leaf, "spine", other.leaf.leaf]
        ways.append([*first, f"{host.host} vtep to {target.host} for {cidr}", *across, f"{target.host} vtep"])
        place = _arrive(packet, target, dst_ip, ways[-1])
    return place


def _by_bgp(packet: Packet, own: BlockEntry, own_cidr: str) -> Place:
    fabric, source, _, dst_ip, ways, _ = packet
    first = ways[0].copy()
    ways.clear()
    routes = learnt(fabric)
    for uplink in fabric.uplinks(source.host.host):
        leaf = uplink.leaf
        ways.append([*first, f"{leaf.leaf} {uplink.interface}"])
        if own_cidr not in routes[leaf.leaf]:  # nothing would come back
            raise StoppedError(f"leaf {leaf.leaf}: {own_cidr} of host {source.host.host} is not accepted")
        target, egress, cidr = _route(fabric, routes, leaf.leaf, own, dst_ip)
        if egress != leaf.leaf:
            ways[-1] += ["spine", egress]
        ways[-1].append(f"{egress} route {cidr} via {target.host}")
        place = _arrive(packet, target, dst_ip, ways[-1])
    return place


def _route(
    fabric: Fabric, routes: dict[str, dict[str, str]], leaf: str, own: BlockEntry, dst_ip: str
) -> tuple[HostDevice, str, str]:
    """Where the route to ``dst_ip`` leads: of the leaf itself, or of another that has re-announced it."""
    for egress in (leaf, *(name for name in fabric.leaves if name != leaf)):
        for cidr, host in routes[egress].items():
            entry = fabric.leaf(egress).blocks.entries[cidr]
            if entry.vrf == own.vrf and IPv4Address(dst_ip) in IPv4Network(cidr):
                return fabric.host(host), egress, cidr
    raise StoppedError(f"leaf {leaf}: no route to {dst_ip} in VRF {own.vrf}")


def _arrive(packet: Packet, host: HostDevice, dst_ip: str, hops: list[str]) -> Place:
    """The host hands the packet to its pod, or drops it: it is its block, so nobody else has the address."""
    if not host.powered:
        raise StoppedError(f"host {host.host}: no power")
    if not _containing(host.blocks.own(), dst_ip):
        raise StoppedError(f"host {host.host}: no block with {dst_ip}")
    places = [place for place in packet.fabric.places_of_ip(dst_ip) if place.host is host]
    if not places:
        raise StoppedError(f"host {host.host}: no pod has {dst_ip}")
    if len(places) > 1:
        raise StoppedError(f"IP {dst_ip} is ambiguous: {' and '.join(place.port for place in places)} on {host.host}")
    if packet.dst_port not in ("", places[0].port):
        raise StoppedError(f"IP {dst_ip} leads to port {places[0].port}, not to port {packet.dst_port}")
    hops.append(f"{places[0].port}@{host.host} vnic")
    return places[0]


def _containing(blocks: dict[str, BlockEntry], ip: str) -> list[tuple[str, BlockEntry]]:
    address = IPv4Address(ip)
    return [(cidr, entry) for cidr, entry in blocks.items() if address in IPv4Network(cidr)]


WALK = Walk("host-local", takes, send)
