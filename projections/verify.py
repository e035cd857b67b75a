"""Is the database what the log says? Rebuilds the tables from the log and compares them with PostgreSQL.

Hashes are compared (``hashes``), range by range; where they differ the rows are, so that the first key that differs is
named, and the events that touched it.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from bus.errors import LogMismatch
from bus.events import tag_of
from bus.log import Log
from projections.edition import Edition
from projections.fold import Key, Table
from projections.hashes import RANGE_ROWS, TableHash
from projections.postgres import Database, Snapshot, snapshot, stream_hashes, stream_tuples
from projections.refold import Progress, no_progress, refold
from projections.sql import storable
from projections.views import Views

Column = str | int | bool | list[str]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where log and database part. ``column``, ``expected`` (log) and ``found`` (database) are set for ``changed``."""

    table: str
    key: list[str | int]
    kind: Literal["changed", "missing", "extra"]
    column: str = ""
    expected: Column | None = None
    found: Column | None = None

    def __str__(self) -> str:
        where = f"{self.table} {', '.join(map(str, self.key))}"
        if self.kind == "changed":
            return f"{where}: {self.column} is {self.found!r} in the database, {self.expected!r} by the log"
        return f"{where}: {'not in the database' if self.kind == 'missing' else 'in the database, not by the log'}"


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """An event that touched a row."""

    position: int
    id: str
    type: str


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is not what the log says. ``first``: its first row that differs.

    ``range_from``, ``range_to``: the first and the last key by the log of the range of rows in which that is.
    """

    first: Difference
    range_from: list[str | int]
    range_to: list[str | int]
    rows_equal: int


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison of all tables found: by table, how many rows are equal and the hash of what is there."""

    rows: dict[str, int]
    hashes: dict[str, str]
    differing: list[Differing]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What ``verify`` found. ``rows``: how many are equal in each table, up to its first difference.

    ``difference`` is the first one, if any, and ``first_touched`` and ``last_touched`` the events that touched its row
    first and last; None where none did. ``differing``: the first one of each table that differs.
    """

    equal: bool
    generation: str
    position: int
    rows: dict[str, int]
    total: int
    hashes: dict[str, str]
    differing: list[Differing]
    difference: Difference | None
    first_touched: Touch | None
    last_touched: Touch | None
    seconds: float


class Comparison:
    """Compares the rows of one table, which must be fed in key order. PURE. ``rows`` counts those that were equal.

    ``keys``: those that are expected, in order, if not all of ``expected``.
    """

    def __init__(self, table: Table, expected: dict[Key, Any], keys: Sequence[Key] | None = None) -> None:
        self._table = table
        self._columns = table.row.__struct_fields__
        self._key = [self._columns.index(name) for name in table.key]
        self._expected = expected
        self._remaining = iter(sorted(expected) if keys is None else keys)
        self._next: Key | None = next(self._remaining, None)
        self.rows = 0

    def feed(self, found: list[tuple[Any, ...]]) -> Difference | None:
        """Compare the next rows of the database; returns the first difference."""
        astuple = msgspec.structs.astuple
        for row in found:
            key = tuple([row[i] for i in self._key])
            if key != self._next:
                return self._unequal_keys(key)
            expected = astuple(self._expected[key])
            if row != expected and row != (stored := tuple(storable(list(expected)))):
                return self._changed(key, stored, row)
            self.rows += 1
            self._next = next(self._remaining, None)
        return None

    def end(self) -> Difference | None:
        """The database has no more rows; returns the first one that it lacks."""
        return None if self._next is None else self._difference(self._next, "missing")

    def _unequal_keys(self, found: Key) -> Difference:
        if self._next is None or found < self._next:
            return self._difference(found, "extra")
        return self._difference(self._next, "missing")

    def _difference(self, key: Key, kind: Literal["missing", "extra"]) -> Difference:
        return Difference(table=self._table.name, key=list(key), kind=kind)

    def _changed(self, key: Key, expected: tuple[Any, ...], found: tuple[Any, ...]) -> Difference:
        pairs = zip(self._columns, expected, found, strict=True)
        column, want, have = next(pair for pair in pairs if pair[1] != pair[2])
        return Difference(
            table=self._table.name, key=list(key), kind="changed", column=column, expected=want, found=have
        )


async def verify(log: Log, database: Database, progress: Progress = no_progress, *, number: int = 0) -> Verdict:
    """Compare all tables of a generation with the log at its own checkpoint. The projector may run meanwhile.

    ``number``: which generation, the live one if 0. ``progress`` is told of the refold. Raises LogMismatch (the tables
    are another log's, or ahead of this one), NotProjected (no tables), NoGeneration, SchemaMismatch,
    DatabaseUnavailable, LogUnavailable and FoldError.
    """
    started = time.perf_counter()
    async with snapshot(database, number) as taken:
        await check_log(log, taken)
        views = await refold(log, taken.position, progress, database.edition)
        compared = await compare(views, taken)
    first = compared.differing[0].first if compared.differing else None
    touches = await _touches(log, taken.position, first, database.edition) if first else []
    return Verdict(
        equal=first is None,
        generation=taken.generation.name,
        position=taken.position,
        rows=compared.rows,
        total=sum(compared.rows.values()),
        hashes=compared.hashes,
        differing=compared.differing,
        difference=first,
        first_touched=touches[0] if touches else None,
        last_touched=touches[-1] if touches else None,
        seconds=time.perf_counter() - started,
    )


async def check_log(log: Log, taken: Snapshot) -> None:
    """Raise LogMismatch unless the tables were made from ``log``, and from no more of it than there is."""
    identity, last = await log.identity(), await log.last_position()
    if taken.log_identity != identity:
        raise LogMismatch(f"the tables were made from the log {taken.log_identity}, not from {identity}")
    if taken.position > last:
        raise LogMismatch(f"the tables show position {taken.position}, the log {identity} ends at {last}")


async def compare(views: Views, taken: Snapshot) -> Compared:
    """Compare all tables with ``views``."""
    compared = Compared(rows={}, hashes={}, differing=[])
    for table in views.tables():
        hashed = TableHash(views.rows(table.name))
        async for count, digests in stream_hashes(taken, table.name, RANGE_ROWS):
            hashed.feed(count, digests)
        compared.hashes[table.name] = hashed.end()
        compared.rows[table.name] = hashed.rows
        if hashed.differs_from is not None:
            differing = await _first_difference(table, views, taken, hashed)
            compared.differing.append(differing)
            compared.rows[table.name] = differing.rows_equal
    return compared


async def _first_difference(table: Table, views: Views, taken: Snapshot, hashed: TableHash) -> Differing:
    start = hashed.differs_from or 0
    comparison = Comparison(table, views.rows(table.name), hashed.keys[start:])
    difference = await _compare_rows(comparison, taken, table.name, start)
    assert difference is not None, f"{table.name}: the hashes differ, the rows do not"
    keys = hashed.keys[start : start + RANGE_ROWS] or [tuple(difference.key)]
    return Differing(
        first=difference,
        range_from=list(keys[0]),
        range_to=list(keys[-1]),
        rows_equal=start + comparison.rows,
    )


async def _compare_rows(comparison: Comparison, taken: Snapshot, table: str, start: int) -> Difference | None:
    async for found in stream_tuples(taken, table, start):
        difference = comparison.feed(found)
        if difference is not None:
            return difference
    return comparison.end()


async def _touches(log: Log, until: int, difference: Difference, edition: Edition) -> list[Touch]:
    """The first and the last event that touched a row; none if no event did."""
    wanted = (difference.table, tuple(difference.key))
    views, found = edition.views(), list[Touch]()
    async for batch in log.read(0, until):
        for record in batch.records:
            if wanted in views.evolve(record):
                touch = Touch(position=record.position, id=record.id, type=tag_of(type(record.event)))
                found = [*found[:1], touch]
        for rejected in batch.rejects:
            if wanted in views.skip(rejected):
                touch = Touch(position=rejected.position, id="", type=rejected.tag)
                found = [*found[:1], touch]
    return found
