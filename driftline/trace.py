"""Load as timed requests: from a CSV trace of a real cluster, or as one burst.

A trace has a row for each instance: its name, when it was created and when it was deleted, in seconds. An empty
deletion time means that the instance was still there when the trace ended.
"""

import csv
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec

from bus.events import InstanceDeleteRequested, InstanceDriftRequested, OperationPortsRequested, SpawnRequested
from driftline.errors import UsageError
from workers.compute import port_id

#: An instance's id is part of its port's id, and both are subject tokens.
INSTANCE_MAX = 63 - len(port_id(""))
_INSTANCE = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{INSTANCE_MAX - 1}}}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
HASH_CHARS = 16
STEM_MAX = INSTANCE_MAX - HASH_CHARS - 1


class TraceError(UsageError):
    """The trace cannot be used; the text names the file, the line, the field and the value. The person's to mend."""


class TraceRow(msgspec.Struct, frozen=True):
    """One instance of a trace. ``line``: where its row ends, from 1. Times: seconds on the trace's clock."""

    line: int
    name: str
    created_s: float
    deleted_s: float | None = None
    host: str | None = None


class Expected(NamedTuple):
    """What must come of a trace when nothing is refused. ``live_max``: the most that are ever live at one time."""

    spawns: int
    deletes: int
    live_at_end: int
    live_max: int


class Target(NamedTuple):
    """Where instances take their ports from: exactly one of a network (its id) and a label."""

    network: str | None = None
    label: str | None = None


class TimedRequest(msgspec.Struct, frozen=True):
    """A request and when it is due, seconds after the start of the plan. ``instance``: or the operation, in bulk."""

    at_s: float
    kind: Literal["spawn", "delete", "drift", "bulk"]
    instance: str
    event: SpawnRequested | InstanceDeleteRequested | InstanceDriftRequested | OperationPortsRequested


DEFAULT_TARGETS = (Target(label="prod-env"),)


class Columns(NamedTuple):
    """The names of the columns. ``deleted`` and ``host`` are None where a trace has none."""

    name: str
    created: str
    deleted: str | None
    host: str | None


def read_trace(
    path: Path,
    name_column: str = "name",
    created_column: str = "creation_time",
    deleted_column: str | None = "deletion_time",
    host_column: str | None = None,
) -> list[TraceRow]:
    """The rows of the CSV file at ``path`` (UTF-8, with a header line), in the order of the file.

    Raises TraceError: not a readable file, a column is missing, a time is no finite number, a name is empty or comes
    twice, a deletion lies before its creation, or there is no row.
    """
    columns = Columns(name_column, created_column, deleted_column, host_column)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(path, csv.reader(file, strict=True), columns))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise TraceError(f"{path}: is not CSV: {error}") from error
    if not rows:
        raise TraceError(f"{path}: has no rows")
    return rows


def expected(rows: Sequence[TraceRow]) -> Expected:
    """The counts that a run of ``rows`` must come to, taken from the rows alone: an oracle for the plan's execution."""
    changes = sorted(
        [(row.created_s, -1) for row in rows] + [(row.deleted_s, 1) for row in rows if row.deleted_s is not None]
    )
    live = live_max = 0
    for _, sign in changes:  # at equal times creations first: nothing orders them, so the larger count is expected
        live -= sign
        live_max = max(live_max, live)
    deletes = sum(row.deleted_s is not None for row in rows)
    return Expected(spawns=len(rows), deletes=deletes, live_at_end=len(rows) - deletes, live_max=live_max)


def instance_id(name: str) -> str:
    """An instance id for ``name``, the same whenever asked, that fits into subjects (also its port's).

    A name that fits stays as it is. Any other becomes what of it does fit, at most 44 characters, then ``-`` and the
    first 16 hexadecimal digits of the SHA-256 of the whole name: ``ns/web.1`` → ``ns-web-1-`` + 16 digits.
    """
    if _INSTANCE.fullmatch(name):
        return name
    stem = _UNSAFE.sub("-", name).lstrip("-_")[:STEM_MAX] or "x"
    return f"{stem}-{hashlib.sha256(name.encode()).hexdigest()[:HASH_CHARS]}"


def plan(
    rows: Sequence[TraceRow],
    azs: Sequence[str],
    targets: Sequence[Target] = DEFAULT_TARGETS,
    *,
    host_azs: Mapping[str, str] | None = None,
    prefix: str = "",
    speed: float = 1.0,
) -> list[TimedRequest]:
    """The requests of a trace by time; what is due at the same time stays in the order of the rows.

    Args:
        rows: what ``read_trace`` returned. The first creation is second 0 of the plan.
        azs: instances go to these in turn, and after each round of them to the next target.
        targets: where their ports come from.
        host_azs: host → AZ of the world, for rows that name a host: they are pinned to it, in its AZ.
        prefix: put before each name. Ids of instances are unique for ever, so a second run needs another prefix.
        speed: 2.0 has everything happen twice as fast.

    Raises TraceError: no AZ or target, a speed that is not above 0, a host that is not in ``host_azs``, or two names
    that get the same id.
    """
    _check_places(azs, targets)
    _check_positive("speed", speed)
    start_s = min((row.created_s for row in rows), default=0.0)
    requests: list[TimedRequest] = []
    lines: dict[str, int] = {}
    for index, row in enumerate(rows):
        instance = instance_id(prefix + row.name)
        if instance in lines:
            raise TraceError(f"line {row.line}: name: {row.name} gets the id {instance} of line {lines[instance]}")
        lines[instance] = row.line
        event = _spawn(instance, index, azs, targets, row.host, _az_of(row, host_azs))
        requests.append(TimedRequest((row.created_s - start_s) / speed, "spawn", instance, event))
        if row.deleted_s is not None:
            requests.append(deletion((row.deleted_s - start_s) / speed, instance))
    return sorted(requests, key=lambda request: request.at_s)


