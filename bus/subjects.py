"""Events to subjects, and what can be filtered and permitted by subject.

    dl.<aggregate>.<key>.<az>.<host>.<event>       dl.port.i17-0.az1.h42.underlay_reported

The subject is the consistency boundary, and the thing that routing, permissions and debugging filter on:

- one aggregate's history:      ``dl.port.i17-0.>``
- one host's agent:             ``dl.*.*.*.h42.>``
- one availability zone:        ``dl.*.*.az1.>``
- "may report for this host":   publish ``dl.port.*.*.h42.underlay_reported``

The aggregate and its key come first, so that history and the at-most-once check look at one branch of the server's
subject tree (figures in docs/adr/0002). ``_`` stands where an event has no AZ or host.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from bus.events import EVENT_TYPES, Event, SpawnRequested, tag_of

PREFIX = "dl"
ALL = f"{PREFIX}.>"
NONE = "_"


def _namer(event_type: type[Event]) -> Callable[[Any], str]:
    aggregate, name, _version = tag_of(event_type).split(".")
    fields = event_type.__struct_fields__
    key = attrgetter(aggregate)
    # A spawn request may wish for a host, but concerns none yet: nova decides.
    has_host = {"host", "az"} <= {*fields} and event_type is not SpawnRequested
    if has_host:
        return lambda e: f"{PREFIX}.{aggregate}.{key(e)}.{e.az}.{e.host}.{name}"
    if "az" in fields:
        return lambda e: f"{PREFIX}.{aggregate}.{key(e)}.{e.az}.{NONE}.{name}"
    return lambda e: f"{PREFIX}.{aggregate}.{key(e)}.{NONE}.{NONE}.{name}"


_NAMERS: dict[type[Event], Callable[[Any], str]] = {event_type: _namer(event_type) for event_type in EVENT_TYPES}
_NAMES = {event_type: tuple(tag_of(event_type).split(".")[:2]) for event_type in EVENT_TYPES}
_FULL_NAMES = {event_type: ".".join(names) for event_type, names in _NAMES.items()}


def subject_of(event: Event) -> str:
    """The one subject that ``event`` is published on."""
    return _NAMERS[type(event)](event)


def key_of(event: Event) -> str:
    """The key of the aggregate that ``event`` belongs to, e.g. its port id."""
    key: str = getattr(event, _NAMES[type(event)][0])
    return key


def name_of(event_type: type[Event]) -> str:
    """``port.allocated``: the tag without its version."""
    return _FULL_NAMES[event_type]


def once_filter(event: Event) -> str:
    """The filter that holds every event of this type for this aggregate, whatever its AZ and host."""
    aggregate, name = _NAMES[type(event)]
    return f"{PREFIX}.{aggregate}.{key_of(event)}.*.*.{name}"


def history_filter(aggregate: str, key: str) -> str:
    """All that ever happened to one aggregate."""
    return f"{PREFIX}.{aggregate}.{key}.>"


def host_filter(host: str) -> str:
    """All that concerns one host."""
    return f"{PREFIX}.*.*.*.{host}.>"


def matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` fits the NATS filter ``pattern`` (``*`` one token, a final ``>`` one or more)."""
    want, have = pattern.split("."), subject.split(".")
    if want[-1] == ">":
        want.pop()
        if len(have) <= len(want):
            return False
        have = have[: len(want)]
    return len(want) == len(have) and all(w in ("*", h) for w, h in zip(want, have, strict=True))


