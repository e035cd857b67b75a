"""What workers want devices to be: desired state, safe to perform twice. The outcome is an event.

Effects with the same ``slot`` are performed one after the other; the newest wish for a slot wins.
"""

import msgspec

from bus.events import CloudDifference, CloudResource, HostDifference, LeafDifference, MacDuplicate
from workers.cloud_effects import CloudEffect
from workers.effect import Effect, Slot
from workers.policy_rules import HeldRules


class PortEffect(Effect, frozen=True, kw_only=True):
    """An effect on a host, for one claim of one port.

    A host that was told to take a ``generation`` away refuses to be given it, or an older one, ever again.
    """

    port: str
    az: str
    generation: int

    @property
    def version(self) -> int:
        return self.generation


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


class DeviceEffect(Effect, frozen=True, kw_only=True):
    """An effect on a device as a whole, answering to the event at log position ``epoch``."""

    az: str
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, type(self).__name__)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True


class ResyncHost(DeviceEffect, frozen=True, kw_only=True):
    """The host holds no vNIC and no flows but those of ``keep`` (generation by port), or of newer generations.

    What is removed is fenced off as if it had been withdrawn.
    """

    keep: dict[str, int]


class FlowWish(msgspec.Struct, frozen=True):
    """The flows of one port as they are to be."""

    generation: int
    mac: str
    vlan: int


class ResyncFlows(DeviceEffect, frozen=True, kw_only=True):
    """An OVS agent began anew: ``flows`` (by port) are in place and carry its cookie, ``epoch``; flows of an older
    cookie are removed, but only after every device was resynced. Flows that are as wished already are not touched:
    only their cookie changes, and no frame is lost.
    """

    flows: dict[str, FlowWish]


class AuditHost(DeviceEffect, frozen=True, kw_only=True):
    """Look, and change nothing: where does the host differ from these vNICs and flows (generation by port)?

    ``policies``: the revision, or an older one, of the rules that it is to hold, by port.
    """

    vnics: dict[str, int]
    flows: dict[str, FlowWish]
    policies: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def withdraws(self) -> bool:
        return False


class WishedEntry(msgspec.Struct, frozen=True, order=True):
    """A VLAN that a leaf interface is to carry, mapped to a VNI."""

    interface: str
    vlan: int
    vni: int


class AuditLeaf(DeviceEffect, frozen=True, kw_only=True):
    """Look, and change nothing: where does the leaf differ from these entries? Asked for by CNC.

    Also found: MACs that are duplicates, but those ``known``.
    """

    entries: tuple[WishedEntry, ...]
    known: tuple[MacDuplicate, ...] = ()

    @property
    def withdraws(self) -> bool:
        return False


class BorderEntry(Effect, frozen=True, kw_only=True):
    """The border leaks routes between two VRFs, or uses a line from a spoke to a hub; or not (``present``).

    A border ignores an ``epoch`` older than the last one it took for this entry.
    """

    az: str
    kind: str
    one: str
    other: str
    epoch: int
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, self.kind, self.one, self.other)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return not self.present


class TrunkVlan(Effect, frozen=True, kw_only=True):
    """The leaf bridges a provider VLAN between its interfaces, the other leaves and the router. Asked for by CNC."""

    az: str
    vlan: int
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "trunk", str(self.vlan))

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # it takes nothing away, but is tried until it succeeds: nobody would ask for it again


class ShutInterface(Effect, frozen=True, kw_only=True):
    """Nothing goes in or out by the leaf's interface (``shut``), or all that is configured does. Asked for by CNC.

    A leaf ignores an ``epoch`` older than the last one it took for the interface.
    """

    az: str
    interface: str
    shut: bool
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "interface", self.interface)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # both ways: a living host must not stay cut off either


class RouterGateway(Effect, frozen=True, kw_only=True):
    """The router holds ``address`` (with its prefix length) in this VLAN, and no other there. Asked for by core-router.

    It routes between the VLANs of a ``vrf``. A router ignores an ``epoch`` older than the last one of the VLAN.
    """

    network: str
    vlan: int
    vrf: str
    address: str
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "gateway", str(self.vlan))

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # as TrunkVlan: a whole network waits for it


class LookForDuplicates(DeviceEffect, frozen=True, kw_only=True):
    """Look, and change nothing: which MACs has the leaf found to be duplicates, but for those ``known``? For CNC."""

    known: tuple[MacDuplicate, ...] = ()

    @property
    def withdraws(self) -> bool:
        return False


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


class BlockRoute(Effect, frozen=True, kw_only=True):
    """The device knows the way to the block ``cidr`` of ``host``, or does not (``present``). See ``RouteKind``.

    ``gateway`` is what the host answers to as the block's own. An ``epoch`` older than the last one taken is ignored.
    """

    az: str
    cidr: str
    kind: str
    host: str
    vrf: str
    gateway: str
    epoch: int
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, "block", self.cidr)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # tried until it succeeds: a way that one host lacks would be a hole for ever


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
Difference = HostDifference | LeafDifference | MacDuplicate | CloudDifference | CloudResource


class Result(msgspec.Struct, frozen=True):
    """What came of an effect. ``error`` is empty when the device now is as wished; ``found`` is what an audit found,
    what a resync removed, or what the cloud gave.
    """

    error: str = ""
    started_us: int = 0
    found: tuple[Difference, ...] = ()
