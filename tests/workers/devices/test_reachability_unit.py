import re
from typing import Any

import msgspec
import pytest

from tests.workers.devices.world import (
    BLUE,
    RED_1,
    RED_2,
    Port,
    cabled,
    flows,
    leaf_vlan,
    no_flows,
    plug,
    unplug,
    wired,
    wiring,
)
from workers.devices.simulated.reachability import ping, trace

A = Port("a", "h1", RED_1, 5)
SAME_NET = Port("b", "h3", RED_1, 6)
SAME_PAIR = Port("c", "h2", RED_1, 7)
SAME_HOST = Port("d", "h1", RED_1, 8)
OTHER_NET = Port("e", "h3", RED_2, 5)
OTHER_NET_SAME_HOST = Port("f", "h1", RED_2, 6)
OTHER_VRF = Port("g", "h3", BLUE, 6)


def test_within_a_network_over_the_spine() -> None:
    path = trace(wired(A, SAME_NET), "a", "b")

    assert path.reachable
    assert path.reason == ""
    assert path.hops == (
        "a@h1 vnic",
        "h1 br-int",
        "h1 trunk vlan 11",
        "l1 Ethernet1",
        "l1 vtep 10.255.0.1 vni 5011",
        "spine",
        "l3 vtep 10.255.0.3 vni 5011",
        "l3 Ethernet1",
        "h3 trunk vlan 11",
        "h3 br-int",
        "b@h3 vnic",
    )
    assert [way[3] for way in path.ways] == ["l1 Ethernet1", "l2 Ethernet1"]


def test_between_networks_over_the_gateway() -> None:
    path = trace(wired(A, OTHER_NET), "a", "e")

    assert path.reachable
    assert path.hops[4:8] == (
        "l1 gateway 10.0.1.1/24 vrf red",
        "l1 vtep 10.255.0.1 vrf red",
        "spine",
        "l3 vtep 10.255.0.3 vrf red",
    )
    assert path.hops[-3:] == ("h3 trunk vlan 12", "h3 br-int", "e@h3 vnic")


def test_below_one_leaf_pair_no_spine_is_needed() -> None:
    path = trace(wired(A, SAME_PAIR), "a", "c")

    assert path.hops[3:5] == ("l1 Ethernet1", "l1 Ethernet2")
    assert path.ways[1][3:5] == ("l2 Ethernet1", "l2 Ethernet2")


def test_below_one_leaf_pair_the_other_leaf_of_the_receiver_will_do() -> None:
    fabric = wired(A, SAME_PAIR)
    fabric.apply(leaf_vlan("l2", "Ethernet2", RED_1, 2, present=False))

    path = trace(fabric, "a", "c")

    assert path.reachable
    assert path.ways[1][3:8] == (
        "l2 Ethernet1",
        "l2 vtep 10.255.0.2 vni 5011",
        "spine",
        "l1 vtep 10.255.0.1 vni 5011",
        "l1 Ethernet2",
    )
    assert ping(fabric, "a", "c").reason == "leaf l2: Ethernet2 does not carry VLAN 11"


def test_within_one_vlan_of_a_host_no_leaf_is_needed() -> None:
    fabric = cabled()
    for effect in (plug(A), flows(A), plug(SAME_HOST), flows(SAME_HOST)):
        fabric.apply(effect)

    assert trace(fabric, "a", "d").ways == (("a@h1 vnic", "h1 br-int", "d@h1 vnic"),)


def test_between_two_vlans_of_a_host_the_leaf_routes() -> None:
    path = trace(wired(A, OTHER_NET_SAME_HOST), "a", "f")

    assert path.hops[3:6] == ("l1 Ethernet1", "l1 gateway 10.0.1.1/24 vrf red", "l1 Ethernet1")


def test_one_vlan_given_to_two_vrfs_on_a_host_leaks() -> None:
    leak = Port("g", "h1", BLUE._replace(vlan=RED_1.vlan), 6)
    fabric = cabled()
    for effect in (plug(A), flows(A), plug(leak), flows(leak)):
        fabric.apply(effect)

    assert trace(fabric, "a", "g").reachable  # the oracle does not believe in VRFs, it looks at the bridge


def test_different_vrfs_do_not_reach_each_other() -> None:
    fabric = wired(A, OTHER_VRF, OTHER_NET)

    assert trace(fabric, "a", "g").reason == "leaf l3: Ethernet1 maps VLAN 13 to VNI 5013, not 5011"
    assert trace(fabric, "e", "g").reason == "leaf l3: VNI 5013 is in VRF blue, not red"


def test_the_same_address_in_another_vrf_is_another_instance() -> None:
    fabric = wired(A, SAME_NET, OTHER_VRF)
    assert SAME_NET.ip == OTHER_VRF.ip

    assert trace(fabric, "a", dst_ip="10.0.1.6").hops[-1] == "b@h3 vnic"
    assert trace(fabric, "a", "g").reason == "IP 10.0.1.6 leads to port b at host h3, not to port g"


def test_an_address_that_nobody_has() -> None:
    fabric = wired(A)

    assert trace(fabric, "a", dst_ip="10.0.1.99").reason == "leaf l1: no MAC route to 10.0.1.99 in VNI 5011"
    assert trace(fabric, "a", dst_ip="10.0.2.99").reason == "leaf l1: no host route to 10.0.2.99 in VRF red"


