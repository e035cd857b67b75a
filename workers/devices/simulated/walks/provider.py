"""The provider network: a VLAN bridged over the whole fabric, and routed by the core router alone (Figures 3 to 5).

Within the network a packet goes br-int → trunk → leaf → (spine → leaf) → trunk → br-int, its VLAN as it is. Between
networks it goes from the leaf to the router, which must hold the very gateway that the sender was told, and back to a
leaf in the other VLAN. The router also has the host routes that leaves advertise in its VRFs, and they its subnets.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface
from typing import NamedTuple

from workers.devices.simulated.attachment import (
    StoppedError,
    check_open,
    check_trunk,
    egresses,
    on_bridge,
    only_one,
    powered_first,
    tag,
)
from workers.devices.simulated.fabric import Fabric, Place, Uplink
from workers.devices.simulated.kinds.router import Gateway, RouterDevice
from workers.devices.simulated.walks.walk import Packet, Walk


class Exit(NamedTuple):
    """A leaf interface below which a vNIC is attached, and the VLAN that goes there."""

    place: Place
    uplink: Uplink
    vlan: int


class Wanted(NamedTuple):
    """Whom a packet is for: whoever has ``ip``, and it must be ``port`` unless that is empty."""

    fabric: Fabric
    ip: str
    port: str

    def places(self) -> Sequence[Place]:
        """The vNICs that have the address, wherever."""
        return self.fabric.places_of_ip(self.ip)

    def check(self, place: Place) -> Place:
        """``place`` if it is the one wanted. Raises StoppedError."""
        if self.port not in ("", place.port):
            where = f"port {place.port} at host {place.host.host}"
            raise StoppedError(f"IP {self.ip} leads to {where}, not to port {self.port}")
        return place


def takes(fabric: Fabric, place: Place) -> bool:
    """Whether a leaf of the vNIC's host trunks the VLAN that br-int gives to it."""
    flow = place.host.flows.get(place.port)
    return flow is not None and any(flow.vlan in up.leaf.trunk.vlans for up in fabric.uplinks(place.host.host))


def send(packet: Packet) -> Place:
    """Follow the packet. Raises StoppedError."""
    fabric, source, ways = packet.fabric, packet.source, packet.ways
    wanted = Wanted(fabric, packet.dst_ip, packet.dst_port)
    hops = [f"{source.port}@{source.host.host} vnic", f"{source.host.host} br-int"]
    ways[0] += hops
    vlan = tag(source)
    switched = IPv4Interface(f"{wanted.ip}/{source.vnic.prefix_length}").network == _network_of(source)
    if switched and on_bridge(wanted.places(), source.host, vlan):
        return _within_host(wanted, source, vlan, ways[0])
    check_trunk(source, vlan)
    hops.append(f"{source.host.host} trunk vlan {vlan}")
    ways.clear()
    for uplink in fabric.uplinks(source.host.host):
        ways.append(hops.copy())
        _enter(fabric, source, uplink, vlan, ways[-1])
        onward = _bridge if switched else _route
        target = onward(wanted, source, uplink, vlan, ways[-1])
    return target


def core_gateway(fabric: Fabric, vrf: str, ip: str) -> tuple[str, Gateway] | None:
    """The core router that has ``ip`` in a provider subnet of ``vrf``, and its interface there; None if none has."""
    for name in fabric.devices_of("router"):
        router = fabric.device(name)
        gateway = router.route(vrf, ip) if isinstance(router, RouterDevice) else None
        if gateway is not None:
            return name, gateway
    return None


def from_core(wanted: Wanted, router: str, gateway: Gateway, ingress: Uplink, hops: list[str]) -> Place:
    """From the router's interface down to the vNIC, over the leaf that the packet came from if that can do it."""
    hops.append(f"{router} vlan {gateway.vlan} gateway {gateway.address} vrf {gateway.vrf}")
    way_out = _exit(wanted, gateway.vlan, ingress, f"router {router}")
    _down(way_out, hops)
    return way_out.place


def _within_host(wanted: Wanted, source: Place, vlan: int, hops: list[str]) -> Place:
    """br-int switches between two of its ports on one VLAN by itself."""
    fabric = wanted.fabric
    elsewhere = [one.place for place in wanted.places() for one in _exits(fabric, place, vlan)]
    place = wanted.check(only_one([*on_bridge(wanted.places(), source.host, vlan), *elsewhere]))
    _check_alone(fabric, source, vlan)
    hops.append(f"{place.port}@{place.host.host} vnic")
    return place


def _enter(fabric: Fabric, source: Place, uplink: Uplink, vlan: int, hops: list[str]) -> None:
    """Into the leaf by one end of the sender's bond."""
    _check_carried(uplink, vlan)
    hops.append(f"{uplink.leaf.leaf} {uplink.interface}")
    _check_alone(fabric, source, vlan)


