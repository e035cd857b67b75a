"""A book: the index of one log, and its questions."""

import heapq
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from bus.envelope import Recorded, Rejected
from bus.errors import LogMismatch
from bus.log import Batch, Log
from driftline.book.events import END, EventIndex
from driftline.book.sheets import Sheets
from driftline.book.shelf import path_of
from driftline.book.versions import RowVersions, fold
from projections.edition import CURRENT
from projections.fold import Key, Row
from projections.refold import Progress, no_progress
from projections.views import Views

#: How many events are written down in one transaction.
_AT_ONCE = 20_000
#: From this many events on, the folded state is kept for the next time.
_WORTH_KEEPING = 20_000
#: What reading a kept state may raise: none, torn, or of a program with other classes.
_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError)


class Change(NamedTuple):
    """What became of one row. ``before``, ``after``: None where there was no such row."""

    table: str
    key: Key
    before: Row | None
    after: Row | None


class Book:
    """Every event of a log, and every version of every row. Made by ``open_book``."""

    def __init__(self, path: Path, identity: str, progress: Progress = no_progress) -> None:
        self.identity = identity
        self._sheets = Sheets(path, identity)
        self._events = EventIndex(self._sheets)
        self._versions = RowVersions(self._sheets)
        self._progress = progress

    @property
    def last(self) -> int:
        """The position up to which the log is in this book."""
        return self._events.last

    def event(self, position: int) -> Recorded | None:
        """The event at ``position``; None if there is none."""
        return self._events.at(position) if 0 < position < END else None

    def find(self, id: str) -> Recorded | None:
        """The event with this id; None if there is none."""
        return next(iter(self._events.found_by("id", id)), None)

    def events(self, after: int = 0, until: int = END) -> Iterator[Recorded]:
        """The events at positions ``after < position <= until``, in order."""
        return self._events.between(after, until)

    def rejects(self, after: int = 0, until: int = END) -> list[Rejected]:
        """What is no event at these positions, in order."""
        return self._events.rejects(after, until)

    def concerning(self, kind: str, key: str, after: int = 0, until: int = END) -> list[Recorded]:
        """The events that name the aggregate ``key`` of this kind (``port``, ``host``, ``leaf``, …), in order."""
        return self._events.found_by(kind, key, after, until)

    def caused_by(self, id: str) -> list[Recorded]:
        """The events whose cause is the event with this id, in order."""
        return self._events.found_by("cause", id)

    def correlated(self, correlation: str) -> list[Recorded]:
        """The events of one story, in order."""
        return self._events.found_by("correlation", correlation)

    def of_type(self, tag: str, after: int = 0, until: int = END) -> list[Recorded]:
        """The events with this tag (``port.refused.v1``), in order."""
        return self._events.found_by("type", tag, after, until)

    def position_at(self, time_us: int) -> int:
        """The newest position that the log had stored at ``time_us``, by its own clock; 0 for none."""
        return self._events.position_at(time_us)

    def row(self, table: str, key: Key, position: int = END) -> Row | None:
        """One row as it was right after ``position``; None if there was none. Raises KeyError for no table."""
        return self._versions.row(table, key, self._folded_to(position))

    def rows(self, table: str, position: int = END, where: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of ``table`` right after ``position`` whose columns equal ``where``, in key order.

        Raises KeyError for an unknown table or column.
        """
        return self._versions.rows(table, self._folded_to(position), where)

    def changes(self, position: int) -> list[Change]:
        """What the event at ``position`` made of the rows that it touched."""
        return self.changed(position - 1, position)

    def changed(self, after: int, until: int) -> list[Change]:
        """The rows that differ between the two positions, in the order in which they last changed."""
        until = self._folded_to(until)
        changes = [
            Change(table, key, self._versions.row(table, key, after), self._versions.row(table, key, until))
            for table, key in self._versions.touched(after, until)
        ]
        return [change for change in changes if change.before != change.after]

    def touched(self, table: str, key: Key, after: int = 0, until: int = END) -> list[int]:
        """The positions of the events that touched a row, in order."""
        return self._versions.positions(table, key, after, self._folded_to(until))

    async def catch_up(self, log: Log) -> None:
        """Take in what is new in ``log``.

        Raises LogUnavailable, NotDone (disk full), and LogMismatch if the log has lost events that the book has: it
        ends before the book does, or says something else where the book ends.
        """
        last, start = await log.last_position(), self.last
        if last < start:
            raise self._lost(f"ends at {last}; it had {start} events when last looked at")
        await self._check(log)
        pending = Batch([], [], start)
        async for batch in log.read(start, last):
            pending = Batch(pending.records + batch.records, pending.rejects + batch.rejects, batch.last)
            if len(pending.records) >= _AT_ONCE:
                self._events.add(pending)
                pending = Batch([], [], batch.last)
            self._progress(batch.last, last)
        if pending.last > self.last:
            self._events.add(pending)

    async def _check(self, log: Log) -> None:
        """A log that lost its end and then grew past it again would make a book of two histories."""
        known = self._events.newest()
        if known is None:
            return
        position = known.position
        async for batch in log.read(position - 1, position):
            for r in batch.records:
                if (r.id, r.stored_us) != (known.id, known.stored_us):
                    raise self._lost(f"has another event at {position}: {r.id}, not the {known.id} that was there")

    def _lost(self, what: str) -> LogMismatch:
        return LogMismatch(
            f"the log {self.identity} {what}: events were lost (see driftline audit). "
            f"The book {self._sheets.path} still has them; move it away to have the log indexed as it is now"
        )

    def close(self) -> None:
        """Give the file back."""
        self._sheets.close()

    def _folded_to(self, position: int) -> int:
        """``position``, or the end of the book if that comes first; all rows are known up to there."""
        position = min(position, self.last)
        self._versions.adopt()
        if position > self._versions.last:
            self._fold()
        return position

    def _fold(self) -> None:
        start, last = self._versions.last, self.last
        views = self._views_at(start)
        versions, written, versions_of = [], start, self._versions.versions_of
        for number, item in enumerate(self._items(start, last), 1):
            versions += versions_of(views, item.position, fold(views, item))
            if number % _AT_ONCE == 0:
                self._versions.add(versions, written, item.position)
                versions, written = [], item.position
                self._progress(item.position, last)
        self._versions.add(versions, written, last)
        if last - start >= _WORTH_KEEPING:
            self._keep(views, last)

    def _items(self, after: int, until: int) -> Iterator[Recorded | Rejected]:
        by_position: Callable[[Any], int] = attrgetter("position")
        return heapq.merge(self.events(after, until), self.rejects(after, until), key=by_position)

    def _views_at(self, position: int) -> Views:
        """The folded state at ``position``: as kept from there or before, and folded on."""
        kept, views = self._kept()
        if kept > position:
            kept, views = 0, Views()
        for item in self._items(kept, position):
            fold(views, item)
        return views

    @property
    def _views_path(self) -> Path:
        return Path(f"{self._sheets.path}.views")

    def _kept(self) -> tuple[int, Views]:
        with suppress(*_UNREADABLE), self._views_path.open("rb") as file:
            version, identity, position = pickle.load(file)
            if (version, identity) == (CURRENT.version, self.identity):
                return position, pickle.load(file)
        return 0, Views()

    def _keep(self, views: Views, position: int) -> None:
        part = Path(f"{self._views_path}.{os.getpid()}")
        try:
            with part.open("wb") as file:
                pickle.dump((CURRENT.version, self.identity, position), file)
                pickle.dump(views, file, pickle.HIGHEST_PROTOCOL)
            part.replace(self._views_path)
        except OSError:  # no room: the next one folds from the start, which costs time only
            part.unlink(missing_ok=True)


async def open_book(log: Log, progress: Progress = no_progress, folder: Path | None = None) -> Book:
    """The book of ``log``, caught up with it. ``folder``: where it is kept, if not in the user's cache.

    Raises LogUnavailable, LogMismatch and NotDone (the file cannot be used).
    """
    identity = await log.identity()
    book = Book(path_of(identity, folder), identity, progress)
    try:
        await book.catch_up(log)
    except BaseException:
        book.close()
        raise
    return book
