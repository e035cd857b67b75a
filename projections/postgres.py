"""PostgreSQL: where the projections are kept. The only importer of asyncpg.

One transaction a batch holds the changed rows of all tables and the checkpoint, so the tables always show the state at
exactly one position of the log.
"""

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

from bus.errors import LogMismatch
from projections import sql
from projections.errors import CheckpointMoved, CommitsLost, DatabaseUnavailable, NotProjected, SchemaMismatch
from projections.fold import Row
from projections.sql import TableSql
from projections.views import TableChanges, all_tables

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"  # generic in its stubs only
Value = str | int | bool

#: The name of the projector's checkpoint. Other projectors on the same schema would have their own tables.
CHECKPOINT = "views"
#: How long connecting, and any one statement, may take, seconds.
CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S = 5.0, 60.0
#: How many rows a reader fetches at a time.
FETCH_ROWS = 2000

TABLES: dict[str, TableSql] = {table.name: sql.table_sql(table) for table in all_tables()}
_DEFINITIONS = sql.definitions(tuple(TABLES.values()))
#: What these tables are: it changes with any of their definitions.
VERSION = sql.version_of(_DEFINITIONS)

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


class Snapshot(NamedTuple):
    """A connection that sees one state of the database, and the log and position that this state stands for."""

    connection: Connection
    position: int
    log_identity: str


