"""Regions, availability zones and the dual-homed hosts in them; which hosts live. Written by operators and liveness."""

from typing import Annotated, Final, Literal

import msgspec

from bus.events.base import Event, Generation
from bus.events.identifiers import Token

#: The log position of the event that something answers to.
Epoch = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class RegionAdded(Event, tag="region.added.v1", frozen=True, kw_only=True):
    """A region: a site with availability zones, the company's own (private) or a cloud's (public)."""

    region: Token
    kind: Literal["private", "public"] = "private"


class AzAdded(Event, tag="az.added.v1", frozen=True, kw_only=True):
    """An availability zone of a region."""

    az: Token
    region: Token


#: A server runs agents; bare metal has none, no OVS either, and is its one instance; a node is an instance of a public
#: cloud that runs pods.
HostKind = Literal["server", "bare-metal", "node"]
#: How the inside of a host is wired: Figure 5, or Figure 6, which has a Linux bridge beside each instance.
HostLayout = Literal["driftline", "openstack"]
BARE_METAL: Final = "bare-metal"


class HostAdded(Event, tag="host.added.v1", frozen=True, kw_only=True):
    """A host whose two NICs (one bond) go to the same interface of both leaves of a pair.

    ``capacity`` is how many instances it may hold; ``instance_type`` is a node's, in the words of its cloud (m5.large).
    """

    host: Token
    az: Token
    leaf_a: Token
    leaf_b: Token
    interface: Token
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500
    kind: HostKind = "server"
    layout: HostLayout = "driftline"
    instance_type: Annotated[str, msgspec.Meta(max_length=63)] = ""


def physical_network(leaf_a: str, leaf_b: str) -> str:
    """The scope in which a VLAN id is unique (Neutron's term): one leaf pair, whichever way round it is named."""
    first, second = sorted((leaf_a, leaf_b))
    return f"{first}-{second}"


class HostFailRequested(Event, tag="host.fail_requested.v1", frozen=True, kw_only=True):
    """An operator declares the host dead: what is on it is to drift away, and it stays down until returned."""

    host: Token
    reason: str = ""


class HostDrainRequested(Event, tag="host.drain_requested.v1", frozen=True, kw_only=True):
    """An operator wants the host empty: it takes nothing new, and all that is on it is to drift away."""

    host: Token


class HostReturnRequested(Event, tag="host.return_requested.v1", frozen=True, kw_only=True):
    """An operator gives the host back: one that failed is cleaned first, one that was drained takes instances again."""

    host: Token


class HostRefused(Event, tag="host.refused.v1", frozen=True, kw_only=True):
    """The request about the host cannot be granted. ``field`` and ``value`` name what was wrong."""

    host: Token
    reason: str
    field: str
    value: str


class HostSuspected(Event, tag="host.suspected.v1", frozen=True, kw_only=True):
    """The host's agent has been silent for a while: the host takes nothing new."""

    host: Token
    az: Token
    silent_us: Annotated[int, msgspec.Meta(ge=0)]


class HostDown(Event, tag="host.down.v1", frozen=True, kw_only=True):
    """The host is dead. CNC cuts it off at its leaves, so that nothing on it can answer for an address that has moved.

    ``evacuate``: what is on it drifts now, without further requests. ``held``: it stays down, beats or not, until an
    operator returns it.
    """

    host: Token
    az: Token
    reason: str
    evacuate: bool = False
    held: bool = False


class HostFenced(Event, tag="host.fenced.v1", frozen=True, kw_only=True):
    """CNC: no leaf carries anything for the host that went down at log position ``epoch``."""

    host: Token
    az: Token
    epoch: Epoch


class HostReturned(Event, tag="host.returned.v1", frozen=True, kw_only=True):
    """The host is heard again. It is cleaned of what is no longer its own, and takes nothing before that is done."""

    host: Token
    az: Token
    draining: bool = False


class HostResynced(Event, tag="host.resynced.v1", frozen=True, kw_only=True):
    """Its agent: the host holds nothing any more but what was its own at log position ``epoch`` (its return)."""

    host: Token
    az: Token
    epoch: Epoch
    removed: Annotated[int, msgspec.Meta(ge=0)] = 0


class HostUp(Event, tag="host.up.v1", frozen=True, kw_only=True):
    """The host takes instances (again), unless it is still ``draining``."""

    host: Token
    az: Token
    draining: bool = False


class HostDraining(Event, tag="host.draining.v1", frozen=True, kw_only=True):
    """The host takes nothing new, and all that is on it drifts away."""

    host: Token
    az: Token


class HostAgentStarted(Event, tag="host.agent_started.v1", frozen=True, kw_only=True):
    """The OVS agent of the host began anew; its log position is the cookie of the flows it installs from now on."""

    host: Token
    az: Token


class HostAuditRequested(Event, tag="host.audit_requested.v1", frozen=True, kw_only=True):
    """Compare what the host holds with what the log says. By the clock, or by an operator."""

    host: Token
    az: Token


class HostDifference(msgspec.Struct, frozen=True, tag="host"):
    """A vNIC, or the flows or the policy of a port, that the host lacks (``missing``), or holds without a right to."""

    part: Literal["vnic", "flows", "policy"]
    port: Token
    generation: Generation
    missing: bool


class HostAudited(Event, tag="host.audited.v1", frozen=True, kw_only=True):
    """Its agent: where the host differs from what the log said at ``epoch`` or later. What still does is repaired.

    ``error``: it could not be compared.
    """

    host: Token
    az: Token
    epoch: Epoch
    differences: tuple[HostDifference, ...] = ()
    error: str = ""
