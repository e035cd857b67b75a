"""The book against what the folds say, over the log of a simulated run."""

import asyncio
import tempfile
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import Recorded
from bus.memory import MemoryLog
from driftline.book import Book, open_book
from driftline.book.terms import KINDS
from driftline.book.versions import HELD
from driftline.recording import simulated
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from projections.views import Views

SECOND = 1_000_000


@pytest.fixture(scope="module")
def records() -> list[Recorded]:
    return play(draw(2)).records[:1500]


async def logged(records: list[Recorded]) -> MemoryLog:
    _, raws = simulated(records, "")
    return MemoryLog(raws=[raw._replace(stored_us=raw.position * SECOND) for raw in raws])


@pytest.fixture
async def book(records: list[Recorded], tmp_path: Path) -> Book:
    return await open_book(await logged(records), folder=tmp_path)


def folded(records: list[Recorded]) -> Iterator[tuple[int, Views]]:
    views = Views()
    for r in records:
        views.evolve(r)
        yield r.position, views


async def test_rows_at_each_position_are_what_the_folds_say(book: Book, records: list[Recorded]) -> None:
    for position, views in folded(records):
        if position % 97 == 0 or position == len(records):
            for table in views.tables():
                wanted = {key: msgspec.to_builtins(row) for key, row in views.rows(table.name).items()}
                rows = book.rows(table.name, position)
                found = {tuple(getattr(row, name) for name in table.key): msgspec.to_builtins(row) for row in rows}
                assert found == wanted, (table.name, position)
                assert list(found) == sorted(found)


@settings(max_examples=12)
@given(seed=st.integers(0, 200), part=st.floats(0.05, 1))
def test_rows_are_found_by_what_their_columns_held_at_a_position_of_any_history(seed: int, part: float) -> None:
    history = play(draw(seed)).records[:600]
    position = int(len(history) * part)
    views = Views()
    for r in history[:position]:
        views.evolve(r)
    with tempfile.TemporaryDirectory() as folder:
        book = asyncio.run(_open(history, Path(folder)))
        for table in views.tables():
            rows = list(views.rows(table.name).values())
            for column in (name for name in HELD if name in table.row.__struct_fields__):
                for value in {getattr(row, column) for row in rows} | {"nobody"}:
                    found = [row for row in rows if getattr(row, column) == value]
                    by_key = attrgetter(*table.key)
                    assert book.rows(table.name, position, {column: value}) == sorted(found, key=by_key)
        book.close()


async def _open(history: list[Recorded], folder: Path) -> Book:
    return await open_book(await logged(history), folder=folder)


async def test_one_row_is_found_by_its_key_and_by_a_column(book: Book, records: list[Recorded]) -> None:
    halfway = len(records) // 2
    row = book.rows("ports", halfway)[0]
    key = row.port  # type: ignore[attr-defined]
    assert book.row("ports", (key,), halfway) == row
    assert book.rows("ports", halfway, {"port": key}) == [row]
    assert row in book.rows("ports", halfway, {"host": row.host})  # type: ignore[attr-defined]
    assert book.row("ports", (key,), 1) is None
    with pytest.raises(KeyError, match="colour"):
        book.rows("ports", where={"colour": "red"})


async def test_the_changes_of_each_event_lead_from_one_state_to_the_next(book: Book, records: list[Recorded]) -> None:
    rows: dict[tuple[str, object], object] = {}
    for r in records:
        for table, key, before, after in book.changes(r.position):
            assert rows.get((table, key)) == before
            rows[table, key] = after
            assert r.position in book.touched(table, key)
    assert {key: row for key, row in rows.items() if row} == {
        (table.name, key): row for table in Views().tables() for key, row in _last(records).rows(table.name).items()
    }


def _last(records: list[Recorded]) -> Views:
    *_, (_, views) = folded(records)
    return views


async def test_events_are_found_by_all_they_name(book: Book, records: list[Recorded]) -> None:
    assert list(book.events()) == records_as_stored(records)
    for r in records_as_stored(records)[::50]:
        assert book.event(r.position) == r
        assert book.find(r.id) is not None
        assert r in book.correlated(r.correlation)
        assert not r.cause or r in book.caused_by(r.cause)
        for kind in KINDS & set(r.event.__struct_fields__):
            value = getattr(r.event, kind)
            assert not value or r in book.concerning(kind, value)


def records_as_stored(records: list[Recorded]) -> list[Recorded]:
    return [msgspec.structs.replace(r, stored_us=r.position * SECOND) for r in records]


async def test_a_position_is_found_by_the_logs_own_clock(book: Book, records: list[Recorded]) -> None:
    assert book.position_at(0) == 0
    assert book.position_at(7 * SECOND) == 7
    assert book.position_at(8 * SECOND - 1) == 7
    assert book.position_at(10**18) == len(records)


async def test_a_book_goes_on_where_it_was(records: list[Recorded], tmp_path: Path) -> None:
    halfway = len(records) // 2
    first = await open_book(await logged(records[:halfway]), folder=tmp_path)
    assert first.rows("ports")
    log = await logged(records)
    await first.catch_up(log)
    whole = await open_book(log, folder=tmp_path / "other")
    assert first.last == whole.last == len(records)
    for table in Views().tables():
        assert first.rows(table.name) == whole.rows(table.name)
        assert first.rows(table.name, halfway) == whole.rows(table.name, halfway)
