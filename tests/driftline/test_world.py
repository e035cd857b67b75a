"""The description of the world: what is made up is sound, what is read is what was written, and mistakes are named."""

import ipaddress
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import (
    AnyEvent,
    AzAdded,
    HostAdded,
    InstanceDeleteRequested,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    RouterAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from driftline.world import WorldError, check, described, generate, world_of

E = TypeVar("E")


def of_type(events: list[AnyEvent], event_type: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, event_type)]


def small() -> list[AnyEvent]:
    """A world that is right, for tests to spoil."""
    return [
        RegionAdded(region="r1"),
        AzAdded(az="az1", region="r1"),
        AzAdded(az="az2", region="r1"),
        SpineAdded(spine="spine1", az="az1"),
        LeafAdded(leaf="l1", az="az1", vtep="10.255.0.1", asn=65001),
        LeafAdded(leaf="l2", az="az1", vtep="10.255.0.2", asn=65002),
        LeafAdded(leaf="l3", az="az2", vtep="10.255.0.3", asn=65003),
        HostAdded(host="h1", az="az1", leaf_a="l1", leaf_b="l2", interface="Ethernet1", capacity=10),
        TenantAdded(tenant="acme"),
        TenantAdded(tenant="globex"),
        VpcCreated(vpc="prod", tenant="acme", vrf="prod", cidr="10.0.0.0/16"),
        NetworkCreated(network="n1", vpc="prod", vni=100, labels=("web",)),
        SubnetCreated(subnet="s1", network="n1", cidr="10.0.0.0/24", gateway="10.0.0.1"),
    ]


# --- generate ---


@given(st.integers(1, 4), st.integers(1, 130), st.integers(1, 6), st.integers(1, 50_000))
def test_a_generated_world_is_sound_and_has_room(azs: int, hosts: int, networks: int, instances: int) -> None:
    events = generate(azs, hosts, networks, instances=instances)
    assert set(check(events)) == set(events)
    for az in range(1, azs + 1):
        capacity = sum(host.capacity for host in of_type(events, HostAdded) if host.az == f"az{az}")
        assert capacity * azs >= instances
    assert all(ipaddress.IPv4Network(s.cidr).num_addresses - 3 >= instances for s in of_type(events, SubnetCreated))
    assert generate(azs, hosts, networks, instances=instances) == events


def test_a_generated_az_is_built_as_documented() -> None:
    events = generate(azs=2, hosts=45, capacity=7)
    hosts = {host.host: host for host in of_type(events, HostAdded)}
    assert len(hosts) == 90
    assert hosts["az2-h21"] == HostAdded(
        host="az2-h21", az="az2", leaf_a="az2-leaf3", leaf_b="az2-leaf4", interface="Ethernet1", capacity=7
    )
    assert [spine.spine for spine in of_type(events, SpineAdded)][:2] == ["az1-spine1", "az1-spine2"]
    leaves = of_type(events, LeafAdded)
    assert len(leaves) == 12
    assert (leaves[0].vtep, leaves[-1].vtep) == ("10.255.0.1", "10.255.0.12")
    assert len({leaf.asn for leaf in leaves}) == 12


def test_a_large_az_has_large_leaves() -> None:
    assert len(of_type(generate(hosts=100), LeafAdded)) == 10
    assert len(of_type(generate(hosts=101), LeafAdded)) == 6


def test_the_two_tenants_overlap_and_are_kept_apart_by_their_vrfs() -> None:
    world = world_of(generate(networks=3))
    prod, lab = world.tables["subnets"]["prod-net1-a",], world.tables["subnets"]["lab-net1-a",]
    assert prod.cidr == lab.cidr
    assert world.networks["prod-net1"].vrf != world.networks["lab-net1"].vrf
    assert world.by_label == {"prod-env": ["prod-net1", "prod-net2"], "lab-env": ["lab-net1", "lab-net2"]}


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"azs": 0}, "azs: 0 is less than 1"),
        ({"hosts": 0}, "hosts: 0 is less than 1"),
        ({"networks": 0}, "networks: 0 is less than 1"),
        ({"instances": -1}, "instances: -1 is less than 1"),
        ({"capacity": 0}, "capacity: 0 is less than 1"),
        ({"networks": 2048}, "networks: 2048 is more than the 2047 that leaf pairs have VLANs for"),
        ({"networks": 3, "instances": 6_000_000}, "networks: 3 with room for 6000000 instances each do not fit"),
        ({"instances": 20_000_000}, "networks: 3 with room for 20000000 instances each do not fit"),
        ({"azs": 4, "hosts": 400_000}, "hosts: 400000 in 4 AZs need 80000 leaves"),
    ],
)
def test_numbers_that_make_no_world_are_refused(numbers: dict[str, int], text: str) -> None:
    with pytest.raises(WorldError, match=f"^{text}"):
        generate(**numbers)


