import pytest

from tests.workers.devices.world import CABLES, RED_1, Port, cabled, plug, unplug, unwiring, wired, wiring
from workers.devices.simulated.fabric import Fabric, Leftovers

A = Port("a", "h1", RED_1, 5)


def test_cabling_may_be_told_twice() -> None:
    fabric = cabled()

    assert [fabric.cable(cable) for cable in CABLES] == [False] * len(CABLES)
    assert fabric.cables() == list(CABLES)


@pytest.mark.parametrize(
    ("cable", "error"),
    [
        (("h9", "l1", "l9", "Ethernet9"), "host h9: no leaf l9"),
        (("h9", "l1", "l1", "Ethernet9"), "host h9: leaf_a and leaf_b are both l1"),
        (("h9", "l1", "l2", "Ethernet1"), "host h9: Ethernet1 of leaf l1 goes to host h1"),
        (("h1", "l1", "l2", "Ethernet9"), "h1: cabled as "),
        (("l1", "l3", "l4", "Ethernet9"), "l1: cabled as "),
    ],
)
def test_a_cable_that_cannot_be_is_refused(cable: tuple[str, str, str, str], error: str) -> None:
    fabric = cabled()

    with pytest.raises(ValueError, match=error):
        fabric.add_host(*cable)
    assert fabric.cables() == list(CABLES)


def test_a_leaf_cannot_change_its_vtep() -> None:
    with pytest.raises(ValueError, match=r"l1: cabled as .*10\.255\.0\.1.* cannot be .*10\.9\.9\.9"):
        cabled().add_leaf("l1", "10.9.9.9")


def test_an_unknown_device_is_an_error_text() -> None:
    assert Fabric().apply(plug(A)) == "no device h1"


def test_port_locations_follow_the_vnics() -> None:
    fabric = wired(A, A._replace(host="h3"))
    assert fabric.port_locations("a") == ["h1", "h3"]

    fabric.apply(unplug(A))
    assert fabric.port_locations("a") == ["h3"]


def test_a_vnic_that_changes_its_address_is_found_by_the_new_one_only() -> None:
    fabric = wired(A)

    fabric.apply(plug(A._replace(last=9)))

    assert fabric.places_of_ip("10.0.1.5") == []
    assert [place.port for place in fabric.places_of_ip("10.0.1.9")] == ["a"]
    assert fabric.places_of_mac(A.mac) == []


def test_dump_shows_what_devices_hold_and_leaves_out_empty_ones() -> None:
    vnic = {"mac": A.mac, "ip": "10.0.1.5", "prefix_length": 24, "gateway": "10.0.1.1", "generation": 1}
    vnic |= {"enforced": False}
    entry = {"vni": 5011, "vrf": "red", "gateway": "10.0.1.1/24"}
    assert wired(A).dump() == {
        "hosts": {
            "h1": {
                "vnics": {"a": vnic},
                "flows": {"a": {"vlan": 11, "mac": A.mac, "generation": 1, "cookie": 0, "installed": 1}},
                "trunk": [11],
            }
        },
        "leaves": {"l1": {"Ethernet1": {11: entry}}, "l2": {"Ethernet1": {11: entry}}},
    }


def test_leftovers_count_every_kind() -> None:
    fabric = wired(A)

    assert fabric.leftovers() == Leftovers(vnics=1, flows=1, trunk_vlans=1, leaf_entries=2, vnis=2)


@pytest.mark.parametrize("skipped", range(4))
def test_anything_left_behind_is_a_leftover(skipped: int) -> None:
    fabric = wired(A)
    for index, effect in enumerate(unwiring(A)):
        if index != skipped:
            fabric.apply(effect)

    assert fabric.leftovers()
    fabric.apply(unwiring(A)[skipped])
    assert not fabric.leftovers()


def test_a_late_addition_does_not_bring_a_leaf_entry_back() -> None:
    fabric = wired(A)
    for effect in [*unwiring(A, epoch=2), *wiring(A, epoch=1)[2:]]:
        assert fabric.apply(effect) == ""

    assert not fabric.leftovers()
