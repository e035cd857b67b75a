from tests.workers.devices.world import BLUE, RED_1, RED_2, Port, leaf_vlan, plug
from workers.devices.simulated.leaf import Entry, LeafDevice

ENTRY = Entry(5011, "red", "10.0.1.1/24")


def leaf(capacity: int = 100) -> LeafDevice:
    return LeafDevice("l1", "10.255.0.1", capacity)


def test_interface_carries_the_vlan_as_the_vni() -> None:
    device = leaf()

    assert device.apply(leaf_vlan("l1", "Ethernet1", RED_1)) == ""

    assert device.interfaces == {"Ethernet1": {11: ENTRY}}
    assert device.vnis[5011].vrf == "red"
    assert device.vnis[5011].gateways == {"10.0.1.1/24": 1}


def test_vni_stays_until_the_last_interface_drops_it() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))
    device.apply(leaf_vlan("l1", "Ethernet2", RED_1))

    device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 2, present=False))
    assert list(device.vnis) == [5011]
    device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 2, present=False))
    assert device.vnis == {}
    assert device.interfaces == {}
    assert device.size == 0


def test_an_older_epoch_succeeds_and_changes_nothing() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 7, present=False))

    assert device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 6)) == ""
    assert device.interfaces == {}


def test_epochs_are_kept_per_interface_and_vlan() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 7))

    device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 3))
    device.apply(leaf_vlan("l1", "Ethernet1", RED_2, 3))

    assert device.size == 3


def test_an_older_wish_does_not_land_in_place_of_a_refused_newer_one() -> None:
    device = leaf(capacity=1)
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))
    assert device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 9)) != ""
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 10, present=False))

    assert device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 8)) == ""
    assert device.interfaces == {}


def test_a_vlan_is_one_vni_on_the_whole_leaf() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))

    other = leaf_vlan("l1", "Ethernet2", BLUE._replace(vlan=RED_1.vlan))

    assert device.apply(other) == "leaf l1: VLAN 11 is VNI 5011 on Ethernet1, it cannot be VNI 5013"
    assert device.interfaces == {"Ethernet1": {11: ENTRY}}


def test_the_only_interface_of_a_vlan_may_change_its_vni() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))

    assert device.apply(leaf_vlan("l1", "Ethernet1", BLUE._replace(vlan=RED_1.vlan), 2)) == ""

    assert list(device.vnis) == [5013]
    assert device.size == 1


def test_a_vni_is_in_one_vrf() -> None:
    device = leaf()
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))

    assert (
        device.apply(leaf_vlan("l1", "Ethernet2", RED_1._replace(vrf="blue")))
        == "leaf l1: VNI 5011 is in VRF red, it cannot be in VRF blue"
    )
    assert device.apply(leaf_vlan("l1", "Ethernet1", RED_1._replace(vrf="blue"), 2)) == ""
    assert device.vnis[5011].vrf == "blue"


def test_a_full_table_refuses_before_it_overflows() -> None:
    device = leaf(capacity=2)
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))
    device.apply(leaf_vlan("l1", "Ethernet1", RED_2))

    assert device.apply(leaf_vlan("l1", "Ethernet2", RED_1)) == "leaf l1: table full, all 2 entries are taken"
    assert device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 2)) == ""  # it is there already
    assert device.size == 2


def test_a_refused_wish_may_be_tried_again_with_its_epoch() -> None:
    device = leaf(capacity=1)
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1))
    assert device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 5)) != ""
    device.apply(leaf_vlan("l1", "Ethernet1", RED_1, 2, present=False))

    assert device.apply(leaf_vlan("l1", "Ethernet2", RED_1, 5)) == ""
    assert device.interfaces == {"Ethernet2": {11: ENTRY}}


def test_a_leaf_has_no_vnics() -> None:
    assert leaf().apply(plug(Port("a", "l1", RED_1, 5))) == "leaf l1: a leaf cannot perform PlugVnic"
