"""Spines and leaves, and what CNC has configured on leaf interfaces (Figure 10, step 11). Written by CNC."""

from typing import Annotated

import msgspec

from bus.events.base import Event, Token, Vlan, Vni


class SpineAdded(Event, tag="spine.added.v1", frozen=True, kw_only=True):
    """A spine switch, connected to every leaf of its AZ."""

    spine: Token
    az: Token


class LeafAdded(Event, tag="leaf.added.v1", frozen=True, kw_only=True):
    """A leaf switch. ``vtep`` is its VXLAN tunnel address, ``asn`` its BGP autonomous system number."""

    leaf: Token
    az: Token
    vtep: str
    asn: Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1, description="RFC 6793")]


class LeafVlanEvent(Event, frozen=True, kw_only=True):
    """One (leaf, interface, VLAN). ``epoch`` is the log position of the change of need that this answers.

    An answer to an older need than the current one is recorded and changes nothing.
    """

    leaf: Token
    az: Token
    interface: Token
    vlan: Vlan
    vni: Vni
    epoch: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class LeafVlanAdded(LeafVlanEvent, tag="leaf.vlan_added.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: the interface carries the VLAN, mapped to the VNI."""


class LeafVlanRemoved(LeafVlanEvent, tag="leaf.vlan_removed.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: the interface does not carry the VLAN any more."""


class LeafVlanFailed(LeafVlanEvent, tag="leaf.vlan_failed.v1", frozen=True, kw_only=True):
    """The leaf could not be brought to what was needed."""

    reason: str
