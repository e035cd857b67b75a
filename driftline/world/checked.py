"""Whether a description of the world makes sense, in itself and against what the log already says.

The log's fold takes the first description of a thing and ignores what refers to nothing, so a mistake would show much
later, as a refusal of somebody's request. It is found here, before anything is published.
"""

import ipaddress
from bisect import bisect
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from bus.envelope import Recorded
from bus.events import (
    BARE_METAL,
    AnyEvent,
    AzAdded,
    Event,
    HostAdded,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    RouterAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
    physical_network,
    tag_of,
)
from bus.subjects import key_of
from driftline.world.errors import WorldError, explain
from projections.world import World
from workers.enis_of_types import ENIS_OF_TYPE, eni_limit
from workers.models import MODELS, label_problem

E = TypeVar("E", bound=Event)

#: What a world is described with, in an order in which nothing refers to what comes later.
DESCRIPTIONS: tuple[type[Event], ...] = (
    *(RegionAdded, AzAdded, SpineAdded, LeafAdded, RouterAdded, HostAdded),
    *(TenantAdded, VpcCreated, NetworkCreated, SubnetCreated),
)
_RANK = {event_type: rank for rank, event_type in enumerate(DESCRIPTIONS)}
#: RFC 4893: four bytes, the first and the last reserved (RFC 7607, RFC 7300).
ASN_MAX = (1 << 32) - 2
#: A leaf pair's name becomes the ``physical_network`` of ports, which is one subject token.
PAIR_NAME_MAX = 63


def check(events: Iterable[AnyEvent], existing: World | None = None) -> list[AnyEvent]:
    """The events of the description that are new, in an order in which they can be appended.

    ``events`` may come in any order. What ``existing`` holds with the same facts is left out. The fold keeps tenants
    only through their VPCs: a tenant without one is described again, which changes nothing.

    Raises WorldError for the first thing that is wrong, naming its field and value.
    """
    facts = Facts()
    for event in described(existing or World()):
        facts.add(event)
    new: list[AnyEvent] = []
    seen: set[tuple[str, str]] = set()
    for event in sorted((_valid(event) for event in events), key=lambda event: _RANK[type(event)]):
        if _id(event) in seen:
            raise _wrong(event, _kind(type(event)), key_of(event), "is described twice")
        seen.add(_id(event))
        old = facts.by_id.get(_id(event))
        if old is not None:
            _must_agree(old, event)
            continue
        _check(event, facts)
        facts.add(event)
        new.append(event)
    return new


def world_of(events: Iterable[AnyEvent]) -> World:
    """The fold of ``events`` alone, as if they were a log."""
    world = World()
    for position, event in enumerate(events, 1):
        world.evolve(Recorded(position, str(position), event, "", str(position), "operator", 0))
    return world


def described(world: World) -> Iterator[AnyEvent]:
    """The events that describe ``world``: the fold, backwards."""
    zones = world.tables["availability_zones"].values()
    yield from (RegionAdded(region=row.region, kind=row.kind) for row in zones if not row.az)
    yield from (AzAdded(az=row.az, region=row.region) for row in zones if row.az)
    for row in world.tables["switches"].values():
        if row.role == "spine":
            yield SpineAdded(spine=row.switch, az=row.az)
        elif row.role == "router":
            yield RouterAdded(router=row.switch)
        else:
            yield LeafAdded(leaf=row.switch, az=row.az, vtep=row.vtep, asn=row.asn, capacity=row.capacity)
    yield from (_event_of(HostAdded, row) for row in world.tables["hosts"].values())
    vpcs = world.tables["vpcs"].values()
    yield from (TenantAdded(tenant=tenant) for tenant in dict.fromkeys(row.tenant for row in vpcs))
    for row in vpcs:
        yield VpcCreated(
            vpc=row.vpc,
            tenant=row.tenant,
            vrf=row.vrf,
            cidr=row.cidr,
            region=row.region or None,
            global_vpc=row.global_vpc or None,
        )
    yield from (_event_of(NetworkCreated, row) for row in world.tables["networks"].values())
    yield from (_event_of(SubnetCreated, row) for row in world.tables["subnets"].values())


