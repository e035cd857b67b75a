"""Effects that look and change nothing: where does a device differ from what it is to hold?"""

import msgspec

from bus.events import MacDuplicate
from bus.events.device import DeviceTable
from workers.effect import DeviceEffect, Effect, Slot


class FlowWish(msgspec.Struct, frozen=True):
    """The flows of one port as they are to be."""

    generation: int
    mac: str
    vlan: int


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


class LookForDuplicates(DeviceEffect, frozen=True, kw_only=True):
    """Look, and change nothing: which MACs has the leaf found to be duplicates, but for those ``known``? For CNC."""

    known: tuple[MacDuplicate, ...] = ()

    @property
    def withdraws(self) -> bool:
        return False


class AuditTable(Effect, frozen=True, kw_only=True):
    """Look, and change nothing: where does this table of the device differ from ``entries`` (``workers.tables``)?"""

    table: DeviceTable
    epoch: int
    entries: dict[str, str]

    @property
    def slot(self) -> Slot:
        return (self.device, type(self).__name__, self.table)

    @property
    def version(self) -> int:
        return self.epoch
