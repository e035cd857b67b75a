"""A modelled public cloud: ENIs, what they are attached to, and elastic IPs, under the rules of Amazon EC2.

Unlike EC2 it remembers the newest epoch that it was told of each ENI and ignores what is older, so that a call that
lands late does no harm. An EC2 driver can only look at a tag first (``workers.devices.aws``).
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec

from bus.events import CLOUD, CloudDifference, CloudResource, Event, HostAdded
from workers.cloud_effects import AssociateFloatingIp, AttachEni, AuditCloud, CollectLeak, DeleteEni, EnsureEni
from workers.devices.simulated.device import CableDevice, Kind
from workers.effects import AnyEffect, Difference
from workers.enis_of_types import NODES_OWN, eni_limit

#: RFC 2544: addresses that belong to nobody.
ELASTIC = ipaddress.IPv4Network("198.18.0.0/15")


class Eni(msgspec.Struct, frozen=True):
    """One ENI. ``node`` is whose instance it is attached to, empty for none; ``az`` is its subnet's."""

    id: str
    az: str
    subnet: str
    vpc: str
    ip: str
    secondary_ips: tuple[str, ...]
    node: str = ""
    node_az: str = ""
    instance_type: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The primary address and the secondary ones."""
        return (self.ip, *self.secondary_ips)


class CloudDevice:
    """All ENIs, by port; their newest epochs; elastic IPs by port, and how many were ever given out."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self.enis: dict[str, Eni] = {}
        self.floating: dict[str, str] = {}
        self._epochs: dict[str, int] = {}
        self._given = 0

    def perform(self, effect: AnyEffect) -> str | tuple[Difference, ...]:
        """See ``Device.perform``."""
        match effect:
            case AuditCloud():
                return self._audit(effect)
            case CollectLeak():
                return self._collect(effect)
            case AssociateFloatingIp():
                return self._associate(effect)
            case EnsureEni() | DeleteEni():
                if effect.epoch < self._epochs.get(effect.port, 0):
                    return ""
                self._epochs[effect.port] = effect.epoch
                return self._delete(effect) if isinstance(effect, DeleteEni) else self._ensure(effect)
            case _:
                return f"{self.name}: cannot perform {type(effect).__name__}"

    def state(self) -> dict[str, Any]:
        """See ``Device.state``."""
        held = {"enis": self.enis, "floating": self.floating, "epochs": self._epochs, "given": self._given}
        return msgspec.to_builtins(held) if self._epochs else {}

    def restore(self, held: Mapping[str, Any]) -> None:
        """See ``Device.restore``."""
        self.enis = msgspec.convert(held.get("enis", {}), dict[str, Eni])
        self.floating = dict(held.get("floating", {}))
        self._epochs = dict(held.get("epochs", {}))
        self._given = held.get("given", 0)

    def size(self) -> int:
        """See ``Device.size``."""
        return len(self.enis) + len(self.floating)

    def find(self, vpc: str, ip: str) -> list[str]:
        """The ports whose ENI in this VPC has the address, primary or secondary, in order."""
        return sorted(port for port, eni in self.enis.items() if eni.vpc == vpc and ip in eni.addresses)

    def _ensure(self, effect: EnsureEni) -> str | tuple[Difference, ...]:
        old = self.enis.get(effect.port)
        eni = Eni(
            id=_eni_id(effect.port, effect.subnet),
            az=effect.az,
            subnet=effect.subnet,
            vpc=effect.vpc,
            ip=effect.ip,
            secondary_ips=effect.secondary_ips,
        )
        taken = next((ip for ip in eni.addresses if set(self.find(eni.vpc, ip)) - {effect.port}), "")
        if old is None and taken:
            return f"{self.name}: InvalidIPAddress.InUse: {taken}"
        if isinstance(effect, AttachEni):
            refused = self._refuses(effect)
            if refused:
                return f"{self.name}: {refused}"
            eni = msgspec.structs.replace(
                eni, node=effect.node, node_az=effect.node_az, instance_type=effect.instance_type
            )
        self.enis[effect.port] = eni
        return (CloudResource(eni.id),)

    def _refuses(self, effect: AttachEni) -> str:
        """EC2's rules for an attachment."""
        if effect.node_az != effect.az:
            return f"InvalidParameterCombination: {effect.node} is in {effect.node_az}, the ENI in {effect.az}"
        others = sum(eni.node == effect.node for port, eni in self.enis.items() if port != effect.port)
        limit = eni_limit(effect.instance_type)
        if others + NODES_OWN >= limit:
            kind = effect.instance_type or "no instance type"
            return f"AttachmentLimitExceeded: {effect.node} ({kind}) takes {limit} ENIs"
        return ""

    def _delete(self, effect: DeleteEni) -> str:
        self.enis.pop(effect.port, None)
        self.floating.pop(effect.port, None)
        return ""

    def _associate(self, effect: AssociateFloatingIp) -> str | tuple[Difference, ...]:
        if effect.port not in self.enis:
            return f"{self.name}: InvalidNetworkInterfaceID.NotFound: port {effect.port} has no ENI"
        if effect.port not in self.floating:
            self._given += 1
            self.floating[effect.port] = str(ELASTIC[self._given])
        return (CloudResource(self.floating[effect.port]),)

    def _audit(self, effect: AuditCloud) -> tuple[Difference, ...]:
        found: list[Difference] = []
        for port, node in sorted(effect.enis.items()):
            eni = self.enis.get(port)
            if node and (eni is None or eni.node != node):
                found.append(CloudDifference("eni", eni.id if eni else "", port, missing=True))
        for port, eni in sorted(self.enis.items()):
            if port not in effect.enis and not eni.node:
                found.append(CloudDifference("eni", eni.id, port, missing=False))
        for port, address in sorted(self.floating.items()):
            if port not in effect.enis:
                found.append(CloudDifference("eip", address, port, missing=False))
        return tuple(found)

    def _collect(self, effect: CollectLeak) -> str:
        if effect.kind == "eip":
            if self.floating.get(effect.port) == effect.resource:
                del self.floating[effect.port]
            return ""
        eni = self.enis.get(effect.port)
        if eni is not None and eni.id == effect.resource and not eni.node:
            del self.enis[effect.port]
        return ""


def _eni_id(port: str, subnet: str) -> str:
    """EC2's ids look like this."""
    return f"eni-{hashlib.sha256(f'{subnet}/{port}'.encode()).hexdigest()[:17]}"


def described_by(event: Event) -> CableDevice | None:
    """A node is an instance of a public cloud, so there is one."""
    is_node = isinstance(event, HostAdded) and event.kind == "node"
    return CableDevice(CLOUD, "cloud") if is_node else None


KIND = Kind("cloud", CloudDevice, described_by)
