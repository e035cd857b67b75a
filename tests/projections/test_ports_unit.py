"""The port's two planes: given these events, then this state (Figure 8)."""

import pytest

from bus.events import (
    Event,
    PortOverlayRemoved,
    PortPlugFailed,
    PortRefused,
    PortUnderlayRemoved,
    PortUnplugged,
    Status,
)
from projections.fold import NOTHING
from projections.port_rows import PortRow
from projections.ports import Ports
from tests.projections.events import allocated, bound, claim, deleted, overlay, unbound, underlay
from tests.projections.given import given, record


def port(*events: Event) -> PortRow:
    row = given(Ports(), *events).get("p1")
    assert row is not None
    return row


def planes(*events: Event) -> tuple[str, str]:
    row = port(*events)
    return row.underlay, row.overlay


def test_a_new_port_is_down_on_both_planes_and_unbound() -> None:
    row = port(allocated())
    assert (row.underlay, row.overlay, row.bound, row.usable) == ("DOWN", "DOWN", False, False)


def test_both_reports_after_the_binding_make_a_port_usable() -> None:
    assert port(allocated(), bound(), underlay(), overlay()).usable


def test_an_underlay_report_before_the_binding_counts_once_the_port_is_bound() -> None:
    assert planes(allocated(), underlay()) == ("DOWN", "DOWN")
    assert planes(allocated(), underlay(), bound()) == ("ACTIVE", "DOWN")


def test_an_error_shows_even_before_the_binding() -> None:
    row = port(allocated(), underlay("ERROR", reason="no flow table"))
    assert (row.underlay, row.reason) == ("ERROR", "no flow table")


@pytest.mark.parametrize("event", [bound(), underlay(), overlay()])
def test_an_older_generation_changes_nothing(event: Event) -> None:
    fold = given(Ports(), allocated(generation=2))
    assert fold.evolve(record(event, 2)) == NOTHING
    assert fold.get("p1") == port(allocated(generation=2))


@pytest.mark.parametrize("event", [bound(host="h2"), underlay(host="h2"), overlay(host="h2")])
def test_another_host_changes_nothing(event: Event) -> None:
    fold = given(Ports(), allocated())
    assert fold.evolve(record(event, 2)) == NOTHING
    assert fold.get("p1") == port(allocated())


@pytest.mark.parametrize("u", ["ACTIVE", "DOWN", "ERROR"])
@pytest.mark.parametrize("o", ["ACTIVE", "DOWN", "ERROR"])
def test_each_of_the_nine_pairs_can_be_reported_in_either_order(u: Status, o: Status) -> None:
    assert planes(allocated(), bound(), underlay(u), overlay(o)) == (u, o)
    assert planes(allocated(), bound(), overlay(o), underlay(u)) == (u, o)


def test_a_later_report_replaces_an_earlier_one() -> None:
    assert planes(allocated(), bound(), underlay("ERROR"), underlay("ACTIVE")) == ("ACTIVE", "DOWN")


def test_a_vnic_that_cannot_be_made_is_an_underlay_error() -> None:
    row = port(allocated(), PortPlugFailed(**claim(), reason="no memory"))
    assert (row.underlay, row.reason) == ("ERROR", "no memory")


def test_an_unplugged_port_is_down_on_the_underlay_and_still_up_on_the_overlay() -> None:
    assert planes(allocated(), bound(), underlay(), overlay(), PortUnplugged(**claim())) == ("DOWN", "ACTIVE")


def test_an_unbound_port_is_down_and_cannot_be_bound_again() -> None:
    events = (allocated(), bound(), underlay(), overlay(), unbound())
    assert planes(*events) == ("DOWN", "DOWN")
    assert planes(*events, bound()) == ("DOWN", "DOWN")


def test_a_report_after_the_removal_changes_nothing() -> None:
    events = (allocated(), bound(), unbound(), PortUnderlayRemoved(**claim()), PortOverlayRemoved(**claim()))
    assert port(*events, underlay(), overlay("ERROR")) == port(*events)


def test_a_deleted_port_never_comes_back_and_frees_its_name() -> None:
    fold = given(Ports(), allocated(), deleted(allocated()), allocated())
    assert fold.get("p1") is None
    assert fold.gone == {"p1"}
    assert fold.by_name == {}


def test_a_refused_port_cannot_be_allocated_later() -> None:
    refused = PortRefused(port="p1", az="az1", host="h1", instance="i1", reason="full", field="network", value="net1")
    assert given(Ports(), refused, allocated()).get("p1") is None


def test_a_report_for_an_unknown_port_changes_nothing() -> None:
    assert given(Ports(), bound(), underlay(), deleted(allocated())).tables["ports"] == {}
