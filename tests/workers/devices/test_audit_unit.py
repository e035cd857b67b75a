"""What audits find of what was done by hand."""

import re

import pytest

from bus.events import HostDifference, LeafDifference
from tests.workers.devices.world import (
    BLUE,
    RED_1,
    RED_2,
    Port,
    audit_host,
    audit_leaf,
    cabled,
    flows,
    plug,
    wired,
    wiring,
    wish,
)
from workers.devices.simulated.tamper import Act, AddEntry, AddFlow, AddVnic, DropEntry, DropFlow, DropVnic
from workers.effects import AuditHost, WishedEntry

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h2", RED_1, 6)
WISHED = audit_host("h1", {"a": 1}, {"a": wish(A)})
OTHER_VLAN = audit_host("h1", {"a": 1}, {"a": wish(A._replace(net=RED_2))})
NEWER = audit_host("h1", {"a": 2}, {"a": wish(A, 2)})
NOTHING = audit_host("h1", {}, {})
FOREIGN = AddVnic("h1", "x", "fa:16:3e:00:00:01", "10.0.1.99", 24, "10.0.1.1", 3)


def lacks(part: str, port: str, generation: int = 1) -> HostDifference:
    return HostDifference(part, port, generation, missing=True)  # type: ignore[arg-type]


def holds(part: str, port: str, generation: int = 1) -> HostDifference:
    return HostDifference(part, port, generation, missing=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("acts", "audit", "found"),
    [
        ([], WISHED, []),
        ([DropVnic("h1", "a")], WISHED, [lacks("vnic", "a")]),
        ([DropFlow("h1", "a")], WISHED, [lacks("flows", "a")]),
        ([AddFlow("h1", "a", A.mac, 12)], WISHED, [lacks("flows", "a")]),
        ([AddFlow("h1", "a", "fa:16:3e:00:00:09", 11)], WISHED, [lacks("flows", "a")]),
        ([AddFlow("h1", "a", A.mac, 11, 2)], WISHED, [lacks("flows", "a")]),
        ([], OTHER_VLAN, [lacks("flows", "a")]),
        ([], NOTHING, [holds("vnic", "a"), holds("flows", "a")]),
        ([], NEWER, [lacks("vnic", "a", 2), holds("vnic", "a"), lacks("flows", "a", 2), holds("flows", "a")]),
        ([FOREIGN], WISHED, [holds("vnic", "x", 3)]),
    ],
)
def test_a_host_is_compared_with_what_is_wished(acts: list[Act], audit: AuditHost, found: list[HostDifference]) -> None:
    fabric = wired(A)
    for act in acts:
        fabric.tamper(act)
    before = list(fabric.states())

    assert fabric.perform(audit).found == tuple(found)
    assert list(fabric.states()) == before


def test_flows_without_their_vlan_on_the_trunk_are_found_and_mended() -> None:
    fabric = wired(A)
    fabric.host("h1").trunk.clear()

    assert fabric.perform(WISHED).found == (lacks("flows", "a"),)
    fabric.apply(flows(A))
    assert fabric.perform(WISHED).found == ()
    assert fabric.host("h1").flows["a"].installed == 1


def test_a_leaf_is_compared_with_what_is_wished() -> None:
    fabric = wired(A, B)
    fabric.apply(wiring(A._replace(net=RED_2))[2])
    wished = (
        WishedEntry("Ethernet2", 11, 5011),
        WishedEntry("Ethernet1", 11, 5099),
        WishedEntry("Ethernet9", 13, 5013),
    )

    assert fabric.perform(audit_leaf("l1", *wished)).found == (
        LeafDifference("Ethernet1", 11, 5099, missing=True),
        LeafDifference("Ethernet1", 12, 5012, missing=False),
        LeafDifference("Ethernet9", 13, 5013, missing=True),
    )


def test_leaf_entries_that_came_or_went_by_hand_are_found_and_repaired_with_the_epoch_they_had() -> None:
    fabric, audit = wired(A), audit_leaf("l1", WishedEntry("Ethernet1", 11, 5011))
    fabric.tamper(DropEntry("l1", "Ethernet1", 11))
    fabric.tamper(AddEntry("l1", "Ethernet2", 13, 5013, "blue", "10.0.1.1/24"))

    assert fabric.perform(audit).found == (
        LeafDifference("Ethernet1", 11, 5011, missing=True),
        LeafDifference("Ethernet2", 13, 5013, missing=False),
    )
    fabric.apply(wiring(A)[2])
    fabric.tamper(DropEntry("l1", "Ethernet2", 13))
    assert fabric.perform(audit).found == ()


def test_an_audit_goes_to_the_kind_of_device_it_is_for() -> None:
    assert cabled().apply(audit_host("l1", {}, {})) == "leaf l1: a leaf cannot perform AuditHost"
    assert cabled().apply(audit_leaf("h1")) == "host h1: a host cannot perform AuditLeaf"


def test_a_foreign_vnic_is_found_by_its_address() -> None:
    fabric = wired(A)

    fabric.tamper(FOREIGN)
    assert [place.port for place in fabric.places_of_ip("10.0.1.99")] == ["x"]
    fabric.tamper(DropVnic("h1", "x"))
    assert fabric.places_of_ip("10.0.1.99") == []


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (DropVnic("h9", "a"), "no host h9"),
        (DropEntry("l9", "Ethernet1", 11), "no leaf l9"),
        (DropVnic("h1", "b"), "host h1: no vNIC of port b"),
        (DropFlow("h1", "b"), "host h1: no flows of port b"),
        (DropEntry("l1", "Ethernet1", 12), "leaf l1: Ethernet1 does not carry VLAN 12"),
        (
            AddEntry("l1", "Ethernet2", 11, BLUE.vni, "blue", "10.0.1.1/24"),
            "leaf l1: VLAN 11 is VNI 5011 on Ethernet1, it cannot be VNI 5013",
        ),
    ],
)
def test_what_cannot_be_done_by_hand_is_an_error_and_changes_nothing(act: Act, error: str) -> None:
    fabric = wired(A)
    before = list(fabric.states())

    with pytest.raises(ValueError, match=re.escape(error)):
        fabric.tamper(act)
    assert list(fabric.states()) == before


def test_a_vnic_added_by_hand_takes_the_place_of_the_ports_own() -> None:
    fabric = wired(A)
    fabric.tamper(AddVnic("h1", "a", A.mac, "10.0.1.77", 24, "10.0.1.1"))

    assert fabric.places_of_ip(A.ip) == []
    assert fabric.apply(plug(A)) == ""
    assert [place.port for place in fabric.places_of_ip(A.ip)] == ["a"]
