"""Two runs compared by the JSON that ``driftline load --json`` printed."""

import math
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from driftline.errors import UsageError
from driftline.loadtest.latency import Percentiles
from driftline.loadtest.report import Asked, Partial, Report

R = TypeVar("R")


class Run(msgspec.Struct, frozen=True):
    """What is compared of a run. ``faults``: what was wrong with it; seconds as in its report."""

    spawns_per_second: float
    seconds: float
    projected_seconds: float
    faults: list[str]
    share_of_limit: float | None = None
    memory_mib: int = 0
    latency: dict[str, Percentiles] = {}
    asked: Asked | None = None


class Line(msgspec.Struct, frozen=True):
    """One figure of both runs, None if it was not measured. ``ratio``: after divided by before, where that can be."""

    what: str
    before: float | None
    after: float | None
    ratio: float | None


class Unlike(msgspec.Struct, frozen=True):
    """One thing that was asked of the two runs otherwise."""

    what: str
    before: str
    after: str


class Comparison(msgspec.Struct, frozen=True):
    """``verdict``: ``wrong`` if the later run has faults, however fast it was; ``unlike`` if something else was asked.

    Else it is told by ``judged_by``: spawns a second where they came as fast as the system took them, and where they
    came at their times the p99 that changed most. Less than NOISE is ``alike``.
    """

    lines: list[Line]
    unlike: list[Unlike]
    verdict: Literal["faster", "slower", "alike", "unlike", "wrong"]
    judged_by: str


_FIGURES = ("spawns_per_second", "seconds", "projected_seconds", "share_of_limit", "memory_mib")
_PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")
#: What is there before a run begins is not what it is about.
_FILL = "fill"
#: A difference of less than this share is noise: of a rate, of a p99.
NOISE, NOISE_P99 = 0.05, 0.2


def read_run(path: Path) -> Run:
    """The run in the file at ``path``. Raises UsageError that names the file and, if it can, the field."""
    document = _read(path)
    if "why" in document:
        raise UsageError(f"{path}: that run ended before its end ({document['why']}), so there is nothing to compare")
    return _checked(path, document, Run)


def read_document(path: Path) -> dict[str, Any]:
    """All that the file at ``path`` says of a run, whole or partial. Raises UsageError as ``read_run`` does."""
    document = _read(path)
    _checked(path, document, Partial if "why" in document else Report)
    return document


def _read(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not the JSON of a run: {error}") from error


def _checked(path: Path, document: dict[str, Any], kind: type[R]) -> R:
    try:
        return msgspec.convert(document, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: is not the JSON of a run: {error}") from error


def compare(before: Run, after: Run) -> Comparison:
    """What became of each figure from ``before`` to ``after``. Raises UsageError if ``before`` has faults."""
    if before.faults:
        raise UsageError(f"the first run was wrong, so nothing can be held against it: {'; '.join(before.faults)}")
    lines = [_line(what, getattr(before, what), getattr(after, what)) for what in _FIGURES]
    common = [kind for kind in before.latency if kind in after.latency]
    lines += [
        _line(f"{kind} {share}, ms", getattr(before.latency[kind], share), getattr(after.latency[kind], share))
        for kind in common
        for share in _PERCENTILES
    ]
    unlike = _unlike(before.asked, after.asked)
    paced = before.asked is not None and not before.asked.flat_out
    p99s = [line for line in lines if paced and line.what.endswith(" p99, ms") and not line.what.startswith(_FILL)]
    judge = max(p99s, key=lambda line: abs(math.log(line.ratio or 1.0)), default=lines[0])
    verdict: Literal["faster", "slower", "alike"] = _verdict(judge)
    return Comparison(lines, unlike, "wrong" if after.faults else "unlike" if unlike else verdict, judge.what)


def _verdict(judge: Line) -> Literal["faster", "slower", "alike"]:
    is_rate = judge.what == _FIGURES[0]
    change = (1.0 if judge.ratio is None else judge.ratio) - 1
    if abs(change) <= (NOISE if is_rate else NOISE_P99):
        return "alike"
    return "faster" if (change > 0) == is_rate else "slower"


def _unlike(before: Asked | None, after: Asked | None) -> list[Unlike]:
    """What was asked otherwise. A run of an earlier version does not say what was asked of it."""
    if before is None or after is None:
        return []
    return [
        Unlike(name.replace("_", " "), str(one), str(other))
        for name in Asked.__struct_fields__
        if (one := getattr(before, name)) != (other := getattr(after, name))
    ]


def _line(what: str, before: float | None, after: float | None) -> Line:
    return Line(what, before, after, round(after / before, 3) if before and after is not None else None)
