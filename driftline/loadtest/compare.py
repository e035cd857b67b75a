"""Two runs compared by the JSON that ``driftline load --json`` printed."""

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
    memory_mib: int | None = None
    active: int = 0
    refused: int = 0
    failed: int = 0
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


Judged = Literal["faster", "slower", "alike"]
Verdict = Literal["faster", "slower", "alike", "unlike", "wrong"]


class Comparison(msgspec.Struct, frozen=True):
    """``verdict``: ``wrong`` if the later run has faults, however fast it was; ``unlike`` if something else was asked.

    Else it is told by ``judged_by``. Where all came as fast as the system took them: the share of what the log alone
    does, or spawns a second if that was not measured. Where they came at their times: the p99 that is worst now, and
    only if none is worse beyond noise the one that is best. A change within noise (NOISE, NOISE_P99) is ``alike``.
    """

    lines: list[Line]
    unlike: list[Unlike]
    verdict: Verdict
    judged_by: str


_SHARE, _RATE = "share_of_limit", "spawns_per_second"
_FIGURES = (_RATE, "seconds", "projected_seconds", _SHARE, "memory_mib", "active", "refused", "failed")
_PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")
#: What came about by what was asked: not what was there before it began, and not what was refused or failed.
_JUDGED = ("spawn", "delete", "drift", "bulk")
#: A rate that changes by less than this share is alike; a p99 that is less than so many times as much, or as little.
NOISE, NOISE_P99 = 0.05, 1.25


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
    by_latency = before.asked is not None and not before.asked.flat_out
    judged, by = _by_latency(before, after) if by_latency else _by_rate(before, after)
    return Comparison(lines, unlike, "wrong" if after.faults else "unlike" if unlike else judged, by)


def _by_rate(before: Run, after: Run) -> tuple[Judged, str]:
    by = _SHARE if before.share_of_limit and after.share_of_limit else _RATE
    was, now = getattr(before, by), getattr(after, by)
    if abs(now - was) <= NOISE * was:
        return "alike", by
    return "faster" if now > was else "slower", by


def _by_latency(before: Run, after: Run) -> tuple[Judged, str]:
    both = [kind for kind in _JUDGED if kind in before.latency and kind in after.latency]
    if not both:
        return _by_rate(before, after)
    was, now = {kind: before.latency[kind].p99 for kind in both}, {kind: after.latency[kind].p99 for kind in both}
    by_change = sorted(both, key=lambda kind: now[kind] / max(was[kind], 1e-3))
    best, worst = by_change[0], by_change[-1]
    if now[worst] >= NOISE_P99 * was[worst]:
        return "slower", f"{worst} p99, ms"
    if now[best] * NOISE_P99 <= was[best]:
        return "faster", f"{best} p99, ms"
    return "alike", f"{worst} p99, ms"


def _unlike(before: Asked | None, after: Asked | None) -> list[Unlike]:
    """What was asked otherwise. A run of an earlier version does not say what was asked of it."""
    if before is None and after is None:
        return []
    if before is None or after is None:
        return [Unlike("asked", *("not told" if one is None else "told" for one in (before, after)))]
    return [
        Unlike(name.replace("_", " "), str(one), str(other))
        for name in Asked.__struct_fields__
        if (one := getattr(before, name)) != (other := getattr(after, name))
    ]


def _line(what: str, before: float | None, after: float | None) -> Line:
    return Line(what, before, after, round(after / before, 3) if before and after is not None else None)
