"""Spines and leaves, and what CNC has configured on leaf interfaces (Figure 10, step 11). Written by CNC."""

from typing import Annotated

import msgspec

from bus.events.base import Event, TimeUs, Vlan, Vni
from bus.events.host import Epoch
from bus.events.identifiers import Token

#: Entries of a leaf's table, unless its description says otherwise.
LEAF_CAPACITY = 100_000


class SpineAdded(Event, tag="spine.added.v1", frozen=True, kw_only=True):
    """A spine switch, connected to every leaf of its AZ."""

    spine: Token
    az: Token


class LeafAdded(Event, tag="leaf.added.v1", frozen=True, kw_only=True):
    """A leaf switch. ``vtep`` is its VXLAN tunnel address, ``asn`` its BGP autonomous system number.

    ``capacity`` is how many (interface, VLAN) entries its hardware table takes.
    """

    leaf: Token
    az: Token
    vtep: str
    asn: Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1, description="RFC 6793")]
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = LEAF_CAPACITY


class LeafVlanEvent(Event, frozen=True, kw_only=True):
    """One (leaf, interface, VLAN). ``epoch`` is the log position of the change of need that this answers.

    An answer to an older need than the current one is recorded and changes nothing.
    """

    leaf: Token
    az: Token
    interface: Token
    vlan: Vlan
    vni: Vni
    epoch: Epoch


class LeafVlanAdded(LeafVlanEvent, tag="leaf.vlan_added.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: the interface carries the VLAN, mapped to the VNI."""


class LeafVlanRemoved(LeafVlanEvent, tag="leaf.vlan_removed.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: the interface does not carry the VLAN any more."""


class LeafVlanFailed(LeafVlanEvent, tag="leaf.vlan_failed.v1", frozen=True, kw_only=True):
    """The leaf could not be brought to what was needed."""

    reason: str


class LeafAuditRequested(Event, tag="leaf.audit_requested.v1", frozen=True, kw_only=True):
    """Compare what the leaf holds with what CNC's database says. By the clock, or by an operator."""

    leaf: Token
    az: Token


class LeafDifference(msgspec.Struct, frozen=True, tag="leaf"):
    """A VLAN of an interface that the leaf lacks or maps to another VNI (``missing``), or carries without need."""

    interface: Token
    vlan: Vlan
    vni: Vni
    missing: bool


class LeafAudited(Event, tag="leaf.audited.v1", frozen=True, kw_only=True):
    """Where the leaf differs from what the log said at ``epoch`` or later. What still does is repaired.

    ``error``: it could not be compared.
    """

    leaf: Token
    az: Token
    epoch: Epoch
    differences: tuple[LeafDifference, ...] = ()
    error: str = ""


#: A MAC as IPAM gives it out.
Mac = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}(?![\s\S])", description="lower case")]


class MacDuplicate(msgspec.Struct, frozen=True, tag="mac"):
    """A MAC that moved between leaf pairs too often within a while (RFC 7432, section 15.1), and was frozen.

    ``port`` has the MAC, or had it last; ``sequence`` is its mobility sequence number, ``detected_us`` the leaf's time.
    """

    vni: Vni
    mac: Mac
    port: Token
    sequence: Annotated[int, msgspec.Meta(ge=0)]
    detected_us: TimeUs


class LeafMacDuplicateDetected(Event, tag="leaf.mac_duplicate_detected.v1", frozen=True, kw_only=True):
    """The leaf has frozen these MACs: two stations have them, or one moves to and fro. An operator is to see to it."""

    leaf: Token
    az: Token
    duplicates: tuple[MacDuplicate, ...]


class LeafMacClearRequested(Event, tag="leaf.mac_clear_requested.v1", frozen=True, kw_only=True):
    """An operator has put right what made the MAC a duplicate: it is to be heard again."""

    leaf: Token
    az: Token
    vni: Vni
    mac: Mac


class LeafMacCleared(Event, tag="leaf.mac_cleared.v1", frozen=True, kw_only=True):
    """The MAC is frozen no more. ``error``: why it could not be cleared."""

    leaf: Token
    az: Token
    vni: Vni
    mac: Mac
    error: str = ""
