"""Figures 10 and 11 as pictures: the sequence of one spawn and of one drift with their real times, in text."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from projections.drifts import DriftRow
from projections.spawns import SpawnRow

_LANE_WIDTH = 13
_TIME_WIDTH = 14

TimelineRow: TypeAlias = SpawnRow | DriftRow


class Step(NamedTuple):
    """One arrow of a figure. ``part`` tells apart the arrows that the figure draws as one step."""

    number: int
    source: str
    target: str
    text: str
    part: str = ""

    @property
    def label(self) -> str:
        """How the step is called: ``7`` or ``7a``."""
        return f"{self.number}{self.part}"

    @property
    def column(self) -> str:
        """The field of the row with this step's time."""
        return f"step_{self.number:02}{self.part}_us"


#: The lanes of Figure 10, left to right.
LANES = ("user", "nova", "compute", "agent", "neutron", "cnc", "leaves")
STEPS = (
    Step(1, "user", "nova", "create instance"),
    Step(2, "compute", "neutron", "create port"),
    Step(3, "neutron", "cnc", "postcommit"),
    Step(4, "cnc", "cnc", "save port"),
    Step(5, "neutron", "compute", "created port"),
    Step(6, "compute", "compute", "make vNIC, attach"),
    Step(7, "agent", "agent", "device, flows"),
    Step(8, "agent", "neutron", "underlay status"),
    Step(9, "compute", "neutron", "update host_id"),
    Step(10, "neutron", "cnc", "postcommit"),
    Step(11, "cnc", "leaves", "configure"),
    Step(12, "cnc", "neutron", "overlay status"),
    Step(13, "nova", "user", "active"),
)

#: The lanes of Figure 11.
DRIFT_LANES = ("K8s", "host A", "host B", "neutron", "cnc", "A's leaves", "B's leaves")
DRIFT_STEPS = (
    Step(1, "host A", "K8s", "pod dies"),
    Step(2, "host A", "host A", "remove vNIC", "a"),
    Step(2, "host A", "host A", "remove flows", "b"),
    Step(3, "K8s", "host B", "launch again"),
    Step(4, "host B", "neutron", "claim port", "a"),
    Step(4, "neutron", "host B", "same port, IP, MAC", "b"),
    Step(5, "host B", "host B", "make vNIC, attach", "a"),
    Step(5, "host B", "host B", "flows, underlay", "b"),
    Step(6, "host B", "neutron", "host_id", "a"),
    Step(6, "neutron", "cnc", "commit", "b"),
    Step(7, "cnc", "A's leaves", "clear", "a"),
    Step(7, "cnc", "B's leaves", "configure", "b"),
    Step(7, "cnc", "neutron", "overlay", "c"),
    Step(8, "host B", "K8s", "active"),
)


class TimedStep(NamedTuple):
    """A step with its time since the request, milliseconds; None: not needed, or not (yet) done."""

    step: Step
    at_ms: float | None


def timed_steps(row: SpawnRow) -> list[TimedStep]:
    """The thirteen steps of one spawn in the order of Figure 10."""
    return _timed(STEPS, row)


def timed_drift_steps(row: DriftRow) -> list[TimedStep]:
    """The eight steps of one drift, and their parts, in the order of Figure 11."""
    return _timed(DRIFT_STEPS, row)


def sequence(row: SpawnRow) -> list[str]:
    """Figure 10, one line of text each: what happened first is on top, what never happened at the end."""
    return _draw(LANES, timed_steps(row), lambda step: _missing_of_spawn(row, step))


def drift_sequence(row: DriftRow) -> list[str]:
    """Figure 11, drawn as ``sequence`` is."""
    return _draw(DRIFT_LANES, timed_drift_steps(row), lambda step: missing_of_drift(row, step))


def missing_of_drift(row: DriftRow, step: Step) -> str:
    """Why a step of a drift has no time: not needed, not (yet) done, or host A was dead."""
    match step.label:
        case "2a" | "2b" if row.cleared_us:
            return "A was dead"
        case "7a" if row.cleared_us:
            return "not needed"
        case "7b" if row.step_07c_us and row.outcome == "drifted":
            return "not needed"
        case _:
            return "—"


def _missing_of_spawn(row: SpawnRow, step: Step) -> str:
    return "not needed" if step.number == 11 and row.outcome == "active" else "—"


def _timed(steps: tuple[Step, ...], row: TimelineRow) -> list[TimedStep]:
    return [TimedStep(step, _since_request(row, step)) for step in steps]


def _since_request(row: TimelineRow, step: Step) -> float | None:
    time_us: int = getattr(row, step.column)
    return (time_us - row.step_01_us) / 1000 if time_us else None


def _draw(lanes: tuple[str, ...], timed: list[TimedStep], missing: Callable[[Step], str]) -> list[str]:
    order = sorted(timed, key=lambda s: (s.at_ms is None, s.at_ms or 0.0, s.step.number, s.step.part))
    header = " " * _TIME_WIDTH + "".join(lane.center(_LANE_WIDTH) for lane in lanes)
    whens = [missing(step) if at_ms is None else f"{at_ms:+.2f} ms" for step, at_ms in order]
    lines = [_arrow(lanes, step) for step, _ in order]
    return [header, *(f"{when:>{_TIME_WIDTH - 2}}  {line}" for when, line in zip(whens, lines, strict=True))]


def _arrow(lanes: tuple[str, ...], step: Step) -> str:
    canvas = list(" " * (_LANE_WIDTH * len(lanes)))
    for lane in range(len(lanes)):
        canvas[_center(lane)] = "│"
    source, target = lanes.index(step.source), lanes.index(step.target)
    label = f" {step.label} {step.text} "
    if source == target:
        _write(canvas, _center(source), f"● {label.strip()}")
    else:
        left, right = sorted((_center(source), _center(target)))
        _write(canvas, left, "─" * (right - left + 1))
        canvas[_center(source)] = "├" if source < target else "┤"
        canvas[_center(target)] = "▶" if source < target else "◀"
        if len(label) <= right - left - 1:
            _write(canvas, left + 1 + (right - left - 1 - len(label)) // 2, label)
        else:
            _write(canvas, right + 1, label)
    return "".join(canvas).rstrip()


def _center(lane: int) -> int:
    return lane * _LANE_WIDTH + _LANE_WIDTH // 2


def _write(canvas: list[str], at: int, text: str) -> None:
    canvas.extend(" " * (at + len(text) - len(canvas)))
    canvas[at : at + len(text)] = text
