"""Going through a log event by event: what is to be seen at one position, and where to go from there.

All of it is read from the book, so a jump costs the same anywhere in a log of any length.
"""

from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from bus.envelope import Recorded
from bus.events import tag_of
from driftline.bisecting import Judge, becomes_true, key_in
from driftline.book import Book
from driftline.errors import NotDone, UsageError
from driftline.figures import drift_sequence, sequence
from driftline.predicates import Predicate, parse
from driftline.questions import Told, led_to, told
from driftline.reading import position_of
from projections.drifts import DriftRow
from projections.fold import Row
from projections.spawns import SpawnRow

#: How many events are listed before and after the one that is looked at.
AROUND = 12
#: How many effects of an event are listed.
EFFECTS_MAX = 12
#: How many positions are searched at a time, so that somebody who waits can be told, and can stop it.
WINDOW = 5_000
#: The fields that say what an event is about, the narrowest first.
_ABOUT = ("port", "instance", "operation", "policy", "leaf", "host", "network", "vpc")


class Line(msgspec.Struct, frozen=True):
    """An event on one line."""

    position: int
    type: str
    about: str
    actor: str
    time_us: int


class RowView(msgspec.Struct, frozen=True):
    """A row right before and right after an event, None where there was none. ``changed``: the columns that differ."""

    table: str
    key: list[str | int]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed: list[str]