def _event_of(event_type: type[E], row: msgspec.Struct) -> E:
    """A row and the event it comes from share their fields' names."""
    return msgspec.convert(msgspec.to_builtins(row), event_type)


class Facts:
    """What is known so far, and the indexes that the rules look into."""

    def __init__(self) -> None:
        self.by_id: dict[tuple[str, str], Event] = {}
        self.leaf_of_vtep: dict[str, str] = {}
        self.host_on: dict[tuple[str, str], str] = {}
        self.pairs: dict[str, frozenset[str]] = {}
        self.pair_of_leaf: dict[str, frozenset[str]] = {}
        self.tenant_of_vrf: dict[str, str] = {}
        self.network_of_vni: dict[int, str] = {}
        self.network_of_vlan: dict[int, str] = {}
        #: The same facts as a fold, which is what network models ask.
        self.world = World()
        self.subnet_of_network: dict[str, str] = {}
        self.ranges: dict[str, list[tuple[int, int, str]]] = {}

    def add(self, event: Event) -> None:
        """Take ``event`` as a fact."""
        self.by_id[_id(event)] = event
        self.world.evolve(Recorded(0, "", event, "", "", "operator", 0))
        match event:
            case LeafAdded(leaf=leaf, vtep=vtep):
                self.leaf_of_vtep[vtep] = leaf
            case HostAdded(host=host, leaf_a=a, leaf_b=b, interface=interface):
                self.host_on[a, interface] = self.host_on[b, interface] = host
                self.pairs[physical_network(a, b)] = self.pair_of_leaf[a] = self.pair_of_leaf[b] = frozenset((a, b))
            case VpcCreated(vrf=vrf, tenant=tenant):
                self.tenant_of_vrf[vrf] = tenant
            case NetworkCreated(network=network, vni=vni, vlan=vlan):
                self.network_of_vni |= {vni: network} if vni else {}
                self.network_of_vlan |= {vlan: network} if vlan else {}
            case SubnetCreated(subnet=subnet, network=network):
                self.subnet_of_network[network] = subnet
                ranges = self.ranges.setdefault(self.vpc_of(event).vrf, [])
                ranges.insert(bisect(ranges, _range(event)), _range(event))
            case _:
                pass

    def needed(self, event: Event, field: str, event_type: type[E]) -> E:
        """What ``field`` of ``event`` refers to. Raises WorldError when there is no such thing."""
        kind, name = _kind(event_type), getattr(event, field)
        found = self.by_id.get((kind, name))
        if not isinstance(found, event_type):
            raise _wrong(event, field, name, f"is no known {tag_of(event_type).partition('.')[0]}")
        return found

    def vpc_of(self, subnet: SubnetCreated) -> VpcCreated:
        """The VPC that a subnet's network belongs to."""
        return self.needed(self.needed(subnet, "network", NetworkCreated), "vpc", VpcCreated)


def _kind(event_type: type[Event]) -> str:
    # The fold keeps all kinds of switches in one table, so they share their names.
    return "switch" if event_type in (SpineAdded, LeafAdded, RouterAdded) else tag_of(event_type).partition(".")[0]


def _id(event: Event) -> tuple[str, str]:
    return _kind(type(event)), key_of(event)


def _wrong(event: Event, field: str, value: object, problem: str) -> WorldError:
    return WorldError(f"{tag_of(type(event)).partition('.')[0]} {key_of(event)}: {field}: {value} {problem}")


def _valid(event: AnyEvent) -> AnyEvent:
    """``event`` itself; structs made in code are not validated when they are made."""
    if type(event) not in _RANK:
        raise WorldError(f"type: {tag_of(type(event))} does not describe the world")
    document = msgspec.to_builtins(event)
    try:
        msgspec.convert(document, type(event))
    except msgspec.ValidationError as error:
        name = f"{tag_of(type(event)).partition('.')[0]} {key_of(event)!r}"
        raise WorldError(f"{name}: {explain(error, document)}") from error
    return event


