"""The target architecture (Figure 12): a K8s cluster inside one VPC, its internal network plane, and its ingresses.

Pods live in a plane of their own, a VRF that is routed nowhere: from outside only an ingress leads in. Requests are
permissive, so that what is wrong with them is told by a refusal and not by the decoder.
"""

from typing import Annotated

import msgspec

from bus.events.base import Event
from bus.events.identifiers import Token
from bus.events.network import Cidr
from bus.events.policy import Selector

#: The log position as of which something is so.
Revision = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class ClusterCreateRequested(Event, tag="cluster.create_requested.v1", frozen=True, kw_only=True):
    """An operator wants a K8s cluster in ``vpc``, its pods in ``pod_cidr``. ``policy``: its plane enforces policy."""

    cluster: Token
    vpc: str
    pod_cidr: str
    policy: bool = True


class ClusterCreated(Event, tag="cluster.created.v1", frozen=True, kw_only=True):
    """IPAM, the API server: the cluster has its plane (a VPC and VRF) and in it the network of its pods."""

    cluster: Token
    vpc: Token
    pod_cidr: Cidr
    plane: Token
    network: Token


class ClusterRefused(Event, tag="cluster.refused.v1", frozen=True, kw_only=True):
    """IPAM: the cluster cannot be, and nothing was made. ``field`` and ``value`` name what was wrong."""

    cluster: Token
    reason: str
    field: str
    value: str


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port of an ingress, and the pods behind it: those that ``selects`` selects, at their ``target_port``."""

    port: int
    selects: Selector = msgspec.field(default_factory=dict)
    target_port: int = 0


class IngressCreateRequested(Event, tag="ingress.create_requested.v1", frozen=True, kw_only=True):
    """An operator wants a way into ``cluster``: an address (VIP) of ``network``, which is in the cluster's VPC.

    ``listeners``: tcp ports of the VIP. A ``target_port`` of 0 is the listener's own.
    """

    ingress: Token
    cluster: str
    network: str
    az: Token
    listeners: tuple[Listener, ...] = ()


class IngressAdded(Event, tag="ingress.added.v1", frozen=True, kw_only=True):
    """The worker ``ingress``: the proxy has both its legs, in the VPC (the VIP) and in the plane of the pods."""

    ingress: Token
    az: Token
    outside: Token
    inside: Token
    vip: str


class IngressConfigured(Event, tag="ingress.configured.v1", frozen=True, kw_only=True):
    """The proxy listens, and knows the pods behind each port, as of log position ``revision``."""

    ingress: Token
    az: Token
    revision: Revision
    endpoints: Annotated[int, msgspec.Meta(ge=0)]


class IngressCreated(Event, tag="ingress.created.v1", frozen=True, kw_only=True):
    """The worker ``ingress``: the cluster can be reached at the VIP."""

    ingress: Token
    az: Token
    cluster: Token
    vip: str


class IngressRefused(Event, tag="ingress.refused.v1", frozen=True, kw_only=True):
    """The ingress cannot be, and nothing of it is left. ``field`` and ``value`` name what was wrong."""

    ingress: Token
    reason: str
    field: str
    value: str
