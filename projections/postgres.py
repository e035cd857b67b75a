"""PostgreSQL: where the projections are kept. The only importer of asyncpg.

One transaction a batch holds the changed rows of all tables and the checkpoint, so the tables always show the state at
exactly one position of the log. Readers read the live generation (``catalogue``).
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

from projections import catalogue, sql
from projections.edition import CURRENT, Edition
from projections.errors import DatabaseUnavailable, NoGeneration, NotProjected, SchemaMismatch
from projections.fold import Row, Table
from projections.sql import Value

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"  # generic in its stubs only

#: How long connecting, and any one statement, may take, seconds.
CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S = 5.0, 60.0
#: How long what goes over whole tables may take, seconds.
LONG_S = 3600.0
#: How many rows a reader fetches at a time.
FETCH_ROWS = 2000
#: What the projections of this program are: it changes with any of them.
VERSION = CURRENT.version

#: PostgreSQL cannot hold a value: a NUL in a text, a number that is too large.
Unstorable = asyncpg.DataError
#: A table that was there is not there any more.
TableGone = asyncpg.UndefinedTableError
#: A lock was not to be had in time.
Locked = asyncpg.LockNotAvailableError

#: The server is away, starting, stopping, out of room, or asks to try again: nothing is wrong with what was asked.
_TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InternalClientError,  # the server died while a connection was being given back to the pool
)
#: At the first connection these are as final as a wrong address.
_REFUSED: tuple[type[Exception], ...] = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    ValueError,  # what is no DSN
)


class Generation(NamedTuple):
    """One complete set of tables. ``name`` is its schema's; ``versions``: those of the projections, by their names.

    ``state``: ``live`` is read; ``building`` and ``ready`` (built, compared) wait to be; ``previous`` was live before.
    """

    number: int
    state: str
    version: str
    versions: dict[str, str]
    position: int
    log_identity: str
    writer: str

    @property
    def name(self) -> str:
        """``driftline_g7``."""
        return catalogue.schema_of(self.number)


class Snapshot(NamedTuple):
    """A connection that sees one state of the database, and the generation that is read there, with its position."""

    connection: Connection
    generation: Generation
    tables: dict[str, Table]

    @property
    def position(self) -> int:
        """The position of the log that all tables show."""
        return self.generation.position

    @property
    def log_identity(self) -> str:
        """The log that the tables were made from."""
        return self.generation.log_identity

    def statements(self, table: str) -> sql.TableSql:
        """The SQL of a table. Raises KeyError for an unknown name."""
        return sql.table_sql(self.tables[table], self.generation.name)


class Database:
    """A pool of connections. All methods raise DatabaseUnavailable, which names ``place`` and never a password.

    ``edition``: the projections of whoever uses it.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", place: str, edition: Edition = CURRENT) -> None:
        self._pool = pool
        self.place = place
        self.edition = edition

    async def clear(self) -> None:
        """Drop all generations with all they hold: the next projector starts from nothing."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(catalogue.LOCK_META)
            names = [row["name"] for row in await connection.fetch(catalogue.SCHEMAS)]
            for name in (*names, catalogue.SCHEMA):
                await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool, for as long as the block lasts."""
        with _mapped(self.place):
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                try:
                    yield connection
                except asyncpg.InternalClientError as error:
                    # Seen when the server dies between two statements: asyncpg has lost track of the conversation.
                    if not _is_lost(connection):
                        connection.terminate()
                    raise DatabaseUnavailable(f"{self.place}: the connection was lost ({error})") from error
                except asyncpg.InterfaceError as error:
                    if _is_lost(connection):
                        raise DatabaseUnavailable(f"{self.place}: the connection was lost") from error
                    raise


@asynccontextmanager
async def connect(dsn: str, *, connections: int = 4, edition: Edition = CURRENT) -> AsyncIterator[Database]:
    """A database at ``dsn`` (a PostgreSQL URL), closed at the end. Raises DatabaseUnavailable."""
    place = place_of(dsn)
    # No minimum: the pool would try to keep it in the background, and log a traceback each time while we are waiting.
    pool = asyncpg.create_pool(
        dsn, min_size=0, max_size=connections, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S
    )
    try:
        with _mapped(place, _TRANSIENT + _REFUSED):
            await pool
            await pool.release(await pool.acquire())
        yield Database(pool, place, edition)
    finally:
        # Whoever took a connection has given it back by now, or was cancelled; a server that is away must not hold us.
        pool.terminate()


