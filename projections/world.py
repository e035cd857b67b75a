"""The world as described: regions, AZs, leaves, hosts, tenants, VPCs, networks and subnets."""

import ipaddress
from bisect import bisect

from bus.envelope import Recorded
from bus.events import (
    BARE_METAL,
    AzAdded,
    HostAdded,
    IngressAdded,
    LeafAdded,
    NetworkCreated,
    NetworkGatewayChanged,
    RegionAdded,
    RouterAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
    physical_network,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on


class HostRow(Row):
    """A dual-homed host. ``physical_network`` is its leaf pair: the scope of its VLANs. ``kind``: what runs on it.

    ``instance_type``: a node's, empty for what is no node.
    """

    host: str
    az: str
    leaf_a: str
    leaf_b: str
    interface: str
    capacity: int
    physical_network: str
    kind: str = "server"
    layout: str = "driftline"
    instance_type: str = ""


class SwitchRow(Row):
    """A spine, a leaf or the core router; all but a leaf have no ``vtep``, ``asn`` and ``capacity`` (table entries)."""

    switch: str
    role: str
    az: str
    vtep: str
    asn: int
    capacity: int = 0


class AzRow(Row):
    """An availability zone and its region (``az`` is empty for the region itself, whose ``kind`` it tells)."""

    region: str
    az: str
    kind: str = ""


class VpcRow(Row):
    """A VPC of a tenant and the VRF that routes it. ``region`` and ``global_vpc`` are empty for none."""

    vpc: str
    tenant: str
    vrf: str
    cidr: str
    region: str = ""
    global_vpc: str = ""


class NetworkRow(Row):
    """An L2 segment: its VPC, its model, its VNI or VLAN (0: none) and its labels.

    ``policy``: its ports are under enforcement.
    """

    network: str
    vpc: str
    vrf: str
    vni: int
    labels: list[str]
    model: str = "evpn"
    vlan: int = 0
    policy: bool = False
    block_length: int = 0


class SubnetRow(Row):
    """A subnet and its gateway of now; what is free in it is in ``pools``."""

    subnet: str
    network: str
    cidr: str
    gateway: str
    zone: str = ""


class DeviceRow(Row):
    """A device of another kind than switches and hosts."""

    device: str
    kind: str
    az: str


class World(Fold):
    """What exists, whoever uses it. The first description of a thing counts; a second one changes nothing.

    Nor does one that contradicts what is known: what this fold does not take, no other fold takes either. A VNI or
    a network-wide VLAN belongs to one network, a network has one subnet, subnets of a VRF are disjoint (invariants 1
    and 9); a leaf belongs to one pair, and each of its interfaces to one host.
    """

    TABLES = (
        Table("availability_zones", AzRow, ("region", "az")),
        Table("switches", SwitchRow, ("switch",)),
        Table("hosts", HostRow, ("host",)),
        Table("vpcs", VpcRow, ("vpc",)),
        Table("networks", NetworkRow, ("network",)),
        Table("subnets", SubnetRow, ("subnet",)),
        Table("devices", DeviceRow, ("device",)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.hosts: dict[str, HostRow] = {}
        self.networks: dict[str, NetworkRow] = {}
        self.by_label: dict[str, list[str]] = {}
        self.azs: set[str] = set()
        self.vpcs: dict[str, VpcRow] = {}
        #: The kind of each region, and the region of each zone.
        self.regions: dict[str, str] = {}
        self.region_of: dict[str, str] = {}
        self._vnis: set[int] = set()
        #: The VLANs that are one network's everywhere, and no leaf pair's own.
        self.vlans: dict[int, str] = {}
        #: The core router, empty if there is none.
        self.router = ""
        #: The subnet of each network that has one.
        self.subnet_of: dict[str, SubnetRow] = {}
        #: First and last address of each subnet, in order.
        self._ranges_of_vrf: dict[str, list[tuple[int, int]]] = {}
        self._pair_of_leaf: dict[str, str] = {}
        self._host_on: dict[tuple[str, str], str] = {}

    @on(RegionAdded)
    def _region(self, r: Recorded, e: RegionAdded) -> tuple[Touched, ...]:
        self.regions.setdefault(e.region, e.kind)
        return self._put("availability_zones", (e.region, ""), AzRow(region=e.region, az="", kind=e.kind))

    @on(AzAdded)
    def _az(self, r: Recorded, e: AzAdded) -> tuple[Touched, ...]:
        if e.az in self.azs:
            return NOTHING
        self.azs.add(e.az)
        self.region_of[e.az] = e.region
        return self._put("availability_zones", (e.region, e.az), AzRow(region=e.region, az=e.az))

    @on(SpineAdded)
    def _spine(self, r: Recorded, e: SpineAdded) -> tuple[Touched, ...]:
        return self._put("switches", (e.spine,), SwitchRow(switch=e.spine, role="spine", az=e.az, vtep="", asn=0))

    @on(LeafAdded)
    def _leaf(self, r: Recorded, e: LeafAdded) -> tuple[Touched, ...]:
        row = SwitchRow(switch=e.leaf, role="leaf", az=e.az, vtep=e.vtep, asn=e.asn, capacity=e.capacity)
        return self._put("switches", (e.leaf,), row)

    @on(RouterAdded)
    def _router(self, r: Recorded, e: RouterAdded) -> tuple[Touched, ...]:
        if self.router:
            return NOTHING  # a gateway is at one place
        row = SwitchRow(switch=e.router, role="router", az="", vtep="", asn=0)
        touched = self._put("switches", (e.router,), row)
        self.router = e.router if touched else ""
        return touched

    @on(HostAdded)
    def _host(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        pair = physical_network(e.leaf_a, e.leaf_b)
        if not self._can_be_cabled(e, pair):
            return NOTHING
        row = HostRow(
            host=e.host,
            az=e.az,
            leaf_a=e.leaf_a,
            leaf_b=e.leaf_b,
            interface=e.interface,
            capacity=1 if e.kind == BARE_METAL else e.capacity,  # it is its one instance
            physical_network=pair,
            kind=e.kind,
            layout=e.layout,
            instance_type=e.instance_type,
        )
        touched = self._put("hosts", (e.host,), row)
        if touched:
            self.hosts[e.host] = row
            for leaf in (e.leaf_a, e.leaf_b):
                self._pair_of_leaf[leaf] = pair
                self._host_on[leaf, e.interface] = e.host
        return touched

    def _can_be_cabled(self, e: HostAdded, pair: str) -> bool:
        leaves = (e.leaf_a, e.leaf_b)
        return e.leaf_a != e.leaf_b and all(
            self._pair_of_leaf.get(leaf, pair) == pair and (leaf, e.interface) not in self._host_on for leaf in leaves
        )

    @on(TenantAdded)
    def _tenant(self, r: Recorded, e: TenantAdded) -> tuple[Touched, ...]:
        return NOTHING  # a tenant shows in its VPCs

    @on(VpcCreated)
    def _vpc(self, r: Recorded, e: VpcCreated) -> tuple[Touched, ...]:
        row = VpcRow(
            vpc=e.vpc,
            tenant=e.tenant,
            vrf=e.vrf,
            cidr=e.cidr,
            region=e.region or "",
            global_vpc=e.global_vpc or "",
        )
        touched = self._put("vpcs", (e.vpc,), row)
        if touched:
            self.vpcs[e.vpc] = row
        return touched

    @on(NetworkCreated)
    def _network(self, r: Recorded, e: NetworkCreated) -> tuple[Touched, ...]:
        vpc = self.vpcs.get(e.vpc)
        if vpc is None or e.vni in self._vnis or e.vlan in self.vlans:
            return NOTHING  # a network of no VPC cannot carry a port
        row = NetworkRow(
            network=e.network,
            vpc=e.vpc,
            vrf=vpc.vrf,
            vni=e.vni,
            labels=list(e.labels),
            model=e.model,
            vlan=e.vlan,
            policy=e.policy,
            block_length=e.block_length,
        )
        touched = self._put("networks", (e.network,), row)
        if touched:
            self.networks[e.network] = row
            self._vnis |= {e.vni} - {0}
            if e.vlan:
                self.vlans[e.vlan] = e.network
            for label in e.labels:
                self.by_label.setdefault(label, []).append(e.network)
        return touched

    @on(SubnetCreated)
    def _subnet(self, r: Recorded, e: SubnetCreated) -> tuple[Touched, ...]:
        network = self.networks.get(e.network)
        if network is None or e.network in self.subnet_of:
            return NOTHING
        net = ipaddress.IPv4Network(e.cidr)
        first, last = int(net.network_address), int(net.broadcast_address)
        ranges = self._ranges_of_vrf.setdefault(network.vrf, [])
        at = bisect(ranges, (first, last))
        if any(first <= end and start <= last for start, end in ranges[max(at - 1, 0) : at + 1]):
            return NOTHING
        row = SubnetRow(subnet=e.subnet, network=e.network, cidr=e.cidr, gateway=e.gateway, zone=e.zone)
        touched = self._put("subnets", (e.subnet,), row)
        if touched:
            self.subnet_of[e.network] = row
            ranges.insert(at, (first, last))
        return touched

    @on(NetworkGatewayChanged)
    def _gateway(self, r: Recorded, e: NetworkGatewayChanged) -> tuple[Touched, ...]:
        row: SubnetRow | None = self.tables["subnets"].get((e.subnet,))
        if row is None or (row.network, row.gateway) != (e.network, e.from_address):
            return NOTHING  # a copy of a change that was made already
        if e.address == row.gateway or not is_host_address(e.address, row.cidr):
            return NOTHING
        row.gateway = e.address
        return (("subnets", (e.subnet,)),)

    @on(IngressAdded)
    def _ingress(self, r: Recorded, e: IngressAdded) -> tuple[Touched, ...]:
        return self._put("devices", (e.ingress,), DeviceRow(device=e.ingress, kind="ingress", az=e.az))

    def _put(self, table: str, key: tuple[str, ...], row: Row) -> tuple[Touched, ...]:
        if key in self.tables[table]:
            return NOTHING
        self.tables[table][key] = row
        return ((table, key),)


def is_host_address(address: str, cidr: str) -> bool:
    """Whether ``address`` is an IPv4 address of ``cidr`` that a host or a gateway can have."""
    try:
        ip, net = ipaddress.IPv4Address(address), ipaddress.IPv4Network(cidr)
    except ValueError:
        return False
    return ip in net and ip not in (net.network_address, net.broadcast_address)
