"""What a reading command reads: the projections as they are, or as they were, of a live log or of a recorded one."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from bus.envelope import now_us
from bus.log import Checkpoints, RawLog
from bus.recording import open_recording
from driftline.book import Book, open_book
from driftline.book.events import END
from driftline.errors import UsageError
from driftline.stack import Options, existing, open_bus, open_stack
from driftline.state import State, Then
from projections.refold import Progress, no_progress

_AGO = re.compile(r"(\d+)\s*(s|m|h|d)(\s+ago)?")
_UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said about what to read: of which servers or file, and as of when; empty or None for now."""

    options: Options
    as_of: str = ""
    file: Path | None = None
    progress: Progress = no_progress


class Past(NamedTuple):
    """The book of a log, the log itself, and the position as of which to answer.

    ``checkpoints``: how far the workers are; None for a recording. ``now_us``: there, what "10m ago" is counted from,
    the end of the recording; None for a live log, whose now goes on.
    """

    book: Book
    log: RawLog
    position: int
    checkpoints: Checkpoints | None = None
    now_us: int | None = None

    @property
    def state(self) -> Then:
        """The rows as they were."""
        return Then(self.book, self.position)


@asynccontextmanager
async def open_state(reading: Reading) -> AsyncIterator[State]:
    """The rows to read. Raises UsageError for a position or time that is none; what opening servers or files raises."""
    if reading.as_of or reading.file is not None:
        async with open_past(reading) as past:
            yield past.state
        return
    from driftline.current import Now, current_projections

    async with open_stack(existing(reading.options)) as stack, current_projections(stack):
        yield Now(stack.database)


@asynccontextmanager
async def open_past(reading: Reading) -> AsyncIterator[Past]:
    """The book of the log that is read, caught up with it. Raises as ``open_state`` does."""
    async with AsyncExitStack() as exits:
        log, checkpoints = await exits.enter_async_context(_open(reading))
        book = await open_book(log, reading.progress)
        exits.callback(book.close)
        at_us = _end_us(book, book.last) if reading.file is not None else None
        yield Past(book, log, position_of(book, reading.as_of, now_us=at_us), checkpoints, at_us)


@asynccontextmanager
async def open_log(reading: Reading) -> AsyncIterator[RawLog]:
    """The log that is read: a live one, or a recording. Raises as ``open_state`` does."""
    async with _open(reading) as (log, _):
        yield log


@asynccontextmanager
async def _open(reading: Reading) -> AsyncIterator[tuple[RawLog, Checkpoints | None]]:
    if reading.file is not None:
        yield open_recording(reading.file), None
        return
    async with open_bus(existing(reading.options)) as bus:
        yield bus.log, bus.checkpoints


def position_of(book: Book, as_of: str, option: str = "--as-of", *, now_us: int | None = None) -> int:
    """The position that ``as_of`` means: empty for the end, a position, or a time by the log's own clock.

    Times are ISO 8601 (UTC unless they say otherwise) or how long ago: ``90s``, ``10m``, ``2h ago``, ``3d``
    (before ``now_us``, else before now). Raises UsageError, naming ``option``.
    """
    if not as_of:
        return book.last
    if as_of.isdecimal():
        position = int(as_of)
        if position > book.last:
            raise UsageError(f"{option} {as_of}: the log ends at position {book.last}")
        return position
    return book.position_at(_time(book, as_of, option, now_us))


def moment_of(past: Past, reading: Reading) -> int:
    """The time as of which to answer, microseconds: now, that of a recording's end, or what ``--as-of`` says."""
    if reading.as_of and not reading.as_of.isdecimal():
        return _time(past.book, reading.as_of, "--as-of", past.now_us)
    if not reading.as_of and reading.file is None:
        return now_us()
    return _end_us(past.book, past.position)


def _end_us(book: Book, position: int) -> int:
    """When the event at ``position`` was stored, microseconds; now, if there is none."""
    last = book.event(position)
    return (last.stored_us or last.time_us) if last is not None else now_us()


def _newest_us(book: Book) -> int:
    """The time of the newest event, by the clock of who stored it or of who said it, microseconds; 0 if none."""
    newest = book.event(book.position_at(END))
    return max(newest.stored_us, newest.time_us) if newest is not None else 0


def _time(book: Book, text: str, option: str, until_us: int | None) -> int:
    """The time that ``text`` means, microseconds; how long ago is counted from ``until_us``, else from now."""
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return max((now_us() if until_us is None else until_us) - int(ago[1]) * _UNIT_US[ago[2]], 0)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: neither a position, an ISO 8601 time, nor like 10m or 2h ago") from error
    time_us = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    if time_us > max(now_us(), _newest_us(book)):  # other machines' clocks may be ahead of this one's
        raise UsageError(f"{option} {text}: that time has not come yet, so no log knows of it")
    return time_us
