"""The event language, one file per aggregate. ``EVENT_TYPES`` lists it whole; ``AnyEvent`` is its union."""

from bus.events.base import Event, tag_of
from bus.events.block import (
    BlockEvent,
    BlockRouteSet,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockRefused,
    HostBlockReleased,
    HostBlockReleaseRefused,
    HostBlockReleaseRequested,
    HostBlockRequested,
    PortAddressOffered,
    RouteKind,
)
from bus.events.cloud import (
    CLOUD,
    CloudAudited,
    CloudAuditRequested,
    CloudDifference,
    CloudLeakCollected,
    CloudResource,
    EniEvent,
    PortEniAttached,
    PortEniAvailable,
    PortEniDeleted,
    PortEniFailed,
    PortFloatingIpAssociated,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
)
from bus.events.cluster import (
    ClusterCreated,
    ClusterCreateRequested,
    ClusterRefused,
    IngressAdded,
    IngressConfigured,
    IngressCreated,
    IngressCreateRequested,
    IngressRefused,
    Listener,
)
from bus.events.device import DeviceAudited, DeviceAuditRequested, TableDifference
from bus.events.host import (
    BARE_METAL,
    AzAdded,
    HostAdded,
    HostAgentStarted,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostFenced,
    HostRefused,
    HostResynced,
    HostReturned,
    HostReturnRequested,
    HostSuspected,
    HostUp,
    RegionAdded,
    physical_network,
)
from bus.events.identifiers import RealisedBy, Token
from bus.events.instance import (
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceOverdue,
    InstanceRecovered,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    SpawnRequested,
    port_name,
)
from bus.events.leaf import (
    LEAF_CAPACITY,
    LeafAdded,
    LeafAudited,
    LeafAuditRequested,
    LeafDifference,
    LeafMacCleared,
    LeafMacClearRequested,
    LeafMacDuplicateDetected,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    LeafVlanRemoved,
    MacDuplicate,
    SpineAdded,
)
from bus.events.leaf_trunk import (
    LeafInterfaceEvent,
    LeafInterfaceOpened,
    LeafInterfaceShut,
    LeafTrunkAdded,
)
from bus.events.network import (
    NetworkCreated,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from bus.events.network_requests import (
    NetworkCreateRequested,
    NetworkGatewayChanged,
    NetworkGatewayChangeRequested,
    NetworkRefused,
)
from bus.events.operation import (
    ITEMS_MAX,
    OperationCompleted,
    OperationPortsRequested,
    OperationRefused,
    OperationReleased,
    OperationReleaseRequested,
    PortItem,
    RefusedItem,
)
from bus.events.policy import (
    POLICY,
    HttpRule,
    PolicyApplied,
    PolicyCreated,
    PolicyCreateRequested,
    PolicyDeleted,
    PolicyDeleteRequested,
    PolicyRefused,
    PolicyRule,
    PortPolicyReported,
)
from bus.events.port import (
    CNC,
    OVS_AGENT,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortClaimRefused,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleted,
    PortDeleteRequested,
    PortEvent,
    PortOrphanSeen,
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
from bus.events.router import (
    RouterAdded,
    RouterGatewayConfigured,
)
from bus.events.vpc import (
    BorderEntryAdded,
    BorderEntryEvent,
    BorderEntryFailed,
    BorderEntryRemoved,
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectFailRequested,
    DirectConnectRefused,
    DirectConnectRequested,
    DirectConnectRestored,
    DirectConnectRestoreRequested,
    DirectConnectSettled,
    VpcConnected,
    VpcConnectionFailed,
    VpcConnectionReady,
    VpcConnectRefused,
    VpcConnectRequested,
    VpcCreateRequested,
    VpcDisconnected,
    VpcDisconnecting,
    VpcDisconnectRefused,
    VpcDisconnectRequested,
    VpcPair,
    VpcRefused,
)
from bus.events.worker import WorkerStarted

AnyEvent = (
    RegionAdded
    | AzAdded
    | HostAdded
    | HostFailRequested
    | HostDrainRequested
    | HostReturnRequested
    | HostRefused
    | HostSuspected
    | HostDown
    | HostFenced
    | HostReturned
    | HostResynced
    | HostUp
    | HostDraining
    | HostAgentStarted
    | HostAuditRequested
    | HostAudited
    | SpineAdded
    | LeafAdded
    | LeafVlanAdded
    | LeafVlanRemoved
    | LeafVlanFailed
    | LeafAuditRequested
    | LeafAudited
    | LeafMacDuplicateDetected
    | LeafMacClearRequested
    | LeafMacCleared
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
    | InstanceDriftRequested
    | InstanceDriftScheduled
    | InstanceDrifted
    | InstanceDriftRefused
    | InstanceDriftFailed
    | InstanceRecovered
    | InstanceOverdue
    | PortCreateRequested
    | PortAllocated
    | PortClaimRequested
    | PortClaimed
    | PortClaimRefused
    | PortClaimCleared
    | PortOrphanSeen
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
    | WorkerStarted
    | RouterAdded
    | RouterGatewayConfigured
    | NetworkCreateRequested
    | NetworkRefused
    | NetworkGatewayChangeRequested
    | NetworkGatewayChanged
    | LeafTrunkAdded
    | LeafInterfaceShut
    | LeafInterfaceOpened
    | PolicyCreateRequested
    | PolicyCreated
    | PolicyDeleteRequested
    | PolicyDeleted
    | PolicyRefused
    | PolicyApplied
    | PortPolicyReported
    | ClusterCreateRequested
    | ClusterCreated
    | ClusterRefused
    | IngressCreateRequested
    | IngressAdded
    | IngressConfigured
    | IngressCreated
    | IngressRefused
    | CloudAuditRequested
    | CloudAudited
    | CloudLeakCollected
    | PortEniAvailable
    | PortEniAttached
    | PortEniDeleted
    | PortEniFailed
    | PortFloatingIpRequested
    | PortFloatingIpAssociated
    | PortFloatingIpRefused
    | VpcCreateRequested
    | VpcRefused
    | VpcConnectRequested
    | VpcConnected
    | VpcConnectRefused
    | VpcConnectionReady
    | VpcConnectionFailed
    | VpcDisconnectRequested
    | VpcDisconnecting
    | VpcDisconnected
    | VpcDisconnectRefused
    | DirectConnectRequested
    | DirectConnectCreated
    | DirectConnectRefused
    | DirectConnectFailRequested
    | DirectConnectFailed
    | DirectConnectRestoreRequested
    | DirectConnectRestored
    | DirectConnectSettled
    | BorderEntryAdded
    | BorderEntryRemoved
    | BorderEntryFailed
    | OperationCompleted
    | OperationPortsRequested
    | OperationRefused
    | OperationReleased
    | OperationReleaseRequested
    | HostBlockRequested
    | HostBlockAssigned
    | HostBlockRefused
    | HostBlockAnnounced
    | HostBlockReleaseRequested
    | HostBlockReleased
    | HostBlockReleaseRefused
    | PortAddressOffered
    | BlockRouteSet
    | DeviceAuditRequested
    | DeviceAudited
)

#: Every event type, in the order of the union above.
EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__

__all__ = [
    "BARE_METAL",
    "CLOUD",
    "CNC",
    "EVENT_TYPES",
    "ITEMS_MAX",
    "LEAF_CAPACITY",
    "OVS_AGENT",
    "POLICY",
    "AnyEvent",
    "AzAdded",
    "BlockEvent",
    "BlockRouteSet",
    "BorderEntryAdded",
    "BorderEntryEvent",
    "BorderEntryFailed",
    "BorderEntryRemoved",
    "CloudAuditRequested",
    "CloudAudited",
    "CloudDifference",
    "CloudLeakCollected",
    "CloudResource",
    "ClusterCreateRequested",
    "ClusterCreated",
    "ClusterRefused",
    "DeviceAuditRequested",
    "DeviceAudited",
    "DirectConnectCreated",
    "DirectConnectFailRequested",
    "DirectConnectFailed",
    "DirectConnectRefused",
    "DirectConnectRequested",
    "DirectConnectRestoreRequested",
    "DirectConnectRestored",
    "DirectConnectSettled",
    "EniEvent",
    "Event",
    "HostAdded",
    "HostAgentStarted",
    "HostAuditRequested",
    "HostAudited",
    "HostBlockAnnounced",
    "HostBlockAssigned",
    "HostBlockRefused",
    "HostBlockReleaseRefused",
    "HostBlockReleaseRequested",
    "HostBlockReleased",
    "HostBlockRequested",
    "HostDifference",
    "HostDown",
    "HostDrainRequested",
    "HostDraining",
    "HostFailRequested",
    "HostFenced",
    "HostRefused",
    "HostResynced",
    "HostReturnRequested",
    "HostReturned",
    "HostSuspected",
    "HostUp",
    "HttpRule",
    "IngressAdded",
    "IngressConfigured",
    "IngressCreateRequested",
    "IngressCreated",
    "IngressRefused",
    "InstanceActive",
    "InstanceDeleteRefused",
    "InstanceDeleteRequested",
    "InstanceDeleted",
    "InstanceDriftFailed",
    "InstanceDriftRefused",
    "InstanceDriftRequested",
    "InstanceDriftScheduled",
    "InstanceDrifted",
    "InstanceFailed",
    "InstanceOverdue",
    "InstanceRecovered",
    "InstanceRefused",
    "InstanceScheduled",
    "InstanceTerminating",
    "LeafAdded",
    "LeafAuditRequested",
    "LeafAudited",
    "LeafDifference",
    "LeafInterfaceEvent",
    "LeafInterfaceOpened",
    "LeafInterfaceShut",
    "LeafMacClearRequested",
    "LeafMacCleared",
    "LeafMacDuplicateDetected",
    "LeafTrunkAdded",
    "LeafVlanAdded",
    "LeafVlanEvent",
    "LeafVlanFailed",
    "LeafVlanRemoved",
    "Listener",
    "MacDuplicate",
    "NetworkCreateRequested",
    "NetworkCreated",
    "NetworkGatewayChangeRequested",
    "NetworkGatewayChanged",
    "NetworkRefused",
    "OperationCompleted",
    "OperationPortsRequested",
    "OperationRefused",
    "OperationReleaseRequested",
    "OperationReleased",
    "PolicyApplied",
    "PolicyCreateRequested",
    "PolicyCreated",
    "PolicyDeleteRequested",
    "PolicyDeleted",
    "PolicyRefused",
    "PolicyRule",
    "PortAddressOffered",
    "PortAllocated",
    "PortBindRequested",
    "PortBound",
    "PortClaim",
    "PortClaimCleared",
    "PortClaimRefused",
    "PortClaimRequested",
    "PortClaimed",
    "PortCreateRequested",
    "PortDeleteRequested",
    "PortDeleted",
    "PortEniAttached",
    "PortEniAvailable",
    "PortEniDeleted",
    "PortEniFailed",
    "PortEvent",
    "PortFloatingIpAssociated",
    "PortFloatingIpRefused",
    "PortFloatingIpRequested",
    "PortItem",
    "PortOrphanSeen",
    "PortOverlayRemoved",
    "PortOverlayReported",
    "PortPlugFailed",
    "PortPlugged",
    "PortPolicyReported",
    "PortRefused",
    "PortRegistered",
    "PortUnbound",
    "PortUnderlayRemoved",
    "PortUnderlayReported",
    "PortUnplugged",
    "RealisedBy",
    "RefusedItem",
    "RegionAdded",
    "RouteKind",
    "RouterAdded",
    "RouterGatewayConfigured",
    "SpawnRequested",
    "SpineAdded",
    "Status",
    "SubnetCreated",
    "TableDifference",
    "TenantAdded",
    "Token",
    "VpcConnectRefused",
    "VpcConnectRequested",
    "VpcConnected",
    "VpcConnectionFailed",
    "VpcConnectionReady",
    "VpcCreateRequested",
    "VpcCreated",
    "VpcDisconnectRefused",
    "VpcDisconnectRequested",
    "VpcDisconnected",
    "VpcDisconnecting",
    "VpcPair",
    "VpcRefused",
    "WorkerStarted",
    "physical_network",
    "port_name",
    "tag_of",
]
