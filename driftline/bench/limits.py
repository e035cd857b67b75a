"""The limits of this machine, and above all the log alone: every event appended and consumed once by one worker and one
projection, nothing else.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

from bus.log import Log
from driftline.bench.events import spawn_events
from driftline.bench.figure import Bounds, Figure, figure
from driftline.bench.of_database import of_database
from driftline.bench.of_log import of_codec, of_log
from driftline.stack import Stack

#: As many events as the appender of the workers puts into an atomic batch under load.
BATCH = 500

Progress = Callable[[int, int], None]


def no_progress(done: int, until: int) -> None:
    """For those who need no telling."""


async def log_alone(log: Log, events: int, progress: Progress = no_progress) -> float:
    """Events per second of ``log``, with the events of spawns: appended in atomic batches, one after the other, while
    two followers, as a worker and a projection would, are handed each of them decoded. They do nothing with them.

    ``log`` is that of a stack (``driftline.stack.open_stack``), so what is read is read once for both; nobody else
    should be at work on it, and what is appended stays there. ``events``: how many, at least 1. ``progress`` is told
    (delivered to both, of how many). Raises LogUnavailable.
    """
    envelopes = spawn_events(events, prefix=f"b{uuid.uuid4().hex[:8]}-")
    after = await log.last_position()
    reached = [after, after]

    async def follow(index: int) -> None:
        async for batch in log.follow(after):
            reached[index] = batch.last
            progress(min(reached) - after, events)
            if batch.last >= after + events:
                return

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for index in range(len(reached)):
            tasks.create_task(follow(index))
        for start in range(0, events, BATCH):
            await log.append(envelopes[start : start + BATCH])
    return events / (time.perf_counter() - started)


async def limits(stack: Stack, bounds: Bounds, progress: Progress = no_progress) -> AsyncIterator[Figure]:
    """All figures, one after the other, on servers that nobody else uses: the log grows by what is appended.

    Raises LogUnavailable and DatabaseUnavailable.
    """
    for figures in (of_codec(bounds), of_log(stack, bounds), of_database(stack.database, bounds)):
        async for one in figures:
            yield one
    rate = await log_alone(stack.log, bounds.events, progress)
    what = "every event appended, consumed once by a worker and a projection"
    yield figure("log_alone", what, bounds.events, bounds.events / rate)
