"""The comparison itself, without a database."""

from typing import Any

import pytest

from projections.fold import Key, Row, Table
from projections.verify import Comparison, Difference


class Shelf(Row):
    name: str
    place: int
    books: list[str]
    locked: bool


TABLE = Table("shelves", Shelf, ("name", "place"))
A1: tuple[Any, ...] = ("a", 1, ["x"], True)
A2: tuple[Any, ...] = ("a", 2, [], False)
B1: tuple[Any, ...] = ("b", 1, ["y", "z"], False)


def compare(expected: list[tuple[Any, ...]], *chunks: list[tuple[Any, ...]]) -> tuple[int, Difference | None]:
    rows: dict[Key, Row] = {
        row[:2]: Shelf(name=row[0], place=row[1], books=row[2], locked=row[3]) for row in reversed(expected)
    }
    comparison = Comparison(TABLE, rows)
    for chunk in chunks:
        difference = comparison.feed(chunk)
        if difference is not None:
            return comparison.rows, difference
    return comparison.rows, comparison.end()


def test_equal_rows_however_they_come() -> None:
    assert compare([A1, A2, B1], [A1], [A2, B1], []) == (3, None)
    assert compare([]) == (0, None)


@pytest.mark.parametrize(
    ("found", "rows", "key"),
    [([A2, B1], 0, ["a", 1]), ([A1, B1], 1, ["a", 2]), ([A1, A2], 2, ["b", 1]), ([], 0, ["a", 1])],
)
def test_a_missing_row_is_named_wherever_it_is(found: list[tuple[Any, ...]], rows: int, key: list[str | int]) -> None:
    assert compare([A1, A2, B1], found) == (rows, Difference(table="shelves", key=key, kind="missing"))


@pytest.mark.parametrize(
    ("expected", "rows", "key"),
    [([A2, B1], 0, ["a", 1]), ([A1, B1], 1, ["a", 2]), ([A1, A2], 2, ["b", 1]), ([], 0, ["a", 1])],
)
def test_an_extra_row_is_named_wherever_it_is(expected: list[tuple[Any, ...]], rows: int, key: list[str | int]) -> None:
    assert compare(expected, [A1, A2, B1]) == (rows, Difference(table="shelves", key=key, kind="extra"))


def test_the_first_changed_column_is_named_with_both_values() -> None:
    changed = ("a", 2, ["new"], True)
    assert compare([A1, A2, B1], [A1, changed, B1]) == (
        1,
        Difference(table="shelves", key=["a", 2], kind="changed", column="books", expected=[], found=["new"]),
    )


def test_what_postgresql_cannot_hold_is_expected_as_it_is_kept() -> None:
    kept = ("a", 1, ["x\ufffd"], True)
    assert compare([("a", 1, ["x\0"], True)], [kept]) == (1, None)


def test_differences_read_well() -> None:
    changed = Difference(table="ports", key=["p1"], kind="changed", column="vlan", expected=1, found=2)
    assert str(changed) == "ports p1: vlan is 2 in the database, 1 by the log"
    assert str(Difference(table="ports", key=["p1"], kind="missing")) == "ports p1: not in the database"
    assert str(Difference(table="ports", key=["p1"], kind="extra")) == "ports p1: in the database, not by the log"
