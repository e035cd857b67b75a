"""Policy: who may speak to whom, by the labels of pods and not by their addresses (L3 to L7, cloud-native, 2019).

The semantics are those of a Kubernetes NetworkPolicy: a pod that no policy selects in a direction is open in that
direction; one that any policy selects is closed but for what some rule allows; replies of allowed flows pass. Requests
are permissive, so that what is wrong with them is told by ``policy.refused`` and not by the decoder.
"""

from typing import Annotated, Literal

import msgspec

from bus.events.base import Event
from bus.events.identifiers import Token
from bus.events.port import PortEvent, Status

#: Labels that a pod must carry, all of them; or every pod. No labels at all are no selector.
Selector = dict[str, str] | Literal["all"]
#: The worker that installs policy (``PortClaim.policy_by``).
POLICY = "policy"
Revision = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class HttpRule(msgspec.Struct, frozen=True):
    """An HTTP request that a rule allows. Empty: any. A ``path`` that ends in ``*`` stands for all that begin so."""

    method: str = ""
    path: str = ""


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule allows: a peer (by labels, in the policy's VPC, or by ``cidr``; neither: any), a protocol, ports.

    ``ports`` empty: any. ``http`` needs tcp: then only these requests pass.
    """

    labels: Selector | None = None
    cidr: str = ""
    protocol: str = "any"
    ports: tuple[int, ...] = ()
    http: tuple[HttpRule, ...] = ()


#: None: the policy does not govern the direction; empty: it does, and allows nothing.
Rules = tuple[PolicyRule, ...] | None


class PolicyCreateRequested(Event, tag="policy.create_requested.v1", frozen=True, kw_only=True):
    """An operator wants this policy for the pods of ``vpc`` that ``selects`` selects, in the place of any of its id.

    ``revision`` must be higher than that of the policy it replaces; 0 takes the next.
    """

    policy: Token
    vpc: str
    selects: Selector = msgspec.field(default_factory=dict)
    ingress: Rules = None
    egress: Rules = None
    revision: Revision = 0


class PolicyCreated(Event, tag="policy.created.v1", frozen=True, kw_only=True):
    """IPAM, which is the API server too: this is the policy now. It is done when it is ``applied``."""

    policy: Token
    vpc: Token
    selects: Selector = msgspec.field(default_factory=dict)
    ingress: Rules = None
    egress: Rules = None
    revision: Revision


class PolicyDeleteRequested(Event, tag="policy.delete_requested.v1", frozen=True, kw_only=True):
    """An operator wants the policy gone."""

    policy: Token


class PolicyDeleted(Event, tag="policy.deleted.v1", frozen=True, kw_only=True):
    """IPAM: there is no such policy any more. It is done when it is ``applied``."""

    policy: Token
    revision: Revision


class PolicyRefused(Event, tag="policy.refused.v1", frozen=True, kw_only=True):
    """IPAM: the request cannot be granted, and nothing was changed. ``field`` and ``value`` name what was wrong."""

    policy: Token
    reason: str
    field: str
    value: str


class PolicyApplied(Event, tag="policy.applied.v1", frozen=True, kw_only=True):
    """The worker ``policy``: each host that this revision of the policy (or its end) concerns has acknowledged it."""

    policy: Token
    revision: Revision


class PortPolicyReported(PortEvent, tag="port.policy_reported.v1", frozen=True, kw_only=True):
    """The worker ``policy``: the port's rules are in place on its host, or could not be placed.

    ``revision`` is the log position as of which they are what all policies say. Without an ACTIVE report the port is
    not usable: it is closed when in doubt.
    """

    generation: Annotated[int, msgspec.Meta(ge=1)]
    status: Status
    revision: Revision
    reason: str = ""
