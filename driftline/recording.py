"""What of a log goes into a recording: all of it, or the stories that concern something and the world they stand on."""

from collections.abc import Sequence

import msgspec

from bus.decoding import Raw, decode_batch
from bus.envelope import now_us
from bus.events import Event, WorkerStarted
from bus.log import RawLog
from bus.recording import Header
from driftline.book import Book
from driftline.errors import UsageError
from driftline.questions import history
from projections.hosts import Hosts
from projections.refold import Progress, no_progress
from projections.world import World

#: What describes the world, and how its hosts fare: without it no story can be read.
WORLD: frozenset[type[Event]] = frozenset({*World.inputs(), *Hosts.inputs(), WorkerStarted})


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a log; empty for all. ``about``: the stories that have to do with this thing."""

    correlation: str = ""
    about: str = ""

    def document(self) -> dict[str, str]:
        """As the header of the file says it."""
        chosen = {"correlation": self.correlation, "about": self.about}
        return {name: value for name, value in chosen.items() if value}


async def recorded(
    log: RawLog, selection: Selection, book: Book | None, progress: Progress = no_progress
) -> tuple[Header, list[Raw]]:
    """The header and the messages of a recording of ``log``. ``book`` is needed for a part only.

    Raises UsageError when nothing is like what was selected, and LogUnavailable.
    """
    last = await log.last_position()
    stories = _stories(selection, book) if book is not None else None
    raws: list[Raw] = []
    async for batch in log.read_raw(0, last):
        raws += batch.raws if stories is None else _of_stories(batch.raws, stories)
        progress(batch.last, last)
    header = Header(identity=await log.identity(), recorded_us=now_us(), log_last=last, selection=selection.document())
    return header, raws


def _stories(selection: Selection, book: Book) -> set[str]:
    """The correlations of the stories that are selected."""
    if selection.correlation:
        if not book.correlated(selection.correlation):
            raise UsageError(f"--correlation: the log has no story {selection.correlation}")
        return {selection.correlation}
    return {r.correlation for r in history(book, selection.about, book.last)}


def _of_stories(raws: Sequence[Raw], stories: set[str]) -> list[Raw]:
    by_position = {raw.position: raw for raw in raws}
    records, _ = decode_batch(raws)
    return [by_position[r.position] for r in records if r.correlation in stories or type(r.event) in WORLD]
