"""What PostgreSQL can take in through asyncpg, on a table of its own that is dropped again."""

from collections.abc import AsyncGenerator, AsyncIterator

from driftline.bench.figure import Bounds, Figure, measured
from projections.postgres import Connection, Database

#: How many rows go in one statement.
ROWS = 2000
_TABLE = "driftline_bench"
_CREATE = (
    f"CREATE TABLE {_TABLE} (port text PRIMARY KEY, host text NOT NULL, state text NOT NULL, at_us bigint NOT NULL)"
)
_UPSERT = f"""
    INSERT INTO {_TABLE} SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    ON CONFLICT (port) DO UPDATE SET host = excluded.host, state = excluded.state, at_us = excluded.at_us
"""

Columns = tuple[list[str], list[str], list[str], list[int]]


async def of_database(database: Database, bounds: Bounds) -> AsyncIterator[Figure]:
    """The figures of PostgreSQL, one after the other. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        await connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        await connection.execute(_CREATE)
        try:
            for name, what, steps in (
                ("rows.copy", "COPY into a table with its key", _copied(connection, bounds.rows)),
                ("rows.insert", "upsert from unnest, new rows", _upserted(connection, bounds.rows, "new")),
                ("rows.update", "upsert from unnest, rows that are there", _upserted(connection, bounds.rows, "new")),
            ):
                yield await measured(name, what, steps, bounds, unit="rows")
        finally:
            await connection.execute(f"DROP TABLE {_TABLE}")


def _columns(start: int, until: int, prefix: str) -> Columns:
    numbers = range(start, until)
    return (
        [f"{prefix}{number}-0" for number in numbers],
        [f"az1-h{number % 50}" for number in numbers],
        ["ACTIVE"] * len(numbers),
        [1_760_000_000_000_000 + number for number in numbers],
    )


async def _copied(connection: Connection, count: int) -> AsyncGenerator[int, None]:
    for start in range(0, count, ROWS):
        columns = _columns(start, min(count, start + ROWS), "copied")
        await connection.copy_records_to_table(_TABLE, records=list(zip(*columns, strict=True)))
        yield len(columns[0])


async def _upserted(connection: Connection, count: int, prefix: str) -> AsyncGenerator[int, None]:
    for start in range(0, count, ROWS):
        columns = _columns(start, min(count, start + ROWS), prefix)
        await connection.execute(_UPSERT, *columns)
        yield len(columns[0])
