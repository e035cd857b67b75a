"""Hosts without power, and hosts that are cut off from the control plane."""

import pytest

from tests.workers.devices.world import (
    BLUE,
    RED_1,
    Port,
    audit_host,
    flows,
    leaf_vlan,
    plug,
    resync_flows,
    resync_host,
    unplug,
    wired,
    wiring,
)
from workers.devices.simulated.fabric import Fabric, SetHosts
from workers.devices.simulated.reachability import ping, trace
from workers.effects import AnyEffect

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h3", RED_1, 6)
MOVED = Port("a", "h4", RED_1, 5)
OFF = SetHosts(power_off=("h1",))
ON = SetHosts(power_on=("h1",))
CUT_OFF = SetHosts(cut_off=("h1",))
TO_A_HOST: list[AnyEffect] = [
    plug(A),
    flows(A),
    unplug(A),
    resync_host("h1", 1, {}),
    resync_flows("h1", 1, {}),
    audit_host("h1", {}, {}),
]


@pytest.mark.parametrize("effect", TO_A_HOST)
@pytest.mark.parametrize(
    ("change", "error"), [(OFF, "host h1: no power"), (CUT_OFF, "host h1: cut off from the control plane")]
)
def test_a_silent_host_takes_nothing(effect: AnyEffect, change: SetHosts, error: str) -> None:
    fabric = wired(A)
    fabric.set_hosts(change)
    before = list(fabric.states())

    assert fabric.perform(effect) == (error, (), False)
    assert list(fabric.states()) == before
    assert not fabric.answers("h1")
    assert fabric.answers("h2")


def test_a_host_without_power_reaches_nobody_and_still_holds_what_it_held() -> None:
    fabric = wired(A, B)
    fabric.set_hosts(OFF)

    for one, other in (("a", "b"), ("b", "a")):
        path = trace(fabric, one, other)
        assert (path.reachable, path.reason) == (False, "host h1: no power")
    assert trace(fabric, "b", dst_ip=A.ip).reason == "host h1: no power"
    fabric.set_hosts(ON)
    assert ping(fabric, "a", "b").reachable


def test_two_ports_of_a_host_without_power_do_not_talk_within_it() -> None:
    fabric = wired(A, A._replace(port="c", last=7))
    fabric.set_hosts(OFF)

    assert trace(fabric, "a", "c").reason == "host h1: no power"


def test_the_address_is_the_new_hosts_when_the_old_one_has_no_power() -> None:
    fabric = wired(A, B, MOVED)
    assert trace(fabric, "b", "a").hops[-1] == "a@h4 vnic"  # its leaves have heard it last

    fabric.set_hosts(OFF)

    assert trace(fabric, "b", "a").hops[-1] == "a@h4 vnic"
    assert trace(fabric, "a", "b").hops[0] == "a@h4 vnic"


def test_what_stops_a_packet_is_said_of_the_host_with_power() -> None:
    fabric = wired(A, B)
    fabric.set_hosts(OFF)
    fabric.apply(plug(MOVED))

    assert trace(fabric, "b", "a").reason == "host h4: no flows of port a on br-int"
    assert trace(fabric, "a", "b").reason == "host h4: no flows of port a on br-int"


def test_a_host_that_is_cut_off_answers_for_its_address_until_its_leaves_are_cleared() -> None:
    fabric = wired(A, A._replace(port="c", last=7), B, MOVED)
    fabric.set_hosts(CUT_OFF)
    assert trace(fabric, "b", "a").hops[-1] == "a@h4 vnic"
    assert "ambiguous: attached at h1 (port a) and h4 (port a)" in trace(fabric, "c", "a").reason

    for leaf in A.leaves:
        fabric.apply(leaf_vlan(leaf, "Ethernet1", RED_1, 2, present=False))

    assert ping(fabric, "a", "b").hops[0] == "a@h4 vnic"
    assert ping(fabric, "a", "b").reachable


def test_a_host_may_be_both_and_come_back_from_each() -> None:
    fabric = wired(A)
    fabric.set_hosts(SetHosts(power_off=("h1",), cut_off=("h1", "h2")))
    fabric.set_hosts(ON)
    assert fabric.apply(plug(A)) == "host h1: cut off from the control plane"

    fabric.set_hosts(SetHosts(reconnect=("h1",)))

    assert fabric.apply(plug(A)) == ""
    assert not fabric.answers("h2")


@pytest.mark.parametrize("field", SetHosts.__struct_fields__)
def test_a_host_that_is_not_there_is_an_error_and_nothing_changes(field: str) -> None:
    fabric = wired(A)

    with pytest.raises(ValueError, match="no host h9"):
        fabric.set_hosts(SetHosts(**{"power_off": ("h1",), field: ("h1", "h9")}))
    assert fabric.answers("h1")


def test_flows_of_another_generation_are_not_for_the_vnic() -> None:
    fabric: Fabric = wired(A, B, Port("c", "h3", BLUE, 9))
    fabric.apply(plug(A, 2))

    assert trace(fabric, "a", "b").reason == "host h1: the flows of port a are for generation 1, not 2"
    assert trace(fabric, "b", "a").reason == "host h1: the flows of port a are for generation 1, not 2"
    for effect in (flows(A, 2), *wiring(A)[2:]):
        assert fabric.apply(effect) == ""
    assert ping(fabric, "a", "b").reachable
