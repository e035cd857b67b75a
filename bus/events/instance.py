"""The instance: what a user asks for and gets (Figure 10, steps 1 and 13; Figure 11). Written by users and by nova."""

from typing import Annotated, ClassVar, Literal

import msgspec

from bus.events.base import Event, Generation, TimeUs
from bus.events.identifiers import InstanceId, RealisedBy, Token

Kind = Literal["vm", "container", "bm"]
#: Pod labels, of which the name of the instance's port is made (``port_name``).
Labels = Annotated[dict[Token, Token], msgspec.Meta(max_length=8)]


def port_name(name: str, labels: Labels) -> str:
    """The unique name by which a port is found again: ``key=value`` of each label, by key, joined with commas.

    ``{"app": "web", "pod": "web-0"}`` gives ``app=web,pod=web-0``; without labels it is the instance's ``name``. So a
    pod that is launched again with the same labels gets the same port, and with it its address (Figure 11, step 4).
    """
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or name


class SpawnRequested(Event, tag="instance.spawn_requested.v1", frozen=True, kw_only=True):
    """A user, scheduler or CNI plugin asks for an instance (step 1).

    Exactly one of ``network`` (an id) and ``label`` (any network that carries it) says where its port comes from.
    ``instance`` is unique for ever, ``name`` among the live instances. ``host`` pins the instance to a host. ``labels``
    are the pod's, of which the port's unique name is made (``port_name``).
    """

    instance: InstanceId
    name: Token
    az: Token
    network: Token | None = None
    label: Token | None = None
    host: Token | None = None
    kind: Kind = "container"
    labels: Labels = msgspec.field(default_factory=dict)


class InstanceScheduled(Event, tag="instance.scheduled.v1", frozen=True, kw_only=True):
    """Nova chose a host (step 1). ``allocator`` grants its port; empty for the central IPAM."""

    once: ClassVar[bool] = True
    instance: InstanceId
    name: Token
    az: Token
    host: Token
    network: Token | None = None
    label: Token | None = None
    kind: Kind = "container"
    labels: Labels = msgspec.field(default_factory=dict)
    allocator: RealisedBy = ""


class InstanceActive(Event, tag="instance.active.v1", frozen=True, kw_only=True):
    """Both planes of the instance's port are ACTIVE: the spawn is done (step 13)."""

    once: ClassVar[bool] = True
    instance: InstanceId
    az: Token
    host: Token
    port: Token


class InstanceRefused(Event, tag="instance.refused.v1", frozen=True, kw_only=True):
    """The spawn request cannot be granted; nothing of it remains. ``field`` and ``value`` name what was wrong."""

    instance: InstanceId
    az: Token
    reason: str
    field: str
    value: str


class InstanceFailed(Event, tag="instance.failed.v1", frozen=True, kw_only=True):
    """The spawn request was granted and could not be finished (a device failed, or it was deleted meanwhile)."""

    once: ClassVar[bool] = True
    instance: InstanceId
    az: Token
    host: Token
    reason: str


class InstanceDeleteRequested(Event, tag="instance.delete_requested.v1", frozen=True, kw_only=True):
    """A user asks that the instance and all it holds go away."""

    instance: InstanceId


class InstanceTerminating(Event, tag="instance.terminating.v1", frozen=True, kw_only=True):
    """Nova tells the instance's host to take it down; told again to another host that got the port meanwhile."""

    instance: InstanceId
    az: Token
    host: Token


class InstanceDeleted(Event, tag="instance.deleted.v1", frozen=True, kw_only=True):
    """The instance is gone and holds nothing any more."""

    once: ClassVar[bool] = True
    instance: InstanceId
    az: Token
    host: Token


class InstanceDeleteRefused(Event, tag="instance.delete_refused.v1", frozen=True, kw_only=True):
    """The delete request cannot be granted: no such instance, or it is going or gone already."""

    instance: InstanceId
    reason: str
    field: str
    value: str


class InstanceDriftRequested(Event, tag="instance.drift_requested.v1", frozen=True, kw_only=True):
    """The instance died and is to be launched again, on ``host`` or wherever there is room in its zone (Figure 11)."""

    instance: InstanceId
    host: Token | None = None
    reason: str = ""


class InstanceDriftScheduled(Event, tag="instance.drift_scheduled.v1", frozen=True, kw_only=True):
    """Nova chose the host that the instance is launched on again (Figure 11, step 3).

    ``generation`` is the binding generation of its port, which another host holds still: the drift is done when a newer
    one is usable. ``port_name`` is how the new host finds the port; ``network`` and ``allocator``: who
    addresses it there.
    """

    instance: InstanceId
    name: Token
    az: Token
    host: Token
    from_host: Token
    generation: Generation
    port_name: str
    network: Token | None = None
    allocator: RealisedBy = ""


class InstanceDrifted(Event, tag="instance.drifted.v1", frozen=True, kw_only=True):
    """The port is usable on its new host, with the same address: the drift is done (Figure 11, step 8)."""

    instance: InstanceId
    az: Token
    host: Token
    from_host: Token
    port: Token
    generation: Generation


class InstanceDriftRefused(Event, tag="instance.drift_refused.v1", frozen=True, kw_only=True):
    """The drift cannot be granted, and nothing was changed. ``field`` and ``value`` name what was wrong."""

    instance: InstanceId
    reason: str
    field: str
    value: str


class InstanceDriftFailed(Event, tag="instance.drift_failed.v1", frozen=True, kw_only=True):
    """The drift was granted and could not be finished. ``host`` holds the port now; it can drift again from there."""

    instance: InstanceId
    az: Token
    host: Token
    reason: str


class InstanceRecovered(Event, tag="instance.recovered.v1", frozen=True, kw_only=True):
    """The port of an instance in error is usable again, without a drift: what had failed was repaired."""

    instance: InstanceId
    az: Token
    host: Token
    port: Token


class InstanceOverdue(Event, tag="instance.overdue.v1", frozen=True, kw_only=True):
    """The clock says: the spawn or drift that ``request`` asked for was to be done by ``due_us``."""

    instance: InstanceId
    az: Token
    host: Token
    request: str
    due_us: TimeUs
