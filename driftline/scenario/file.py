"""A scenario in a TOML file: docs/howto/scenario.md explains it, the structs below are its tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bus.events import (
    EVENT_TYPES,
    AnyEvent,
    InstanceDeleteRequested,
    InstanceDriftRequested,
    SpawnRequested,
    tag_of,
)
from driftline.errors import UsageError
from driftline.world import OF_SCENARIO, WorldError, check, events_of, parse_toml
from driftline.world.errors import explain
from projections.edition import CURRENT
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.faults import parse_faults
from workers.devices.simulated.tamper import Act
from workers.policy_rules import Flow

#: Fields of an event or a row, and the values that they are to have.
Fields = dict[str, Any]
_TYPES = {tag_of(event_type): event_type for event_type in EVENT_TYPES}
_COLUMNS = {table.name: table.row.__struct_fields__ for table in CURRENT.tables}
#: Source, target, and perhaps a part of the reason.
Unreachable = Annotated[tuple[str, ...], msgspec.Meta(min_length=2, max_length=3)]


class ScenarioError(UsageError):
    """The scenario makes no sense; the text names the step, the field and the value. The person's to mend."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables."""


class RowCheck(Entry, frozen=True):
    """Exactly one row of ``table`` has the values of ``where``, and it has those of ``has``; none has, if ``gone``."""

    table: str
    where: Fields
    has: Fields = {}
    gone: bool = False


class Keeps(Entry, frozen=True):
    """The row of ``table`` with the values of ``where`` has the same ``fields`` as before the step."""

    table: str
    where: Fields
    fields: tuple[str, ...]


class Trace(Entry, frozen=True, rename={"source": "from"}):
    """A packet from one instance to another, or to an address, arrives, over so many hops, and ``via`` these parts.

    ``flow`` is what kind of packet it is. ``stopped``: it does not arrive, and this is part of the reason.
    """

    source: str
    to: str = ""
    ip: str = ""
    hops: int | None = None
    via: tuple[str, ...] = ()
    flow: Flow = Flow()
    stopped: str = ""


class Step(Entry, frozen=True):
    """``[[step]]``: why, what is done, and what is to come of it.

    ``publish`` are requests in the event language; ``spawn``, ``drift`` and ``delete`` are short for the common ones.
    ``hosts`` and ``tamper`` lay hands on devices; from now on these fare as ``faults`` says. It lasts ``wait_s`` at
    least, and ``within_s`` at most.
    """

    say: str
    publish: tuple[Fields, ...] = ()
    spawn: tuple[Fields, ...] = ()
    drift: tuple[Fields, ...] = ()
    delete: tuple[str, ...] = ()
    hosts: SetHosts | None = None
    tamper: tuple[Act, ...] = ()
    faults: str | None = None
    wait_s: float = 0.0
    within_s: float = 60.0
    expect: tuple[Fields, ...] = ()
    never: tuple[Fields, ...] = ()
    rows: tuple[RowCheck, ...] = ()
    keeps: tuple[Keeps, ...] = ()
    reach: tuple[tuple[str, str], ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
    trace: tuple[Trace, ...] = ()

    def requests(self) -> list[AnyEvent]:
        """The events to publish, in the order of the fields. Raises ValueError for one that is none."""
        of_type = ((SpawnRequested, self.spawn), (InstanceDriftRequested, self.drift))
        return [
            *(_event(one) for one in self.publish),
            *(_convert(one, event_type) for event_type, given in of_type for one in given),
            *(InstanceDeleteRequested(instance=instance) for instance in self.delete),
        ]


class ScenarioFile(msgspec.Struct, frozen=True):
    """A scenario that makes sense: its world as events, and its steps."""

    title: str
    about: str
    world: tuple[AnyEvent, ...]
    steps: tuple[Step, ...]
    cleanup: bool = True


def load(path: Path) -> ScenarioFile:
    """The scenario at ``path``. Raises ScenarioError or WorldError, naming the file and what is wrong in it."""
    document = parse_toml(path)
    own = {name: document.pop(name) for name in OF_SCENARIO if name in document}
    try:
        steps = _convert(own.get("step", []), tuple[Step, ...])
        for number, step in enumerate(steps, 1):
            _check(number, step)
        title, about = (_convert(own.get(name, ""), str) for name in ("title", "about"))
        cleanup = _convert(own.get("cleanup", True), bool)
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from error
    if not steps:
        raise ScenarioError(f"{path}: step: there is none, so this is no scenario")
    try:
        world = tuple(check(events_of(document, str(path))))
    except WorldError as error:
        raise WorldError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    return ScenarioFile(title or path.stem, about, world, steps, cleanup)


def _check(number: int, step: Step) -> None:
    """Whatever the step names exists. Raises ValueError."""
    try:
        step.requests()
        parse_faults(step.faults or "")
        for expected in (*step.expect, *step.never):
            _check_event(expected)
        for row in step.rows:
            _check_columns(row.table, {*row.where, *row.has})
        for kept in step.keeps:
            _check_columns(kept.table, {*kept.where, *kept.fields})
        for trace in step.trace:
            _check_trace(trace)
    except ValueError as error:
        raise ValueError(f"step {number} ({step.say}): {error}") from error


def _check_trace(trace: Trace) -> None:
    if bool(trace.to) == bool(trace.ip):
        raise ValueError(f"trace: give one of to and ip, not {trace.to!r} and {trace.ip!r}")


def _check_event(expected: Fields) -> None:
    known = _TYPES.get(str(expected.get("type", "")))
    if known is None:
        raise ValueError(f"type: {expected.get('type')!r} is no type of event")
    wrong = sorted(set(expected) - {"type", *known.__struct_fields__})
    if wrong:
        raise ValueError(f"{tag_of(known)}: {wrong[0]}: there is no such field")


def _check_columns(table: str, columns: set[str]) -> None:
    if table not in _COLUMNS:
        raise ValueError(f"table: {table!r} is none of {', '.join(sorted(_COLUMNS))}")
    wrong = sorted(columns - {*_COLUMNS[table]})
    if wrong:
        raise ValueError(f"table {table}: {wrong[0]}: there is no such column")


def _event(document: Mapping[str, Any]) -> AnyEvent:
    _check_event(dict(document))
    event: AnyEvent = _convert(document, AnyEvent)
    return event


def _convert(document: object, wanted: Any) -> Any:
    try:
        return msgspec.convert(document, wanted)
    except msgspec.ValidationError as error:
        raise ValueError(explain(error, document)) from error
