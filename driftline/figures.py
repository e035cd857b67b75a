"""Figure 10 as a picture: the sequence of one spawn with its real times, in text."""

from typing import NamedTuple

from projections.spawns import SpawnRow

#: The lanes of Figure 10, left to right.
LANES = ("user", "nova", "compute", "agent", "neutron", "cnc", "leaves")
_LANE_WIDTH = 13
_TIME_WIDTH = 14


class Step(NamedTuple):
    """One arrow of Figure 10. ``column``: the timeline column that holds its time."""

    number: int
    source: str
    target: str
    text: str

    @property
    def column(self) -> str:
        """The field of ``SpawnRow`` with this step's time."""
        return f"step_{self.number:02}_us"


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


class TimedStep(NamedTuple):
    """A step with its time since the request, milliseconds; None: not needed, or not (yet) done."""

    step: Step
    at_ms: float | None


def timed_steps(row: SpawnRow) -> list[TimedStep]:
    """The thirteen steps of one spawn in the order of the figure."""
    return [TimedStep(step, _since_request(row, step)) for step in STEPS]


def _since_request(row: SpawnRow, step: Step) -> float | None:
    time_us: int = getattr(row, step.column)
    return (time_us - row.step_01_us) / 1000 if time_us else None


def sequence(row: SpawnRow) -> list[str]:
    """The sequence diagram, one line of text each: what happened first is on top, what never happened at the end."""
    steps = sorted(timed_steps(row), key=lambda s: (s.at_ms is None, s.at_ms or 0.0, s.step.number))
    header = " " * _TIME_WIDTH + "".join(lane.center(_LANE_WIDTH) for lane in LANES)
    return [header, *(_line(timed, row) for timed in steps)]


def _line(timed: TimedStep, row: SpawnRow) -> str:
    when = _missing(timed, row) if timed.at_ms is None else f"{timed.at_ms:+.2f} ms"
    canvas = list(" " * (_LANE_WIDTH * len(LANES)))
    for lane in range(len(LANES)):
        canvas[_center(lane)] = "│"
    source, target = LANES.index(timed.step.source), LANES.index(timed.step.target)
    label = f" {timed.step.number} {timed.step.text} "
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
    return f"{when:>{_TIME_WIDTH - 2}}  {''.join(canvas).rstrip()}"


def _missing(timed: TimedStep, row: SpawnRow) -> str:
    return "not needed" if timed.step.number == 11 and row.outcome == "active" else "—"


def _center(lane: int) -> int:
    return lane * _LANE_WIDTH + _LANE_WIDTH // 2


def _write(canvas: list[str], at: int, text: str) -> None:
    canvas.extend(" " * (at + len(text) - len(canvas)))
    canvas[at : at + len(text)] = text
