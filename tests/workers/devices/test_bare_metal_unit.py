"""A host of bare metal hangs on its leaves directly: no br-int, no trunk, untagged frames."""

import pytest

from bus.events import HostDifference
from tests.workers.devices.world import RED_1, RED_2, Port, cabled, flows, leaf_vlan, plug, resync_host, unplug, wiring
from workers.devices.simulated.evpn import routes
from workers.devices.simulated.fabric import Fabric, SetHosts
from workers.devices.simulated.reachability import ping, trace
from workers.devices.simulated.tamper import AddFlow
from workers.effects import LeafVlan

POD = Port("p", "h3", RED_1, 6)
OTHER_NET = Port("q", "h1", RED_2, 7)
METAL = Port("m", "b1", RED_1, 5)


def with_metal() -> Fabric:
    """A pod in the same network, one in another, and bare metal b1 below l1 and l2."""
    fabric = cabled()
    fabric.add_host("b1", "l1", "l2", "Ethernet9", bare=True)
    for effect in (*wiring(POD), *wiring(OTHER_NET), plug(METAL), on_leaf("l1"), on_leaf("l2")):
        assert fabric.apply(effect) == ""
    return fabric


def on_leaf(leaf: str, epoch: int = 1, *, present: bool = True) -> LeafVlan:
    return leaf_vlan(leaf, "Ethernet9", RED_1, epoch, present=present)


def test_it_reaches_pods_and_pods_reach_it() -> None:
    fabric = with_metal()

    assert ping(fabric, "m", "p").reachable
    assert ping(fabric, "q", "m").reachable
    assert trace(fabric, "m", "p").hops == (
        "m@b1 nic",
        "l1 Ethernet9",
        "l1 vtep 10.255.0.1 vni 5011",
        "spine",
        "l3 vtep 10.255.0.3 vni 5011",
        "l3 Ethernet1",
        "h3 trunk vlan 11",
        "h3 br-int",
        "p@h3 vnic",
    )
    assert trace(fabric, "p", "m").hops[-2:] == ("l1 Ethernet9", "m@b1 nic")


def test_its_leaves_advertise_it() -> None:
    found = [route for route in routes(with_metal(), route_type=2) if route.port == "m"]
    assert [(route.leaf, route.mac, route.ip, route.rd) for route in found] == [
        ("l1", METAL.mac, METAL.ip, "10.255.0.1:11"),
        ("l2", METAL.mac, METAL.ip, "10.255.0.2:11"),
    ]


def test_it_has_no_flows() -> None:
    fabric = with_metal()

    assert fabric.apply(flows(METAL)) == "host b1: bare metal has no br-int"
    with pytest.raises(ValueError, match="host b1: bare metal has no br-int"):
        fabric.tamper(AddFlow("b1", "m", METAL.mac, 11))
    assert fabric.host("b1").flows == {}


def test_without_its_nic_or_power_nothing_gets_there() -> None:
    fabric = with_metal()
    fabric.apply(unplug(METAL))
    assert trace(fabric, "p", "m").reason == "port m: no host has a vNIC of it"

    fabric = with_metal()
    fabric.set_hosts(SetHosts(power_off=("b1",)))
    assert trace(fabric, "m", "p").reason == trace(fabric, "p", "m").reason == "host b1: no power"


@pytest.mark.parametrize("leaf", ["l1", "l2"])
def test_both_leaves_are_needed(leaf: str) -> None:
    fabric = with_metal()
    fabric.apply(on_leaf(leaf, 2, present=False))

    assert ping(fabric, "m", "p").reason == f"leaf {leaf}: Ethernet9 has no access VLAN, it carries 0 VLANs"


def test_an_interface_with_two_vlans_has_no_access_vlan() -> None:
    fabric = with_metal()
    fabric.apply(leaf_vlan("l1", "Ethernet9", RED_2))

    assert trace(fabric, "m", "p").reason == "leaf l1: Ethernet9 has no access VLAN, it carries 2 VLANs"


def test_it_is_cleaned_when_it_returns() -> None:
    fabric = with_metal()

    assert fabric.perform(resync_host("b1", 9, {})).found == (HostDifference("vnic", "m", 1, missing=False),)
    assert fabric.host("b1").vnics == {}


def test_a_restored_host_is_bare_metal_still() -> None:
    fabric, again = with_metal(), Fabric()
    for cable in fabric.cables():
        again.cable(cable)
    for state in fabric.states():
        again.restore(state)

    assert ping(again, "m", "p").reachable
    assert routes(again) == routes(fabric)
