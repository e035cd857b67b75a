"""Waiting for the answer to a request about anything but an instance, by the request's correlation."""

import asyncio
from collections.abc import Collection

from bus.envelope import Recorded
from bus.events import Event
from bus.log import Log
from bus.subjects import history_filter
from driftline.client import Published


async def answer(
    log: Log, published: Published, aggregate: str, ends: Collection[type[Event]], timeout_s: float
) -> Recorded:
    """The first event of the request's story that is one of ``ends``. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        async for batch in log.follow(published.position, history_filter(aggregate, published.instance)):
            for r in batch.records:
                if r.correlation == published.request and type(r.event) in ends:
                    return r
    raise TimeoutError  # the log never ends: not reached