# --- check ---


def replaced(event_type: type[Any], key: str, **changes: Any) -> Callable[[list[AnyEvent]], list[AnyEvent]]:
    """Spoil a world by changing the event of this type whose first field is ``key``."""

    def spoil(events: list[AnyEvent]) -> list[AnyEvent]:
        changed = [
            msgspec.structs.replace(e, **changes)
            if isinstance(e, event_type) and getattr(e, e.__struct_fields__[0]) == key
            else e
            for e in events
        ]
        assert changed != events
        return changed

    return spoil


def added(*events: AnyEvent) -> Callable[[list[AnyEvent]], list[AnyEvent]]:
    return lambda world: [*world, *events]


def without(event_type: type[Any]) -> Callable[[list[AnyEvent]], list[AnyEvent]]:
    return lambda world: [event for event in world if not isinstance(event, event_type)]


def host(name: str, leaf_a: str = "l1", leaf_b: str = "l2", interface: str = "Ethernet9", az: str = "az1") -> HostAdded:
    return HostAdded(host=name, az=az, leaf_a=leaf_a, leaf_b=leaf_b, interface=interface)


def subnet(name: str, cidr: str, network: str = "n1") -> SubnetCreated:
    first = str(ipaddress.IPv4Network(cidr)[1])
    return SubnetCreated(subnet=name, network=network, cidr=cidr, gateway=first)


LONG = "l" * 40

