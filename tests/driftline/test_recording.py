"""What goes into a recording: of a log that goes on, just what the book that was asked knows of."""

from pathlib import Path

from bus.memory import MemoryLog
from driftline.book import open_book
from driftline.recording import Selection, recorded
from tests.story import Story


async def test_a_part_ends_where_the_book_does_that_it_was_chosen_by(tmp_path: Path) -> None:
    story = Story().world().spawn("i1")
    log = MemoryLog()
    await story.append_to(log)
    book = await open_book(log, folder=tmp_path)
    known = story.position
    await log.append(story.delete("i1").envelopes)
    header, raws = await recorded(log, Selection(about="i1"), book)
    assert (header.log_last, raws[-1].position) == (known, known)
    await book.catch_up(log)
    header, raws = await recorded(log, Selection(about="i1"), book)
    assert header.log_last == raws[-1].position == story.position > known
    book.close()


async def test_a_whole_log_is_recorded_to_its_end() -> None:
    story = Story().world().spawn("i1")
    log = MemoryLog()
    await story.append_to(log)
    header, raws = await recorded(log, Selection(), None)
    assert (header.log_last, header.selection) == (story.position, {})
    assert [raw.position for raw in raws] == [*range(1, story.position + 1)]
