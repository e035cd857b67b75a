"""Is the database what the log says? Rebuilds the tables from the log and compares them with PostgreSQL, row by row."""

import time
from typing import Any, Literal

import msgspec

from bus.errors import LogMismatch
from bus.log import Log
from projections.fold import Key, Table
from projections.postgres import Database, Snapshot, snapshot, stream_tuples
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


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What ``verify`` found. ``rows``: how many were compared in each table; ``difference``: the first one, if any."""

    equal: bool
    position: int
    rows: dict[str, int]
    total: int
    difference: Difference | None
    seconds: float


class Comparison:
    """Compares the rows of one table, which must be fed in key order. PURE. ``rows`` counts those that were equal."""

    def __init__(self, table: Table, expected: dict[Key, Any]) -> None:
        self._table = table
        self._columns = table.row.__struct_fields__
        self._key = [self._columns.index(name) for name in table.key]
        self._expected = expected
        self._remaining = iter(sorted(expected))
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


async def verify(log: Log, database: Database, progress: Progress = no_progress) -> Verdict:
    """Compare all tables with the log at the database's own checkpoint. The projector may run meanwhile.

    ``progress`` is told of the refold. Raises LogMismatch (the tables are another log's, or ahead of this one),
    NotProjected (no tables), SchemaMismatch, DatabaseUnavailable, LogUnavailable and FoldError.
    """
    started = time.perf_counter()
    async with snapshot(database) as taken:
        await _check_log(log, taken)
        views = await refold(log, taken.position, progress)
        rows, difference = await _compare(views, taken)
    return Verdict(
        equal=difference is None,
        position=taken.position,
        rows=rows,
        total=sum(rows.values()),
        difference=difference,
        seconds=time.perf_counter() - started,
    )


async def _check_log(log: Log, taken: Snapshot) -> None:
    identity, last = await log.identity(), await log.last_position()
    if taken.log_identity != identity:
        raise LogMismatch(f"the tables were made from the log {taken.log_identity}, not from {identity}")
    if taken.position > last:
        raise LogMismatch(f"the tables show position {taken.position}, the log {identity} ends at {last}")


async def _compare(views: Views, taken: Snapshot) -> tuple[dict[str, int], Difference | None]:
    rows: dict[str, int] = {}
    for table in views.tables():
        comparison = Comparison(table, views.rows(table.name))
        difference = await _compare_table(comparison, taken, table.name)
        rows[table.name] = comparison.rows
        if difference is not None:
            return rows, difference
    return rows, None


async def _compare_table(comparison: Comparison, taken: Snapshot, table: str) -> Difference | None:
    async for found in stream_tuples(taken.connection, table):
        difference = comparison.feed(found)
        if difference is not None:
            return difference
    return comparison.end()
