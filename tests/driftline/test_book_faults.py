"""What may happen to a book: killed, torn, two at once, another program, a log that lost its end, a full disk."""

import asyncio
import pickle
from pathlib import Path

import pytest

from bus.envelope import Recorded
from bus.errors import LogMismatch
from bus.events import EVENT_TYPES
from bus.log import Batch
from bus.memory import MemoryLog
from driftline.book import Book, open_book
from driftline.book import book as book_module
from driftline.errors import NotDone
from driftline.recording import simulated
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from projections.views import Views

SECOND = 1_000_000


@pytest.fixture(scope="module")
def records() -> list[Recorded]:
    return play(draw(2)).records[:400]


def logged(records: list[Recorded], start_s: int = 0) -> MemoryLog:
    _, raws = simulated(records, "")
    stored = [raw._replace(stored_us=(start_s + raw.position) * SECOND) for raw in raws]
    return MemoryLog(identity="always the same", raws=stored)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def said(book: Book) -> dict[str, list[object]]:
    return {table.name: [*book.rows(table.name), *book.rows(table.name, 200)] for table in Views().tables()}


@pytest.fixture
async def whole(records: list[Recorded], tmp_path: Path) -> dict[str, list[object]]:
    return said(await open_book(logged(records), folder=tmp_path / "whole"))


async def opened(records: list[Recorded], folder: Path) -> Book:
    return await open_book(logged(records), folder=folder)


async def test_killed_between_two_transactions_it_goes_on(
    records: list[Recorded], tmp_path: Path, whole: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing may handle it, as nothing handles SIGKILL."""

    def progress(done: int, until: int) -> None:
        if done >= 200 and until:
            raise Killed

    monkeypatch.setattr(book_module, "_AT_ONCE", 100)
    first = await opened(records, tmp_path)
    first._progress = progress
    with pytest.raises(Killed):
        first.rows("ports")
    assert 200 <= first._versions.last < len(records)
    first.close()
    assert said(await opened(records, tmp_path)) == whole


async def test_a_torn_file_is_made_anew(records: list[Recorded], tmp_path: Path, whole: object) -> None:
    first = await opened(records, tmp_path)
    first.close()
    only(tmp_path, "*.book").write_bytes(b"torn by a crash of the machine" * 1000)
    assert said(await opened(records, tmp_path)) == whole


async def test_two_that_begin_at_once_make_one_book(records: list[Recorded], tmp_path: Path, whole: object) -> None:
    def one() -> dict[str, list[object]]:
        async def ask() -> dict[str, list[object]]:
            book = await opened(records, tmp_path)
            try:
                return said(book)
            finally:
                book.close()

        return asyncio.run(ask())

    assert await asyncio.gather(*(asyncio.to_thread(one) for _ in range(4))) == [whole] * 4
    assert said(await opened(records, tmp_path)) == whole


async def test_versions_are_not_added_after_a_gap(records: list[Recorded], tmp_path: Path) -> None:
    mine, other = await opened(records, tmp_path), await opened(records, tmp_path)
    mine.rows("ports")
    with other._sheets.writing():  # as a program with other projections does while this one is still folding
        other._sheets.note("rows_version", "another")
        other._sheets.note("rows_to", 0)
    with pytest.raises(NotDone, match="begun anew"):
        mine._versions.add([], 200, 300)
    assert other._versions.last == 0


async def test_versions_of_another_program_are_forgotten(
    records: list[Recorded], tmp_path: Path, whole: object
) -> None:
    first = await opened(records, tmp_path)
    first.rows("ports")
    with first._sheets.writing():
        first._sheets.note("rows_version", "another")
        first._sheets.db.execute("UPDATE versions SET gone = 1")
    assert said(await opened(records, tmp_path)) == whole


async def test_a_program_with_other_event_types_makes_the_book_anew(
    records: list[Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("driftline.book.sheets.EVENT_TYPES", tuple(EVENT_TYPES)[1:])
        first = await opened(records, tmp_path)
        first._events.add(Batch([], [], 10_000))  # what only the older program says
        first.close()
    assert (await opened(records, tmp_path)).last == len(records)


async def test_a_log_that_lost_its_end_is_refused(records: list[Recorded], tmp_path: Path) -> None:
    book = await opened(records, tmp_path)
    with pytest.raises(LogMismatch, match="ends at 300; it had 400 events"):
        await book.catch_up(logged(records[:300]))


async def test_a_log_that_lost_its_end_and_grew_again_is_refused(records: list[Recorded], tmp_path: Path) -> None:
    book = await opened(records[:300], tmp_path)
    await book.catch_up(logged(records[:300]))
    with pytest.raises(LogMismatch, match="another event at 300"):
        await book.catch_up(logged(records, start_s=7))
    assert book.last == 300
    await book.catch_up(logged(records))
    assert book.last == 400


async def test_a_log_that_grew_again_is_refused_also_where_the_book_ends_with_what_is_no_event(
    records: list[Recorded], tmp_path: Path
) -> None:
    log = logged(records[:300])
    await log.append_raw("dl.nothing", b"no event", stored_us=301 * SECOND)
    book = await open_book(log, folder=tmp_path)
    assert (book.last, len(book.rejects())) == (301, 1)
    with pytest.raises(LogMismatch, match="another event at 300"):
        await book.catch_up(logged(records, start_s=7))
    book.close()


async def test_a_full_disk_is_told_and_mended(records: list[Recorded], tmp_path: Path, whole: object) -> None:
    book = await open_book(logged([]), folder=tmp_path)
    pages = book._sheets.db.execute("PRAGMA page_count").fetchone()[0]
    book._sheets.db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(NotDone, match=r"\.book.*full"):
        await book.catch_up(logged(records))
    assert book.last == 0
    book._sheets.db.execute("PRAGMA max_page_count = 1073741823")
    await book.catch_up(logged(records))
    assert said(book) == whole


@pytest.mark.parametrize("left", [b"", b"torn", pickle.dumps(("another", "x", 5)), b"cno_such_module\nViews\n."])
async def test_a_kept_state_that_cannot_be_read_costs_time_only(
    records: list[Recorded], tmp_path: Path, whole: object, left: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "_WORTH_KEEPING", 100)
    first = await opened(records[:300], tmp_path)
    first.rows("ports")
    only(tmp_path, "*.views").write_bytes(left)
    await first.catch_up(logged(records))
    assert said(first) == whole


async def test_a_book_that_is_found_torn_by_a_question_is_named(records: list[Recorded], tmp_path: Path) -> None:
    book = await opened(records, tmp_path)
    book.rows("ports")
    book.close()
    path = only(tmp_path, "*.book")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\xff"))
    with pytest.raises(NotDone, match=path.name):
        await _ask_all(records, tmp_path)


async def _ask_all(records: list[Recorded], folder: Path) -> None:
    book = await opened(records, folder)
    for r in records:
        book.event(r.position)
        book.correlated(r.correlation)
