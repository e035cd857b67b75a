"""What workers want devices to be: desired state, safe to perform twice. The outcome is an event.

Effects with the same ``slot`` are performed one after the other; the newest wish for a slot wins.
"""

import msgspec

from bus.events import CloudDifference, CloudResource, HostDifference, LeafDifference, MacDuplicate, TableDifference
from workers.audit_effects import AuditHost, AuditLeaf, AuditTable, FlowWish, LookForDuplicates, WishedEntry
from workers.cloud_effects import CloudEffect
from workers.effect import DeviceEffect, Effect, PortEffect, Slot
from workers.policy_rules import HeldRules
from workers.routing_effects import BlockRoute, BorderEntry, RouterGateway, ShutInterface, TrunkVlan


class PlugVnic(PortEffect, frozen=True, kw_only=True):
    """The port's vNIC exists with this address and hangs on br-int (Figure 10, step 6). Asked for by nova-compute.

    ``claimed_at`` is the log position of the claim: a host that was cleaned since refuses it, unless it was kept.
    ``enforced``: the host drops whatever comes from or goes to it while it does not hold the port's policy.
    """

    mac: str
    ip: str
    prefix_length: int
    gateway: str
    claimed_at: int = 0
    enforced: bool = False

    @property
    def slot(self) -> Slot:
        return (self.device, "vnic", self.port, str(self.generation))


class UnplugVnic(PortEffect, frozen=True, kw_only=True):
    """The port's vNIC does not exist on the host. Asked for by nova-compute."""

    @property
    def slot(self) -> Slot:
        return (self.device, "vnic", self.port, str(self.generation))

    @property
    def withdraws(self) -> bool:
        return True


class InstallFlows(PortEffect, frozen=True, kw_only=True):
    """br-int tags the port's traffic with this VLAN and the trunk carries it (step 7). Asked for by the OVS agent.

    ``cookie`` says which run of the agent installed them (``ResyncFlows``).
    """

    mac: str
    vlan: int
    cookie: int = 0

    @property
    def slot(self) -> Slot:
        return (self.device, "flows", self.port, str(self.generation))


class RemoveFlows(PortEffect, frozen=True, kw_only=True):
    """No flow of the port is left on br-int. Asked for by the OVS agent."""

    @property
    def slot(self) -> Slot:
        return (self.device, "flows", self.port, str(self.generation))

    @property
    def withdraws(self) -> bool:
        return True


class LeafVlan(Effect, frozen=True, kw_only=True):
    """The leaf interface carries the VLAN mapped to the VNI, or does not (``present``; step 11). Asked for by CNC.

    ``gateway`` (address and prefix length) is the anycast gateway of the VNI, ``vrf`` where it routes. A leaf
    ignores an ``epoch`` older than the last one it took for this interface and VLAN.
    """

    az: str
    interface: str
    vlan: int
    vni: int
    vrf: str
    gateway: str
    epoch: int
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, self.interface, str(self.vlan))

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return not self.present


class ResyncHost(DeviceEffect, frozen=True, kw_only=True):
    """The host holds no vNIC and no flows but those of ``keep`` (generation by port), or of newer generations.

    What is removed is fenced off as if it had been withdrawn.
    """

    keep: dict[str, int]


class ResyncFlows(DeviceEffect, frozen=True, kw_only=True):
    """An OVS agent began anew: ``flows`` (by port) are in place and carry its cookie, ``epoch``; flows of an older
    cookie are removed, but only after every device was resynced. Flows that are as wished already are not touched:
    only their cookie changes, and no frame is lost.
    """

    flows: dict[str, FlowWish]


class ClearMac(DeviceEffect, frozen=True, kw_only=True):
    """The MAC is no duplicate any more (RFC 7432, section 15.1). Asked for by CNC, for an operator."""

    vni: int
    mac: str

    @property
    def slot(self) -> Slot:
        return (self.device, "mac", str(self.vni), self.mac)

    @property
    def withdraws(self) -> bool:
        return False


class InstallPolicy(PortEffect, frozen=True, kw_only=True):
    """The host holds the port's rules as of log position ``revision``. Asked for by the worker ``policy``.

    An older revision than it holds changes nothing. The rules may come before the vNIC, and go with it. ``identity`` is
    what the port's packets carry, ``claimed_at`` as in ``PlugVnic``.
    """

    revision: int
    identity: int
    ingress: HeldRules = None
    egress: HeldRules = None
    claimed_at: int = 0

    @property
    def slot(self) -> Slot:
        return (self.device, "policy", self.port, str(self.generation))

    @property
    def version(self) -> int:
        return self.revision


#: The kind of device that proxies into a cluster.
INGRESS = "ingress"


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """A pod behind a listener: its port's id, its address, and the tcp port to send to."""

    port: str
    ip: str
    target_port: int


class HeldListener(msgspec.Struct, frozen=True):
    """A tcp port of an ingress and the pods behind it."""

    port: int
    endpoints: tuple[Endpoint, ...] = ()


class ConfigureIngress(DeviceEffect, frozen=True, kw_only=True):
    """The proxy listens like this, between the ports of its legs. Asked for by the worker ``ingress``.

    ``epoch`` is the log position as of which it is so; an older one than the device knows changes nothing.
    """

    outside: str
    inside: str
    listeners: tuple[HeldListener, ...]


class PortEntry(PortEffect, frozen=True, kw_only=True):
    """A device of another kind than hosts and leaves holds ``entry`` for a claim of the port by ``host``, or does not
    (``present``): for network models that need no effect of their own (docs/howto/add-a-network-model.md).
    """

    host: str
    entry: dict[str, str]
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, "entry", self.port, str(self.generation))

    @property
    def withdraws(self) -> bool:
        return not self.present


AnyEffect = (
    PlugVnic
    | UnplugVnic
    | InstallFlows
    | RemoveFlows
    | LeafVlan
    | ResyncHost
    | ResyncFlows
    | AuditHost
    | AuditLeaf
    | AuditTable
    | CloudEffect
    | BorderEntry
    | TrunkVlan
    | ShutInterface
    | RouterGateway
    | LookForDuplicates
    | ClearMac
    | InstallPolicy
    | ConfigureIngress
    | PortEntry
    | BlockRoute
)

#: What an audit found, or what came of an effect on the cloud.
Difference = HostDifference | LeafDifference | TableDifference | MacDuplicate | CloudDifference | CloudResource


class Result(msgspec.Struct, frozen=True):
    """What came of an effect. ``error`` is empty when the device now is as wished; ``found`` is what an audit found,
    what a resync removed, or what the cloud gave.
    """

    error: str = ""
    started_us: int = 0
    found: tuple[Difference, ...] = ()


__all__ = [
    "INGRESS",
    "AnyEffect",
    "AuditHost",
    "AuditLeaf",
    "AuditTable",
    "BlockRoute",
    "BorderEntry",
    "ClearMac",
    "CloudEffect",
    "ConfigureIngress",
    "DeviceEffect",
    "Difference",
    "Effect",
    "Endpoint",
    "FlowWish",
    "HeldListener",
    "InstallFlows",
    "InstallPolicy",
    "LeafVlan",
    "LookForDuplicates",
    "PlugVnic",
    "PortEffect",
    "PortEntry",
    "RemoveFlows",
    "Result",
    "ResyncFlows",
    "ResyncHost",
    "RouterGateway",
    "ShutInterface",
    "Slot",
    "TrunkVlan",
    "UnplugVnic",
    "WishedEntry",
]
