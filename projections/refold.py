"""Rebuilding the views from the log: at the start of the projector, and for ``verify``."""

import asyncio
from collections.abc import Callable

from bus.log import Batch, Log
from projections.edition import CURRENT, Edition
from projections.errors import FoldError
from projections.fold import Touched
from projections.views import Views

#: Told how far a refold has got: (position, of how many).
Progress = Callable[[int, int], None]


def no_progress(position: int, until: int) -> None:
    """The progress nobody wants to hear of."""


def fold_batch(views: Views, batch: Batch, touched: set[Touched]) -> None:
    """Take a batch in, rejects and all, and add the rows it may have changed to ``touched``. Raises FoldError."""
    for rejected in batch.rejects:
        touched.update(views.skip(rejected))
    evolve, add = views.evolve, touched.update
    for record in batch.records:
        try:
            add(evolve(record))
        except Exception as error:
            raise FoldError(record.position, record.id) from error


async def refold(log: Log, until: int, progress: Progress = no_progress, edition: Edition = CURRENT) -> Views:
    """The views as they were right after position ``until``. Raises FoldError and LogUnavailable."""
    views = edition.views()
    async for batch in log.read(0, until):
        fold_batch(views, batch, set())
        progress(batch.last, until)
        await asyncio.sleep(0)  # a log in memory never waits: let the others run
    return views