def test_ports_that_nobody_has() -> None:
    fabric = wired(A)

    assert trace(fabric, "x", "a").reason == "port x: no host has a vNIC of it"
    assert trace(fabric, "a", "x").reason == "port x: no host has a vNIC of it"


def test_a_port_attached_at_two_hosts_is_said_to_be() -> None:
    fabric = wired(A, SAME_NET, SAME_NET._replace(host="h4"))
    ambiguous = f"MAC {SAME_NET.mac} is ambiguous: attached at h3 (port b) and h4 (port b)"

    assert trace(fabric, "a", "b").reason == ambiguous
    assert trace(fabric, "b", "a").reason == ambiguous


def test_a_mac_given_twice_is_said_to_be_under_either_address() -> None:
    fabric = wired(A, SAME_NET)
    twin = Port("t", "h4", RED_1, 9)
    for effect in (
        msgspec.structs.replace(plug(twin), mac=SAME_NET.mac),
        msgspec.structs.replace(flows(twin), mac=SAME_NET.mac),
        *wiring(twin)[2:],
    ):
        assert fabric.apply(effect) == ""

    for port in ("b", "t"):
        path = trace(fabric, "a", port)
        assert path.reason == f"MAC {SAME_NET.mac} is ambiguous: attached at h3 (port b) and h4 (port t)"


@pytest.mark.parametrize("doubled", [A, SAME_HOST])
def test_a_mac_given_twice_is_said_to_be_within_a_host_as_well(doubled: Port) -> None:
    fabric = wired(A, SAME_HOST, doubled._replace(port="t", host="h4"))

    path = trace(fabric, "a", "d")

    assert not path.reachable
    assert f"h1 (port {doubled.port}) and h4 (port t)" in path.reason
    assert path.reason.startswith(f"MAC {doubled.mac} is ambiguous: ")


@pytest.mark.parametrize("host", ["h1", "h4"])
def test_an_address_given_twice_is_said_to_be(host: str) -> None:
    fabric = wired(A, SAME_NET)
    twin = Port("t", host, RED_1, SAME_NET.last)
    for effect in (
        msgspec.structs.replace(plug(twin), mac="fa:16:3e:99:99:99"),
        msgspec.structs.replace(flows(twin), mac="fa:16:3e:99:99:99"),
        *wiring(twin)[2:],
    ):
        assert fabric.apply(effect) == ""

    where = " and ".join(sorted([f"{host} (port t)", "h3 (port b)"]))
    assert trace(fabric, "a", "b").reason == f"IP 10.0.1.6 is ambiguous: attached at {where}"


@pytest.mark.parametrize("broken", [A, SAME_NET])
def test_the_trunk_is_needed_at_both_ends(broken: Port) -> None:
    fabric = wired(A, SAME_NET)
    fabric.host(broken.host).trunk.discard(11)

    assert trace(fabric, "a", "b").reason == f"host {broken.host}: the trunk does not carry VLAN 11"


@pytest.mark.parametrize("kept", ["vnic", "flows"])
def test_what_a_dead_host_still_holds_does_no_harm_once_its_leaves_are_clear(kept: str) -> None:
    fabric = wired(A, SAME_NET, SAME_NET._replace(host="h4"))
    for leaf in ("l3", "l4"):
        fabric.apply(leaf_vlan(leaf, "Ethernet1", RED_1, 2, present=False))
    fabric.apply(no_flows(SAME_NET) if kept == "vnic" else unplug(SAME_NET))

    assert trace(fabric, "a", "b").hops[-1] == "b@h4 vnic"
    assert trace(fabric, "b", "a").hops[0] == "b@h4 vnic"


def test_flows_for_another_mac_drop_the_frames() -> None:
    fabric = wired(A, SAME_NET)
    fabric.apply(msgspec.structs.replace(flows(A), mac="fa:16:3e:99:99:99"))

    reason = f"host h1: the flows of port a are for MAC fa:16:3e:99:99:99, not {A.mac}"
    assert trace(fabric, "a", "b").reason == reason
    assert trace(fabric, "b", "a").reason == reason


def test_a_gateway_that_is_not_the_senders_does_not_route() -> None:
    fabric = wired(A, OTHER_NET)
    fabric.apply(msgspec.structs.replace(leaf_vlan("l2", "Ethernet1", RED_1, 2), gateway="10.0.1.254/24"))

    path = trace(fabric, "a", "e")

    assert path.reason == "leaf l2: VNI 5011 has no gateway 10.0.1.1/24"
    assert path.hops[-1] == "l2 Ethernet1"  # the way that was stopped, as far as it came


@pytest.mark.parametrize("leaf", ["l1", "l3"])
def test_a_leaf_without_a_vtep_is_an_island(leaf: str) -> None:
    fabric = wired(A, SAME_NET)
    fabric.leaf(leaf).vtep = ""

    assert trace(fabric, "a", "b").reason == f"leaf {leaf}: no VTEP"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "dst_port, dst_ip: give one of them, not '' and ''"),
        ({"dst_port": "b", "dst_ip": "10.0.1.6"}, "dst_port, dst_ip: give one of them, not 'b' and '10.0.1.6'"),
        ({"dst_ip": "b"}, "dst_ip: Expected 4 octets in 'b'"),
    ],
)
def test_a_question_that_is_none_is_an_error(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        trace(wired(A), "a", **arguments)
