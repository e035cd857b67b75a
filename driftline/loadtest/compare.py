"""Two runs compared by the JSON that ``driftline load --json`` printed."""

from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from driftline.errors import UsageError
from driftline.loadtest.latency import Percentiles
from driftline.loadtest.report import Partial, Report

R = TypeVar("R")


class Run(msgspec.Struct, frozen=True):
    """What is compared of a run. ``faults``: what was wrong with it; seconds as in its report."""

    spawns_per_second: float
    seconds: float
    projected_seconds: float
    faults: list[str]
    share_of_limit: float = 0.0
    memory_mib: int = 0
    latency: dict[str, Percentiles] = {}


class Line(msgspec.Struct, frozen=True):
    """One figure of both runs. ``ratio``: after divided by before, None if before is 0."""

    what: str
    before: float
    after: float
    ratio: float | None


class Comparison(msgspec.Struct, frozen=True):
    """``verdict``: ``wrong`` if the later run has faults, however fast it was; else by spawns per second."""

    lines: list[Line]
    verdict: Literal["faster", "slower", "alike", "wrong"]


_FIGURES = ("spawns_per_second", "seconds", "projected_seconds", "share_of_limit", "memory_mib")
_PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")
#: A difference of less than this share is noise.
NOISE = 0.05


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
    lines += [
        _line(f"{kind} {percentile}, ms", getattr(earlier, percentile), getattr(after.latency[kind], percentile))
        for kind, earlier in before.latency.items()
        if kind in after.latency
        for percentile in _PERCENTILES
    ]
    if after.faults:
        return Comparison(lines, "wrong")
    rate, earlier = after.spawns_per_second, before.spawns_per_second
    if abs(rate - earlier) <= NOISE * earlier:
        return Comparison(lines, "alike")
    return Comparison(lines, "faster" if rate > earlier else "slower")


def _line(what: str, before: float, after: float) -> Line:
    return Line(what, before, after, round(after / before, 3) if before else None)