def _must_agree(old: Event, new: Event) -> None:
    if type(old) is not type(new):
        raise _wrong(new, _kind(type(new)), key_of(new), f"exists already, as {tag_of(type(old))}")
    for field in new.__struct_fields__:
        was, wanted = getattr(old, field), getattr(new, field)
        if was != wanted:
            raise _wrong(new, field, wanted, f"differs from what the log says: {was}")


def _check(event: AnyEvent, facts: Facts) -> None:
    match event:
        case AzAdded():
            facts.needed(event, "region", RegionAdded)
        case SpineAdded():
            facts.needed(event, "az", AzAdded)
        case LeafAdded():
            _check_leaf(event, facts)
        case HostAdded():
            _check_host(event, facts)
        case RouterAdded():
            _check_router(event, facts)
        case VpcCreated():
            _check_vpc(event, facts)
        case NetworkCreated():
            _check_network(event, facts)
        case SubnetCreated():
            _check_subnet(event, facts)
        case _:
            pass  # regions and tenants refer to nothing


def _check_leaf(leaf: LeafAdded, facts: Facts) -> None:
    facts.needed(leaf, "az", AzAdded)
    try:
        ipaddress.IPv4Address(leaf.vtep)
    except ValueError as error:
        raise _wrong(leaf, "vtep", leaf.vtep, "is no IPv4 address") from error
    other = facts.leaf_of_vtep.get(leaf.vtep)
    if other is not None:
        raise _wrong(leaf, "vtep", leaf.vtep, f"is the tunnel address of {other}")
    if not 1 <= leaf.asn <= ASN_MAX:
        raise _wrong(leaf, "asn", leaf.asn, f"is not between 1 and {ASN_MAX}")


def _check_host(host: HostAdded, facts: Facts) -> None:
    facts.needed(host, "az", AzAdded)
    if host.leaf_a == host.leaf_b:
        raise _wrong(host, "leaf_b", host.leaf_b, "is also leaf_a: a host hangs on two leaves")
    for field in ("leaf_a", "leaf_b"):
        leaf = facts.needed(host, field, LeafAdded)
        if leaf.az != host.az:
            raise _wrong(host, field, leaf.leaf, f"is in {leaf.az}, the host in {host.az}")
        other = facts.host_on.get((leaf.leaf, host.interface))
        if other is not None:
            raise _wrong(host, "interface", host.interface, f"of {leaf.leaf} is taken by {other}")
    if host.capacity < 1:
        raise _wrong(host, "capacity", host.capacity, "is less than 1")
    if host.kind == BARE_METAL and host.capacity != 1:
        raise _wrong(host, "capacity", host.capacity, "is not 1: bare metal is one instance")
    if host.instance_type and host.kind != "node":
        raise _wrong(host, "instance_type", host.instance_type, f"is of a {host.kind}, and only nodes have one")
    if host.instance_type and not eni_limit(host.instance_type):
        raise _wrong(host, "instance_type", host.instance_type, f"is none of {', '.join(sorted(ENIS_OF_TYPE))}")
    _check_pair(host, facts)
    _check_leaf_pairs(host, facts)


def _check_pair(host: HostAdded, facts: Facts) -> None:
    name = physical_network(host.leaf_a, host.leaf_b)
    if len(name) > PAIR_NAME_MAX:
        raise _wrong(host, "leaf_a and leaf_b", name, f"is too long together: {len(name)} > {PAIR_NAME_MAX}")
    # a-b with c, and a with b-c: two pairs of one name would share their VLANs
    others = facts.pairs.get(name, frozenset()) - {host.leaf_a, host.leaf_b}
    if others:
        raise _wrong(host, "leaf_a and leaf_b", name, f"is also the name of the pair {' and '.join(sorted(others))}")