class Panes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be seen at one event.

    ``around``: the events before and after it; ``led_to``: from the first request to its cause; ``effects``: what came
    of it at once; ``figure``: Figure 10 or 11 of its instance as far as it had got.
    """

    position: int
    last: int
    event: Told
    around: list[Line]
    led_to: list[Told]
    effects: list[Line]
    rows: list[RowView]
    figure_title: str = ""
    figure: list[str] = []


class Subject(NamedTuple):
    """What an event is about: the kind of thing and its id."""

    kind: str
    key: str


def panes(book: Book, r: Recorded) -> Panes:
    """What is to be seen at ``r``."""
    title, figure = _figure(book, r)
    before = _before(book, r.position, AROUND)
    after = list(islice(book.events(r.position, book.last), AROUND))
    return Panes(
        position=r.position,
        last=book.last,
        event=told(book, r, with_changes=False),
        around=[line(one) for one in (*before, r, *after)],
        led_to=led_to(book, r),
        effects=[line(one) for one in book.caused_by(r.id)[:EFFECTS_MAX]],
        rows=[_row_view(*change) for change in book.changes(r.position)],
        figure_title=title,
        figure=figure,
    )


def line(r: Recorded) -> Line:
    """``r`` on one line."""
    subject = about(r)
    return Line(r.position, tag_of(type(r.event)), subject.key if subject else "", r.actor, r.time_us)


def about(r: Recorded) -> Subject | None:
    """What the event is about; None for the little that is about the world as a whole."""
    for kind in _ABOUT:
        key = getattr(r.event, kind, None)
        if isinstance(key, str) and key:
            return Subject(kind, key)
    return None


def start(book: Book, at: str, now_us: int | None = None, *, oldest: bool = False) -> Recorded:
    """The event to begin with: the one that ``at`` names, else the newest or the ``oldest``.

    Raises UsageError if there is none.
    """
    if at:
        return jump(book, at, now_us)
    found = next(book.events(), None) if oldest else next(iter(_before(book, book.last + 1, 1)), None)
    if found is None:
        raise UsageError("the log is empty: there is nothing to step through")
    return found


def jump(book: Book, text: str, now_us: int | None = None) -> Recorded:
    """The event at a position or with an id, or the newest at a time, as for ``position_of``. Raises UsageError."""
    found = book.find(text)
    if found is None:
        position = position_of(book, text, "--at", now_us=now_us)
        found = book.event(position) or next(iter(_before(book, position, 1)), None)
    if found is None:
        raise UsageError(f"--at {text}: the log has no event there or before")
    return found


def beside(book: Book, r: Recorded, *, back: bool) -> Recorded | None:
    """The event right after ``r``, or right before it; None at the end."""
    if back:
        return next(iter(_before(book, r.position, 1)), None)
    return next(book.events(r.position, book.last), None)


def same_subject(book: Book, r: Recorded, *, back: bool) -> Recorded | None:
    """The next event, or the one before, about the same port, instance or whatever ``r`` is about."""
    subject = about(r)
    return None if subject is None else _nearest(book.concerning(subject.kind, subject.key), r, back=back)


def same_story(book: Book, r: Recorded, *, back: bool) -> Recorded | None:
    """The next event, or the one before, of the same correlation."""
    return _nearest(book.correlated(r.correlation), r, back=back)


async def hits(
    book: Book, predicate: Predicate, position: int, judge: Judge, *, back: bool
) -> AsyncIterator[tuple[int, Recorded | None]]:
    """Look for the nearest event after ``position``, or before, at which ``predicate`` becomes true.

    Goes window by window; yields how far it has looked, and at the end the event, if there is one.
    """
    for after, until in _windows(book, position, back=back):
        found = list(islice(becomes_true(book, predicate, after, until, judge), None if back else 1))
        if found:
            yield found[-1].position, found[-1]
            return
        yield (after if back else until), None


def breakpoint_of(book: Book, text: str) -> Predicate:
    """The predicate that ``text`` says. Raises PredicateError, and UsageError for a thing that the log never had."""
    return parse(text, lambda table, key: key_in(book, book.last, table, key))


def no_hit(text: str, predicate: Predicate, judge: Judge, where: str) -> str:
    """What to say once ``hits`` has found nothing ``where`` it looked: after one that broke, no invariant is judged."""
    if predicate.judges and judge.violation is not None:
        return f"{text}: not found; nothing is judged after position {judge.position}: {judge.violation}"
    return f"{text}: it does not become true {where}"


async def run_to(book: Book, text: str, position: int) -> Recorded:
    """The first event after ``position``, 0 for the beginning of the log, at which ``text`` becomes true.

    Raises as ``breakpoint_of``, and NotDone.
    """
    predicate, judge = breakpoint_of(book, text), Judge(book)
    async for _, found in hits(book, predicate, position, judge, back=False):
        if found is not None:
            return found
    where = f"after this event (position {position})" if position else "in this log"
    raise NotDone(f"--break {no_hit(text, predicate, judge, where)}")


def _windows(book: Book, position: int, *, back: bool) -> Iterable[tuple[int, int]]:
    if back:
        ends = range(position - 1, 0, -WINDOW)
        return ((max(end - WINDOW, 0), end) for end in ends)
    return ((first, min(first + WINDOW, book.last)) for first in range(position, book.last, WINDOW))


def _nearest(records: Iterable[Recorded], r: Recorded, *, back: bool) -> Recorded | None:
    if back:
        return max((one for one in records if one.position < r.position), key=_position, default=None)
    return min((one for one in records if one.position > r.position), key=_position, default=None)


def _position(r: Recorded) -> int:
    return r.position


def _before(book: Book, position: int, count: int) -> list[Recorded]:
    """The last ``count`` events before ``position``, oldest first; a log may have holes."""
    width = count + 1
    while True:
        first = max(position - 1 - width, 0)
        found = list(book.events(first, position - 1))[-count:]
        if len(found) == count or first == 0:
            return found
        width *= 4


def _row_view(table: str, key: tuple[str | int, ...], before: Row | None, after: Row | None) -> RowView:
    some = before or after
    names = some.__struct_fields__ if some is not None else ()
    changed = [name for name in names if getattr(before, name, None) != getattr(after, name, None)]
    return RowView(table, list(key), _document(before), _document(after), changed)


def _document(row: Row | None) -> dict[str, Any] | None:
    return None if row is None else msgspec.structs.asdict(row)


def _figure(book: Book, r: Recorded) -> tuple[str, list[str]]:
    """Figure 11 of the drift that the event belongs to, else Figure 10 of its instance; empty if it is of neither."""
    instance = str(getattr(r.event, "instance", "") or "")
    if not instance and hasattr(r.event, "port"):
        row = book.row("ports", (r.event.port,), r.position) or book.row("ports", (r.event.port,), r.position - 1)
        instance = str(getattr(row, "instance", ""))
    drift = book.row("drifts", (instance, r.correlation), r.position) if instance else None
    if isinstance(drift, DriftRow):
        return f"Figure 11: {instance} from {drift.from_host} to {drift.host or '?'}", drift_sequence(drift)
    spawn = book.row("spawns", (instance,), r.position) if instance else None
    if isinstance(spawn, SpawnRow):
        return f"Figure 10: {instance} on {spawn.host or 'no host yet'}", sequence(spawn)
    return "", []
