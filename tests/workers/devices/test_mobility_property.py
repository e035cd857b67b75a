"""MAC mobility (RFC 7432, sections 7.7 and 15): numbers rise with moves between pairs, and with nothing else.

And the routes are what the leaves hold: nothing more, nothing less.
"""

import itertools
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.devices.world import (
    BLUE,
    HOSTS,
    RED_1,
    RED_2,
    Port,
    cabled,
    flows,
    leaf_vlan,
    no_flows,
    plug,
    unplug,
    unwiring,
    wired,
)
from workers.devices.simulated.evpn import Route, routes
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.mobility import DuplicateRule
from workers.devices.simulated.reachability import trace
from workers.effects import AnyEffect

hosts = st.sampled_from(sorted(HOSTS))
relaxed = settings(deadline=None)  # a busy machine is no failure
NEVER = DuplicateRule(moves=1 << 30)


class Visit(NamedTuple):
    """The instance comes to ``host``; ``overlaps``: the old host is told after the new one has it, else before."""

    host: str
    overlaps: bool


visits = st.lists(st.builds(Visit, hosts, st.booleans()), min_size=1, max_size=10)


def pair(host: str) -> frozenset[str]:
    return frozenset((HOSTS[host].leaf_a, HOSTS[host].leaf_b))


def coming(port: Port, number: int) -> list[AnyEffect]:
    interface = HOSTS[port.host].interface
    leaves = [leaf_vlan(leaf, interface, port.net, 2 * number) for leaf in port.leaves]
    return [plug(port, number), flows(port, number), *leaves]


def going(port: Port, number: int) -> list[AnyEffect]:
    """The claim before the ``number``th is over."""
    interface = HOSTS[port.host].interface
    leaves = [leaf_vlan(leaf, interface, port.net, 2 * number - 1, present=False) for leaf in port.leaves]
    return [unplug(port, number - 1), no_flows(port, number - 1), *leaves]


def travel(fabric: Fabric, way: list[Visit]) -> list[int]:
    """Have one vNIC make all visits; returns the sequence number of its routes after each."""
    numbers: list[int] = []
    here: Port | None = None
    for number, visit in enumerate(way, start=1):
        there = Port("a", visit.host, RED_1, 5)
        leaves = going(here, number) if here is not None and here.host != there.host else []
        comes = coming(there, number)
        for effect in (*comes, *leaves) if visit.overlaps else (*leaves, *comes):
            assert fabric.apply(effect) == ""
        here = there
        found = [route for route in of_ports(fabric) if route.port == "a" and route.leaf in there.leaves]
        assert {route.leaf for route in found} == pair(visit.host), "both leaves of the pair advertise it"
        assert len({route.sequence for route in found}) == 1
        numbers.append(found[0].sequence)
    return numbers


def of_ports(fabric: Fabric) -> list[Route]:
    return [route for route in routes(fabric, route_type=2) if route.port]


@relaxed
@given(visits)
def test_the_number_counts_the_moves_between_pairs(way: list[Visit]) -> None:
    fabric = cabled()
    fabric.mobility.rule = NEVER

    numbers = travel(fabric, way)

    moves = [0]
    for before, after in itertools.pairwise(way):
        moves.append(moves[-1] + (pair(before.host) != pair(after.host)))
    assert numbers == moves


@relaxed
@given(visits, hosts)
def test_packets_follow_the_highest_number_while_the_old_host_still_has_it(way: list[Visit], peer: str) -> None:
    fabric = wired(Port("p", peer, RED_2, 9))
    fabric.mobility.rule = NEVER
    travel(fabric, way)
    last = way[-1].host
    other = next(host for host in sorted(HOSTS) if pair(host) != pair(last))

    for effect in coming(Port("a", other, RED_1, 5), len(way) + 1):  # and nothing goes
        assert fabric.apply(effect) == ""

    assert trace(fabric, "p", "a").hops[-1] == f"a@{other} vnic"
    flags = {route.leaf: route.flags for route in of_ports(fabric) if route.port == "a"}
    assert flags == {leaf: () if leaf in pair(other) else ("superseded",) for leaf in pair(other) | pair(last)}


@relaxed
@given(st.lists(st.tuples(hosts, st.sampled_from([RED_1, RED_2, BLUE])), max_size=6))
def test_routes_are_what_the_leaves_hold(where: list[tuple[str, object]]) -> None:
    ports = [Port(f"p{n}", host, net, n + 2) for n, (host, net) in enumerate(where)]  # type: ignore[arg-type]
    fabric = wired(*ports)

    assert {(r.leaf, r.vni, r.mac, r.ip, r.next_hop) for r in of_ports(fabric)} == {
        (leaf, p.net.vni, p.mac, p.ip, f"10.255.0.{leaf[1:]}") for p in ports for leaf in p.leaves
    }
    carried = {(leaf, p.net) for p in ports for leaf in p.leaves}
    assert {(r.leaf, r.vni, r.vrf) for r in routes(fabric, route_type=3)} == {(x, n.vni, n.vrf) for x, n in carried}
    prefixes = {(r.leaf, r.vrf, r.ip) for r in routes(fabric, route_type=5)}
    assert prefixes == {(x, n.vrf, f"{n.prefix}.0/24") for x, n in carried}
    gateways = {(r.leaf, r.vni, r.ip, r.mac) for r in routes(fabric, route_type=2) if "gateway" in r.flags}
    assert gateways == {(x, n.vni, n.gateway, "02:00:5e:00:00:01") for x, n in carried}

    for port in ports:
        for effect in unwiring(port):
            fabric.apply(effect)
    assert routes(fabric) == []
