"""The SQL of the projections, generated from the tables' row types. PURE: texts only.

Columns: str → text, int → bigint, bool → boolean, list[str] → text[]; nothing is ever NULL.
"""

import hashlib
from typing import Any, NamedTuple

import msgspec

from projections.fold import Row, Table

SCHEMA = "driftline"

#: "C" collation: text in the order of code points, the same as in Python, and the cheapest index.
_TYPES: dict[Any, str] = {
    str: 'text COLLATE "C"',
    int: "bigint",
    bool: "boolean",
    list[str]: 'text[] COLLATE "C"',
}

# One row for each projector: how far its tables have got, in which log, and who wrote last.
CREATE_CHECKPOINT = f"""
CREATE TABLE {SCHEMA}.checkpoint (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    log_identity text NOT NULL,
    writer text NOT NULL
)"""

# The hash of all definitions, in its one row.
CREATE_VERSION = f"CREATE TABLE {SCHEMA}.schema_version (version text PRIMARY KEY)"

# Serialises those who create the schema at the same time. The number means nothing.
LOCK_SCHEMA = "SELECT pg_advisory_xact_lock(7011)"
CREATE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
DROP_SCHEMA = f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
HAS_VERSION = f"SELECT to_regclass('{SCHEMA}.schema_version') IS NOT NULL"
READ_VERSION = f"SELECT version FROM {SCHEMA}.schema_version"
WRITE_VERSION = f"INSERT INTO {SCHEMA}.schema_version (version) VALUES ($1)"

# Makes the checkpoint of a projector that starts for the first time.
START_CHECKPOINT = f"""
INSERT INTO {SCHEMA}.checkpoint (name, position, log_identity, writer)
VALUES ($1, 0, $2, '') ON CONFLICT (name) DO NOTHING"""

READ_CHECKPOINT = f"SELECT position, log_identity, writer FROM {SCHEMA}.checkpoint WHERE name = $1"

# Moves the checkpoint only from where this writer left it. Comes first in its transaction: whoever is second waits on
# the row's lock and then finds it moved, before writing anything.
MOVE_CHECKPOINT = f"""
UPDATE {SCHEMA}.checkpoint SET position = $3, writer = $4
WHERE name = $1 AND position = $2 AND log_identity = $5"""


class TableSql(NamedTuple):
    """The statements for one table. ``upsert`` and ``delete`` take a JSON array of rows, or of keys, as ``$1``."""

    table: Table
    columns: tuple[str, ...]
    create: str
    upsert: str
    delete: str
    select: str
    view: str


def table_sql(table: Table) -> TableSql:
    """All statements for ``table``. Raises KeyError for a column type that has no SQL type."""
    types = {field.name: field.type for field in msgspec.structs.fields(table.row)}
    return TableSql(
        table=table,
        columns=tuple(types),
        create=_create(table, types),
        upsert=_upsert(table, types),
        delete=_delete(table, types),
        select=f"SELECT {_names(types)} FROM {_full(table)}",
        view=_human_view(table, types),
    )


def definitions(tables: tuple[TableSql, ...]) -> tuple[str, ...]:
    """All that makes the schema, in order."""
    views = tuple(sql.view for sql in tables if sql.view)
    return (CREATE_VERSION, CREATE_CHECKPOINT, *(sql.create for sql in tables), *views)


def version_of(statements: tuple[str, ...]) -> str:
    """A short text that changes whenever a definition does."""
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]


def where(columns: list[str]) -> str:
    """The condition that each of ``columns`` equals its parameter, ``$1`` on; empty for none."""
    if not columns:
        return ""
    return " WHERE " + " AND ".join(f"{_quoted(column)} = ${i}" for i, column in enumerate(columns, 1))


def by_key(table: Table) -> str:
    """The order of the primary key."""
    return f" ORDER BY {_names(table.key)}"


def storable(value: Any) -> Any:
    """``value`` as PostgreSQL can hold it: no NUL in a text, no integer of more than 64 bits.

    Events from outside may carry both. Only what PostgreSQL has refused comes here, so usual rows cost nothing.
    """
    match value:
        case bool():
            return value
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case int():
            return max(-(1 << 63), min(value, (1 << 63) - 1))
        case dict():
            return {name: storable(one) for name, one in value.items()}
        case _:
            return [storable(one) for one in value]


def storable_rows(rows: str) -> str:
    """``storable`` for a JSON array of rows; empty stays empty."""
    return msgspec.json.encode(storable(msgspec.json.decode(rows))).decode() if rows else ""


def as_row(table: Table, values: tuple[Any, ...]) -> Row:
    """The row struct of a tuple in column order."""
    return table.row(**dict(zip(table.row.__struct_fields__, values, strict=True)))


def _create(table: Table, types: dict[str, Any]) -> str:
    columns = ",\n".join(f"    {_quoted(name)} {_TYPES[kind]} NOT NULL" for name, kind in types.items())
    # Room on each page for the next version of its rows: most rows are written several times.
    return f"CREATE TABLE {_full(table)} (\n{columns},\n    PRIMARY KEY ({_names(table.key)})\n) WITH (fillfactor = 80)"


def _upsert(table: Table, types: dict[str, Any]) -> str:
    rest = [name for name in types if name not in table.key]
    changes = ", ".join(f"{_quoted(name)} = EXCLUDED.{_quoted(name)}" for name in rest)
    action = f"UPDATE SET {changes}" if rest else "NOTHING"
    return (
        f"INSERT INTO {_full(table)} ({_names(types)}) SELECT {_names(types)} FROM {_recordset(types)} "
        f"ON CONFLICT ({_names(table.key)}) DO {action}"
    )


def _delete(table: Table, types: dict[str, Any]) -> str:
    key = {name: types[name] for name in table.key}
    same = " AND ".join(f"t.{_quoted(name)} = u.{_quoted(name)}" for name in key)
    return f"DELETE FROM {_full(table)} AS t USING {_recordset(key)} WHERE {same}"


def _human_view(table: Table, types: dict[str, Any]) -> str:
    """The table with times a person can read: ``changed_us`` → ``changed_at`` (timestamptz, NULL while it is 0)."""
    if not any(name.endswith("_us") for name in types):
        return ""
    columns = ", ".join(
        f"timestamptz 'epoch' + nullif({_quoted(name)}, 0) * interval '1 microsecond' "
        f"AS {_quoted(name.removesuffix('_us') + '_at')}"
        if name.endswith("_us")
        else _quoted(name)
        for name in types
    )
    return f"CREATE VIEW {SCHEMA}.{_quoted(table.name + '_v')} AS SELECT {columns} FROM {_full(table)}"


def _recordset(types: dict[str, Any]) -> str:
    # One JSON text costs the client a fifth of what an array for each column (unnest) does, and the server no more
    # (wide rows: 4 against 23 µs); and it holds lists as they are. jsonb is slower: it is built, then taken apart.
    columns = ", ".join(f"{_quoted(name)} {_TYPES[kind]}" for name, kind in types.items())
    return f"json_to_recordset($1::json) AS u({columns})"


def _full(table: Table) -> str:
    return f"{SCHEMA}.{_quoted(table.name)}"


def _names(names: Any) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return f'"{name}"'
