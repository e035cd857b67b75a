"""What workers want devices to be: desired state, safe to perform twice. The outcome is an event.

Effects with the same ``slot`` are performed one after the other; the newest wish for a slot wins.
"""

import msgspec

from bus.events import HostDifference, LeafDifference

#: (device, part of the device): what an effect acts on.
Slot = tuple[str, ...]


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all effects. ``device`` is the host or leaf that performs it."""

    device: str

    @property
    def slot(self) -> Slot:
        """What this effect acts on."""
        raise TypeError(f"{type(self).__name__} names no slot")

    @property
    def version(self) -> int:
        """Which wish for the slot this is, where one input of the log may come to ask for several."""
        raise TypeError(f"{type(self).__name__} has no version")

    @property
    def withdraws(self) -> bool:
        """Whether this takes something away: then it is tried until it succeeds, or it would leave something behind."""
        return False


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
    """

    mac: str
    ip: str
    prefix_length: int
    gateway: str
    claimed_at: int = 0

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
    """Look, and change nothing: where does the host differ from these vNICs and flows (generation by port)?"""

    vnics: dict[str, int]
    flows: dict[str, FlowWish]

    @property
    def withdraws(self) -> bool:
        return False


class WishedEntry(msgspec.Struct, frozen=True, order=True):
    """A VLAN that a leaf interface is to carry, mapped to a VNI."""

    interface: str
    vlan: int
    vni: int


class AuditLeaf(DeviceEffect, frozen=True, kw_only=True):
    """Look, and change nothing: where does the leaf differ from these entries? Asked for by CNC."""

    entries: tuple[WishedEntry, ...]

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
    PortEntry
    | PlugVnic
    | UnplugVnic
    | InstallFlows
    | RemoveFlows
    | LeafVlan
    | ResyncHost
    | ResyncFlows
    | AuditHost
    | AuditLeaf
    | BorderEntry
)

#: What an audit found.
Difference = HostDifference | LeafDifference


class Result(msgspec.Struct, frozen=True):
    """What came of an effect. ``error`` is empty when the device now is as wished; ``found`` is what an audit found,
    or what a resync removed.
    """

    error: str = ""
    started_us: int = 0
    found: tuple[Difference, ...] = ()
