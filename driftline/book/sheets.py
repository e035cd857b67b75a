"""The SQLite file of a book. It is a cache: made from a log, thrown away and made anew whenever in doubt."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus.events import EVENT_TYPES, tag_of
from bus.upcasting import UPCASTERS
from driftline.book.shelf import alone
from driftline.errors import NotDone

#: Raise it when what the file holds changes: files of another format are made anew.
FORMAT = 3
#: How long one process waits while another one writes, seconds.
BUSY_S = 60.0

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE events (position INTEGER PRIMARY KEY, stored_us INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE rejects (position INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE terms (term INTEGER, position INTEGER, PRIMARY KEY (term, position)) WITHOUT ROWID;
CREATE TABLE versions (version INTEGER PRIMARY KEY, sheet INTEGER NOT NULL, key INTEGER NOT NULL, gone INTEGER NOT NULL,
                       body BLOB NOT NULL);
CREATE TABLE holders (sheet INTEGER, term INTEGER, key INTEGER, PRIMARY KEY (sheet, term, key)) WITHOUT ROWID;
CREATE INDEX versions_of_key ON versions (sheet, key, version);
CREATE INDEX events_by_time ON events (stored_us, position);
"""


class Sheets:
    """An open file. Raises NotDone when it cannot be used, naming the file."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self._identity = identity
        # One at a time: nobody may open the file while it is unlinked and made anew.
        with _told(path), alone(path):
            self.db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            if not self._usable():
                self._make_anew()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all that is written in it, or nothing. Raises NotDone if the disk is full or the file torn."""
        with _told(self.path), self.db:
            self.db.execute("BEGIN IMMEDIATE")
            yield

    def read(self, query: str, values: Sequence[int | str] = ()) -> list[Any]:
        """All rows that a query finds. Raises NotDone if the file is torn, naming it."""
        with _told(self.path):
            return self.db.execute(query, values).fetchall()

    def about(self, name: str) -> int | str | None:
        """What the file says of itself; None if nothing."""
        try:
            row = self.db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        except sqlite3.OperationalError:  # an empty file has no tables
            return None
        return row[0] if row else None

    def note(self, name: str, value: int | str) -> None:
        """Have the file say so of itself, within the transaction that is under way."""
        self.db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def number(self, name: str) -> int:
        """A number that the file says of itself; 0 if it does not."""
        return int(self.about(name) or 0)

    def close(self) -> None:
        """Give the file back."""
        self.db.close()

    def _usable(self) -> bool:
        try:
            _set_up(self.db)
            return self.about("format") == _format() and self.about("identity") == self._identity
        except sqlite3.OperationalError:  # locked, no disk: the file may be a good one
            raise
        except sqlite3.DatabaseError:  # torn by a crash of the machine, or no book at all
            return False

    def _make_anew(self) -> None:
        self.db.close()
        for part in ("", "-wal", "-shm", ".views"):
            Path(f"{self.path}{part}").unlink(missing_ok=True)
        self.db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        _set_up(self.db)
        self.db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}")
        self.note("format", _format())
        self.note("identity", self._identity)
        self.db.commit()


def _set_up(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")  # a cache: what a crash of the machine tears is made anew
    db.execute("PRAGMA cache_size = -262144")


def _format() -> str:
    """What a file holds: also the event types of the program, since one that it knows not is kept as no event."""
    words = sorted(f"{tag_of(event_type)} {event_type.__struct_fields__}" for event_type in EVENT_TYPES)
    words += sorted(UPCASTERS)
    return f"{FORMAT} {hashlib.sha256(repr(words).encode()).hexdigest()[:16]}"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise NotDone(f"the book {path} of the log: {error}") from error
