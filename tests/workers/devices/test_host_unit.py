import msgspec
import pytest

from tests.workers.devices.world import RED_1, RED_2, Port, flows, leaf_vlan, no_flows, plug, unplug
from workers.devices.simulated.host import Flow, HostDevice, Vnic

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h1", RED_1, 6)


def host_with(*ports: Port) -> HostDevice:
    host = HostDevice("h1")
    for port in ports:
        assert host.apply(plug(port)) == ""
        assert host.apply(flows(port)) == ""
    return host


def test_plug_and_flows_are_held_as_wished() -> None:
    host = host_with(A)

    assert host.vnics == {"a": Vnic(A.mac, "10.0.1.5", 24, "10.0.1.1")}
    assert host.flows == {"a": Flow(11, A.mac, generation=1, cookie=0, installed=1)}
    assert host.trunk == {11}


def test_flows_without_a_device_are_refused() -> None:
    host = HostDevice("h1")

    assert host.apply(flows(A)) == "host h1: no device of port a on br-int"
    assert host.flows == {}
    assert host.trunk == set()


def test_trunk_carries_a_vlan_until_its_last_flow_goes() -> None:
    host = host_with(A, B)

    host.apply(no_flows(A))
    assert host.trunk == {11}
    host.apply(no_flows(B))
    assert host.trunk == set()


def test_flows_that_move_to_another_vlan_take_the_trunk_with_them() -> None:
    host = host_with(A)

    host.apply(msgspec.structs.replace(flows(A), vlan=RED_2.vlan))

    assert host.trunk == {12}


def test_installing_flows_again_mends_a_broken_trunk() -> None:
    host = host_with(A)
    host.trunk.discard(11)

    host.apply(flows(A))

    assert host.trunk == {11}


def test_flows_stay_when_the_vnic_goes() -> None:
    host = host_with(A)

    host.apply(unplug(A))

    assert host.vnics == {}
    assert list(host.flows) == ["a"]


def test_a_plug_that_lands_after_the_unplug_is_refused() -> None:
    host = HostDevice("h1")

    assert host.apply(unplug(A)) == ""  # the plug was sent, is still on its way, and was never here
    assert host.apply(plug(A)) == "host h1: port a: generation 1 was withdrawn"
    assert host.apply(flows(A)) == "host h1: port a: generation 1 was withdrawn"
    assert (host.vnics, host.flows, host.trunk) == ({}, {}, set())


def test_flows_that_land_after_the_vnic_or_the_flows_were_withdrawn_are_refused() -> None:
    host = host_with(A, B)

    host.apply(no_flows(A))
    assert host.apply(flows(A)) == "host h1: port a: generation 1 was withdrawn"
    host.apply(unplug(B))
    assert host.apply(flows(B)) == "host h1: port b: generation 1 was withdrawn"
    assert list(host.flows) == ["b"]  # those that were there wait for their own withdrawal


def test_a_port_that_was_never_withdrawn_may_be_wired_again_and_again() -> None:
    host = host_with(A)

    assert host.apply(plug(A)) == ""
    assert host.apply(flows(A)) == ""
    assert host.state() == host_with(A).state()


def test_a_newer_claim_comes_and_what_is_late_of_the_old_one_does_it_no_harm() -> None:
    host = host_with(A)
    host.apply(unplug(A))
    host.apply(no_flows(A))

    assert host.apply(plug(A, 2)) == ""
    assert host.apply(flows(A, 2)) == ""
    wired = host.state()
    assert [host.apply(late) for late in (unplug(A), no_flows(A))] == ["", ""]
    assert all("generation 1 was withdrawn" in host.apply(late) for late in (plug(A), flows(A)))

    assert host.state() == wired


def test_a_newer_claim_withdraws_the_older_ones() -> None:
    host = HostDevice("h1")
    host.apply(plug(A, 3))

    assert host.apply(unplug(A, 2)) == ""
    assert host.apply(plug(A, 2)) == "host h1: port a: generation 2 was withdrawn"
    assert list(host.vnics) == ["a"]


def test_flows_wait_for_the_vnic_of_their_own_generation() -> None:
    host = host_with(A)

    assert host.apply(flows(A, 2)) == "host h1: the device of port a on br-int is of generation 1, not 2"
    assert host.flows["a"].generation == 1
    host.apply(plug(A, 2))
    assert host.apply(flows(A, 2)) == ""
    assert host.flows["a"] == Flow(11, A.mac, generation=2, installed=2)


def test_a_withdrawal_takes_what_came_by_hand_after_an_earlier_one() -> None:
    host = host_with(A)
    for _ in range(2):
        host.apply(unplug(A))
        host.apply(no_flows(A))
        assert (host.vnics, host.flows) == ({}, {})
        host.vnics["a"] = Vnic(A.mac, A.ip, 24, A.net.gateway)
        host.put_flow("a", Flow(11, A.mac))


def test_flows_that_are_as_wished_are_not_touched() -> None:
    host = host_with(A)

    host.apply(flows(A, cookie=7))
    assert host.flows["a"] == Flow(11, A.mac, cookie=7, installed=1)
    host.apply(flows(A._replace(net=RED_2), cookie=7))
    assert host.flows["a"].installed == 2


def test_a_push_of_a_former_run_of_the_agent_keeps_the_newest_cookie() -> None:
    host = host_with(A)
    host.apply(flows(A, cookie=7))
    host.apply(plug(B))

    host.apply(flows(A, cookie=3))
    host.apply(flows(B, cookie=3))

    assert (host.flows["a"].cookie, host.flows["b"].cookie) == (7, 7)


def test_newer_flows_fence_off_the_older_ones_even_if_somebody_puts_the_old_vnic_back() -> None:
    host = host_with(A)
    host.apply(plug(A, 2))
    host.apply(flows(A, 2))
    host.vnics["a"] = Vnic(A.mac, A.ip, 24, A.net.gateway, generation=1)
    state = host.state()
    host.restore(msgspec.structs.replace(state, vnic_fences={}))

    assert host.apply(flows(A)) == "host h1: port a: generation 1 was withdrawn"


def test_fences_survive_a_restore() -> None:
    host, again = host_with(A), HostDevice("h1")
    for effect in (unplug(A), no_flows(A)):
        host.apply(effect)

    again.restore(host.state())

    assert again.state() == host.state()
    assert again.apply(plug(A)) == "host h1: port a: generation 1 was withdrawn"


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("ip", "10.0.1", "host h1: vNIC of port a: ip: "),
        ("prefix_length", 33, "host h1: vNIC of port a: prefix_length: 33"),
    ],
)
def test_an_address_that_is_none_is_refused(field: str, value: object, error: str) -> None:
    host = HostDevice("h1")

    assert host.apply(msgspec.structs.replace(plug(A), **{field: value})).startswith(error)
    assert host.vnics == {}


def test_a_host_has_no_leaf_interfaces() -> None:
    assert HostDevice("h1").apply(leaf_vlan("h1", "Ethernet1", RED_1)) == "host h1: a host cannot perform LeafVlan"
