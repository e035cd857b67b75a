"""The projector as a part of a process, and how the parts of a process run together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from bus.errors import first_error
from driftline.observing.observer import UNOBSERVED, Observer
from driftline.stack import Stack
from projections.runner import Projector

Start = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def only_projector(stack: Stack, observer: Observer = UNOBSERVED) -> AsyncIterator[Projector]:
    """The projector alone."""
    async with running() as start:
        projector = Projector(stack.log, stack.database, stack.quarantine, watch=observer.projector())
        start(projector.run())
        yield projector


@asynccontextmanager
async def running() -> AsyncIterator[Start]:
    """Run what is started until the body ends; the failure of one ends all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running: list[asyncio.Task[None]] = []
            try:
                yield lambda coroutine: running.append(tasks.create_task(coroutine))
            finally:
                for task in running:
                    task.cancel()
    except BaseExceptionGroup as group:
        raise first_error(group) from group
