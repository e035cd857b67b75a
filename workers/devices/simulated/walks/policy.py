"""What hosts make of packets under policy, from the rules they hold: the sender's outwards, the receiver's inwards.

The packet carries the identity that the sender's host holds for its vNIC. A vNIC under enforcement whose rules are not
there passes nothing. A reply passes if what it answers passes: both hosts then have the flow in their tables. HTTP is a
property of the packet that is asked for: the host's proxy sees the request whole.
"""

from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.fabric import Place
from workers.devices.simulated.walks.walk import Packet
from workers.policy_rules import NOBODY, Flow, HeldPolicy, HeldRules, verdict


def admit(packet: Packet, target: Place) -> None:
    """Let the packet pass, and write the rules that did into its ways. Raises StoppedError."""
    near, far = (_held(place) for place in (packet.source, target))
    asking, asked = (target, packet.source) if packet.flow.reply else (packet.source, target)
    held, there = (far, near) if packet.flow.reply else (near, far)
    out = _check(asking, "egress", held.egress if held else None, NOBODY, asked, packet.flow)
    identity = held.identity if held else NOBODY
    into = _check(asked, "ingress", there.ingress if there else None, identity, asking, packet.flow)
    first, last = (into, out) if packet.flow.reply else (out, into)
    for way in packet.ways:
        way[1:1] = [first] if near else []
        way[-1:-1] = [last] if far else []


def _held(place: Place) -> HeldPolicy | None:
    """The rules of the vNIC, None if it is not under enforcement. Raises StoppedError if they are not there."""
    host, vnic = place.host, place.vnic
    if not vnic.enforced:
        return None
    held = host.policies.get(place.port)
    if held is None or held.generation != vnic.generation:
        raise StoppedError(f"host {host.host}: port {place.port} is under enforcement, and its policy is not installed")
    return held


def _check(place: Place, direction: str, rules: HeldRules, identity: int, peer: Place, flow: Flow) -> str:
    """What the host says that lets the packet pass. Raises StoppedError."""
    passes, why = verdict(rules, identity, peer.vnic.ip, flow)
    what = f"host {place.host.host}: {direction} of port {place.port}"
    if not passes:
        known = f", identity {identity}" if direction == "ingress" else ""
        asked = f"a reply to {flow}" if flow.reply else f"{flow}"
        raise StoppedError(f"{what}: {asked} {'from' if known else 'to'} {peer.vnic.ip}{known}: {why}")
    return f"{place.host.host} policy {direction} {flow}: {why}"


ADMIT = admit