class Database:
    """A pool of connections. All methods raise DatabaseUnavailable, which names ``place`` and never a password."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", place: str) -> None:
        self._pool = pool
        self.place = place

    async def prepare(self) -> None:
        """Create the schema if there is none. Raises SchemaMismatch if there is another one."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(sql.LOCK_SCHEMA)
            if await connection.fetchval(sql.HAS_VERSION):
                await _check_version(connection, self.place)
            else:
                await _create_schema(connection)

    async def rebuild(self) -> None:
        """Drop the schema with all it holds and create it empty: the next projector fills it from the log."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(sql.LOCK_SCHEMA)
            await connection.execute(sql.DROP_SCHEMA)
            await _create_schema(connection)

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
async def connect(dsn: str, *, connections: int = 4) -> AsyncIterator[Database]:
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
        yield Database(pool, place)
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


class Writer:
    """The one who writes for one projector. Knows its own commits from those of another by its token."""

    def __init__(self, database: Database, log_identity: str) -> None:
        self._database = database
        self._log_identity = log_identity
        self._token = uuid.uuid4().hex
        self._found = (0, "")  # position and token as they were before our first commit

    async def start(self) -> int:
        """The position up to which the tables are written; makes the schema and the checkpoint if there are none.

        Raises SchemaMismatch, LogMismatch (the tables were made from another log) and DatabaseUnavailable.
        """
        await self._database.prepare()
        async with self._database.connection() as connection:
            await connection.execute(sql.START_CHECKPOINT, CHECKPOINT, self._log_identity)
            row = await connection.fetchrow(sql.READ_CHECKPOINT, CHECKPOINT)
        if row is None:
            raise CheckpointMoved(f"{self._database.place}: the checkpoint was removed while a projector started")
        if row["log_identity"] != self._log_identity:
            raise LogMismatch(
                f"{self._database.place} was projected from the log {row['log_identity']}, not from "
                f"{self._log_identity}: rebuild it, or use its own log"
            )
        self._found = (row["position"], row["writer"])
        return self._found[0]

    async def write(self, changes: list[TableChanges], expected: int, position: int) -> None:
        """Commit ``changes`` and move the checkpoint from ``expected`` to ``position``, all or nothing.

        After a DatabaseUnavailable, calling this again with the same arguments is right: if the first call was
        committed after all, the second one notices and does nothing.

        Raises:
            CheckpointMoved: another projector has written meanwhile.
            CommitsLost: the database is back where it was some of our commits ago. Start anew.
            DatabaseUnavailable: no answer; the changes may or may not be there.
        """
        try:
            await self._write(changes, expected, position)
        except asyncpg.DataError:
            await self._write([_storable(change) for change in changes], expected, position)
        except asyncpg.UndefinedTableError as error:
            raise CommitsLost(f"{self._database.place}: the tables are gone") from error

    async def _write(self, changes: list[TableChanges], expected: int, position: int) -> None:
        async with self._database.connection() as connection, connection.transaction():
            moved = await connection.execute(
                sql.MOVE_CHECKPOINT, CHECKPOINT, expected, position, self._token, self._log_identity
            )
            if moved != "UPDATE 1":
                await self._explain(connection, expected, position)
                return
            for change in changes:
                await _write_table(connection, change)

    async def _explain(self, connection: Connection, expected: int, position: int) -> None:
        """Return if the checkpoint is where an earlier try of our own has put it, raise otherwise."""
        row = await connection.fetchrow(sql.READ_CHECKPOINT, CHECKPOINT)
        if row is None:
            raise CommitsLost(f"{self._database.place}: the checkpoint is gone")
        found = (row["position"], row["writer"])
        if found == (position, self._token):
            return
        if found == self._found or (found[1] == self._token and found[0] < expected):
            raise CommitsLost(f"{self._database.place} is back at position {found[0]}, after it had been at {expected}")
        raise CheckpointMoved(
            f"{self._database.place}: the checkpoint is at {found[0]}, this projector had left it at {expected}: "
            "another projector writes here, or the projections were rebuilt"
        )


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Snapshot]:
    """One consistent state of all tables, whatever is written meanwhile.

    Raises NotProjected (no tables), SchemaMismatch (those of another version) and DatabaseUnavailable.
    """
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if not await connection.fetchval(sql.HAS_VERSION):
            raise NotProjected(f"{database.place} holds no projections yet")
        await _check_version(connection, database.place)
        row = await connection.fetchrow(sql.READ_CHECKPOINT, CHECKPOINT)
        if row is None:
            raise NotProjected(f"{database.place} holds no checkpoint yet: no projector has run")
        yield Snapshot(connection, row["position"], row["log_identity"])


async def stream_tuples(connection: Connection, table: str) -> AsyncIterator[list[tuple[Any, ...]]]:
    """All rows of ``table`` in key order, in chunks, as tuples in column order. Needs a transaction (``snapshot``)."""
    statements = TABLES[table]
    cursor = await connection.cursor(statements.select + sql.by_key(statements.table))
    while rows := await cursor.fetch(FETCH_ROWS):
        yield [tuple(row) for row in rows]


async def fetch_table(
    connection: Connection, table: str, where: Mapping[str, Value] | None = None, *, limit: int | None = None
) -> list[Row]:
    """The rows of ``table`` whose columns equal ``where``, in key order. Raises KeyError for an unknown name."""
    statements = TABLES[table]
    wanted = dict(where or {})
    unknown = wanted.keys() - set(statements.columns)
    if unknown:
        raise KeyError(f"{table} has no column {', '.join(sorted(unknown))}")
    query = statements.select + sql.where(list(wanted)) + sql.by_key(statements.table)
    if limit is not None:
        query += f" LIMIT {limit:d}"
    rows = await connection.fetch(query, *wanted.values())
    return [sql.as_row(statements.table, tuple(row)) for row in rows]


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has noticed already, and has taken it from us
        return True


async def _check_version(connection: Connection, place: str) -> None:
    found = await connection.fetchval(sql.READ_VERSION)
    if found != VERSION:
        raise SchemaMismatch(
            f"{place} holds the projections of version {found}, this program needs {VERSION}: "
            "rebuild them (nothing is lost, they come from the log)"
        )


async def _create_schema(connection: Connection) -> None:
    await connection.execute(sql.CREATE_SCHEMA)
    for statement in _DEFINITIONS:
        await connection.execute(statement)
    await connection.execute(sql.WRITE_VERSION, VERSION)


async def _write_table(connection: Connection, change: TableChanges) -> None:
    statements = TABLES[change.table.name]
    if change.upserts:
        await connection.execute(statements.upsert, change.upserts)
    if change.deletes:
        await connection.execute(statements.delete, change.deletes)


def _storable(change: TableChanges) -> TableChanges:
    return TableChanges(change.table, sql.storable_rows(change.upserts), sql.storable_rows(change.deletes))


@contextmanager
def _mapped(place: str, errors: tuple[type[Exception], ...] = _TRANSIENT) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise DatabaseUnavailable(f"{place}: {error or type(error).__name__}") from error
