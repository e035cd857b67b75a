"""CNC: a reference count per leaf interface and VLAN; a plane is reported once both leaves have acknowledged."""

import pytest

from bus.events import Event, PortOverlayRemoved, PortOverlayReported, PortRegistered
from tests.workers.playbook import (
    AZ,
    L1,
    L2,
    WORLD,
    Leaf,
    Playbook,
    allocated,
    bound,
    given,
    port_deleted,
    say,
    unbound,
)
from workers import cnc
from workers.effects import LeafVlan, RemoveFlows, Result

#: The position of the first event after the world and two allocated ports: the epoch of the first binding.
E = len(WORLD) + 3
REPORTED = say(PortOverlayReported, status="ACTIVE")
PORTS: tuple[Event, ...] = (allocated("i1"), allocated("i2", ip="10.0.1.3"))


def active(instance: str = "i1", configured_us: int = 5) -> PortOverlayReported:
    return say(PortOverlayReported, instance, status="ACTIVE", configured_us=configured_us)


def error(instance: str, leaf: Leaf, reason: str = "refused") -> PortOverlayReported:
    text = f"leaf {leaf.leaf} interface {leaf.interface} VLAN 1: {reason}"
    return say(PortOverlayReported, instance, status="ERROR", reason=text)


def removed(instance: str = "i1") -> PortOverlayRemoved:
    return say(PortOverlayRemoved, instance)


def two_ports(*history: Event) -> Playbook:
    """i1 and i2 on the same leaf interface, not bound yet."""
    return given(cnc, *PORTS, *history)


def one_bound() -> Playbook:
    """i1 is bound, present on both leaves and reported; the next event is at E + 4."""
    return two_ports(bound("i1"), L1.added(E), L2.added(E), active("i1"))


def both_bound() -> Playbook:
    """So is i2; the next event is at E + 6."""
    return one_bound().given(bound("i2"), active("i2", configured_us=0))


def test_an_allocated_port_is_registered_and_touches_no_switch() -> None:
    registered = PortRegistered(port="i1-0", az=AZ, host="h1")
    play = given(cnc).when(allocated()).then(registered).when_decisions_come_back()
    play.when(allocated()).then_nothing()


def test_the_first_port_configures_both_leaves() -> None:
    two_ports().when(bound()).then(L1.wish(E), L2.wish(E))


def test_active_only_once_both_leaves_have_acknowledged() -> None:
    play = two_ports(bound()).when(L2.added(E)).then_nothing()
    play.when(L1.added(E)).then(active()).of_story("story").when_decisions_come_back()
    play.when(L1.added(E)).then_nothing()


def test_a_second_port_touches_no_leaf() -> None:
    one_bound().when(bound("i2")).then(active("i2", configured_us=0))


def test_a_second_port_that_comes_while_the_leaves_are_configured_waits_with_the_first() -> None:
    play = two_ports(bound("i1")).when(bound("i2")).then(L1.wish(E), L2.wish(E))
    play.when(L1.added(E)).then_nothing()
    play.when(L2.added(E)).then(active("i1"), active("i2"))


def test_a_port_on_another_interface_has_its_own_entries() -> None:
    here = Leaf("l1", "e2").wish(E + 1), Leaf("l2", "e2").wish(E + 1)
    given(cnc, allocated("i1"), allocated("i2", "h2", ip="10.0.1.3"), bound("i1")).when(bound("i2", "h2")).then(*here)


def test_a_redelivered_binding_counts_once() -> None:
    play = one_bound().when(bound("i1")).then_nothing()
    play.when(unbound("i1")).then(L1.wish(E + 5, present=False), L2.wish(E + 5, present=False))


def test_a_port_that_leaves_others_behind_touches_no_leaf() -> None:
    both_bound().when(unbound("i1")).then(removed("i1"))


def test_the_last_port_to_leave_removes_from_both_leaves() -> None:
    play = one_bound().when(unbound()).then(L1.wish(E + 4, present=False), L2.wish(E + 4, present=False))
    play.when(L1.removed(E + 4)).then_nothing()
    play.when(L2.removed(E + 4)).then(removed())


def test_a_redelivered_unbinding_counts_once() -> None:
    play = both_bound().when(unbound("i1")).then(removed("i1")).when_decisions_come_back()
    play.when(unbound("i1")).then_nothing()
    play.when(unbound("i2")).then(L1.wish(E + 9, present=False), L2.wish(E + 9, present=False))


def test_needed_again_while_it_is_being_removed_waits_for_the_new_epoch() -> None:
    play = one_bound().given(unbound("i1")).when(bound("i2"))
    play.then(removed("i1"), L1.wish(E + 5), L2.wish(E + 5)).when_decisions_come_back()
    play.when(L1.removed(E + 4)).then_nothing()
    play.when(L1.added(E)).then_nothing()
    play.when(L2.removed(E + 4)).then_nothing()
    play.when(L1.added(E + 5)).then_nothing()
    play.when(L2.added(E + 5)).then(active("i2"))


