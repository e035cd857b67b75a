"""Where the time of a run went: from when each request was due, also when it could not be asked for then."""

import pytest

from driftline.loadtest.report import _drift_steps, _spawn_steps
from projections.drifts import DriftRow
from projections.spawns import SpawnRow

SECOND = 1_000_000


def spawn(instance: str, asked_s: int, **changes: object) -> SpawnRow:
    times = {f"step_{number:02}_us": (asked_s + number - 1) * SECOND for number in range(1, 14)}
    row = SpawnRow(instance=instance, name=instance, port=f"{instance}-0", outcome="active", **times)  # type: ignore[arg-type]
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def drift(instance: str, asked_s: int, request: str = "r", **changes: object) -> DriftRow:
    """Each of the fourteen parts a second after the one before."""
    row = DriftRow(instance=instance, request=request, outcome="drifted")
    names = [name for name in DriftRow.__struct_fields__ if name.startswith("step_")]
    for number, name in enumerate(names):
        setattr(row, name, (asked_s + number) * SECOND)
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def test_a_request_that_was_sent_late_is_late_in_every_step() -> None:
    steps = _spawn_steps([spawn("a", 100), spawn("b", 108)], {"a": 100 * SECOND, "b": 100 * SECOND})
    first, last = steps[0].since_due, steps[-1].since_due
    assert first is not None
    assert last is not None
    assert (first.count, round(first.max)) == (2, 8004)  # to three digits
    assert round(last.max / 1000) == 20
    assert steps[0].share == round(8 / 32, 4)  # 8 of the 12 + 20 seconds went by before b was asked for
    assert sum(step.share for step in steps) == 1


def test_what_did_not_come_about_or_was_not_asked_for_here_is_left_out() -> None:
    rows = [spawn("a", 100, outcome="failed"), spawn("b", 100)]
    assert all(step.since_due is None and step.share == 0 for step in _spawn_steps(rows, {"a": 100 * SECOND}))
    drifts = [drift("a", 100, outcome="failed"), drift("b", 100, request="somebody else's")]
    assert all(step.since_due is None and step.share == 0 for step in _drift_steps(drifts, {"r": 100 * SECOND}))


def test_a_drift_that_was_asked_for_late_is_late_in_every_step() -> None:
    steps = {step.step: step for step in _drift_steps([drift("a", 107)], {"r": 100 * SECOND})}
    first, last = steps["1"].since_due, steps["8"].since_due
    assert first is not None
    assert last is not None
    assert (round(first.max / 1000), round(last.max / 1000)) == (7, 20)
    assert steps["1"].share == round(7 / 20, 4)


def test_what_is_cleared_up_after_the_end_takes_no_share() -> None:
    steps = {step.step: step for step in _drift_steps([drift("a", 100, step_07a_us=900 * SECOND)], {"r": 100 * SECOND})}
    cleared = steps["7a"].since_due
    assert cleared is not None
    assert round(cleared.max / 1000) == 800
    assert steps["7a"].share == 0
    assert sum(step.share for step in steps.values()) == pytest.approx(1, abs=0.001)


def test_a_step_that_was_not_needed_takes_no_share() -> None:
    steps = _spawn_steps([spawn("a", 100, step_11_us=0)], {"a": 100 * SECOND})
    by_label = {step.step: step for step in steps}
    assert by_label["11"].since_due is None
    assert by_label["12"].share == round(2 / 12, 4)
