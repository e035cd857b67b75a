"""The auditor of the invariants: what is no violation, what the folds may not do, what is declared."""

from typing import Any

import pytest

from bus.envelope import Recorded
from bus.events import (
    HostFenced,
    HostResynced,
    HostReturned,
    HostUp,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRequested,
    InstanceDrifted,
    InstanceTerminating,
    PortBindRequested,
    PortBound,
    PortOverlayRemoved,
    PortUnbound,
    PortUnderlayReported,
)
from driftline.invariants import EDGES, INVARIANTS, NONE, Violation
from projections.fold import Fold
from tests.driftline.test_invariants_planted import PLANTED, an_orphan
from tests.driftline.test_invariants_tale import AZ, HOUR_US, Tale, down, gone

# What must hold, and does


def test_a_whole_life_violates_nothing() -> None:
    tale = Tale()
    port = tale.live()
    tale.quiet()
    tale.drift()
    tale.clear(port, "h1", 1)
    tale.cleared(port, "h1", 1)
    tale.wire(port, "h2", 2)
    tale.say(InstanceDrifted(instance="i1", az=AZ, host="h2", from_host="h1", port=port, generation=2), "drift-1-2")
    tale.quiet()
    tale.say(InstanceDeleteRequested(instance="i1"), "delete-1")
    tale.say(InstanceTerminating(instance="i1", az=AZ, host="h2"), "delete-1")
    tale.report(PortUnbound, port, "h2", 2, vlan=1, vni=5001)
    tale.clear(port, "h2", 2)
    tale.say(gone("h2"))
    tale.say(InstanceDeleted(instance="i1", az=AZ, host="h2"), "delete-1")
    tale.auditor.once_deleted(tale.fabric)
    assert tale.auditor.edges[NONE, "DOWN_DOWN"] == tale.auditor.edges["DOWN_DOWN", NONE] == 1
    assert tale.auditor.edges["ACTIVE_ACTIVE", "DOWN_DOWN"] == 2


def test_a_dead_host_may_hold_what_it_held_until_it_was_cleaned() -> None:
    tale = Tale()
    port = tale.live()
    epoch = down(tale)
    tale.leaf("h1", 1, epoch, present=False)
    tale.say(HostFenced(host="h1", az=AZ, epoch=epoch))
    tale.drift()
    tale.report(PortOverlayRemoved, port, "h1", 1)
    tale.cleared(port, "h1", 1)
    tale.check()
    back = tale.say(HostReturned(host="h1", az=AZ))
    tale.check()
    tale.say(HostResynced(host="h1", az=AZ, epoch=back))
    tale.say(HostUp(host="h1", az=AZ))
    with pytest.raises(Violation) as caught:
        tale.check()
    assert caught.value.number == 18


def test_a_stale_report_and_a_forged_outcome_are_no_violations() -> None:
    tale = Tale()
    port = tale.live()
    tale.drift()
    tale.report(PortUnderlayReported, port, "h1", 1, status="ACTIVE", detected_us=0)
    tale.say(InstanceActive(instance="i1", az=AZ, host="h1", port=port), "spawn-1", id="forged-1")
    assert tale.auditor.exercised[6] >= 1


def test_an_orphan_goes_after_two_looks_and_a_grace_period() -> None:
    an_orphan(Tale(), looks=(1, 2), wait_us=HOUR_US)


def test_a_fold_that_listens_to_stale_reports_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = Tale()
    port = tale.live()
    tale.drift()
    ports = tale.auditor._folded.states.ports
    monkeypatch.setattr(ports, "current", lambda e: ports.get(e.port))
    with pytest.raises(Violation) as caught:
        tale.report(PortBindRequested, port, "h1", 1)
    assert caught.value.number == 6


def test_a_fold_that_counts_a_duplicate_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = Tale()
    leaves = tale.auditor._folded.leaves

    def evolve(r: Recorded) -> Any:
        touched = Fold.evolve(leaves, r)
        if isinstance(r.event, PortBound):
            leaves.tables["leaf_interfaces"]["l1", "e1", 1].ports += 1
        return touched

    monkeypatch.setattr(leaves, "evolve", evolve)
    with pytest.raises(Violation) as caught:
        tale.report(PortBound, tale.spawn(), vlan=1, vni=5001)
    assert caught.value.number == 7


def test_every_invariant_has_a_planted_violation() -> None:
    planted = {number for number, _ in PLANTED} | {6, 7}
    assert [i.number for i in INVARIANTS if i.number not in planted] == []
    assert [i.number for i in INVARIANTS if not i.applies] == []
    assert [i.number for i in INVARIANTS] == list(range(1, 25))


def test_most_steps_of_both_planes_at_once_are_undeclared() -> None:
    assert ("DOWN_DOWN", "ACTIVE_ACTIVE") not in EDGES
    assert ("ACTIVE_ACTIVE", NONE) not in EDGES
    assert all(EDGES.values())


def test_a_device_that_somebody_laid_hands_on_is_excused_until_it_is_mended() -> None:
    tale = Tale()
    port = tale.live()
    tale.auditor.excuse("h1")
    tale.fabric.host("h1").drop_flow(port)
    tale.quiet()
    tale.auditor.mended()
    with pytest.raises(Violation):
        tale.check()
