"""The oracle: does a packet from instance A reach instance B? Answered from what the devices hold, and nothing else.

How a packet goes is the business of the walks, one for each way to realise a network (``walks/``).
"""

from ipaddress import IPv4Address

import msgspec

from workers.devices.simulated.attachment import StoppedError, heard_last, is_heard, powered_first
from workers.devices.simulated.fabric import Fabric, Place
from workers.devices.simulated.walks import ADMITS, ONWARDS, WALKS, Packet
from workers.policy_rules import Flow

#: An ICMP echo request, and its reply.
PING, PONG = Flow(), Flow(reply=True)


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


def trace(fabric: Fabric, src_port: str, dst_port: str = "", *, dst_ip: str = "", flow: Flow = PING) -> Path:
    """Follow a packet one way, from ``src_port`` to ``dst_port``, or to whoever has ``dst_ip`` where it gets to.

    ``flow`` says what kind of packet it is, for those who filter; an ICMP echo request unless told otherwise.
    Ports are told apart by id, so the same address in two VRFs does no harm.
    Raises ValueError unless exactly one of ``dst_port`` and ``dst_ip`` is given, or if ``dst_ip`` is no IPv4 address.
    """
    if bool(dst_port) == bool(dst_ip):
        raise ValueError(f"dst_port, dst_ip: give one of them, not {dst_port!r} and {dst_ip!r}")
    try:
        IPv4Address(dst_ip or "0.0.0.0")
    except ValueError as error:
        raise ValueError(f"dst_ip: {error}") from error
    ways: list[list[str]] = [[]]
    try:
        source = _source(fabric, src_port)
        packet = Packet(fabric, source, dst_port, dst_ip or vnic_of(fabric, dst_port).vnic.ip, ways, flow)
        _carry(packet)
    except StoppedError as stopped:
        return Path(False, str(stopped), tuple(map(tuple, ways)))
    return Path(True, "", tuple(map(tuple, ways)))


def _carry(packet: Packet) -> None:
    """Follow a packet to its end, and what is sent on because of it. Raises StoppedError."""
    walk = next(walk for walk in WALKS if walk.takes(packet.fabric, packet.source))
    target = walk.send(packet)
    for admit in ADMITS:
        admit(packet, target)
    sent_on = [following for onward in ONWARDS for following in onward(packet, target)]
    if not sent_on:
        return
    until_here = list(packet.ways)
    packet.ways.clear()
    for hop, following in sent_on:
        try:
            _carry(following)
        finally:
            packet.ways.extend([*one, hop, *other] for one in until_here for other in following.ways)


def ping(fabric: Fabric, port: str, other: str) -> Path:
    """There and back: the way of the request, or of the answer if that is the one that is stopped.

    Unlike ``trace`` it needs every piece of configuration of both ports, as each of their leaves may be the ingress.
    """
    there = trace(fabric, port, other)
    if not there.reachable:
        return there
    back = trace(fabric, other, port, flow=PONG)
    return there if back.reachable else back


def _source(fabric: Fabric, port: str) -> Place:
    """Where ``port`` sends from: if it has several vNICs, the one that leaves, or another network, have heard last."""
    first = vnic_of(fabric, port)
    places = fabric.places_of_port(port)
    elsewhere = (p for p in places if is_heard(fabric, p) or any(walk.hears(fabric, p) for walk in WALKS))
    return heard_last(fabric, places) or next(elsewhere, first)


def vnic_of(fabric: Fabric, port: str) -> Place:
    """The vNIC of ``port``. Raises StoppedError if no host has one."""
    places = fabric.places_of_port(port)
    if places:
        return powered_first(places)[0]
    wired = fabric.flow_locations(port)
    if wired:
        raise StoppedError(f"host {wired[0]}: br-int has flows of port {port}, and no vNIC")
    raise StoppedError(f"port {port}: no host has a vNIC of it")