def test_removed_again_while_it_is_being_added() -> None:
    play = two_ports(bound("i1")).when(unbound("i1")).then(L1.wish(E + 1, present=False), L2.wish(E + 1, present=False))
    play.when(L1.added(E)).then_nothing()
    play.when(L2.added(E)).then_nothing()
    play.when(L1.removed(E + 1)).then_nothing()
    play.when(L2.removed(E + 1)).then(removed("i1"))


def test_a_late_acknowledgement_of_a_removal_does_not_remove() -> None:
    play = one_bound().given(unbound("i1"), bound("i2"), removed("i1"), L1.added(E + 5), L2.added(E + 5), active("i2"))
    play.when(L1.removed(E + 4)).then_nothing()
    play.when(unbound("i2")).then(L1.wish(E + 11, present=False), L2.wish(E + 11, present=False))


def test_a_leaf_that_fails_puts_its_ports_in_error() -> None:
    play = two_ports(bound("i1"), bound("i2")).when(L1.added(E)).then_nothing()
    play.when(L2.failed(E)).then(error("i1", L2), error("i2", L2))


def test_a_leaf_that_failed_is_cleaned_up() -> None:
    """It may have been applied all the same."""
    play = two_ports(bound("i1"), L1.added(E), L2.failed(E), error("i1", L2)).when(unbound("i1"))
    play.then(L1.wish(E + 4, present=False), L2.wish(E + 4, present=False))


def test_a_port_that_comes_after_a_failure_has_it_tried_again() -> None:
    play = two_ports(bound("i1"), L1.failed(E), L2.added(E), error("i1", L1)).when(bound("i2")).then(L1.wish(E))
    play.when(L1.added(E)).then(active("i1"), active("i2"))


def test_a_late_failure_does_not_undo_an_acknowledgement() -> None:
    play = one_bound().when(L1.failed(E)).then_nothing()
    play.when(bound("i2")).then(active("i2", configured_us=0))


def test_a_failure_of_an_older_need_changes_nothing() -> None:
    play = one_bound().given(unbound("i1"), bound("i2"), removed("i1")).when(L1.failed(E + 4)).then_nothing()
    play.given(L1.added(E + 5)).when(L2.added(E + 5)).then(active("i2"))


def test_a_port_of_a_host_without_cabling_is_never_active() -> None:
    stray = allocated("i1", host="h9")
    play = given(cnc, stray).when(bound("i1", host="h9")).then_nothing()
    play.when(L1.added(E)).then_nothing()
    play.when(unbound("i1", host="h9")).then(say(PortOverlayRemoved, "i1", host="h9"))


def test_a_port_that_was_never_bound_is_gone_at_once() -> None:
    two_ports().when(unbound("i1")).then(removed("i1"))


def test_a_port_that_was_never_bound_does_not_wait_for_the_removal_of_another() -> None:
    """It is in nobody's way: nothing would ever tell it that the other's entry is gone."""
    one_bound().given(unbound("i1")).when(unbound("i2")).then(removed("i2"))


def test_a_port_waits_for_the_answer_if_the_entry_is_needed_by_several_after_a_crash() -> None:
    """The binding that made the entry needed again is decided on when a third port is bound as well."""
    third = allocated("i3", ip="10.0.1.4")
    play = one_bound().given(third, unbound("i1")).when_decided_again(bound("i2"), bound("i3"))
    play.then(L1.wish(E + 6), L2.wish(E + 6))
    play.when(L1.added(E + 6)).then(removed("i1"))


def test_a_removal_is_wished_for_again_after_a_crash() -> None:
    one_bound().when_decided_again(unbound("i1"), L1.removed(E + 4)).then(L2.wish(E + 4, present=False))


@pytest.mark.parametrize("stale", [{"host": "h2"}, {"generation": 2}], ids=str)
def test_a_binding_of_another_claim_changes_nothing(stale: dict[str, str]) -> None:
    one_bound().when(bound("i2", **stale)).then_nothing()  # type: ignore[arg-type]
    play = one_bound().when(unbound("i1", **stale)).then_nothing()  # type: ignore[arg-type]
    play.given(say(PortOverlayRemoved, "i1", **stale))  # type: ignore[arg-type]
    play.when(unbound("i1")).then(L1.wish(E + 6, present=False), L2.wish(E + 6, present=False))


def test_a_binding_after_the_unbinding_changes_nothing() -> None:
    two_ports(unbound("i1")).when(bound("i1")).then(removed("i1"))
    two_ports(unbound("i1"), removed("i1"), port_deleted("i1")).when(bound("i1")).then_nothing()


def test_what_became_of_a_leaf_interface() -> None:
    assert cnc.settle(L1.wish(7), Result()) == (L1.added(7),)
    assert cnc.settle(L1.wish(7, present=False), Result()) == (L1.removed(7),)
    assert cnc.settle(L1.wish(7), Result("table full")) == (L1.failed(7, "table full"),)
    with pytest.raises(TypeError, match="CNC did not ask for RemoveFlows"):
        cnc.settle(RemoveFlows(device="h1", port="i1-0", az=AZ, generation=1), Result())


def test_a_removal_is_never_given_up() -> None:
    wish: LeafVlan = L1.wish(7, present=False)
    assert wish.withdraws
    assert not L1.wish(7).withdraws
