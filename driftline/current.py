"""The projections as they are now, in PostgreSQL: read, and waited for."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import structlog

from driftline.errors import NotDone
from driftline.projecting import only_projector
from driftline.stack import Stack
from projections.errors import DatabaseUnavailable, NotProjected
from projections.fold import Row
from projections.port_states import PAIRS
from projections.postgres import Database, fetch_table, snapshot
from projections.runner import Projector
from projections.sql import Value

#: How often a projector that runs elsewhere is asked how far it has got, seconds.
POLL_S = 0.05
#: How long a reader waits for it, seconds.
BEHIND_S = 2.0

log = structlog.get_logger("state")


class Now(NamedTuple):
    """Implements ``State``: what PostgreSQL shows now."""

    database: Database

    async def rows(self, table: str, where: Mapping[str, Value] | None = None) -> list[Row]:
        return await rows(self.database, table, where)


async def rows(database: Database, table: str, where: Mapping[str, Value] | None = None) -> list[Row]:
    """The rows of a table whose columns equal ``where``; none if nothing has been projected yet."""
    try:
        async with snapshot(database) as seen:
            return await fetch_table(seen, table, where)
    except NotProjected:
        return []


@asynccontextmanager
async def current_projections(stack: Stack) -> AsyncIterator[None]:
    """Projections that can be read: kept by a projector elsewhere, or brought up to the end of the log here."""
    if stack.servers.postgres_found:
        await _wait_a_little(stack)
        yield
        return
    async with only_projector(stack) as projector:
        await projector.wait_for(await stack.log.last_position())
        yield


async def _wait_a_little(stack: Stack) -> None:
    """Give a projector elsewhere the time to show what has just been appended, and say so if it does not."""
    last = await stack.log.last_position()
    try:
        await wait_projected(stack, None, last, timeout_s=BEHIND_S)
    except NotDone:
        shown = await projected_position(stack.database)
        log.warning("the projections are behind: does the projector run?", projected=shown, log=last)


async def wait_projected(stack: Stack, projector: Projector | None, position: int, timeout_s: float = 60.0) -> None:
    """Return when the projections show ``position``. ``projector``: None if it runs elsewhere.

    Raises NotDone when they do not within ``timeout_s``.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if projector is not None:
                await projector.wait_for(position)
            else:
                await _poll(stack, position)
    except TimeoutError as error:
        raise NotDone(f"the projections did not reach position {position} within {timeout_s:g} s") from error


async def _poll(stack: Stack, position: int) -> None:
    """A projector in another process: its checkpoint is all there is to see of it."""
    while True:
        with suppress(DatabaseUnavailable):  # it may be restarting, and the caller has said how long to wait
            if await projected_position(stack.database) >= position:
                return
        await asyncio.sleep(POLL_S)  # what another process has committed wakes nobody here


class Shown(NamedTuple):
    """What the projections show: up to where, and how many live ports are in each of Figure 8's pairs."""

    position: int
    states: dict[str, int]


async def shown(database: Database) -> Shown:
    """What a projector elsewhere shows now. Raises DatabaseUnavailable."""
    try:
        async with snapshot(database) as seen:
            latest = await fetch_table(seen, "port_states", limit=1, newest_first=True)
            return Shown(seen.position, {pair: getattr(row, pair.lower()) for row in latest for pair in PAIRS})
    except NotProjected:
        return Shown(0, {})


async def projected_position(database: Database) -> int:
    """The position that the projections show; 0 when nothing has been projected yet."""
    try:
        async with snapshot(database) as seen:
            return seen.position
    except NotProjected:
        return 0
