"""EVPN on the modelled fabric: VLAN local and VNI global, duplicate MACs, what the leaves remember."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.events import MacDuplicate
from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import (
    CABLES,
    HOSTS,
    RED_1,
    RED_2,
    Net,
    Port,
    audit_leaf,
    flows,
    leaf_vlan,
    plug,
    unplug,
    unwiring,
    wired,
    wiring,
)
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.evpn import routes
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.journal import Journal
from workers.devices.simulated.mobility import DuplicateRule, parse_rule
from workers.devices.simulated.reachability import ping, trace
from workers.devices.simulated.tamper import AddFlow, AddVnic, Announce
from workers.effects import AnyEffect, ClearMac, LookForDuplicates, ShutInterface

A = Port("a", "h1", RED_1, 5)
PEER = Port("p", "h2", RED_2, 9)
S = 1_000_000


class Pod:
    """A pod that goes to and fro between h1 and h3, at times that the test chooses."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.number = 1
        self.host = "h1"

    def moves(self, at_us: int) -> None:
        self.fabric.mobility.now_us = at_us
        for effect in self.effects():
            assert self.fabric.apply(effect) == ""

    def effects(self) -> list[AnyEffect]:
        old, self.host = A._replace(host=self.host), {"h1": "h3", "h3": "h1"}[self.host]
        new, self.number = A._replace(host=self.host), self.number + 1
        return [
            unplug(old, self.number - 1),
            *unwiring(old, 10 * self.number)[2:],
            plug(new, self.number),
            flows(new, self.number),
            *wiring(new, 10 * self.number + 1)[2:],
        ]


def look(known: tuple[MacDuplicate, ...] = ()) -> LookForDuplicates:
    return LookForDuplicates(device="l1", az="az1", epoch=1, known=known)


def clear(leaf: str = "l1") -> ClearMac:
    return ClearMac(device=leaf, az="az1", epoch=1, vni=RED_1.vni, mac=A.mac)


def test_two_pairs_may_use_different_vlans_for_one_vni() -> None:
    there = Net(77, RED_1.vni, "red", RED_1.prefix)
    fabric = wired(A, Port("b", "h3", there, 6))

    assert ping(fabric, "a", "b").reachable
    hops = trace(fabric, "a", "b").hops
    assert {"h1 trunk vlan 11", "l1 vtep 10.255.0.1 vni 5011", "h3 trunk vlan 77"} <= set(hops)
    assert {r.rd for r in routes(fabric, route_type=3, vni=RED_1.vni)} == {
        *("10.255.0.1:11", "10.255.0.2:11", "10.255.0.3:77", "10.255.0.4:77"),
    }


def test_routes_of_one_leaf_type_and_vni() -> None:
    fabric = wired(A, PEER)

    assert {r.leaf for r in routes(fabric, "l2")} == {"l2"}
    assert {r.type for r in routes(fabric)} == {2, 3, 5}
    assert {r.vni for r in routes(fabric, vni=RED_2.vni)} == {RED_2.vni}
    (route,) = [r for r in routes(fabric, "l1", 2, RED_1.vni) if r.port]
    assert (route.rd, route.mac, route.ip, route.vrf, route.sequence) == ("10.255.0.1:11", A.mac, A.ip, "red", 0)
    with pytest.raises(ValueError, match="leaf: l9 is no leaf"):
        routes(fabric, "l9")


def test_the_fifth_move_within_the_window_freezes_the_mac() -> None:
    fabric = wired(A, PEER)
    pod = Pod(fabric)
    for number in range(4):
        pod.moves(number * 40 * S)
    assert fabric.perform(look()).found == ()
    assert ping(fabric, "p", "a").reachable

    pod.moves(4 * 40 * S)

    (found,) = fabric.perform(look()).found
    assert found == MacDuplicate(vni=RED_1.vni, mac=A.mac, port="a", sequence=5, detected_us=160 * S)
    assert fabric.perform(look((found,))).found == ()
    assert fabric.perform(audit_leaf("l3")).found[-1] == found
    for one, other in (("p", "a"), ("a", "p")):
        path = trace(fabric, one, other)
        assert not path.reachable
        assert f"MAC {A.mac} in VNI 5011 is frozen as a duplicate: it moved 5 times within 180 s" in path.reason
    assert {r.flags for r in routes(fabric, route_type=2) if r.port == "a"} == {("duplicate",)}


def test_moves_that_are_far_apart_make_no_duplicate() -> None:
    fabric = wired(A, PEER)
    pod = Pod(fabric)

    for number in range(20):
        pod.moves(number * 50 * S)

    assert ping(fabric, "p", "a").reachable
    assert max(r.sequence for r in routes(fabric) if r.port == "a") == 20


