"""What an ingress makes of connections to its VIP: one of its own to a pod, out of its leg in the pods' plane.

A proxy may choose any pod behind a port, so all must be reached. ICMP to the VIP is answered by the proxy itself.
"""

from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.fabric import Place
from workers.devices.simulated.kinds.ingress import Ingress
from workers.devices.simulated.walks.walk import Packet
from workers.effects import INGRESS, Endpoint
from workers.policy_rules import Flow


def onward(packet: Packet, target: Place) -> list[tuple[str, Packet]]:
    """One packet to each pod behind the port that was asked for. Raises StoppedError if nothing listens there."""
    fabric, flow = packet.fabric, packet.flow
    devices = (fabric.device(name) for name in fabric.devices_of(INGRESS))
    proxy = next((one for one in devices if isinstance(one, Ingress) and one.outside == target.port), None)
    if proxy is None or flow.reply or flow.protocol == "icmp":
        return []
    listener = next((one for one in proxy.listeners if (flow.protocol, flow.port) == ("tcp", one.port)), None)
    if listener is None:
        raise StoppedError(f"ingress {proxy.name}: nothing listens on {flow.protocol}/{flow.port}")
    inside = fabric.places_of_port(proxy.inside)
    if not listener.endpoints or not inside:
        raise StoppedError(f"ingress {proxy.name}: no pod is behind tcp/{flow.port}")
    return [(_hop(proxy, flow, one), _to(packet, inside[0], one)) for one in listener.endpoints]


def _hop(proxy: Ingress, flow: Flow, pod: Endpoint) -> str:
    return f"ingress {proxy.name} tcp/{flow.port} to {pod.ip}:{pod.target_port}"


def _to(packet: Packet, inside: Place, pod: Endpoint) -> Packet:
    """The proxy's own packet, which carries the same request."""
    flow = Flow("tcp", pod.target_port, packet.flow.method, packet.flow.path)
    return Packet(packet.fabric, inside, pod.port, pod.ip, [[]], flow)


ONWARD = onward
