"""Leaf interfaces: reference counts (invariant 10) and epochs."""

import msgspec
import pytest

from bus.events import (
    Event,
    LeafVlanAdded,
    LeafVlanFailed,
    LeafVlanRemoved,
    PortClaimed,
    PortOverlayRemoved,
    PortRegistered,
)
from projections.fold import NOTHING
from projections.leaves import LeafInterfaceRow, Leaves
from tests.projections.events import HOST, allocated, bound, claim, overlay, unbound
from tests.projections.given import given, record, row_of

ONE_BOUND = (HOST, allocated(), bound())  # the binding is at position 3
TWO_BOUND = (*ONE_BOUND, allocated("p2", "10.0.0.3"), bound("p2"))
UNBOUND = (*ONE_BOUND, unbound())  # the unbinding is at position 4


def entry(fold: Leaves, leaf: str = "leaf1") -> LeafInterfaceRow | None:
    row: LeafInterfaceRow | None = row_of(fold, "leaf_interfaces", leaf, "eth1", 100)
    return row


def summary(fold: Leaves, leaf: str = "leaf1") -> tuple[int, int, str]:
    row = entry(fold, leaf)
    assert row is not None
    return row.ports, row.epoch, row.state


def added(epoch: int, leaf: str = "leaf1") -> LeafVlanAdded:
    return LeafVlanAdded(leaf=leaf, az="az1", interface="eth1", vlan=100, vni=5001, epoch=epoch)


def removed(epoch: int, leaf: str = "leaf1") -> LeafVlanRemoved:
    return LeafVlanRemoved(leaf=leaf, az="az1", interface="eth1", vlan=100, vni=5001, epoch=epoch)


def failed(epoch: int) -> LeafVlanFailed:
    return LeafVlanFailed(leaf="leaf1", az="az1", interface="eth1", vlan=100, vni=5001, epoch=epoch, reason="busy")


def test_the_first_port_bound_starts_an_epoch_on_both_leaves() -> None:
    fold = given(Leaves(), *ONE_BOUND)
    assert summary(fold, "leaf1") == summary(fold, "leaf2") == (1, 3, "adding")


def test_a_second_port_is_counted_in_the_same_epoch() -> None:
    assert summary(given(Leaves(), *TWO_BOUND)) == (2, 3, "adding")


def test_the_acknowledgement_of_the_epoch_makes_it_present_on_that_leaf_alone() -> None:
    fold = given(Leaves(), *ONE_BOUND, added(3))
    assert summary(fold, "leaf1") == (1, 3, "present")
    assert summary(fold, "leaf2") == (1, 3, "adding")


def test_the_last_port_to_leave_starts_an_epoch_of_removal() -> None:
    fold = given(Leaves(), *TWO_BOUND, added(3), unbound())
    assert summary(fold) == (1, 3, "present")
    fold.evolve(record(unbound("p2"), 8))
    assert summary(fold) == (0, 8, "removing")


def test_the_row_goes_when_the_removal_is_acknowledged() -> None:
    fold = given(Leaves(), *UNBOUND, removed(4), removed(4, "leaf2"))
    assert fold.tables["leaf_interfaces"] == {}


@pytest.mark.parametrize("late", [added(3), removed(3), failed(3)])
def test_a_late_answer_to_an_older_epoch_changes_nothing(late: Event) -> None:
    fold = given(Leaves(), *UNBOUND)
    assert fold.evolve(record(late, 9)) == NOTHING
    assert summary(fold) == (0, 4, "removing")


def test_a_late_removal_does_not_take_away_what_is_needed_again() -> None:
    fold = given(Leaves(), *UNBOUND, allocated("p2", "10.0.0.3"), bound("p2"))
    assert summary(fold) == (1, 6, "adding")
    fold.evolve(record(removed(4), 7))
    assert summary(fold) == (1, 6, "adding")


def test_a_failure_is_kept_until_the_leaf_succeeds() -> None:
    fold = given(Leaves(), *ONE_BOUND, failed(3))
    assert summary(fold) == (1, 3, "error")
    fold.evolve(record(added(3), 5))
    row = entry(fold)
    assert row is not None
    assert (row.state, row.reason) == ("present", "")


def test_an_older_generation_and_another_host_are_not_counted() -> None:
    fold = given(Leaves(), HOST, allocated(generation=2), bound(generation=1))
    assert fold.tables["leaf_interfaces"] == {}


def test_a_port_that_is_bound_twice_counts_once() -> None:
    assert summary(given(Leaves(), *ONE_BOUND, bound(), bound())) == (1, 3, "adding")


def test_a_port_that_was_never_bound_leaves_nothing() -> None:
    fold = given(Leaves(), HOST, allocated(), unbound(), bound())
    assert fold.tables["leaf_interfaces"] == {}


def test_a_host_described_after_the_binding_leaves_nothing_to_remove() -> None:
    fold = given(Leaves(), allocated(), bound(), HOST, unbound())
    assert fold.tables["leaf_interfaces"] == {}


def test_ports_wait_until_they_are_reported_and_again_when_they_leave() -> None:
    fold = given(Leaves(), *TWO_BOUND)
    assert [port.port for port in fold.waiting("leaf1", "eth1", 100)] == ["p1", "p2"]
    fold.evolve(record(overlay(), 6))
    assert [port.port for port in fold.waiting("leaf1", "eth1", 100)] == ["p2"]
    fold.evolve(record(unbound(), 7))
    assert [port.port for port in fold.waiting("leaf1", "eth1", 100)] == ["p1", "p2"]
    fold.evolve(record(PortOverlayRemoved(**claim()), 8))
    assert [port.port for port in fold.waiting("leaf1", "eth1", 100)] == ["p2"]
    assert set(fold.claims) == {("p2", 1)}


def test_registration_is_noted() -> None:
    fold = given(Leaves(), HOST, allocated(), PortRegistered(port="p1", az="az1", host="h1"))
    assert fold.claims["p1", 1].registered


def test_a_generation_beyond_all_measure_is_one_claim_like_any_other() -> None:
    """Whoever forges one holds up nobody: nothing is done for each generation up to it."""
    claimed = {**msgspec.structs.asdict(allocated()), "generation": (1 << 63) - 1}
    fold = given(Leaves(), HOST, allocated(), PortClaimed(**claimed, from_host="h1"))
    fold.evolve(record(PortRegistered(port="p1", az="az1", host="h1")))
    newest = fold.newest("p1")
    assert newest is not None
    assert newest.registered
