"""The spawn timeline (Figure 10) and the instance's own life."""

import msgspec
import pytest

from bus.envelope import Recorded
from bus.events import Event, InstanceFailed, InstanceRefused, PortOverlayReported, SpawnRequested
from projections.instances import InstanceRow, Instances
from projections.spawns import SpawnRow, Spawns
from tests.projections.events import claim
from tests.projections.given import record, viewed
from tests.story import STEP_US, Story

STEPS = [f"step_{number:02}_us" for number in range(1, 14)]


def spawn_row(records: list[Recorded], instance: str = "i1") -> SpawnRow:
    row: SpawnRow = viewed(records).rows("spawns")[(instance,)]
    return row


def instance_row(records: list[Recorded], instance: str = "i1") -> InstanceRow:
    row: InstanceRow = viewed(records).rows("instances")[(instance,)]
    return row


def refused(instance: str = "i1") -> InstanceRefused:
    return InstanceRefused(instance=instance, az="az1", reason="full", field="az", value="az1")


def failed(instance: str = "i1") -> InstanceFailed:
    return InstanceFailed(instance=instance, az="az1", host="h1", reason="no leaf")


def test_a_spawn_has_all_thirteen_steps_in_the_order_of_figure_10() -> None:
    row = spawn_row(Story().world().spawn("i1").records())
    times = [getattr(row, step) for step in STEPS]
    assert all(times)
    assert times == sorted(times)
    assert row.step_01_us < row.scheduled_us < row.step_02_us
    assert row.step_13_us - row.step_01_us == 12 * STEP_US
    assert (row.outcome, row.host, row.port) == ("active", "h1", "i1-0")


def test_step_11_stays_0_where_no_leaf_had_to_be_touched() -> None:
    row = spawn_row(Story().world().spawn("i0").spawn("i1").records())
    assert row.step_11_us == 0
    assert row.step_12_us > row.step_10_us


def test_the_first_time_a_step_happened_counts() -> None:
    story = Story().world()
    story.request("i1")
    told = story.wire("i1")
    story.tell(PortOverlayReported(**told, status="ERROR", configured_us=1), "i1")
    first_us = story.envelopes[-1].time_us
    story.tell(PortOverlayReported(**told, status="ACTIVE", configured_us=2), "i1")
    row = spawn_row(story.records())
    assert (row.step_11_us, row.step_12_us) == (1, first_us)


@pytest.mark.parametrize(("end", "outcome"), [(refused(), "refused"), (failed(), "failed")])
def test_a_spawn_that_does_not_succeed_says_how_it_ended(end: Event, outcome: str) -> None:
    story = Story().world()
    story.request("i1")
    story.tell(end, "i1")
    ended_us = story.envelopes[-1].time_us
    row = spawn_row(story.records())
    assert (row.outcome, row.step_13_us) == (outcome, 0)
    instance = instance_row(story.records())
    assert (instance.state, instance.ended_us) == (outcome, ended_us)


def test_the_refusal_of_another_request_for_the_same_id_ends_nothing() -> None:
    story = Story().world()
    story.request("i1")
    before = story.records()
    story.tell(refused(), "another request")
    assert spawn_row(story.records()) == spawn_row(before)
    assert instance_row(story.records()) == instance_row(before)


def test_a_report_for_a_port_of_no_spawn_changes_nothing() -> None:
    fold = Spawns()
    fold.evolve(record(PortOverlayReported(**claim(), status="ACTIVE")))
    assert fold.tables["spawns"] == {}


def test_the_spawn_does_not_change_after_its_end() -> None:
    story = Story().world().spawn("i1")
    before = msgspec.structs.astuple(spawn_row(story.records()))
    assert msgspec.structs.astuple(spawn_row(story.delete("i1").records())) == before


def test_an_instance_lives_and_ends() -> None:
    story = Story().world().spawn("i1")
    row = instance_row(story.records())
    assert (row.state, row.port, row.host, row.request) == ("active", "i1-0", "h1", "i1")
    row = instance_row(story.delete("i1").records())
    assert (row.state, row.cleaned, row.delete_request) == ("deleted", True, "delete-i1")


def test_a_failed_instance_stays_failed_when_it_is_cleaned_up() -> None:
    story = Story().world()
    story.request("i1")
    story.wire("i1")
    story.tell(failed(), "i1")
    row = instance_row(story.delete("i1").records())
    assert (row.state, row.cleaned, row.reason) == ("failed", True, "no leaf")


def test_a_name_and_a_place_on_the_host_are_held_until_the_end() -> None:
    fold = Instances()
    story = Story().world().spawn("i1").spawn("i2", "h2")
    for one in story.records():
        fold.evolve(one)
    assert (fold.by_name, fold.load) == ({"n-i1": "i1", "n-i2": "i2"}, {"h1": 1, "h2": 1})
    for one in story.delete("i1").records():
        fold.evolve(one)
    assert (fold.by_name, fold.load) == ({"n-i2": "i2"}, {"h1": 0, "h2": 1})


def test_the_second_request_for_an_id_changes_nothing() -> None:
    story = Story().world().spawn("i1")
    before = instance_row(story.records())
    story.tell(SpawnRequested(instance="i1", name="other", az="az1", network="net2"), "late")
    assert instance_row(story.records()) == before