#: Of each worker that has tables on devices.
_TABLES = ("device.audit_requested", "device.audited")
#: Who may publish what. ``publisher`` is anyone outside; ``operator`` describes the world.
_PUBLISHERS: dict[str, tuple[str, ...]] = {
    "publisher": (
        "instance.spawn_requested",
        "instance.drift_requested",
        "instance.delete_requested",
        "port.floating_ip_requested",
        *("operation.ports_requested", "operation.release_requested"),
    ),
    "operator": (
        *("region.added", "az.added", "spine.added", "leaf.added", "host.added"),
        *("tenant.added", "vpc.created", "network.created", "subnet.created"),
        *("vpc.create_requested", "vpc.connect_requested", "vpc.disconnect_requested"),
        *("direct_connect.create_requested", "direct_connect.fail_requested", "direct_connect.restore_requested"),
        *("host.fail_requested", "host.drain_requested", "host.return_requested"),
        *("host.audit_requested", "leaf.audit_requested", "cloud.audit_requested"),
        "device.audit_requested",
        "host.block_release_requested",
        *("router.added", "network.create_requested", "network.gateway_change_requested"),
        "leaf.mac_clear_requested",
        *("policy.create_requested", "policy.delete_requested"),
        *("cluster.create_requested", "ingress.create_requested"),
    ),
    "nova": (
        *("instance.scheduled", "instance.active", "instance.refused", "instance.failed"),
        *("instance.terminating", "instance.deleted", "instance.delete_refused", "instance.overdue"),
        *("instance.drift_scheduled", "instance.drifted", "instance.drift_refused", "instance.drift_failed"),
        "instance.recovered",
    ),
    "compute": (
        *("port.create_requested", "port.plugged", "port.plug_failed", "port.bind_requested"),
        *("port.unplugged", "port.delete_requested", "port.claim_requested"),
        *("host.resynced", "host.audited"),  # bare metal has no agent that would say so
    ),
    "ovs-agent": (
        *("port.underlay_reported", "port.underlay_removed"),
        *("host.agent_started", "host.resynced", "host.audit_requested", "host.audited"),
    ),
    "cnc": (
        *("port.registered", "port.overlay_reported", "port.overlay_removed"),
        *("leaf.vlan_added", "leaf.vlan_removed", "leaf.vlan_failed", "leaf.audit_requested", "leaf.audited"),
        "host.fenced",
        *("leaf.trunk_added", "leaf.interface_shut", "leaf.interface_opened"),
        *("leaf.mac_duplicate_detected", "leaf.mac_cleared"),
        *_TABLES,
    ),
    "ipam": (
        *("host.block_assigned", "host.block_refused"),
        *("port.allocated", "port.refused", "port.bound", "port.unbound", "port.deleted"),
        *("port.claimed", "port.claim_refused", "port.claim_cleared", "port.orphan_seen"),
        *("network.created", "subnet.created", "network.refused", "network.gateway_changed"),
        *("policy.created", "policy.deleted", "policy.refused"),
        *("cluster.created", "cluster.refused", "vpc.created", "network.created", "subnet.created"),
        *("operation.completed", "operation.released", "operation.refused"),
        *("vpc.created", "vpc.refused", "vpc.connected", "vpc.connect_refused"),
        *("vpc.disconnecting", "vpc.disconnect_refused"),
        *("direct_connect.created", "direct_connect.refused", "direct_connect.failed", "direct_connect.restored"),
    ),
    "border": (
        *("border.entry_added", "border.entry_removed", "border.entry_failed"),
        *("vpc.connection_ready", "vpc.connection_failed", "vpc.disconnected", "direct_connect.settled"),
        *_TABLES,
    ),
    "ingress": (
        *("ingress.added", "ingress.configured", "ingress.created", "ingress.refused"),
        *("instance.spawn_requested", "instance.delete_requested"),
    ),
    "policy": ("port.policy_reported", "policy.applied"),
    "cloud": (
        *("port.overlay_reported", "port.overlay_removed"),
        *("port.eni_available", "port.eni_attached", "port.eni_deleted", "port.eni_failed"),
        *("port.floating_ip_associated", "port.floating_ip_refused"),
        *("cloud.audit_requested", "cloud.audited", "cloud.leak_collected"),
    ),
    "host-ipam": (
        *("port.allocated", "port.refused", "port.bound", "port.address_offered", "port.claim_refused"),
        *("host.block_requested", "host.block_released", "host.block_release_refused"),
    ),
    "block-routes": ("router.block_route_set", "host.block_announced", *_TABLES),
    "liveness": (*("host.suspected", "host.down", "host.returned", "host.up", "host.draining", "host.refused"),),
    "core-router": ("router.gateway_configured", *_TABLES),
}
ROLES: tuple[str, ...] = tuple(_PUBLISHERS)
#: Roles of people and programs outside; every other one is the name of a worker.
_OUTSIDE = ("publisher", "operator")
HOST_ROLES = ("compute", "ovs-agent", "host-ipam")


def publish_permissions(role: str, host: str = "*") -> list[str]:
    """The subjects that ``role`` may publish on, for a NATS account; ``host`` narrows an agent to its own host.

    Raises KeyError for a role that is not in ``ROLES``, and ValueError for a host of a role that speaks for none.
    """
    if host != "*" and role not in HOST_ROLES:
        raise ValueError(f"host: {role} does not speak for a host, only {' and '.join(HOST_ROLES)} do")
    about_itself = [f"{PREFIX}.worker.{role}.{NONE}.{NONE}.started"] if role not in _OUTSIDE else []
    return [f"{PREFIX}.{aggregate}.*.*.{host}.{name}" for aggregate, name in _split(_PUBLISHERS[role])] + about_itself


def publishers_of(event_type: type[Event]) -> list[str]:
    """The roles that publish this event: one, but for what an operator may ask for that the clock asks for as well."""
    name = name_of(event_type)
    return [role for role, names in _PUBLISHERS.items() if name in names]


def _split(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(aggregate, name) for aggregate, _, name in (full.partition(".") for full in names)]
