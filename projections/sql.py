"""The SQL of the projections' tables, generated from the types of their rows. PURE: texts only.

Columns: str → text, int → bigint, bool → boolean, list[str] → text[]; nothing is ever NULL.
"""

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from projections.fold import Row, Table

#: What a column holds, as a person asks for it.
Value = str | int | bool
#: "C" collation: text in the order of code points, the same as in Python, and the cheapest index.
_TYPES: dict[Any, str] = {
    str: 'text COLLATE "C"',
    int: "bigint",
    bool: "boolean",
    list[str]: 'text[] COLLATE "C"',
}


class TableSql(NamedTuple):
    """The statements for one table in one schema.

    ``upsert`` and ``delete`` take a JSON array of rows, or of keys, as ``$1``. ``primary_key`` is apart from
    ``create``: to make it over rows that are there is cheaper than to keep it up. ``hashes`` digests ranges of so many
    (``$1``) rows in key order. ``definition``: what the version is made from.
    """

    table: Table
    columns: tuple[str, ...]
    create: str
    primary_key: str
    upsert: str
    delete: str
    select: str
    hashes: str
    view: str
    definition: str


@lru_cache(maxsize=1024)
def table_sql(table: Table, schema: str) -> TableSql:
    """All statements for ``table`` in ``schema``. Raises KeyError for a column type that has no SQL type."""
    types = {field.name: field.type for field in msgspec.structs.fields(table.row)}
    full = f"{schema}.{quoted(table.name)}"
    create, primary_key = _create(full, types), f"ALTER TABLE {full} ADD PRIMARY KEY ({_names(table.key)})"
    view = _human_view(table, schema, full, types)
    return TableSql(
        table=table,
        columns=tuple(types),
        create=create,
        primary_key=primary_key,
        upsert=_upsert(table, full, types),
        delete=_delete(table, full, types),
        select=f"SELECT {_names(types)} FROM {full}",
        hashes=_hashes(table, full, types),
        view=view,
        definition=f"{create}\n{primary_key}\n{view}",
    )


def digest(*texts: str) -> str:
    """A text that changes whenever one of ``texts`` does."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def where(columns: list[str]) -> str:
    """The condition that each of ``columns`` equals its parameter, ``$1`` on; empty for none."""
    if not columns:
        return ""
    return " WHERE " + " AND ".join(f"{quoted(column)} = ${i}" for i, column in enumerate(columns, 1))


def by_key(table: Table, *, newest_first: bool = False) -> str:
    """The order of the primary key; ``newest_first``: backwards."""
    return f" ORDER BY {', '.join(f'{name} DESC' for name in table.key) if newest_first else _names(table.key)}"


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


def quoted(name: str) -> str:
    """``name`` as an identifier."""
    return f'"{name}"'


def _create(full: str, types: dict[str, Any]) -> str:
    columns = ",\n".join(f"    {quoted(name)} {_TYPES[kind]} NOT NULL" for name, kind in types.items())
    # Room on each page for the next version of its rows: most rows are written several times.
    return f"CREATE TABLE {full} (\n{columns}\n) WITH (fillfactor = 80)"


def _upsert(table: Table, full: str, types: dict[str, Any]) -> str:
    rest = [name for name in types if name not in table.key]
    changes = ", ".join(f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in rest)
    action = f"UPDATE SET {changes}" if rest else "NOTHING"
    return (
        f"INSERT INTO {full} ({_names(types)}) SELECT {_names(types)} FROM {_recordset(types)} "
        f"ON CONFLICT ({_names(table.key)}) DO {action}"
    )


def _delete(table: Table, full: str, types: dict[str, Any]) -> str:
    key = {name: types[name] for name in table.key}
    same = " AND ".join(f"t.{quoted(name)} = u.{quoted(name)}" for name in key)
    return f"DELETE FROM {full} AS t USING {_recordset(key)} WHERE {same}"


def _hashes(table: Table, full: str, types: dict[str, Any]) -> str:
    """As ``projections.hashes`` has it: what is digested of a row is its JSON object, columns in order, no spaces."""
    key = _names(table.key)
    return (
        "SELECT count(*) AS rows, string_agg(digest, ''::bytea ORDER BY number) AS digests FROM ("
        f"SELECT row_number() OVER (ORDER BY {key}) - 1 AS number, sha256(convert_to(row_to_json(t)::text, 'UTF8')) "
        f"AS digest FROM (SELECT {_names(types)} FROM {full}) AS t) AS numbered "
        "GROUP BY number / $1::bigint ORDER BY number / $1::bigint"
    )


def _human_view(table: Table, schema: str, full: str, types: dict[str, Any]) -> str:
    """The table with times a person can read: ``changed_us`` → ``changed_at`` (timestamptz, NULL while it is 0)."""
    if not any(name.endswith("_us") for name in types):
        return ""
    columns = ", ".join(
        f"timestamptz 'epoch' + nullif({quoted(name)}, 0) * interval '1 microsecond' "
        f"AS {quoted(name.removesuffix('_us') + '_at')}"
        if name.endswith("_us")
        else quoted(name)
        for name in types
    )
    return f"CREATE VIEW {schema}.{quoted(table.name + '_v')} AS SELECT {columns} FROM {full}"


def _recordset(types: dict[str, Any]) -> str:
    # One JSON text costs the client a fifth of what an array for each column (unnest) does, and the server no more
    # (wide rows: 4 against 23 µs); and it holds lists as they are. jsonb is slower: it is built, then taken apart.
    columns = ", ".join(f"{quoted(name)} {_TYPES[kind]}" for name, kind in types.items())
    return f"json_to_recordset($1::json) AS u({columns})"


def _names(names: Any) -> str:
    return ", ".join(quoted(name) for name in names)