def place_of(dsn: str) -> str:
    """Where ``dsn`` leads, for people: host or socket directory, port and database, without user and password."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    host = query.get("host", [""])[0] or parts.netloc.rpartition("@")[2] or "the default host"
    port = query.get("port", [""])[0]
    return f"PostgreSQL at {host}{':' + port if port else ''}, database {parts.path.strip('/') or 'of the user'}"


async def generations(connection: Connection) -> list[Generation]:
    """All generations, the oldest first; none where there is no catalogue yet."""
    if not await connection.fetchval(catalogue.HAS_META):
        return []
    return [as_generation(row) for row in await connection.fetch(catalogue.READ_ALL)]


def as_generation(row: "asyncpg.Record") -> Generation:
    """A row of the catalogue."""
    return Generation(**{**row, "versions": json.loads(row["versions"])})


@asynccontextmanager
async def snapshot(database: Database, number: int = 0) -> AsyncIterator[Snapshot]:
    """One consistent state of all tables, whatever is written meanwhile: of generation ``number``, else the live one.

    Raises NotProjected (no tables), NoGeneration, SchemaMismatch (those of another version) and DatabaseUnavailable.
    """
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await _chosen(connection, database.place, number)
        if found.version != database.edition.version:
            raise SchemaMismatch(mismatch(database, found))
        await connection.execute(catalogue.KEEP, found.number)
        yield Snapshot(connection, found, {table.name: table for table in database.edition.tables})


async def _chosen(connection: Connection, place: str, number: int) -> Generation:
    every = await generations(connection)
    if not every and await connection.fetchval(catalogue.HAS_OLD):
        raise SchemaMismatch(f"{place} holds projections from before there were generations: {_HOW_TO_REBUILD}")
    wanted = [one for one in every if (one.number == number if number else one.state == "live")]
    if wanted:
        return wanted[0]
    if number:
        raise NoGeneration(f"{place} has no generation {number} (there are: {', '.join(g.name for g in every) or '-'})")
    raise NotProjected(f"{place} holds no projections yet: no projector has run")


_HOW_TO_REBUILD = (
    "build them anew with `driftline projections rebuild --swap` (nothing is lost, they come from the log)"
)


def mismatch(database: Database, found: Generation) -> str:
    """What to say where ``found`` is there and another version is needed."""
    return (
        f"{database.place} holds the projections of version {found.version}, this program needs "
        f"{database.edition.version}: {_HOW_TO_REBUILD}"
    )


async def stream_tuples(seen: Snapshot, table: str, after: int = 0) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The rows of ``table`` in key order but the first ``after``, in chunks, as tuples in column order."""
    statements = seen.statements(table)
    cursor = await seen.connection.cursor(f"{statements.select}{sql.by_key(statements.table)} OFFSET {after:d}")
    while rows := await cursor.fetch(FETCH_ROWS):
        yield [tuple(row) for row in rows]


async def stream_hashes(seen: Snapshot, table: str, rows: int) -> AsyncIterator[tuple[int, bytes]]:
    """For each range of ``rows`` rows in key order: how many there are, and their digests one after the other."""
    cursor = await seen.connection.cursor(seen.statements(table).hashes, rows)
    while found := await cursor.fetch(20, timeout=LONG_S):
        for one in found:
            yield one["rows"], one["digests"]


async def fetch_table(
    seen: Snapshot,
    table: str,
    where: Mapping[str, Value] | None = None,
    *,
    limit: int | None = None,
    newest_first: bool = False,
) -> list[Row]:
    """The rows of ``table`` whose columns equal ``where``, in key order or backwards.

    Raises KeyError for an unknown name.
    """
    statements = seen.statements(table)
    wanted = dict(where or {})
    unknown = wanted.keys() - set(statements.columns)
    if unknown:
        raise KeyError(f"{table} has no column {', '.join(sorted(unknown))}")
    query = statements.select + sql.where(list(wanted)) + sql.by_key(statements.table, newest_first=newest_first)
    if limit is not None:
        query += f" LIMIT {limit:d}"
    rows = await seen.connection.fetch(query, *wanted.values())
    return [sql.as_row(statements.table, tuple(row)) for row in rows]


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has noticed already, and has taken it from us
        return True


@contextmanager
def _mapped(place: str, errors: tuple[type[Exception], ...] = _TRANSIENT) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise DatabaseUnavailable(f"{place}: {error or type(error).__name__}") from error
