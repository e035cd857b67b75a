"""Rebuilding the views from the log: at the start of the projector, and for ``verify``."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bus.log import Batch, Log
from projections.edition import CURRENT, Edition
from projections.fold import Touched
from projections.views import Views

#: Told how far a refold has got: (position, of how many).
Progress = Callable[[int, int], None]


def no_progress(position: int, until: int) -> None:
    """The progress nobody wants to hear of."""


def fold_batch(views: Views, batch: Batch, touched: set[Touched] | None) -> None:
    """Take a batch in, rejects and all; adds the rows it may have changed to ``touched``. Raises FoldError."""
    for rejected in batch.rejects:
        rows = views.skip(rejected)
        if touched is not None:
            touched.update(rows)
    views.evolve_all(batch.records, touched)


@contextmanager
def in_bulk() -> Iterator[None]:
    """No search for cycles of garbage while the block lasts: folding makes none, and it costs a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


async def refold(log: Log, until: int, progress: Progress = no_progress, edition: Edition = CURRENT) -> Views:
    """The views as they were right after position ``until``. Raises FoldError and LogUnavailable."""
    views = edition.views()
    with in_bulk():
        async for batch in log.read(0, until):
            fold_batch(views, batch, None)
            progress(batch.last, until)
            await asyncio.sleep(0)  # a log in memory never waits: let the others run
    return views
