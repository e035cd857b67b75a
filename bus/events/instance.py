"""The instance: what a user asks for and gets (Figure 10, steps 1 and 13). Written by users and by nova."""

from typing import ClassVar, Literal

from bus.events.base import Event, InstanceId, Token

Kind = Literal["vm", "container"]


class SpawnRequested(Event, tag="instance.spawn_requested.v1", frozen=True, kw_only=True):
    """A user, scheduler or CNI plugin asks for an instance (step 1).

    Exactly one of ``network`` (an id) and ``label`` (any network that carries it) says where its port comes from.
    ``instance`` is unique for ever, ``name`` among the live instances. ``host`` pins the instance to a host.
    """

    instance: InstanceId
    name: Token
    az: Token
    network: Token | None = None
    label: Token | None = None
    host: Token | None = None
    kind: Kind = "container"


class InstanceScheduled(Event, tag="instance.scheduled.v1", frozen=True, kw_only=True):
    """Nova chose a host (step 1)."""

    once: ClassVar[bool] = True
    instance: InstanceId
    name: Token
    az: Token
    host: Token
    network: Token | None = None
    label: Token | None = None


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
    """Nova tells the instance's host to take it down."""

    once: ClassVar[bool] = True
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
