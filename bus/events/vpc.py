"""VPCs as they are asked for and connected, and the regions that Direct Connect joins (Figure 14).

Requests are written by operators, answers by IPAM (the Neutron server); what borders acknowledge, by ``border``.
"""

from typing import Literal

from bus.events.base import Event
from bus.events.host import Epoch
from bus.events.identifiers import Token


class VpcCreateRequested(Event, tag="vpc.create_requested.v1", frozen=True, kw_only=True):
    """A VPC is wanted. ``vrf`` is the VPC's own name unless given.

    ``region`` is the only one that its instances may be in. VPCs of one ``global_vpc`` have disjoint CIDRs, and are
    connected with each other (Figure 14).
    """

    vpc: Token
    tenant: Token
    cidr: str
    vrf: Token | None = None
    region: Token | None = None
    global_vpc: Token | None = None


class VpcRefused(Event, tag="vpc.refused.v1", frozen=True, kw_only=True):
    """The VPC is not created. ``field`` and ``value`` name what was wrong."""

    vpc: Token
    reason: str
    field: str
    value: str


class VpcPair(Event, frozen=True, kw_only=True):
    """Something about two VPCs, in whichever order."""

    vpc: Token
    peer: Token


class VpcConnectRequested(VpcPair, tag="vpc.connect_requested.v1", frozen=True, kw_only=True):
    """Each is to be routed in the other. Connections are not transitive: who is connected with both stays between."""


class VpcConnected(VpcPair, tag="vpc.connected.v1", frozen=True, kw_only=True):
    """Granted: the borders are to leak the routes of each VRF into the other."""


class VpcConnectRefused(VpcPair, tag="vpc.connect_refused.v1", frozen=True, kw_only=True):
    """The VPCs are not connected, and nothing was changed."""

    reason: str
    field: str
    value: str


class VpcConnectionReady(VpcPair, tag="vpc.connection_ready.v1", frozen=True, kw_only=True):
    """All borders concerned have acknowledged: the connection works."""


class VpcConnectionFailed(VpcPair, tag="vpc.connection_failed.v1", frozen=True, kw_only=True):
    """A border could not be configured; the connection may work in part. Asked for again, it is tried again."""

    reason: str


class VpcDisconnectRequested(VpcPair, tag="vpc.disconnect_requested.v1", frozen=True, kw_only=True):
    """Neither is to be routed in the other any more."""


class VpcDisconnecting(VpcPair, tag="vpc.disconnecting.v1", frozen=True, kw_only=True):
    """Granted: the borders are to leak nothing between them any more."""


class VpcDisconnected(VpcPair, tag="vpc.disconnected.v1", frozen=True, kw_only=True):
    """No border leaks anything between them any more."""


class VpcDisconnectRefused(VpcPair, tag="vpc.disconnect_refused.v1", frozen=True, kw_only=True):
    """There is no such connection."""

    reason: str
    field: str
    value: str


class DirectConnectRequested(Event, tag="direct_connect.create_requested.v1", frozen=True, kw_only=True):
    """A region is to hang as a spoke on a private one, the hub."""

    direct_connect: Token
    spoke: Token
    hub: Token


class DirectConnectCreated(Event, tag="direct_connect.created.v1", frozen=True, kw_only=True):
    """The line exists, and its borders are to use it."""

    direct_connect: Token
    spoke: Token
    hub: Token


class DirectConnectRefused(Event, tag="direct_connect.refused.v1", frozen=True, kw_only=True):
    """The request about the line cannot be granted."""

    direct_connect: Token
    reason: str
    field: str
    value: str


class DirectConnectFailRequested(Event, tag="direct_connect.fail_requested.v1", frozen=True, kw_only=True):
    """An operator takes the line out of use."""

    direct_connect: Token


class DirectConnectFailed(Event, tag="direct_connect.failed.v1", frozen=True, kw_only=True):
    """The line is out of use: its borders are to send nothing over it."""

    direct_connect: Token


class DirectConnectRestoreRequested(Event, tag="direct_connect.restore_requested.v1", frozen=True, kw_only=True):
    """An operator gives the line back."""

    direct_connect: Token


class DirectConnectRestored(Event, tag="direct_connect.restored.v1", frozen=True, kw_only=True):
    """The line is in use again."""

    direct_connect: Token


class DirectConnectSettled(Event, tag="direct_connect.settled.v1", frozen=True, kw_only=True):
    """All borders concerned have acknowledged that the line is, or is not, in use (``up``).

    ``reason``: it was to be, and a border could not be configured. Given back by an operator, it is tried again.
    """

    direct_connect: Token
    up: bool
    reason: str = ""


#: What a border holds: routes leaked between two VRFs, or a line to another region.
BorderEntryKind = Literal["vrfs", "line"]


class BorderEntryEvent(Event, frozen=True, kw_only=True):
    """One entry of one border: two VRFs, or spoke and hub. ``epoch`` is the position of the need that this answers."""

    border: Token
    az: Token
    kind: BorderEntryKind
    one: Token
    other: Token
    epoch: Epoch


class BorderEntryAdded(BorderEntryEvent, tag="border.entry_added.v1", frozen=True, kw_only=True):
    """The border acknowledged that it holds the entry."""


class BorderEntryRemoved(BorderEntryEvent, tag="border.entry_removed.v1", frozen=True, kw_only=True):
    """The border acknowledged that it does not hold the entry any more."""


class BorderEntryFailed(BorderEntryEvent, tag="border.entry_failed.v1", frozen=True, kw_only=True):
    """The border could not be brought to what was needed."""

    reason: str
