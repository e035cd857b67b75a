"""Questions to the book: what happened to a thing, what led to an event and what came of it, what changed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bus.envelope import Recorded
from bus.events import tag_of
from driftline.book import Book, Change
from driftline.book.events import END
from driftline.book.terms import KINDS
from driftline.errors import UsageError
from projections.fold import Row


class FieldChange(msgspec.Struct, frozen=True):
    """One column of a row that is not what it was."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field} {_shown(self.field, self.before)} → {_shown(self.field, self.after)}"


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row. ``events``: the positions of the events that touched it."""

    table: str
    key: list[str | int]
    what: str
    fields: list[FieldChange]
    events: list[int]

    def __str__(self) -> str:
        name = f"{self.table} {', '.join(map(str, self.key))}"
        return f"{name}: {self.what}" if self.what != "changed" else f"{name}: {', '.join(map(str, self.fields))}"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event as people are told of it. ``caused_by``: the position of its cause, 0 if it is not in the log."""

    position: int
    time_us: int
    actor: str
    type: str
    id: str
    cause: str
    caused_by: int
    correlation: str
    event: dict[str, Any]
    changes: list[RowChange]


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """An event and what came of it. ``after_us``: how long after its cause; ``left_out``: how many more came of it."""

    told: Told
    after_us: int
    branches: list["Branch"]
    left_out: int = 0


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """``led_to``: the chain from the first request down to the event's cause; ``lost``: a cause that is nowhere."""

    led_to: list[Told]
    lost: str
    tree: Branch


def kinds_of(book: Book, name: str, until: int) -> list[str]:
    """The kinds of aggregates (``port``, ``host``, …) that the log knows by this id or name."""
    found = [kind for kind in sorted(KINDS) if book.concerning(kind, name, until=until)]
    if not found and book.rows("instances", until, {"name": name}):
        return ["instance"]
    return found


def history(book: Book, name: str, until: int, kind: str = "") -> list[Recorded]:
    """Every event that concerns the thing with this id or name, in order; for an instance those of its ports, too.

    Raises UsageError if there is no such thing, or if things of several kinds have the name and no ``kind`` is given.
    """
    kinds = [kind] if kind else kinds_of(book, name, until)
    if not kinds:
        raise UsageError(f"NAME: the log knows nothing called {name}")
    if len(kinds) > 1:
        raise UsageError(f"NAME: {name} is the name of a {', a '.join(kinds)}: choose one with --kind")
    found = {r.position: r for r in book.concerning(kinds[0], name, until=until)}
    if kinds[0] == "instance":
        for row in book.rows("instances", until, {"name": name}):
            found |= {r.position: r for r in book.concerning("instance", row.instance, until=until)}  # type: ignore[attr-defined]
        for port in {str(getattr(r.event, "port", "")) for r in found.values()} - {""}:
            found |= {r.position: r for r in book.concerning("port", port, until=until)}
    if not found:
        raise UsageError(f"NAME: the log knows no {kinds[0]} called {name}")
    return [found[position] for position in sorted(found)]


def find_event(book: Book, text: str, until: int = END) -> Recorded:
    """The event with this id, or at this position, at or before ``until``. Raises UsageError if there is none."""
    found = book.event(int(text)) if text.isdecimal() else None
    found = found or book.find(text)
    if found is None:
        raise UsageError(f"EVENT: the log has no event with the id or position {text}")
    if found.position > until:
        raise UsageError(f"EVENT {text}: it is at position {found.position}, after --as-of, which is position {until}")
    return found


def told(book: Book, r: Recorded, *, with_changes: bool = True) -> Told:
    """``r`` as people are told of it."""
    cause = book.find(r.cause) if r.cause else None
    return Told(
        position=r.position,
        time_us=r.time_us,
        actor=r.actor,
        type=tag_of(type(r.event)),
        id=r.id,
        cause=r.cause,
        caused_by=cause.position if cause else 0,
        correlation=r.correlation,
        event=msgspec.to_builtins(r.event),
        changes=[_row_change(change, [r.position]) for change in book.changes(r.position)] if with_changes else [],
    )


def causes(book: Book, r: Recorded, branches_max: int = 50, until: int = END) -> Causes:
    """What led to ``r``, and what came of it up to ``until``; ``branches_max`` of each event's effects are followed."""
    chain, lost = _up(book, r)
    return Causes(
        led_to=[told(book, one, with_changes=False) for one in chain],
        lost=lost,
        tree=_down(book, r, chain[-1].time_us if chain else r.time_us, branches_max, until),
    )


def led_to(book: Book, r: Recorded) -> list[Told]:
    """The chain from the first request down to the cause of ``r``."""
    return [told(book, one, with_changes=False) for one in _up(book, r)[0]]


def differences(book: Book, after: int, until: int, table: str = "", about: Sequence[str] = ()) -> Iterator[RowChange]:
    """What changed between two positions, row by row; of one ``table``, and of rows that name one of ``about``.

    Raises UsageError for a table that does not exist.
    """
    changes = book.changed(after, until)
    for change in changes:
        named = {*map(str, change.key), *_texts(change.before), *_texts(change.after)}
        if (not table or change.table == table) and (not about or named & {*about}):
            yield _row_change(change, book.touched(change.table, change.key, after, until))


def _up(book: Book, r: Recorded) -> tuple[list[Recorded], str]:
    chain: list[Recorded] = []
    while r.cause:
        cause = book.find(r.cause)
        if cause is None or cause.position >= r.position:
            return chain[::-1], r.cause
        chain.append(cause)
        r = cause
    return chain[::-1], ""


def _down(book: Book, r: Recorded, caused_us: int, branches_max: int, until: int) -> Branch:
    effects = [one for one in book.caused_by(r.id) if r.position < one.position <= until]
    return Branch(
        told=told(book, r, with_changes=False),
        after_us=r.time_us - caused_us,
        branches=[_down(book, one, r.time_us, branches_max, until) for one in effects[:branches_max]],
        left_out=max(len(effects) - branches_max, 0),
    )


def _row_change(change: Change, events: list[int]) -> RowChange:
    what = "appeared" if change.before is None else "gone" if change.after is None else "changed"
    return RowChange(
        table=change.table, key=list(change.key), what=what, fields=_fields(change.before, change.after), events=events
    )


def _fields(before: Row | None, after: Row | None) -> list[FieldChange]:
    some = before or after
    if some is None:
        return []
    pairs = ((name, getattr(before, name, None), getattr(after, name, None)) for name in some.__struct_fields__)
    return [FieldChange(name, one, other) for name, one, other in pairs if one != other]


def _texts(row: Row | None) -> Iterator[str]:
    if row is not None:
        yield from (value for value in msgspec.structs.astuple(row) if isinstance(value, str) and value)


def moment(time_us: int) -> str:
    """A time as people read it, UTC, to the millisecond; empty for 0."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if time_us else ""


def _shown(field: str, value: Any) -> str:
    if value in ("", None, []) or (field.endswith("_us") and not value):
        return "–"
    return moment(value)[11:] if field.endswith("_us") else str(value)