def burst(
    count: int,
    azs: Sequence[str],
    targets: Sequence[Target] = DEFAULT_TARGETS,
    *,
    prefix: str = "burst-",
    per_second: float | None = None,
) -> list[TimedRequest]:
    """``count`` spawns named ``burst-1``…, all due at once, or ``per_second`` of them each second.

    They spread over ``azs`` and ``targets`` as in ``plan``. Raises TraceError: ``count`` below 1, no AZ or target, or
    a rate that is not above 0.
    """
    _check_places(azs, targets)
    if count < 1:
        raise TraceError(f"count: {count} is less than 1")
    if per_second is not None:
        _check_positive("per_second", per_second)
    requests = []
    for index in range(count):
        instance = instance_id(f"{prefix}{index + 1}")
        event = _spawn(instance, index, azs, targets)
        requests.append(TimedRequest(index / per_second if per_second else 0.0, "spawn", instance, event))
    return requests


def _check_places(azs: Sequence[str], targets: Sequence[Target]) -> None:
    if not azs:
        raise TraceError("azs: there is no availability zone to spawn in")
    if not targets:
        raise TraceError("targets: there is no network or label to take ports from")
    for target in targets:
        if (target.network is None) == (target.label is None):
            raise TraceError(f"targets: {target} must give exactly one of network and label")


def _check_positive(field: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise TraceError(f"{field}: {value} is not above 0")


def _az_of(row: TraceRow, host_azs: Mapping[str, str] | None) -> str | None:
    if row.host is None:
        return None
    az = (host_azs or {}).get(row.host)
    if az is None:
        raise TraceError(f"line {row.line}: host: {row.host} is no host of the world")
    return az


def _spawn(
    instance: str,
    index: int,
    azs: Sequence[str],
    targets: Sequence[Target],
    host: str | None = None,
    host_az: str | None = None,
) -> SpawnRequested:
    rounds, place = divmod(index, len(azs))
    target = targets[rounds % len(targets)]  # by rounds, so that each AZ sees each target
    return SpawnRequested(
        instance=instance,
        name=instance,
        az=host_az or azs[place],
        network=target.network,
        label=target.label,
        host=host,
    )


def deletion(at_s: float, instance: str) -> TimedRequest:
    """The request that ``instance`` goes, due ``at_s`` after the plan begins."""
    return TimedRequest(at_s, "delete", instance, InstanceDeleteRequested(instance=instance))


class _Reader(Protocol):
    """What ``csv.reader`` returns: it counts lines."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def _rows(path: Path, reader: _Reader, columns: Columns) -> Iterator[TraceRow]:
    header = next(reader, None)
    if header is None:
        raise TraceError(f"{path}: is empty")
    for column in columns:
        if column is not None and header.count(column) != 1:
            problem = "comes twice" if column in header else "is missing"
            raise TraceError(f"{path}: line 1: column {column!r} {problem} (there are: {', '.join(header)})")
    lines: dict[str, int] = {}
    for fields in reader:
        if not fields:
            continue  # a blank line
        at = f"{path}: line {reader.line_num}"
        if len(fields) != len(header):
            raise TraceError(f"{at}: has {len(fields)} fields, the header has {len(header)}")
        row = _row(at, reader.line_num, dict(zip(header, fields, strict=True)), columns)
        if row.name in lines:
            raise TraceError(f"{at}: {columns.name}: {row.name} is the name of line {lines[row.name]}")
        lines[row.name] = row.line
        yield row


def _row(at: str, line: int, fields: dict[str, str], columns: Columns) -> TraceRow:
    name = fields[columns.name].strip()
    if not name:
        raise TraceError(f"{at}: {columns.name}: {fields[columns.name]!r} is no name")
    created_s = _seconds(at, columns.created, fields[columns.created])
    deleted_s = None
    if columns.deleted is not None and fields[columns.deleted].strip():
        deleted_s = _seconds(at, columns.deleted, fields[columns.deleted])
        if deleted_s < created_s:
            raise TraceError(f"{at}: {columns.deleted}: {deleted_s:.15g} lies before the creation at {created_s:.15g}")
    host = fields[columns.host].strip() if columns.host is not None else ""
    return TraceRow(line, name, created_s, deleted_s, host or None)


def _seconds(at: str, field: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise TraceError(f"{at}: {field}: {text!r} is no number") from error
    if not math.isfinite(seconds):
        raise TraceError(f"{at}: {field}: {text!r} is no finite number")
    return seconds