WRONG = {
    "region twice": (added(RegionAdded(region="r1")), "region r1: region: r1 is described twice"),
    "host twice": (added(host("h1")), "host h1: host: h1 is described twice"),
    "a spine named as a leaf": (added(SpineAdded(spine="l1", az="az1")), "leaf l1: switch: l1 is described twice"),
    "az of no region": (replaced(AzAdded, "az2", region="r9"), "az az2: region: r9 is no known region"),
    "spine in no az": (replaced(SpineAdded, "spine1", az="az9"), "spine spine1: az: az9 is no known az"),
    "leaf in no az": (replaced(LeafAdded, "l3", az="az9"), "leaf l3: az: az9 is no known az"),
    "vtep": (replaced(LeafAdded, "l1", vtep="10.255.1"), "leaf l1: vtep: 10.255.1 is no IPv4 address"),
    "vtep twice": (
        replaced(LeafAdded, "l2", vtep="10.255.0.1"),
        "leaf l2: vtep: 10.255.0.1 is the tunnel address of l1",
    ),
    "asn": (replaced(LeafAdded, "l1", asn=0), "leaf 'l1': asn: 0: Expected `int` >= 1"),
    "asn too large": (replaced(LeafAdded, "l1", asn=2**32 - 1), "leaf l1: asn: 4294967295 is not between"),
    "host in no az": (replaced(HostAdded, "h1", az="az9"), "host h1: az: az9 is no known az"),
    "host on no leaf": (replaced(HostAdded, "h1", leaf_b="l9"), "host h1: leaf_b: l9 is no known leaf"),
    "host on a spine": (replaced(HostAdded, "h1", leaf_a="spine1"), "host h1: leaf_a: spine1 is no known leaf"),
    "both leaves equal": (replaced(HostAdded, "h1", leaf_b="l1"), "host h1: leaf_b: l1 is also leaf_a"),
    "leaf of another az": (replaced(HostAdded, "h1", leaf_b="l3"), "host h1: leaf_b: l3 is in az2, the host in az1"),
    "host in the wrong az": (replaced(HostAdded, "h1", az="az2"), "host h1: leaf_a: l1 is in az1, the host in az2"),
    "interface twice": (
        added(host("h2", "l2", "l1", interface="Ethernet1")),
        "host h2: interface: Ethernet1 of l2 is taken by h1",
    ),
    "interface taken on one leaf": (
        added(
            LeafAdded(leaf="l4", az="az1", vtep="10.255.0.4", asn=1),
            host("h2", "l4", "l2", interface="Ethernet1"),
        ),
        "host h2: interface: Ethernet1 of l2 is taken by h1",
    ),
    "capacity": (replaced(HostAdded, "h1", capacity=0), "host 'h1': capacity: 0: Expected `int` >= 1"),
    "long leaf names": (
        added(
            LeafAdded(leaf=LONG + "a", az="az1", vtep="10.255.0.4", asn=1),
            LeafAdded(leaf=LONG + "b", az="az1", vtep="10.255.0.5", asn=1),
            host("h2", LONG + "a", LONG + "b"),
        ),
        f"host h2: leaf_a and leaf_b: {LONG}a-{LONG}b is too long together: 83 > 63",
    ),
    "two pairs of one name": (
        added(
            *(LeafAdded(leaf=n, az="az1", vtep=f"10.255.1.{i}", asn=1) for i, n in enumerate(["a-b", "c", "a", "b-c"])),
            host("h2", "a-b", "c"),
            host("h3", "a", "b-c"),
        ),
        "host h3: leaf_a and leaf_b: a-b-c is also the name of the pair a-b and c",
    ),
    "vpc of no tenant": (replaced(VpcCreated, "prod", tenant="x"), "vpc prod: tenant: x is no known tenant"),
    "vrf of another tenant": (
        added(VpcCreated(vpc="lab", tenant="globex", vrf="prod", cidr="10.1.0.0/16")),
        "vpc lab: vrf: prod belongs to tenant acme",
    ),
    "network in no vpc": (without(VpcCreated), "network n1: vpc: prod is no known vpc"),
    "vni twice": (added(NetworkCreated(network="n2", vpc="prod", vni=100)), "network n2: vni: 100 is taken by n1"),
    "vni too large": (replaced(NetworkCreated, "n1", vni=1 << 24), "network 'n1': vni: 16777216: Expected `int` <="),
    "vni 0": (
        replaced(NetworkCreated, "n1", vni=0),
        "network n1: vni: 0 is wrong: a network of",
    ),
    "label twice": (replaced(NetworkCreated, "n1", labels=("a", "a")), "network n1: labels: a is given twice"),
    "label is no token": (replaced(NetworkCreated, "n1", labels=("ok", "a.b")), "network 'n1': labels: #2: 'a.b': "),
    "name is too long": (added(TenantAdded(tenant="a" * 64)), f"tenant {'a' * 64!r}: tenant: {'a' * 64!r}: Expected"),
    "label of another IPAM": (
        added(NetworkCreated(network="n2", vpc="prod", model="host-local-bgp", labels=("web",))),
        "network n2: labels: web is wrong: the label is that of network n1, whose addresses ipam gives out",
    ),
    "block larger than its subnet": (
        added(
            NetworkCreated(network="n2", vpc="prod", model="host-local-bgp", block_length=27),
            subnet("s2", "10.0.1.0/28", "n2"),
        ),
        "subnet s2: block_length: 27 is wrong: a block, a /27, is larger than the subnet 10.0.1.0/28",
    ),
    "subnet of no network": (added(subnet("s2", "10.0.1.0/24", "n9")), "subnet s2: network: n9 is no known network"),
    "subnet outside": (
        added(subnet("s2", "10.1.0.0/24")),
        "subnet s2: cidr: 10.1.0.0/24 is outside 10.0.0.0/16 of VPC prod",
    ),
    "subnets overlap": (
        added(subnet("s2", "10.0.0.128/25")),
        "subnet s2: cidr: 10.0.0.128/25 overlaps with subnet s1 in VRF prod",
    ),
    "no description": (added(InstanceDeleteRequested(instance="i")), "type: instance.delete_requested.v1 does not"),
}


@pytest.mark.parametrize(("spoil", "text"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_its_field_and_value(
    spoil: Callable[[list[AnyEvent]], list[AnyEvent]], text: str
) -> None:
    assert check(small()) == small()
    with pytest.raises(WorldError) as caught:
        check(spoil(small()))
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_subnets_of_two_vpcs_in_one_vrf_may_not_overlap() -> None:
    second = VpcCreated(vpc="second", tenant="acme", vrf="prod", cidr="10.0.0.0/16")
    network = NetworkCreated(network="n2", vpc="second", vni=101)
    with pytest.raises(WorldError, match=r"^subnet s2: cidr: 10.0.0.0/25 overlaps with subnet s1 in VRF prod$"):
        check([*small(), second, network, subnet("s2", "10.0.0.0/25", "n2")])


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(26, 30)), max_size=8))
def test_overlaps_are_found_whichever_way_they_lie(places: list[tuple[int, int]]) -> None:
    nets = [ipaddress.IPv4Network(((10 << 24) + (7 << 8) + (at << 2), prefix), strict=False) for at, prefix in places]
    overlap = any(a.overlaps(b) for i, a in enumerate(nets) for b in nets[:i])
    networks = [NetworkCreated(network=f"x{i}", vpc="prod", vni=30_000 + i) for i in range(len(nets))]
    events = [*small(), *networks, *(subnet(f"x{i}", str(net), f"x{i}") for i, net in enumerate(nets))]
    if overlap:
        with pytest.raises(WorldError, match="overlaps with subnet x"):
            check(events)
    else:
        assert set(check(events)) == set(events)


