"""A public cloud's VPC (Figure 13): from ENI to ENI, however the provider does it.

A pod is on the network while its ENI is attached to its node's instance, the node has power, and the pod's vNIC is
there. Subnets of one VPC reach each other; VPCs do not. The address may be the ENI's primary or a secondary one.
"""

from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.fabric import Fabric, Place
from workers.devices.simulated.kinds.cloud import CloudDevice, Eni
from workers.devices.simulated.walks.walk import Packet, Walk


def takes(fabric: Fabric, place: Place) -> bool:
    """What a pod sends whose port has an ENI."""
    return eni_of(fabric, place.port) is not None


def send(packet: Packet) -> Place:
    """Follow the packet. Raises StoppedError."""
    fabric, source = packet.fabric, packet.source
    found = eni_of(fabric, source.port)
    if found is None:
        raise StoppedError(f"port {source.port}: it has no ENI")
    cloud, eni = found
    hops = packet.ways[0]
    hops.append(f"{source.port}@{source.host.host} vnic")
    _check(source, eni)
    hops += [f"{source.host.host} {eni.id} {eni.ip}", f"{cloud.name} vpc {eni.vpc}"]
    target_port = _owner(cloud, eni.vpc, packet)
    target, there = cloud.enis[target_port], _place(fabric, target_port, cloud.enis[target_port])
    _check(there, target)
    hops += [f"{there.host.host} {target.id} {packet.dst_ip}", f"{target_port}@{there.host.host} vnic"]
    return there


def hears(fabric: Fabric, place: Place) -> bool:
    """Whether the port's ENI is attached to the vNIC's node."""
    found = eni_of(fabric, place.port)
    return found is not None and found[1].node == place.host.host


def eni_of(fabric: Fabric, port: str) -> tuple[CloudDevice, Eni] | None:
    """The ENI of ``port`` and the cloud that holds it."""
    for name in fabric.devices_of("cloud"):
        cloud = fabric.device(name)
        if isinstance(cloud, CloudDevice) and port in cloud.enis:
            return cloud, cloud.enis[port]
    return None


def _owner(cloud: CloudDevice, vpc: str, packet: Packet) -> str:
    owners = cloud.find(vpc, packet.dst_ip)
    if not owners:
        raise StoppedError(f"{cloud.name}: no ENI in VPC {vpc} has {packet.dst_ip}")
    if len(owners) > 1:
        raise StoppedError(f"IP {packet.dst_ip} is ambiguous: {' and '.join(owners)} in VPC {vpc}")
    if packet.dst_port not in ("", owners[0]):
        raise StoppedError(f"IP {packet.dst_ip} leads to port {owners[0]}, not to port {packet.dst_port}")
    return owners[0]


def _place(fabric: Fabric, port: str, eni: Eni) -> Place:
    """The vNIC behind the ENI: on the node that it is attached to."""
    if not eni.node:
        raise StoppedError(f"{eni.id} of port {port}: attached to no instance")
    found = next((place for place in fabric.places_of_port(port) if place.host.host == eni.node), None)
    if found is None:
        raise StoppedError(f"host {eni.node}: {eni.id} is attached, and there is no vNIC of port {port}")
    return found


def _check(place: Place, eni: Eni) -> None:
    """Raises StoppedError unless the vNIC at ``place`` is wired to the ENI, on a node that has power."""
    host, port = place
    if not host.powered:
        raise StoppedError(f"host {host.host}: no power")
    if eni.node != host.host:
        where = f"attached to {eni.node}" if eni.node else "attached to no instance"
        raise StoppedError(f"host {host.host}: {eni.id} of port {port} is {where}")
    if place.vnic.ip != eni.ip:
        raise StoppedError(f"host {host.host}: the vNIC of port {port} has {place.vnic.ip}, its ENI {eni.ip}")


WALK = Walk("eni", takes, send, hears=hears)
