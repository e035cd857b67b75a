"""The event language, one file per aggregate. ``EVENT_TYPES`` lists it whole; ``AnyEvent`` is its union."""

from bus.events.base import Event, Token, tag_of
from bus.events.host import AzAdded, HostAdded, RegionAdded, physical_network
from bus.events.instance import (
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceFailed,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    SpawnRequested,
)
from bus.events.leaf import LeafAdded, LeafVlanAdded, LeafVlanEvent, LeafVlanFailed, LeafVlanRemoved, SpineAdded
from bus.events.network import NetworkCreated, SubnetCreated, TenantAdded, VpcCreated
from bus.events.port import (
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortDeleted,
    PortDeleteRequested,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortRefused,
    PortRegistered,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    Status,
)

AnyEvent = (
    RegionAdded
    | AzAdded
    | SpineAdded
    | LeafAdded
    | HostAdded
    | TenantAdded
    | VpcCreated
    | NetworkCreated
    | SubnetCreated
    | SpawnRequested
    | InstanceScheduled
    | InstanceActive
    | InstanceRefused
    | InstanceFailed
    | InstanceDeleteRequested
    | InstanceTerminating
    | InstanceDeleted
    | InstanceDeleteRefused
    | PortCreateRequested
    | PortAllocated
    | PortRefused
    | PortRegistered
    | PortPlugged
    | PortPlugFailed
    | PortUnderlayReported
    | PortBindRequested
    | PortBound
    | PortOverlayReported
    | PortUnplugged
    | PortDeleteRequested
    | PortUnderlayRemoved
    | PortUnbound
    | PortOverlayRemoved
    | PortDeleted
    | LeafVlanAdded
    | LeafVlanRemoved
    | LeafVlanFailed
)

#: Every event type, in the order of the union above.
EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__

__all__ = [
    "EVENT_TYPES",
    "AnyEvent",
    "AzAdded",
    "Event",
    "HostAdded",
    "InstanceActive",
    "InstanceDeleteRefused",
    "InstanceDeleteRequested",
    "InstanceDeleted",
    "InstanceFailed",
    "InstanceRefused",
    "InstanceScheduled",
    "InstanceTerminating",
    "LeafAdded",
    "LeafVlanAdded",
    "LeafVlanEvent",
    "LeafVlanFailed",
    "LeafVlanRemoved",
    "NetworkCreated",
    "PortAllocated",
    "PortBindRequested",
    "PortBound",
    "PortCreateRequested",
    "PortDeleteRequested",
    "PortDeleted",
    "PortEvent",
    "PortOverlayRemoved",
    "PortOverlayReported",
    "PortPlugFailed",
    "PortPlugged",
    "PortRefused",
    "PortRegistered",
    "PortUnbound",
    "PortUnderlayRemoved",
    "PortUnderlayReported",
    "PortUnplugged",
    "RegionAdded",
    "SpawnRequested",
    "SpineAdded",
    "Status",
    "SubnetCreated",
    "TenantAdded",
    "Token",
    "VpcCreated",
    "physical_network",
    "tag_of",
]
