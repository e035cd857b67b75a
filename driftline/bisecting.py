"""Where in a log a predicate became true: by the book's indexes where they can tell, else event by event."""

from collections.abc import Iterable, Iterator
from functools import partial
from heapq import merge
from typing import TYPE_CHECKING

import msgspec

from bus.envelope import Recorded
from driftline.book import Book
from driftline.errors import NotDone, UsageError
from driftline.predicates import Moment, Place, Predicate
from driftline.questions import Told, led_to, told
from projections.fold import Key, Row
from projections.refold import Progress, no_progress

if TYPE_CHECKING:  # they load what devices are made of: only who asks for an invariant waits for that
    from driftline.invariants import Auditor, Violation

#: How often a scan says how far it is, events.
_TELL_EVERY = 5_000
#: How many positions are searched for events of a type at a time: the first of them is mostly enough.
_AT_ONCE = 20_000
#: Table of a row that stands for a thing only once something was said of it, and the table that has it from the start.
_SINCE_THE_START = {"host_states": "hosts"}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The first event at which the predicate became true, what led to it, and the invariant that it broke, if any."""

    predicate: str
    event: Told
    led_to: list[Told]
    violation: str = ""


class Judge:
    """Holds a log to the invariants, as far as the log alone can tell, up to the first one that breaks.

    What an auditor says after that is worth nothing, so it is not asked. Those that speak of what devices hold, or of
    what must be so once all is quiet, break at no event (see ``at_rest``).
    """

    def __init__(self, book: Book, progress: Progress = no_progress) -> None:
        self._book, self._progress = book, progress
        self._held: Auditor | None = None
        self._until = 0
        self.position = 0
        self.violation: Violation | None = None

    def broken_at(self, position: int) -> tuple[int, ...]:
        """The invariants that the event at ``position`` breaks."""
        self.up_to(position)
        return (self.violation.number,) if self.violation is not None and self.position == position else ()

    def at_rest(self) -> "Violation | None":
        """What does not hold if all is quiet at the end of the log: it breaks at no event."""
        if self.up_to(self._book.last) is not None:
            return None
        from driftline.invariants import Violation  # noqa: PLC0415

        try:
            self._auditor().once_quiet(None)
        except Violation as violation:
            return violation
        return None

    def up_to(self, until: int) -> "Violation | None":
        """The first violation at or before ``until``."""
        from driftline.invariants import Violation  # noqa: PLC0415

        auditor = self._auditor()
        for number, r in enumerate(self._book.events(self._until, until)):
            if self.violation is not None:
                break
            self._until = r.position
            try:
                auditor.take([r])
            except Violation as violation:
                self.violation, self.position = violation, r.position
            if number % _TELL_EVERY == 0:
                self._progress(r.position, until)
        return self.violation if self.position <= until else None

    def _auditor(self) -> "Auditor":
        from driftline.invariants import Auditor  # noqa: PLC0415

        self._held = self._held or Auditor(keep=False)
        return self._held


def becomes_true(
    book: Book, predicate: Predicate, after: int, until: int, judge: Judge, progress: Progress = no_progress
) -> Iterator[Recorded]:
    """The events at positions ``after < position <= until`` at which ``predicate`` became true, in order.

    One that speaks of state alone became true where it holds and did not right before; any other wherever it holds.
    """
    for number, r in enumerate(_candidates(book, predicate, after, until, judge)):
        if number % _TELL_EVERY == 0:
            progress(r.position, until)
        before, now = (partial(_row, book, position) for position in (r.position - 1, r.position))
        broken = judge.broken_at(r.position) if predicate.judges else ()
        holds = predicate.holds(Moment(r, before, now, broken))
        if holds and (predicate.instant or not predicate.holds(Moment(r, before, before))):
            yield r


def first(
    book: Book, text: str, predicate: Predicate, after: int, until: int, progress: Progress = no_progress
) -> Found | None:
    """Where ``predicate``, written as ``text``, became true first; None if nowhere. See ``becomes_true``.

    Raises NotDone if it asks for an invariant, and another one breaks before it can be told, or one breaks at rest.
    """
    judge = Judge(book, progress)
    r = next(becomes_true(book, predicate, after, until, judge, progress), None)
    if r is not None:
        violation = str(judge.violation) if judge.violation is not None and judge.position == r.position else ""
        return Found(predicate=text, event=told(book, r), led_to=led_to(book, r), violation=violation)
    if judge.violation is not None:
        raise NotDone(
            f"predicate {text}: not before position {judge.position}, where another one breaks, after which nothing "
            f"is judged: {judge.violation}"
        )
    resting = judge.at_rest() if predicate.judges and until == book.last else None
    if resting is not None:
        raise NotDone(f"predicate {text}: no event breaks it; but if all is quiet at the end of the log: {resting}")
    return None


def key_in(book: Book, until: int, table: str, key: Key) -> Key:
    """The key of the row that a person calls ``key``: ports and instances may be called by their names.

    Raises UsageError if there never was such a row up to ``until``.
    """
    known = (name for name in (table, _SINCE_THE_START.get(table, "")) if name)
    if any(book.touched(name, key, until=until) for name in known):
        return key
    instance = book.row("instances", key, until) if len(key) == 1 else None
    named = instance or next(iter(book.rows("instances", until, {"name": key[0]}) if len(key) == 1 else ()), None)
    if table == "ports":
        named = named or next(iter(book.rows("instances", until, {"port_name": key[0]}) if len(key) == 1 else ()), None)
        port = (str(getattr(named, "port", "")),)
        if port[0] and book.touched("ports", port, until=until):
            return port
    if table == "instances" and named is not None:
        return (str(getattr(named, "instance")),)  # noqa: B009  rows of any table come as Row
    raise UsageError(f"predicate: {table}[{', '.join(map(str, key))}]: the log never had such a row")


def _row(book: Book, position: int, table: str, key: Key) -> Row | None:
    return book.row(table, key, position)


def _candidates(book: Book, predicate: Predicate, after: int, until: int, judge: Judge) -> Iterable[Recorded]:
    places = predicate.places
    if places is not None:
        streams = [_at_place(book, place, after, until) for place in places]
        return _each_once(merge(*streams, key=lambda r: r.position))
    if predicate.judges and predicate.momentary and judge.up_to(until) is not None:
        broken = book.event(judge.position)
        return [broken] if broken is not None and broken.position > after else []
    return () if predicate.judges and predicate.momentary else book.events(after, until)


def _at_place(book: Book, place: Place, after: int, until: int) -> Iterable[Recorded]:
    if place.type:
        firsts = range(after, until, _AT_ONCE)
        return (r for first in firsts for r in book.of_type(place.type, first, min(first + _AT_ONCE, until)))
    found = (book.event(position) for position in book.touched(place.table, place.key, after, until))
    return (r for r in found if r is not None)


def _each_once(records: Iterable[Recorded]) -> Iterator[Recorded]:
    last = 0
    for r in records:
        if r.position != last:
            last = r.position
            yield r