def _bridge(wanted: Wanted, source: Place, ingress: Uplink, vlan: int, hops: list[str]) -> Place:
    """Within the VLAN, over a spine if the other end is below other leaves."""
    way_out = _exit(wanted, vlan, ingress, f"leaf {ingress.leaf.leaf}")
    if way_out.uplink.leaf is not ingress.leaf:
        hops += [f"{ingress.leaf.leaf} trunk vlan {vlan}", "spine"]
    _down(way_out, hops)
    return way_out.place


def _route(wanted: Wanted, source: Place, ingress: Uplink, vlan: int, hops: list[str]) -> Place:
    """Over the router that holds the sender's gateway, into the VLAN or VNI where the address is."""
    name, router, gateway = _gateway(wanted.fabric, source, vlan)
    hops.append(f"{name} vlan {vlan} gateway {gateway.address} vrf {gateway.vrf}")
    onward = router.route(gateway.vrf, wanted.ip)
    if onward is not None:
        return from_core(wanted, name, onward, ingress, hops)
    owners = [e for place in wanted.places() for e in egresses(wanted.fabric, place) if e.entry.vrf == gateway.vrf]
    if not owners:
        raise StoppedError(f"router {name}: no route to {wanted.ip} in VRF {gateway.vrf}")
    only_one([owner.place for owner in owners])
    best = next((owner for owner in owners if owner.uplink.leaf is ingress.leaf), owners[0])
    hops.append(f"{name} vrf {gateway.vrf}")
    _down(Exit(wanted.check(best.place), best.uplink, best.vlan), hops)
    return best.place


def _gateway(fabric: Fabric, source: Place, vlan: int) -> tuple[str, RouterDevice, Gateway]:
    """The router that answers for the gateway that the sender was told. Raises StoppedError."""
    told = source.vnic.gateway
    problem = f"VLAN {vlan}: no core router holds gateway {told}"
    for name in fabric.devices_of("router"):
        router = fabric.device(name)
        if isinstance(router, RouterDevice) and vlan in router.gateways:
            gateway = router.gateways[vlan]
            if gateway.ip == told:
                return name, router, gateway
            problem = f"router {name}: the gateway of VLAN {vlan} is {gateway.ip}, port {source.port} was told {told}"
    raise StoppedError(problem)


def _exits(fabric: Fabric, place: Place, vlan: int) -> Iterator[Exit]:
    """The leaf interfaces by which the vNIC at ``place`` is heard in ``vlan``."""
    if not on_bridge([place], place.host, vlan) or vlan not in place.host.trunk:
        return
    for uplink in fabric.uplinks(place.host.host):
        if vlan in uplink.leaf.trunk.vlans and uplink.interface not in uplink.leaf.trunk.shut:
            yield Exit(place, uplink, vlan)


def _exit(wanted: Wanted, vlan: int, ingress: Uplink, asker: str) -> Exit:
    """Where the address is in ``vlan``: at one place, the leaf of ``ingress`` first. Raises StoppedError."""
    exits = [one for place in wanted.places() for one in _exits(wanted.fabric, place, vlan)]
    if not exits:
        _explain(wanted, vlan)
        raise StoppedError(f"{asker}: nobody answers for {wanted.ip} in VLAN {vlan}")
    wanted.check(only_one([one.place for one in exits]))
    _check_alone(wanted.fabric, exits[0].place, vlan)
    return next((one for one in exits if one.uplink.leaf is ingress.leaf), exits[0])


def _explain(wanted: Wanted, vlan: int) -> None:
    """Say what keeps the wanted vNIC from being heard, if it is clear which is wanted."""
    found = powered_first([place for place in wanted.places() if wanted.port in ("", place.port)])
    if found and (wanted.port or len(found) == 1):
        place = found[0]
        if tag(place) == vlan:
            check_trunk(place, vlan)
            for uplink in wanted.fabric.uplinks(place.host.host):
                _check_carried(uplink, vlan)


def _check_carried(uplink: Uplink, vlan: int) -> None:
    """Raises StoppedError unless the leaf bridges ``vlan`` and the interface is open."""
    check_open(uplink)
    if vlan not in uplink.leaf.trunk.vlans:
        raise StoppedError(f"leaf {uplink.leaf.leaf}: the trunk does not carry VLAN {vlan}")


def _check_alone(fabric: Fabric, place: Place, vlan: int) -> None:
    """Raises StoppedError if the MAC of the vNIC is at another place of the VLAN as well."""
    places = fabric.places_of_mac(place.vnic.mac)
    if len(places) > 1:
        heard = [one.place for other in places for one in _exits(fabric, other, vlan)]
        only_one([place, *on_bridge(places, place.host, vlan), *heard])


def _down(way_out: Exit, hops: list[str]) -> None:
    """From the leaf into the instance."""
    (host, port), uplink = way_out.place, way_out.uplink
    hops += [
        f"{uplink.leaf.leaf} {uplink.interface}",
        f"{host.host} trunk vlan {way_out.vlan}",
        f"{host.host} br-int",
        f"{port}@{host.host} vnic",
    ]


def _network_of(place: Place) -> object:
    return IPv4Interface(f"{place.vnic.ip}/{place.vnic.prefix_length}").network


WALK = Walk("provider", takes, send)
