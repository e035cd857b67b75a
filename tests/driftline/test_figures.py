"""Figures 10 and 11 in text: who points at whom, in the order of time, and what is said of what never happened."""

import msgspec
import pytest

from driftline.figures import (
    DRIFT_LANES,
    DRIFT_STEPS,
    LANES,
    STEPS,
    Step,
    drift_sequence,
    sequence,
    timed_drift_steps,
    timed_steps,
)
from projections.drifts import DriftRow
from projections.spawns import SpawnRow

START_US = 1_760_000_000_000_000
SPAWN = SpawnRow(instance="i1", name="web-1", outcome="active")
DRIFT = DriftRow(instance="i1", request="d1", from_host="h1", host="h3", outcome="drifted", cleared_us=START_US)


def after(row: SpawnRow | DriftRow, times_ms: dict[str, float]) -> SpawnRow | DriftRow:
    """The row in which these steps happened so long after the request."""
    columns = {step.label: step.column for step in (STEPS if isinstance(row, SpawnRow) else DRIFT_STEPS)}
    return msgspec.structs.replace(row, **{columns[k]: START_US + int(ms * 1000) for k, ms in times_ms.items()})


def spawn(**times_ms: float) -> SpawnRow:
    row = after(SPAWN, {name.removeprefix("s"): ms for name, ms in times_ms.items()})
    assert isinstance(row, SpawnRow)
    return row


def drift(times_ms: dict[str, float], **fields: object) -> DriftRow:
    row = after(msgspec.structs.replace(DRIFT, **fields), {"1": 0, **times_ms})
    assert isinstance(row, DriftRow)
    return row


#: A whole drift, each step a millisecond after the one before, in the order of the figure.
WHOLE = {step.label: float(number) for number, step in enumerate(DRIFT_STEPS)}


@pytest.mark.parametrize(("lanes", "steps", "row"), [(LANES, STEPS, SpawnRow), (DRIFT_LANES, DRIFT_STEPS, DriftRow)])
def test_each_step_has_its_column_and_goes_from_lane_to_lane(
    lanes: tuple[str, ...], steps: tuple[Step, ...], row: type[SpawnRow | DriftRow]
) -> None:
    assert [step.column for step in steps] == [name for name in row.__struct_fields__ if name.startswith("step_")]
    assert {lane for step in steps for lane in (step.source, step.target)} == set(lanes)


def test_figure_11_has_eight_steps() -> None:
    assert list(dict.fromkeys(step.number for step in DRIFT_STEPS)) == list(range(1, 9))


def test_times_are_since_the_request_and_none_for_what_did_not_happen() -> None:
    at = {timed.step.label: timed.at_ms for timed in timed_steps(spawn(s1=0, s2=1.5, s13=20))}
    assert (at["1"], at["2"], at["13"], at["11"]) == (0.0, 1.5, 20.0, None)
    at = {timed.step.label: timed.at_ms for timed in timed_drift_steps(drift({"4b": 2.25}))}
    assert (at["1"], at["4b"], at["2a"]) == (0.0, 2.25, None)


def test_what_happened_first_is_on_top_and_what_never_happened_at_the_end() -> None:
    lines = drift_sequence(drift({"3": 1, "8": 9, "4a": 2, "2b": 5}))
    shown = [line.split("ms")[0].strip() for line in lines[1:6]]
    assert shown == ["+0.00", "+1.00", "+2.00", "+5.00", "+9.00"]
    assert all("ms" not in line for line in lines[6:])
    assert len(lines) == 1 + len(DRIFT_STEPS)


def test_arrows_point_from_lane_to_lane() -> None:
    lines = drift_sequence(drift(WHOLE))
    at = {lane: lines[0].index(lane) + len(lane) // 2 for lane in DRIFT_LANES}
    for line, step in zip(lines[1:], DRIFT_STEPS, strict=True):
        assert f"{step.label} {step.text}" in line
        source, target = at[step.source], at[step.target]
        drawn = {mark: line.index(mark) for mark in "├┤▶◀●" if mark in line}
        marks = ("●", "●") if source == target else ("├", "▶") if source < target else ("┤", "◀")
        assert abs(drawn[marks[0]] - source) <= 1, line
        assert abs(drawn[marks[1]] - target) <= 1, line


def test_the_lines_of_a_whole_drift() -> None:
    row = drift({"3": 1, "4a": 2, "8": 9})
    # fmt: off
    assert drift_sequence(row)[:5] == [
        "                   K8s         host A       host B      neutron        cnc       A's leaves   B's leaves ",
        "    +0.00 ms        ◀ 1 pod dies ┤            │            │            │            │            │",
        "    +1.00 ms        ├──── 3 launch again ─────▶            │            │            │            │",
        "    +2.00 ms        │            │            ├────────────▶ 4a claim port           │            │",
        "    +9.00 ms        ◀─────── 8 active ────────┤            │            │            │            │",
    ]
    # fmt: on


@pytest.mark.parametrize(
    ("fields", "missing", "said"),
    [
        pytest.param({}, "2a", "A was dead", id="a host that never removed its vNIC"),
        pytest.param({}, "2b", "A was dead", id="nor its flows"),
        pytest.param({"cleared_us": 0}, "2b", "—", id="or did not do so yet"),
        pytest.param({}, "7a", "not needed", id="leaves that others need, or that were cleared with the host"),
        pytest.param({"cleared_us": 0}, "7a", "—", id="leaves that are not cleared yet"),
        pytest.param({}, "7b", "not needed", id="leaves that carried the VLAN already"),
        pytest.param({"outcome": "failed"}, "7b", "—", id="leaves that were never configured"),
        pytest.param({"outcome": "failed"}, "8", "—", id="a drift that did not succeed"),
    ],
)
def test_what_is_missing_is_said_in_words(fields: dict[str, object], missing: str, said: str) -> None:
    times = {label: ms for label, ms in WHOLE.items() if label != missing}
    last = drift_sequence(drift(times, **fields))[-1]
    assert last.split("  ")[0:1] == [""]
    assert last.strip().startswith(f"{said}  ")
    assert f"{missing} " in last


def test_a_spawn_needs_no_leaf_where_another_port_has_configured_it() -> None:
    assert sequence(spawn(s1=0))[-3].strip().startswith("not needed")
    assert "not needed" not in "".join(sequence(msgspec.structs.replace(spawn(s1=0), outcome="failed")))
