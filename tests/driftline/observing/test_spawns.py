"""Spawns under way, and how long their steps took, from what the projector folds."""

import pytest

from bus.events import InstanceFailed, InstanceRefused, SpawnRequested
from driftline.figures import STEPS
from driftline.observing.spawns import SpawnCounts
from projections.views import Views
from tests.projections.given import record
from tests.story import STEP_US, Story


def requested(instance: str = "i9") -> SpawnRequested:
    return SpawnRequested(instance=instance, name=instance, az="az1", label="prod")


def test_a_spawn_is_under_way_until_it_is_active_and_its_steps_are_timed() -> None:
    views = Views()
    counts = SpawnCounts(views)
    most = 0
    for r in Story().world().spawn("i1").records():
        views.evolve(r)
        counts.take([r])
        most = max(most, counts.look().in_flight)
    seen = counts.look()
    assert (most, seen.in_flight, seen.active, seen.refused, seen.failed) == (1, 0, 1, 0, 0)
    assert {label for label, times in seen.steps.items() if times.count} == {step.label for step in STEPS[1:]}
    whole_s = seen.whole.total_s
    assert whole_s > 12 * STEP_US / 1e6 - 1e-9
    assert sum(times.total_s for times in seen.steps.values()) == pytest.approx(whole_s)


def test_one_that_begins_and_ends_within_a_batch_counts_once() -> None:
    views, records = Views(), Story().world().spawn("i1").records()
    counts = SpawnCounts(views)
    views.evolve_all(records, None)
    counts.take(records)
    counts.take(records)  # a projector that folded anew from further back
    assert (counts.look().in_flight, counts.look().active) == (0, 1)


@pytest.mark.parametrize("how", ["refused", "failed"])
def test_one_that_comes_to_nothing_is_counted_and_not_timed(how: str) -> None:
    end = {
        "refused": InstanceRefused(instance="i9", az="az1", reason="full", field="az", value="az1"),
        "failed": InstanceFailed(instance="i9", az="az1", host="h1", reason="no leaf"),
    }[how]
    views = Views()
    counts = SpawnCounts(views)
    records = [record(requested(), 1, 10), record(end, 2, 20)]
    views.evolve_all(records, None)
    counts.take(records)
    seen = counts.look()
    assert (seen.in_flight, getattr(seen, how), seen.active, seen.whole.count) == (0, 1, 0, 0)


def test_a_second_request_for_an_instance_changes_nothing() -> None:
    views = Views()
    counts = SpawnCounts(views)
    refusal = InstanceRefused(instance="i9", az="az1", reason="taken", field="instance", value="i9")
    records = [record(requested(), 1, 10), record(requested(), 2, 20, "d"), record(refusal, 3, 30, "d")]
    views.evolve_all(records, None)
    counts.take(records)
    assert (counts.look().in_flight, counts.look().refused) == (1, 0)


def test_what_was_under_way_before_is_under_way() -> None:
    views = Views()
    views.evolve(record(requested(), 1, 10))
    assert SpawnCounts(views).look().in_flight == 1
