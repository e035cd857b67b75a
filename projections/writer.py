"""Writing what was folded: one transaction a batch, into every generation that this program keeps.

A program keeps the generations of its own version: the live one, and beside it the one that was live before and the one
that is ready to be. They stand at the same position and move together, in the same transaction, so that each of them
can be made live at any moment.
"""

import json
import uuid

from bus.errors import LogMismatch
from projections import catalogue, sql
from projections.catalogue import schema_of
from projections.errors import CheckpointMoved, CommitsLost, SchemaMismatch
from projections.postgres import (
    LONG_S,
    Connection,
    Database,
    Generation,
    TableGone,
    Unstorable,
    as_generation,
    generations,
    mismatch,
)
from projections.views import TableChanges

#: Which generation of its version a writer goes by, if there are several: the first of these.
_KEPT = ("live", "ready", "previous")


class Writer:
    """The one who writes for one projector. Knows its own commits from those of another by its token."""

    def __init__(self, database: Database, log_identity: str) -> None:
        self._database = database
        self._version = database.edition.version
        self._log_identity = log_identity
        self._token = uuid.uuid4().hex
        self._number = 0  # the generation that this writer goes by
        self._found = (0, "")  # position and token as they were before our first commit

    async def start(self) -> int:
        """The position up to which the tables are written; makes a live generation if there is none at all.

        Raises SchemaMismatch (only generations of other versions), LogMismatch (the tables were made from another log)
        and DatabaseUnavailable.
        """
        await prepare(self._database, self._log_identity)
        async with self._database.connection() as connection:
            every = await generations(connection)
        kept = [one for state in _KEPT for one in every if (one.version, one.state) == (self._version, state)]
        if not kept:
            live = next((one for one in every if one.state == "live"), None)
            if live is None:
                raise CheckpointMoved(f"{self._database.place}: the projections were removed while a projector started")
            raise SchemaMismatch(mismatch(self._database, live))
        if kept[0].log_identity != self._log_identity:
            raise LogMismatch(
                f"{self._database.place} was projected from the log {kept[0].log_identity}, not from "
                f"{self._log_identity}: use its own log, or drop them (driftline projections drop --all)"
            )
        self._number = kept[0].number
        self._found = (kept[0].position, kept[0].writer)
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
        except Unstorable:
            await self._write([storable(change) for change in changes], expected, position)
        except TableGone as error:
            raise CommitsLost(f"{self._database.place}: the tables are gone") from error

    async def _write(self, changes: list[TableChanges], expected: int, position: int) -> None:
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(catalogue.PASS_GATE, catalogue.gate_of(self._version))
            moved = await connection.fetch(
                catalogue.MOVE, self._version, expected, position, self._token, self._log_identity
            )
            if not moved:
                await self._explain(connection, expected, position)
                return
            await self._check_live(connection, {row["state"] for row in moved}, expected)
            for row in moved:
                await write_tables(connection, schema_of(row["number"]), changes)
        numbers = {row["state"]: row["number"] for row in moved}
        self._number = next(numbers[state] for state in _KEPT if state in numbers)

    async def _check_live(self, connection: Connection, moved: set[str], expected: int) -> None:
        """Raise if it is our version that is live, and it was not with those that we have moved."""
        if "live" in moved:
            return
        live = await connection.fetchrow(catalogue.READ_STATE, "live")
        if live is not None and live["version"] == self._version:
            raise CheckpointMoved(
                f"{self._database.place}: the live generation is at {live['position']}, this projector at {expected}"
            )

    async def _explain(self, connection: Connection, expected: int, position: int) -> None:
        """Return if the checkpoint is where an earlier try of our own has put it, raise otherwise."""
        row = await connection.fetchrow(catalogue.READ_ONE, self._number)
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


async def prepare(database: Database, log_identity: str) -> None:
    """See to it that there is a catalogue and a live generation: an empty one of our version if there is none.

    Tables from before there were generations become the live one, of a version that nobody has any more.
    """
    async with database.connection() as connection, connection.transaction():
        await connection.execute(catalogue.LOCK_META)
        await ensure_catalogue(connection)
        if await connection.fetchrow(catalogue.READ_STATE, "live") is None:
            made = await add_generation(connection, database, "live", log_identity, "")
            await create_tables(connection, database, made.name)
            await add_keys(connection, database, made.name)
            await point_views(connection, made.name)


async def ensure_catalogue(connection: Connection) -> None:
    """Create the catalogue if there is none. Needs LOCK_META."""
    if await connection.fetchval(catalogue.HAS_META):
        return
    number = 1 + max([catalogue.number_of(row["name"]) for row in await connection.fetch(catalogue.SCHEMAS)], default=0)
    old = None
    if await connection.fetchval(catalogue.HAS_OLD):
        old = await connection.fetchrow(catalogue.READ_OLD)
        await connection.execute(f"ALTER SCHEMA {catalogue.SCHEMA} RENAME TO {schema_of(number)}")
    for statement in catalogue.CREATE_META:
        await connection.execute(statement)
    if old is not None:
        version, position, identity = f"old-{old['version']}", old["position"], old["log_identity"]
        await connection.execute(catalogue.ADD, number, "live", version, "{}", position, identity, "")
        await point_views(connection, schema_of(number))
        number += 1
    await connection.execute(f"ALTER SEQUENCE {catalogue.NUMBERS} RESTART WITH {number:d}")


async def add_generation(
    connection: Connection, database: Database, state: str, log_identity: str, writer: str
) -> Generation:
    """A new row of the catalogue, at position 0; no tables yet."""
    number = await connection.fetchval(catalogue.NEXT_NUMBER)
    edition = database.edition
    await connection.execute(
        catalogue.ADD, number, state, edition.version, json.dumps(edition.versions), 0, log_identity, writer
    )
    (row,) = await connection.fetch(catalogue.READ_ONE, number)
    return as_generation(row)


async def create_tables(connection: Connection, database: Database, schema: str) -> None:
    """The schema with all tables, empty and without their keys (``add_keys``)."""
    await connection.execute(f"CREATE SCHEMA {schema}")
    for table in database.edition.tables:
        await connection.execute(sql.table_sql(table, schema).create)


async def add_keys(connection: Connection, database: Database, schema: str) -> None:
    """The primary keys of all tables, and the views for people."""
    for table in database.edition.tables:
        statements = sql.table_sql(table, schema)
        await connection.execute(statements.primary_key, timeout=LONG_S)
        if statements.view:
            await connection.execute(statements.view)


async def point_views(connection: Connection, schema: str) -> None:
    """Have the views of the catalogue's schema show the tables and views of ``schema``."""
    for row in await connection.fetch(catalogue.VIEWS):
        await connection.execute(f"DROP VIEW {catalogue.SCHEMA}.{sql.quoted(row['name'])}")
    for row in await connection.fetch(catalogue.RELATIONS, schema):
        name = sql.quoted(row["name"])
        await connection.execute(f"CREATE VIEW {catalogue.SCHEMA}.{name} AS SELECT * FROM {schema}.{name}")


async def write_tables(connection: Connection, schema: str, changes: list[TableChanges]) -> None:
    """Write these changes into the tables of ``schema``."""
    for change in changes:
        statements = sql.table_sql(change.table, schema)
        if change.upserts:
            await connection.execute(statements.upsert, change.upserts)
        if change.deletes:
            await connection.execute(statements.delete, change.deletes)


def storable(change: TableChanges) -> TableChanges:
    """``change`` as PostgreSQL can hold it."""
    return TableChanges(change.table, sql.storable_rows(change.upserts), sql.storable_rows(change.deletes))
