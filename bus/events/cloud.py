"""Public cloud (Figure 13): the ENI of a pod's port, its floating (elastic) IP, and what leaked. Written by ``cloud``.

An ENI is an elastic network interface of Amazon EC2: a primary and a secondary private address in a subnet of one AZ,
attached to at most one instance.
"""

from typing import Annotated, Literal

import msgspec

from bus.events.base import Event
from bus.events.host import Epoch
from bus.events.identifiers import Token

#: The worker that speaks for the cloud, and the name of the cloud as a device.
CLOUD = "cloud"
#: EC2's own id of a resource, e.g. ``eni-0a1b2c3d``.
ResourceId = Annotated[str, msgspec.Meta(max_length=64)]


class EniEvent(Event, frozen=True, kw_only=True):
    """What the cloud says of a port's ENI. ``epoch`` is the log position of the change of need that this answers.

    An answer to an older need than the current one is recorded and changes nothing.
    """

    port: Token
    az: Token
    epoch: Epoch


class PortEniAvailable(EniEvent, tag="port.eni_available.v1", frozen=True, kw_only=True):
    """The ENI exists with both addresses and is attached to no instance."""

    eni: ResourceId


class PortEniAttached(EniEvent, tag="port.eni_attached.v1", frozen=True, kw_only=True):
    """The ENI is attached to the instance of this node, and to no other."""

    eni: ResourceId
    node: Token


class PortEniDeleted(EniEvent, tag="port.eni_deleted.v1", frozen=True, kw_only=True):
    """No ENI of the port is left, and no floating IP."""


class PortEniFailed(EniEvent, tag="port.eni_failed.v1", frozen=True, kw_only=True):
    """The ENI could not be made, or not be attached."""

    reason: str


class PortFloatingIpRequested(Event, tag="port.floating_ip_requested.v1", frozen=True, kw_only=True):
    """Somebody wants the port to be reached from outside by an elastic IP, for as long as the port lives."""

    port: Token


class PortFloatingIpAssociated(Event, tag="port.floating_ip_associated.v1", frozen=True, kw_only=True):
    """``address`` leads to the port's primary address, wherever its ENI is attached."""

    port: Token
    az: Token
    address: str


class PortFloatingIpRefused(Event, tag="port.floating_ip_refused.v1", frozen=True, kw_only=True):
    """The port gets no floating IP by this request; nothing was allocated. ``field`` and ``value``: what was wrong."""

    port: Token
    reason: str
    field: str
    value: str


class CloudDifference(msgspec.Struct, frozen=True, tag="cloud"):
    """Where the cloud differs from the log: an ENI that should be attached and is not (``missing``), or one that is
    ``available``, carries our tag and belongs to no port of the log; or such an elastic IP. ``resource`` is EC2's id.
    """

    kind: Literal["eni", "eip"]
    resource: ResourceId
    port: str
    missing: bool


class CloudResource(msgspec.Struct, frozen=True, tag="resource"):
    """What an effect on the cloud came to: EC2's id of the ENI, or the address of the elastic IP."""

    id: ResourceId


class CloudAuditRequested(Event, tag="cloud.audit_requested.v1", frozen=True, kw_only=True):
    """Compare what the cloud holds under our tag with what the log says. By the clock, or by an operator."""

    cloud: Token


class CloudAudited(Event, tag="cloud.audited.v1", frozen=True, kw_only=True):
    """Where the cloud differs from what the log said at ``epoch``. ``error``: it could not be compared.

    What is missing is repaired. What leaked is collected when it is found a second time after a grace period.
    """

    cloud: Token
    epoch: Epoch
    found: tuple[CloudDifference, ...] = ()
    error: str = ""


class CloudLeakCollected(Event, tag="cloud.leak_collected.v1", frozen=True, kw_only=True):
    """What had leaked is gone from the cloud: nobody pays for it any more."""

    cloud: Token
    kind: Literal["eni", "eip"]
    resource: ResourceId
    port: str
