import msgspec
import pytest

from tests.workers.devices.world import RED_1, RED_2, Port, flows, leaf_vlan, plug
from workers.devices.simulated.host import Flow, HostDevice, Vnic
from workers.effects import RemoveFlows, UnplugVnic

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
    assert host.flows == {"a": Flow(11, A.mac)}
    assert host.trunk == {11}


def test_flows_without_a_device_are_refused() -> None:
    host = HostDevice("h1")

    assert host.apply(flows(A)) == "host h1: no device of port a on br-int"
    assert host.flows == {}
    assert host.trunk == set()


def test_trunk_carries_a_vlan_until_its_last_flow_goes() -> None:
    host = host_with(A, B)

    host.apply(RemoveFlows(device="h1", port="a"))
    assert host.trunk == {11}
    host.apply(RemoveFlows(device="h1", port="b"))
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

    host.apply(UnplugVnic(device="h1", port="a"))

    assert host.vnics == {}
    assert list(host.flows) == ["a"]


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