def test_a_network_takes_one_subnet_and_a_leaf_one_pair() -> None:
    with pytest.raises(WorldError, match=r"^subnet s2: network: n1 has the subnet s1 already"):
        check([*small(), subnet("s2", "10.0.9.0/24")])
    with pytest.raises(WorldError, match=r"^host h2: leaf_a and leaf_b: l1 and l4 share l1 with the pair l1 and l2$"):
        check([*small(), LeafAdded(leaf="l4", az="az1", vtep="10.255.0.4", asn=65004), host("h2", leaf_b="l4")])


@given(st.permutations(small()))
def test_events_may_come_in_any_order_and_leave_in_one_that_can_be_appended(events: list[AnyEvent]) -> None:
    tables = world_of(check(events)).tables
    assert {name: len(table) for name, table in tables.items()} == {
        "availability_zones": 3,
        "switches": 4,
        "hosts": 1,
        "vpcs": 1,
        "networks": 1,
        "subnets": 1,
        "devices": 0,
    }


# --- against what the log says ---


def test_the_same_facts_again_are_left_out() -> None:
    events = generate(azs=2)
    assert check(events, world_of(events)) == []
    # globex has no VPC, so the fold does not know it
    assert check([*small(), host("h2")], world_of(small())) == [host("h2"), TenantAdded(tenant="globex")]


def test_an_addition_alone_is_checked_against_the_log() -> None:
    world = world_of(small())
    assert check([host("h2")], world) == [host("h2")]
    with pytest.raises(WorldError, match=r"^host h2: interface: Ethernet1 of l1 is taken by h1$"):
        check([host("h2", interface="Ethernet1")], world)
    with pytest.raises(WorldError, match="overlaps with subnet s1"):
        check([subnet("s2", "10.0.0.0/25")], world)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            replaced(VpcCreated, "prod", cidr="10.0.0.0/15"),
            "vpc prod: cidr: 10.0.0.0/15 differs from what the log says: 10.0.0.0/16",
        ),
        (replaced(HostAdded, "h1", capacity=11), "host h1: capacity: 11 differs from what the log says: 10"),
        (replaced(NetworkCreated, "n1", labels=()), r"network n1: labels: () differs from what the log says: ('web',)"),
        (replaced(SpineAdded, "spine1", az="az2"), "spine spine1: az: az2 differs from what the log says: az1"),
    ],
)
def test_different_facts_are_refused_with_both_values(
    spoil: Callable[[list[AnyEvent]], list[AnyEvent]], text: str
) -> None:
    with pytest.raises(WorldError) as caught:
        check(spoil(small()), world_of(small()))
    assert str(caught.value) == text


def test_a_spine_cannot_become_a_leaf() -> None:
    leaf = LeafAdded(leaf="spine1", az="az1", vtep="10.255.0.9", asn=1)
    with pytest.raises(WorldError, match=r"^leaf spine1: switch: spine1 exists already, as spine.added.v1$"):
        check([leaf], world_of(small()))


def test_the_fold_can_be_described_again() -> None:
    events = generate(azs=2, hosts=3)
    assert sorted(map(repr, described(world_of(events)))) == sorted(map(repr, events))


# --- provider networks ---


def test_a_world_with_a_core_router_and_a_provider_network_is_read_back() -> None:
    legacy = NetworkCreated(network="n2", vpc="prod", model="vlan", vlan=100)
    events = [*small(), RouterAdded(router="core1"), legacy]
    assert set(described(world_of(events))) >= {RouterAdded(router="core1"), legacy}
    assert check(events, world_of(events)) == [TenantAdded(tenant="globex")]  # it has no VPC: said again


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([RouterAdded(router="c1"), RouterAdded(router="c2")], "router c2: router: c2 is a second core router"),
        ([RouterAdded(router="l1")], "router l1: switch: l1 is described twice"),
        (
            [NetworkCreated(network="n2", vpc="prod", model="vlan", vlan=100)],
            "network n2: model: vlan is wrong: there is no core router to hold its gateway",
        ),
        (
            [RouterAdded(router="core1"), NetworkCreated(network="n2", vpc="prod", model="vlan")],
            "network n2: vlan: 0 is wrong: a network of this model needs a VLAN",
        ),
    ],
)  # fmt: skip
def test_mistakes_about_provider_networks_are_named(more: list[AnyEvent], message: str) -> None:
    with pytest.raises(WorldError, match=message):
        check([*small(), *more])
