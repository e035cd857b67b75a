"""What every event is: a frozen struct with a written-out, versioned tag and a place in the subject tree.

The tag of an event (``port.allocated.v1``) is its aggregate, its name and its version. The field that holds the
aggregate's key carries the aggregate's name (``PortAllocated.port``), so an event is routed by its tag alone.
"""

from typing import Annotated, ClassVar

import msgspec

from bus.events.identifiers import IdentifierFields, check

#: Microseconds since the Unix epoch, UTC, up to the year 9999.
TimeUs = Annotated[
    int, msgspec.Meta(ge=0, le=253_402_300_799_999_999, description="microseconds since the Unix epoch, UTC")
]
#: IEEE 802.1Q: 0 and 4095 are reserved.
Vlan = Annotated[int, msgspec.Meta(ge=1, le=4094, description="VLAN id, local to a leaf pair (IEEE 802.1Q)")]
#: The same, or 0 (no tag, IEEE 802.1Q's priority tag): the port has no VLAN.
VlanOrNone = Annotated[int, msgspec.Meta(ge=0, le=4094, description="VLAN id, 0 for none")]
#: RFC 7348: 24 bits.
Vni = Annotated[int, msgspec.Meta(ge=1, le=(1 << 24) - 1, description="VXLAN network identifier (RFC 7348)")]
#: The same, or 0: the segment is not carried over VXLAN.
VniOrNone = Annotated[int, msgspec.Meta(ge=0, le=(1 << 24) - 1, description="VXLAN network identifier, 0 for none")]
#: Minted by IPAM with each claim of a port by a host; starts at 1 and never decreases (invariant 6).
Generation = Annotated[int, msgspec.Meta(ge=1, description="binding generation of a port")]


class Event(msgspec.Struct, metaclass=IdentifierFields, frozen=True, kw_only=True, tag_field="type", gc=False):
    """Base of all events. Subclasses give their tag as ``tag="port.allocated.v1"``.

    ``once`` says that an aggregate sees this event at most one time in its life; the log enforces it
    (``Nats-Expected-Last-Subject-Sequence: 0``), so two replicas of a worker cannot both decide it.
    """

    once: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raises ValueError naming an identifier that is none. All else is checked by who decodes or converts."""
        check(self)


def tag_of(event_type: type[Event]) -> str:
    """The wire tag of an event type, e.g. ``port.allocated.v1``."""
    return str(event_type.__struct_config__.tag)