def test_who_came_up_behind_a_shut_interface_is_heard_when_it_opens() -> None:
    def shut(epoch: int, *, is_shut: bool) -> list[AnyEffect]:
        interface = HOSTS[A.host].interface
        return [
            ShutInterface(device=leaf, az="az1", interface=interface, shut=is_shut, epoch=epoch) for leaf in A.leaves
        ]

    fabric = wired(PEER)
    for effect in (*shut(1, is_shut=True), *wiring(A)):
        assert fabric.apply(effect) == ""
    assert [one.port for one in fabric.mobility.stations()] == ["p"]

    for effect in shut(2, is_shut=False):
        assert fabric.apply(effect) == ""

    assert {one.port for one in fabric.mobility.stations()} == {"a", "p"}


def test_two_stations_with_one_mac_are_found_by_what_they_send() -> None:
    fabric = wired(A, PEER)
    fabric.mobility.rule = DuplicateRule(3, 60 * S)
    fabric.tamper(AddVnic("h3", "x", A.mac, "10.0.1.77", 24, RED_1.gateway))
    fabric.tamper(AddFlow("h3", "x", A.mac, RED_1.vlan))
    for leaf in ("l3", "l4"):
        fabric.apply(leaf_vlan(leaf, "Ethernet1", RED_1))

    fabric.tamper(Announce("h1", "a"))
    fabric.tamper(Announce("h1", "a"))  # it is known to be there
    assert fabric.perform(look()).found == ()
    fabric.tamper(Announce("h3", "x"))

    assert len(fabric.perform(look()).found) == 1
    assert "frozen as a duplicate" in trace(fabric, "p", "a").reason


def test_an_address_that_is_given_out_anew_has_not_moved() -> None:
    fabric = wired(A)
    for number in range(8):
        old = Port(f"p{number - 1}" if number else "a", "h1" if number % 2 == 0 else "h3", RED_1, 5)
        new = Port(f"p{number}", "h3" if number % 2 == 0 else "h1", RED_1, 5)
        for effect in (*unwiring(old, 10 * number + 2), *wiring(new, 10 * number + 3)):
            assert fabric.apply(effect) == ""

    assert {r.sequence for r in routes(fabric) if r.port} == {0}
    assert fabric.mobility.stations()[0].port == "p7"


def test_an_operator_clears_it_and_it_is_heard_where_it_is() -> None:
    fabric = wired(A, PEER)
    pod = Pod(fabric)
    for number in range(6):  # the sixth is heard by nobody
        pod.moves(number * S)
    assert pod.host == "h1"
    assert not trace(fabric, "p", "a").reachable

    assert fabric.apply(clear()) == ""

    assert ping(fabric, "p", "a").reachable
    assert {r.sequence for r in routes(fabric) if r.port == "a"} == {6}
    assert fabric.apply(clear()) == f"MAC {A.mac} in VNI 5011 is not frozen"


@pytest.mark.parametrize("compact_above_lines", [1000, 5])
def test_the_memory_survives_a_restart(tmp_path: Path, compact_above_lines: int) -> None:
    path, now = tmp_path / "fabric.jsonl", [0]

    async def perform(devices: SimulatedDevices, effects: Sequence[AnyEffect]) -> None:
        async for group in devices.apply(effects):
            assert all(outcome.error == "" for outcome in group)

    async def story() -> None:
        pods: list[Pod] = []
        for number in range(5):  # each move in a life of its own
            with Journal(path, compact_above_lines=compact_above_lines) as journal:
                devices = SimulatedDevices(journal=journal, clock=lambda: now[0])
                devices.cable(CABLES)
                if not pods:
                    pods.append(Pod(devices.fabric))
                    await perform(devices, [*wiring(A), *wiring(PEER)])
                now[0] = 1_700_000_000 * S + number * 30 * S
                await perform(devices, pods[0].effects())

    run(story())
    with Journal(path, compact_above_lines=compact_above_lines) as journal:
        devices = SimulatedDevices(journal=journal)
        (found,) = journal.fabric.perform(look()).found
        assert isinstance(found, MacDuplicate)
        assert (found.sequence, found.detected_us) == (5, now[0])
        assert "frozen" in trace(journal.fabric, "p", "a").reason
        run(perform(devices, [clear()]))
    with Journal(path) as journal:
        assert ping(journal.fabric, "p", "a").reachable
        assert {r.sequence for r in routes(journal.fabric) if r.port == "a"} == {5}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("5", "'5' is not MOVES/SECONDS"), ("x/1", "'x/1' is not"), ("1/60", "moves: 1"), ("5/0", "seconds: 0")],
)
def test_a_rule_that_makes_no_sense(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_rule(text)


def test_a_rule() -> None:
    assert parse_rule("3/60") == DuplicateRule(3, 60 * S)
