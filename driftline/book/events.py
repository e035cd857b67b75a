"""The events of a book, by position and by term."""

from collections.abc import Iterator

import msgspec

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Recorded, Rejected, encode
from bus.log import Batch
from bus.subjects import subject_of
from driftline.book.sheets import Sheets
from driftline.book.terms import digest, terms_of

#: After all positions.
END = 1 << 62
_CHUNK = 2_000


class EventIndex:
    """Every event and reject up to ``last``."""

    def __init__(self, sheets: Sheets) -> None:
        self._sheets, self._db = sheets, sheets.db

    @property
    def last(self) -> int:
        """The position up to which the log was read."""
        return self._sheets.number("events_to")

    def add(self, batch: Batch) -> None:
        """Write down what was read, all of it or nothing."""
        terms: set[tuple[int, int]] = set()
        for r in batch.records:
            terms.update((digest(*term), r.position) for term in terms_of(r))
        with self._sheets.writing():
            self._db.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", map(_stored, batch.records))
            self._db.executemany(
                "INSERT OR IGNORE INTO rejects VALUES (?, ?)",
                [(rejected.position, msgspec.msgpack.encode(rejected)) for rejected in batch.rejects],
            )
            self._db.executemany("INSERT OR IGNORE INTO terms VALUES (?, ?)", sorted(terms))
            self._sheets.note("events_to", max(batch.last, self.last))

    def at(self, position: int) -> Recorded | None:
        """The event at ``position``; None if there is none."""
        rows = self._sheets.read("SELECT position, stored_us, data FROM events WHERE position = ?", (position,))
        return next(_records(rows), None)

    def newest(self) -> Recorded | None:
        """The last event, wherever what is no event may follow; None if there is none."""
        rows = self._sheets.read("SELECT position, stored_us, data FROM events ORDER BY position DESC LIMIT 1")
        return next(_records(rows), None)

    def between(self, after: int, until: int) -> Iterator[Recorded]:
        """The events at positions ``after < position <= until``, in order."""
        while True:
            rows = self._sheets.read(
                "SELECT position, stored_us, data FROM events WHERE position > ? AND position <= ? "
                "ORDER BY position LIMIT ?",
                (after, until, _CHUNK),
            )
            if not rows:
                return
            yield from _records(rows)
            after = rows[-1][0]

    def rejects(self, after: int, until: int) -> list[Rejected]:
        """What was no event at these positions, in order."""
        rows = self._sheets.read(
            "SELECT data FROM rejects WHERE position > ? AND position <= ? ORDER BY position", (after, until)
        )
        return [msgspec.msgpack.decode(data, type=Rejected) for (data,) in rows]

    def found_by(self, kind: str, value: str, after: int = 0, until: int = END) -> list[Recorded]:
        """The events with this term, in order."""
        rows = self._sheets.read(
            "SELECT e.position, e.stored_us, e.data FROM terms t JOIN events e ON e.position = t.position "
            "WHERE t.term = ? AND t.position > ? AND t.position <= ? ORDER BY t.position",
            (digest(kind, value), after, until),
        )
        return list(_records(rows))

    def position_at(self, time_us: int) -> int:
        """The position of the newest event that the log had stored at ``time_us``; 0 if none."""
        rows = self._sheets.read(
            "SELECT position FROM events WHERE stored_us <= ? ORDER BY stored_us DESC, position DESC LIMIT 1",
            (time_us,),
        )
        return int(rows[0][0]) if rows else 0


def _stored(r: Recorded) -> tuple[int, int, bytes]:
    envelope = Envelope(
        id=r.id,
        event=r.event,  # type: ignore[arg-type]  # read from a log, so of the union
        cause=r.cause,
        correlation=r.correlation,
        actor=r.actor,
        time_us=r.time_us,
        traceparent=r.traceparent,
    )
    return r.position, r.stored_us, subject_of(r.event).encode() + b"\n" + encode(envelope)


def _records(rows: list[tuple[int, int, bytes]]) -> Iterator[Recorded]:
    raws = []
    for position, stored_us, data in rows:
        subject, _, body = data.partition(b"\n")
        raws.append(Raw(position, subject.decode(), body, stored_us))
    return iter(decode_batch(raws)[0])
