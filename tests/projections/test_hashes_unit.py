"""What is copied and hashed is what PostgreSQL makes of it; and what of a version counts."""

import hashlib

import asyncpg
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.filling import copy_chunks
from projections.fold import Key, Row, Table
from projections.hashes import TableHash, hash_of, row_digests, stored_digest
from projections.sql import table_sql


class OddRow(Row):
    """One column of each type."""

    name: str
    number: int
    flag: bool
    texts: list[str]


ODD = Table("odd", OddRow, ("name", "number"))
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ROWS = st.lists(
    st.builds(
        OddRow,
        name=_TEXTS,
        number=st.integers(-(1 << 70), 1 << 70),
        flag=st.booleans(),
        texts=st.lists(_TEXTS, max_size=3),
    ),
    max_size=12,
    unique_by=lambda row: (
        row.name.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        max(-(1 << 63), min(row.number, (1 << 63) - 1)),
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(rows=_ROWS)
async def test_any_row_is_copied_and_hashed_alike_here_and_in_postgresql(postgres_dsn: str, rows: list[OddRow]) -> None:
    expected: dict[Key, OddRow] = {(row.name, row.number): row for row in rows}
    connection = await asyncpg.connect(postgres_dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE SCHEMA odd")
        await connection.execute(table_sql(ODD, "odd").create)
        careful = b"".join(copy_chunks(ODD, expected, careful=True))
        await connection.copy_to_table("odd", schema_name="odd", source=_source(careful))
        found = await connection.fetch(table_sql(ODD, "odd").hashes, 5)
        await transaction.rollback()
    finally:
        await connection.close()
    digests = {key: stored_digest(row) for key, row in expected.items()}
    stored = sorted(digests, key=lambda key: (str(key[0]).replace("\0", "\N{REPLACEMENT CHARACTER}"), key[1]))
    assert b"".join(row["digests"] for row in found) == b"".join(digests[key] for key in stored)
    assert [row["rows"] for row in found] == [min(5, len(rows) - i) for i in range(0, len(rows), 5)]


async def _source(data: bytes):  # type: ignore[no-untyped-def]  # a generator for asyncpg
    yield data


def rows_of(count: int) -> dict[Key, OddRow]:
    return {(f"n{i:03}", i): OddRow(name=f"n{i:03}", number=i, flag=i % 2 == 0, texts=[]) for i in range(count)}


def test_what_is_digested_is_the_json_of_the_row() -> None:
    row = OddRow(name="a", number=1, flag=True, texts=["x"])
    text = b'{"name":"a","number":1,"flag":true,"texts":["x"]}'
    assert row_digests([row]) == stored_digest(row) == hashlib.sha256(text).digest()
    assert hash_of(row_digests([row])) == hashlib.sha256(hashlib.sha256(text).digest()).hexdigest()


def test_the_first_range_that_differs_is_named() -> None:
    rows = rows_of(10)
    changed = [msgspec.structs.replace(row, flag=False) if row.number == 4 else row for row in rows.values()]
    hashed = TableHash(rows)
    for start in range(0, 10, 3):
        part = changed[start : start + 3]
        hashed.feed(len(part), row_digests(part))
    hashed.end()
    assert (hashed.differs_from, hashed.rows) == (3, 10)


def test_a_table_that_ends_early_differs_where_it_ends() -> None:
    hashed = TableHash(rows_of(10))
    hashed.feed(7, row_digests(list(rows_of(10).values())[:7]))
    hashed.end()
    assert hashed.differs_from == 7


def test_a_table_with_too_many_rows_differs() -> None:
    hashed = TableHash(rows_of(2))
    hashed.feed(3, row_digests(rows_of(3).values()))
    hashed.end()
    assert hashed.differs_from == 0
