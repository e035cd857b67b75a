"""How fast the log alone is: every event appended and consumed once by one worker and one projection, nothing else."""

import asyncio
import time
import uuid
from collections.abc import Callable

from bus.log import Log
from driftline.bench.events import spawn_events

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
