"""What leaves do for provider networks: trunks, and host interfaces that are shut. Written by CNC, who owns all leaves.

A provider VLAN is bridged on every host interface and between all leaves; so a dead host is cut off by shutting its
interfaces (docs/adr/0005).
"""

from bus.events.base import Event, Vlan
from bus.events.host import Epoch
from bus.events.identifiers import Token


class LeafTrunkAdded(Event, tag="leaf.trunk_added.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: it bridges the VLAN between its interfaces, the other leaves and the core router.

    ``epoch`` is the log position of the network or leaf that this answers.
    """

    leaf: Token
    az: Token
    vlan: Vlan
    epoch: Epoch


class LeafInterfaceEvent(Event, frozen=True, kw_only=True):
    """One interface of a leaf. ``epoch``: the log position of what it answers, its host's death or cleaning."""

    leaf: Token
    az: Token
    interface: Token
    epoch: Epoch


class LeafInterfaceShut(LeafInterfaceEvent, tag="leaf.interface_shut.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: nothing goes in or out by the interface, whatever its VLAN."""


class LeafInterfaceOpened(LeafInterfaceEvent, tag="leaf.interface_opened.v1", frozen=True, kw_only=True):
    """The leaf acknowledged: the interface carries again what is configured on it."""
