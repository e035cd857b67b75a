"""What of a log goes into a recording: all of it, or the stories that concern something and the world they stand on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import msgspec

from bus.decoding import Raw
from bus.envelope import Envelope, Recorded, encode, now_us
from bus.events import Event, WorkerStarted, tag_of
from bus.log import RawLog
from bus.recording import Header, refuse_existing, write_recording
from bus.subjects import subject_of
from driftline.book import Book
from driftline.errors import UsageError
from driftline.questions import history
from projections.hosts import Hosts
from projections.refold import Progress, no_progress
from projections.world import World

#: What describes the world, and how its hosts fare: without it no story can be read.
WORLD: frozenset[type[Event]] = frozenset({*World.inputs(), *Hosts.inputs(), WorkerStarted})


class Destination:
    """The file at ``path`` that a recording is to go to; to be made before any long work.

    Raises UsageError, naming ``option``, when it cannot be written, or exists and is not to be replaced (``force``).
    """

    def __init__(self, path: Path, option: str, *, force: bool) -> None:
        self._path, self._option, self._force = path, option, force
        with self._told():
            refuse_existing(path, force=force)

    def write(self, header: Header, raws: Sequence[Raw]) -> int:
        """Write the recording, whole or not at all; returns its size, bytes."""
        with self._told():
            return write_recording(self._path, header, raws, force=self._force)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise UsageError(f"{self._option} {self._path}: {error.strerror}; --force replaces a file") from error
        except OSError as error:
            raise UsageError(f"{self._option} {self._path}: {error.strerror or error}") from error


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a log; empty for all. ``about``: the stories that have to do with this thing."""

    correlation: str = ""
    about: str = ""

    def document(self) -> dict[str, str]:
        """As the header of the file says it."""
        chosen = {"correlation": self.correlation, "about": self.about}
        return {name: value for name, value in chosen.items() if value}


async def recorded(
    log: RawLog, selection: Selection, book: Book | None, progress: Progress = no_progress
) -> tuple[Header, list[Raw]]:
    """The header and the messages of a recording of ``log``. ``book`` is needed for a part only, and says up to where.

    Raises UsageError when nothing is like what was selected, and LogUnavailable.
    """
    last = await log.last_position() if book is None else book.last  # a log that goes on has told the book no more
    chosen = _positions(selection, book) if book is not None else None
    raws: list[Raw] = []
    async for batch in log.read_raw(0, last):
        raws += batch.raws if chosen is None else [raw for raw in batch.raws if raw.position in chosen]
        progress(batch.last, last)
    header = Header(identity=await log.identity(), recorded_us=now_us(), log_last=last, selection=selection.document())
    return header, raws


def simulated(records: Sequence[Recorded], name: str) -> tuple[Header, list[Raw]]:
    """The header and the messages of a recording of a simulated run, in its virtual time."""
    last_us = records[-1].time_us if records else 0
    header = Header(identity=name, recorded_us=last_us, log_last=records[-1].position if records else 0)
    times = accumulate((r.time_us for r in records), max)
    raws = [
        Raw(r.position, subject_of(r.event), _encoded(r), time_us) for r, time_us in zip(records, times, strict=True)
    ]
    return header, raws


def _positions(selection: Selection, book: Book) -> set[int]:
    """The positions of the stories that are selected, of all that led to them, and of the world they stand on."""
    if selection.correlation:
        if not book.correlated(selection.correlation):
            raise UsageError(f"--correlation: the log has no story {selection.correlation}")
        stories = {selection.correlation}
    else:
        stories = {r.correlation for r in history(book, selection.about, book.last)}
    waiting = [r for story in sorted(stories) for r in book.correlated(story)]
    chosen = {r.position for event_type in WORLD for r in book.of_type(tag_of(event_type))}
    while waiting:
        r = waiting.pop()
        cause = book.find(r.cause) if r.cause else None
        if cause is not None and cause.position not in chosen:
            waiting.append(cause)
        chosen.add(r.position)
    return chosen


def _encoded(r: Recorded) -> bytes:
    return encode(
        Envelope(
            id=r.id,
            event=r.event,  # type: ignore[arg-type]  # read from a log, so of the union
            cause=r.cause,
            correlation=r.correlation,
            actor=r.actor,
            time_us=r.time_us,
            traceparent=r.traceparent,
        )
    )
