"""Hosts: what is said of them, and what follows for who may claim and who takes instances."""

import pytest

from bus.events import (
    Event,
    HostDown,
    HostDraining,
    HostFenced,
    HostResynced,
    HostReturned,
    HostSuspected,
    HostUp,
)
from projections.hosts import Hosts, HostStateRow
from tests.projections.given import given

SUSPECTED = HostSuspected(host="h1", az="az1", silent_us=15_000_000)
DOWN, RETURNED, UP = (
    HostDown(host="h1", az="az1", reason="no power"),
    HostReturned(host="h1", az="az1"),
    HostUp(host="h1", az="az1"),
)
DRAINING = HostDraining(host="h1", az="az1")


def row(*history: Event) -> HostStateRow:
    found = given(Hosts(), *history).get("h1")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("history", "state", "claims", "takes"),
    [
        ((), "up", True, True),
        ((SUSPECTED,), "suspect", True, False),
        ((SUSPECTED, UP), "up", True, True),
        ((DRAINING,), "up", True, False),
        ((SUSPECTED, DOWN), "down", False, False),
        ((DOWN, SUSPECTED), "down", False, False),
        ((DOWN, RETURNED), "returned", False, False),
        ((RETURNED,), "up", True, True),
        ((DOWN, RETURNED, UP), "up", True, True),
        ((DOWN, RETURNED, DOWN), "down", False, False),
    ],
    ids=lambda value: ",".join(type(one).__name__ for one in value) if isinstance(value, tuple) else str(value),
)
def test_who_may_claim_and_who_takes_instances(
    history: tuple[Event, ...], state: str, claims: bool, takes: bool
) -> None:
    fold = given(Hosts(), *history)
    assert (fold.state("h1"), fold.claims("h1"), fold.takes("h1")) == (state, claims, takes)


@pytest.mark.parametrize(("epoch", "fenced"), [(1, True), (2, False)])
def test_a_fence_counts_for_the_death_it_answers(epoch: int, fenced: bool) -> None:
    assert given(Hosts(), DOWN, HostFenced(host="h1", az="az1", epoch=epoch)).is_fenced("h1") is fenced


def test_a_host_that_has_returned_must_confirm_for_itself_again() -> None:
    fold = given(Hosts(), DOWN, HostFenced(host="h1", az="az1", epoch=1), RETURNED)
    assert not fold.is_fenced("h1")
    assert row(DOWN, HostFenced(host="h1", az="az1", epoch=1), RETURNED, UP).fenced is False


@pytest.mark.parametrize(("epoch", "resynced"), [(1, False), (2, True)])
def test_a_cleaning_counts_for_the_return_it_answers(epoch: int, resynced: bool) -> None:
    assert row(DOWN, RETURNED, HostResynced(host="h1", az="az1", epoch=epoch)).resynced is resynced


def test_draining_lasts_until_an_operator_ends_it() -> None:
    suspect_again = (DRAINING, SUSPECTED, HostUp(host="h1", az="az1", draining=True))
    assert row(*suspect_again).draining
    assert not row(*suspect_again, UP).draining