def _check_leaf_pairs(host: HostAdded, facts: Facts) -> None:
    """VLANs are chosen for a pair of leaves: one that is in two pairs would get one VLAN for two VNIs."""
    pair = frozenset((host.leaf_a, host.leaf_b))
    for leaf in sorted(pair):
        known = facts.pair_of_leaf.get(leaf, pair)
        if known != pair:
            both, others = " and ".join(sorted(pair)), " and ".join(sorted(known))
            raise _wrong(host, "leaf_a and leaf_b", both, f"share {leaf} with the pair {others}")


def _check_router(router: RouterAdded, facts: Facts) -> None:
    if facts.world.router:
        raise _wrong(router, "router", router.router, f"is a second core router, beside {facts.world.router}")


def _check_vpc(vpc: VpcCreated, facts: Facts) -> None:
    facts.needed(vpc, "tenant", TenantAdded)
    owner = facts.tenant_of_vrf.get(vpc.vrf, vpc.tenant)
    if owner != vpc.tenant:
        raise _wrong(vpc, "vrf", vpc.vrf, f"belongs to tenant {owner}")
    _check_global(vpc, facts)


def _check_global(vpc: VpcCreated, facts: Facts) -> None:
    if vpc.region is not None:
        facts.needed(vpc, "region", RegionAdded)
    vpcs = (other for other in facts.by_id.values() if isinstance(other, VpcCreated))
    for other in (one for one in vpcs if vpc.global_vpc is not None and one.global_vpc == vpc.global_vpc):
        if ipaddress.IPv4Network(vpc.cidr).overlaps(ipaddress.IPv4Network(other.cidr)):
            raise _wrong(vpc, "cidr", vpc.cidr, f"overlaps {other.cidr} of VPC {other.vpc} of the same global VPC")


def _check_network(network: NetworkCreated, facts: Facts) -> None:
    facts.needed(network, "vpc", VpcCreated)
    for field, taken in (("vni", facts.network_of_vni), ("vlan", facts.network_of_vlan)):
        number = getattr(network, field)
        if number in taken:
            raise _wrong(network, field, number, f"is taken by {taken[number]}")
    if network.model not in MODELS:
        raise _wrong(network, "model", network.model, f"is no known network model: {', '.join(sorted(MODELS))}")
    refusal = MODELS[network.model].check(facts.world, network) or label_problem(facts.world, network)
    if refusal is not None:
        raise _wrong(network, refusal.field, refusal.value, f"is wrong: {refusal.reason}")
    for index, label in enumerate(network.labels):
        if label in network.labels[:index]:
            raise _wrong(network, "labels", label, "is given twice")


def _check_subnet(subnet: SubnetCreated, facts: Facts) -> None:
    vpc = facts.vpc_of(subnet)
    if not ipaddress.IPv4Network(subnet.cidr).subnet_of(ipaddress.IPv4Network(vpc.cidr)):
        raise _wrong(subnet, "cidr", subnet.cidr, f"is outside {vpc.cidr} of VPC {vpc.vpc}")
    if subnet.zone:
        facts.needed(subnet, "zone", AzAdded)
    network = facts.needed(subnet, "network", NetworkCreated)
    refusal = MODELS[network.model].check_subnet(network, subnet.cidr)
    if refusal is not None:
        raise _wrong(subnet, refusal.field, refusal.value, f"is wrong: {refusal.reason}")
    first, last, _ = _range(subnet)
    ranges = facts.ranges.get(vpc.vrf, [])
    at = bisect(ranges, (first, last, ""))
    for other_first, other_last, other in ranges[max(at - 1, 0) : at + 1]:
        if first <= other_last and other_first <= last:
            raise _wrong(subnet, "cidr", subnet.cidr, f"overlaps with subnet {other} in VRF {vpc.vrf}")
    taken = facts.subnet_of_network.get(subnet.network, subnet.subnet)
    if taken != subnet.subnet:
        raise _wrong(subnet, "network", subnet.network, f"has the subnet {taken} already, and takes only one")


def _range(subnet: SubnetCreated) -> tuple[int, int, str]:
    net = ipaddress.IPv4Network(subnet.cidr)
    return int(net.network_address), int(net.broadcast_address), subnet.subnet
