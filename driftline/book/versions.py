"""Every version that every row of every projection ever had, by position.

A version's number is its event's position and its place among what that event touched, so the versions lie in the
order of the log, and those of one event or of a stretch of the log are neighbours. For the columns by which rows are
looked for, it is also written down which rows ever held a value.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bus.envelope import Recorded, Rejected
from driftline.book.sheets import Sheets
from driftline.book.terms import digest
from driftline.errors import NotDone
from projections.edition import CURRENT
from projections.fold import Key, Row, Table, Touched
from projections.sql import as_row
from projections.views import Views

#: The columns by which rows are looked for.
HELD = ("name", "instance", "host", "network")
#: How many rows are remembered while folding, so that what they hold is not written down again with each version.
_KNOWN_MAX = 200_000
#: Room for this many rows that one event touches.
_PLACES = 20
_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode
_Version = tuple[int, int, int, int, bytes]


def _first(position: int) -> int:
    return position << _PLACES


class RowVersions:
    """The rows as they were after any position up to ``last``."""

    def __init__(self, sheets: Sheets) -> None:
        self._sheets, self._db = sheets, sheets.db
        self._tables: tuple[Table, ...] = Views().tables()
        self._numbers = {table.name: number for number, table in enumerate(self._tables)}
        self._held = [
            [(i, name) for i, name in enumerate(table.row.__struct_fields__) if name in HELD] for table in self._tables
        ]
        self._known: dict[tuple[int, int], list[Any]] = {}
        self._holders: list[tuple[int, int, int]] = []

    @property
    def last(self) -> int:
        """The position up to which the events are folded."""
        return self._sheets.number("rows_to")

    def versions_of(self, views: Views, position: int, touched: Iterable[Touched]) -> list[_Version]:
        """What one event made of the rows it touched, as ``views`` shows them now."""
        versions: list[_Version] = []
        for place, (name, key) in enumerate(dict.fromkeys(touched)):
            row, number, digested = views.row(name, key), self._numbers[name], _digest(key)
            values = key if row is None else msgspec.structs.astuple(row)
            versions.append((_first(position) + place, number, digested, row is None, _encode(values)))
            if row is not None:
                self._note_held(number, digested, values)
        return versions

    def _note_held(self, number: int, key: int, values: tuple[Any, ...]) -> None:
        held = [values[i] for i, _ in self._held[number]]
        if self._known.get((number, key)) != held:
            self._known[number, key] = held
            named = zip(self._held[number], held, strict=True)
            self._holders += [(number, digest(name, value), key) for (_, name), value in named if value]

    def add(self, versions: Iterable[_Version], after: int, position: int) -> None:
        """Write down the versions of all events at ``after < … <= position``, all of them or nothing.

        Raises NotDone if those up to ``after`` are not there (any more): another program has begun anew.
        """
        with self._sheets.writing():
            if self.last < after or self._sheets.about("rows_version") != CURRENT.version:
                raise NotDone(f"the book {self._sheets.path} was begun anew by another driftline meanwhile; ask again")
            self._db.executemany("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?, ?)", versions)
            self._db.executemany("INSERT OR IGNORE INTO holders VALUES (?, ?, ?)", self._holders)
            self._sheets.note("rows_to", max(position, self.last))
        self._holders.clear()
        if len(self._known) > _KNOWN_MAX:
            self._known.clear()

    def adopt(self) -> None:
        """Forget all versions if they are those of a program with other projections."""
        if self._sheets.about("rows_version") == CURRENT.version:
            return
        with self._sheets.writing():
            if self._sheets.about("rows_version") != CURRENT.version:  # another process may have come first
                self._db.execute("DELETE FROM versions")
                self._db.execute("DELETE FROM holders")
                self._sheets.note("rows_to", 0)
                self._sheets.note("rows_version", CURRENT.version)

    def row(self, table: str, key: Key, position: int) -> Row | None:
        """One row as it was after ``position``; None if there was none. Raises KeyError for an unknown table."""
        found = self._sheets.read(
            "SELECT gone, body FROM versions WHERE sheet = ? AND key = ? AND version < ? ORDER BY version DESC LIMIT 1",
            (self._numbers[table], _digest(key), _first(position + 1)),
        )
        return None if not found or found[0][0] else self._row(self._numbers[table], found[0][1])

    def rows(self, table: str, position: int, where: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of ``table`` as they were after ``position`` whose columns equal ``where``, in key order.

        Raises KeyError for an unknown table or column.
        """
        number, wanted = self._numbers[table], dict(where or {})
        names = self._tables[number].row.__struct_fields__
        unknown = wanted.keys() - set(names)
        if unknown:
            raise KeyError(f"{table} has no column {', '.join(sorted(unknown))}")
        tests = [(names.index(name), value) for name, value in wanted.items()]
        bodies = self._bodies(number, position, wanted)
        for text in (value.encode() for value in wanted.values() if isinstance(value, str)):
            bodies = [body for body in bodies if text in body]  # texts lie in it as they are: most need no decoding
        found = [values for values in map(_decode, bodies) if all(values[i] == value for i, value in tests)]
        key = [names.index(name) for name in self._tables[number].key]
        found.sort(key=lambda values: [values[i] for i in key])
        return [as_row(self._tables[number], tuple(values)) for values in found]

    def touched(self, after: int, until: int) -> Iterator[Touched]:
        """The rows that events at positions ``after < position <= until`` touched, each once."""
        rows = self._sheets.read(
            "SELECT sheet, gone, body, max(version) FROM versions WHERE version >= ? AND version < ? "
            "GROUP BY sheet, key ORDER BY max(version)",
            (_first(after + 1), _first(until + 1)),
        )
        for number, gone, body, _ in rows:
            table = self._tables[number]
            values = _decode(body)
            names = table.row.__struct_fields__
            yield table.name, tuple(values) if gone else tuple(values[names.index(name)] for name in table.key)

    def positions(self, table: str, key: Key, after: int = 0, until: int = (1 << 42)) -> list[int]:
        """The positions of the events that touched a row, in order."""
        rows = self._sheets.read(
            "SELECT version FROM versions WHERE sheet = ? AND key = ? AND version BETWEEN ? AND ? ORDER BY version",
            (self._numbers[table], _digest(key), _first(after + 1), _first(until + 1) - 1),
        )
        return [version >> _PLACES for (version,) in rows]

    def _bodies(self, number: int, position: int, wanted: Mapping[str, Any]) -> Iterable[bytes]:
        """The rows of a sheet as they were after ``position``: at least all those that are ``wanted``."""
        key = tuple(wanted[name] for name in self._tables[number].key if name in wanted)
        held = [(name, wanted[name]) for name in HELD if isinstance(wanted.get(name), str) and wanted[name]]
        given: tuple[int, ...]
        newest = "SELECT max(version) FROM versions WHERE sheet = ? {} AND version < ? GROUP BY key"
        if len(key) == len(self._tables[number].key):
            newest, given = newest.format("AND key = ?"), (number, _digest(key))
        elif held:
            keys = "AND key IN (SELECT key FROM holders WHERE sheet = ? AND term = ?)"
            newest, given = newest.format(keys), (number, number, digest(*held[0]))
        else:
            newest, given = newest.format(""), (number,)
        rows = self._sheets.read(
            f"SELECT body FROM versions WHERE version IN ({newest}) AND NOT gone", (*given, _first(position + 1))
        )
        return [body for (body,) in rows]

    def _row(self, number: int, body: bytes) -> Row:
        return as_row(self._tables[number], tuple(_decode(body)))


def fold(views: Views, item: Recorded | Rejected) -> tuple[Touched, ...]:
    """Take one message of the log into ``views``; returns the rows it may have changed."""
    return views.skip(item) if isinstance(item, Rejected) else views.evolve(item)


def _digest(key: Key) -> int:
    return digest("key", _encode(key).hex())
