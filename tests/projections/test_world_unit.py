"""What contradicts the world is taken by no fold, whoever publishes it, so that all of them agree."""

import ipaddress

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from bus.events import AzAdded, Event, HostAdded, NetworkCreated, SubnetCreated, VpcCreated
from projections.addresses import Addresses
from projections.fold import NOTHING
from projections.leaves import Leaves
from projections.world import World
from tests.projections.events import HOST, SUBNET, TENANCY, allocated, bound
from tests.projections.given import given, record, row_of

NET2 = NetworkCreated(network="net2", vpc="vpc1", vni=5002, labels=("blue",))
KNOWN = (AzAdded(az="az1", region="r1"), *TENANCY, SUBNET, NET2, HOST)


def subnet(name: str = "s2", cidr: str = "10.0.1.0/29", network: str = "net2") -> SubnetCreated:
    gateway = str(ipaddress.IPv4Network(cidr)[1])
    return SubnetCreated(subnet=name, network=network, cidr=cidr, gateway=gateway)


def host(name: str = "h2", leaf_a: str = "leaf1", leaf_b: str = "leaf2", interface: str = "eth2") -> HostAdded:
    return HostAdded(host=name, az="az1", leaf_a=leaf_a, leaf_b=leaf_b, interface=interface)


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(AzAdded(az="az1", region="r2"), id="a second region for an AZ"),
        pytest.param(NetworkCreated(network="net3", vpc="vpc1", vni=5001), id="a VNI that is taken"),
        pytest.param(NetworkCreated(network="net3", vpc="vpc9", vni=5003), id="a network of no VPC"),
    ],
)
def test_a_contradiction_changes_nothing(fact: Event) -> None:
    world = given(World(), *KNOWN)
    assert world.evolve(record(fact, 9)) == NOTHING
    assert set(world.networks) == {"net1", "net2"}
    assert world.by_label == {"blue": ["net2"]}


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(subnet(network="net9"), id="of no network"),
        pytest.param(subnet(cidr="10.0.0.0/24"), id="around another"),
        pytest.param(subnet(cidr="10.0.0.4/30"), id="within another"),
        pytest.param(subnet(network="net1"), id="a second one of a network"),
    ],
)
def test_a_subnet_that_contradicts_is_taken_neither_by_the_world_nor_by_the_addresses(fact: SubnetCreated) -> None:
    world, addresses = given(World(), *KNOWN), given(Addresses(), *KNOWN)
    assert world.evolve(record(fact, 9)) == addresses.evolve(record(fact, 9)) == NOTHING
    assert set(addresses.pools) == {"s1"}
    later = subnet("s3")  # what was not taken stands in nobody's way
    assert world.evolve(record(later, 10))
    assert addresses.evolve(record(later, 10))


def test_subnets_of_two_vrfs_may_overlap() -> None:
    other = (
        VpcCreated(vpc="vpc2", tenant="t2", vrf="vrf2", cidr="10.0.0.0/8"),
        NetworkCreated(network="net3", vpc="vpc2", vni=5003),
        subnet("s3", SUBNET.cidr, "net3"),
    )
    assert set(given(Addresses(), *KNOWN, *other).pools) == {"s1", "s3"}


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(host(leaf_b="leaf1"), id="on one leaf twice"),
        pytest.param(host(interface="eth1"), id="on an interface that is taken"),
        pytest.param(host(leaf_b="leaf3"), id="on a leaf of another pair"),
        pytest.param(host("h1", "leaf3", "leaf4"), id="described otherwise"),
    ],
)
def test_a_host_that_cannot_be_cabled_is_taken_neither_by_the_world_nor_by_the_leaves(fact: HostAdded) -> None:
    world, leaves = given(World(), *KNOWN), given(Leaves(), *KNOWN)
    assert world.evolve(record(fact, 9)) == NOTHING
    assert set(world.hosts) == {"h1"}
    leaves.evolve(record(fact, 9))
    for position, event in enumerate((allocated(host=fact.host), bound(host=fact.host)), 10):
        leaves.evolve(record(event, position))
    entries = {(row.leaf, row.interface) for row in leaves.tables["leaf_interfaces"].values()}
    assert entries == ({("leaf1", "eth1"), ("leaf2", "eth1")} if fact.host == "h1" else set())


def test_a_host_may_name_its_pair_the_other_way_round() -> None:
    world = given(World(), *KNOWN, host(leaf_a="leaf2", leaf_b="leaf1"))
    assert row_of(world, "hosts", "h2").physical_network == "leaf1-leaf2"


@for_all(st.lists(st.tuples(st.integers(0, 63), st.integers(26, 30)), max_size=12))
def test_the_subnets_taken_are_those_that_overlap_with_none_before(places: list[tuple[int, int]]) -> None:
    nets = [ipaddress.IPv4Network(((10 << 24) + (at << 2), prefix), strict=False) for at, prefix in places]
    world = given(World(), TENANCY[0])
    taken: list[ipaddress.IPv4Network] = []
    for i, net in enumerate(nets):
        world.evolve(record(NetworkCreated(network=f"n{i}", vpc="vpc1", vni=1 + i)))
        fits = not any(net.overlaps(other) for other in taken)
        assert bool(world.evolve(record(subnet(f"s{i}", str(net), f"n{i}")))) == fits
        taken += [net] if fits else []
