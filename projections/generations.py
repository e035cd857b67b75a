"""What is done with whole generations: change places, drop, list. What builds one is in ``rebuild``.

While places change, the gate of the live generation's version is closed: its writer waits, for at most GIVE_UP_S. No
reader waits for anything: one that has begun goes on with the generation that it has begun with.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from projections import catalogue
from projections.errors import NoGeneration, NotSwapped
from projections.postgres import Connection, Database, Generation, Locked, as_generation, generations
from projections.writer import point_views

T = TypeVar("T")

#: How long the writer of the live generation is held up at most by one attempt, seconds.
GIVE_UP_S = 2.0
#: How long a swap is tried in all, and the pause between two attempts, seconds.
PATIENCE_S, PAUSE_S = 30.0, 0.1
#: How often a generation that another process writes is asked how far it is, seconds.
POLL_S = 0.01


async def list_generations(database: Database) -> list[Generation]:
    """All generations, the oldest first."""
    async with database.connection() as connection:
        return await generations(connection)


async def swap(database: Database) -> Generation:
    """Make the ready generation live; the live one becomes the previous one, and the one before that is dropped.

    Returns what is live now. Raises NoGeneration (none is ready), NotSwapped (it does not show all that the live one
    shows, and nobody keeps it up) and DatabaseUnavailable. In all cases the live generation goes on.
    """
    return await _bring_in(database, "ready")


async def rollback(database: Database) -> Generation:
    """Make the previous generation live again, and the live one the previous. Otherwise as ``swap``."""
    return await _bring_in(database, "previous")


async def drop(database: Database, number: int) -> Generation:
    """Remove a generation that is not live. Raises NoGeneration, NotSwapped (it is live)."""
    async with database.connection() as connection:
        found = next((one for one in await generations(connection) if one.number == number), None)
        if found is None:
            raise NoGeneration(f"{database.place} has no generation {number}")
        if await connection.fetchval(catalogue.REMOVE, number, ["building", "ready", "previous"]) is None:
            raise NotSwapped(f"{found.name} is live: swap or roll back first")
    await clean_up(database)
    return found


@asynccontextmanager
async def changing_places(database: Database) -> AsyncIterator[tuple[Connection, Generation | None]]:
    """A transaction in which the writer of the live generation waits, and what is live. Raises Locked if it takes long.

    One at a time: what is live is live until the end of the block.

    What is done within is given GIVE_UP_S; the commit is not cut short, so what came of it is known.
    """
    async with database.connection() as connection, connection.transaction():
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await connection.execute(f"SET LOCAL lock_timeout = '{int(GIVE_UP_S * 1000)}ms'")
                await connection.execute(catalogue.LOCK_META)
                live = await _in_state(connection, "live")
                if live is not None:
                    await connection.execute(catalogue.CLOSE_GATE, catalogue.gate_of(live.version))
                    live = await _in_state(connection, "live")  # its position may have moved while we waited
                yield connection, live
        except TimeoutError as error:  # the database is there, so this is not to be told as if it were away
            raise Locked(str(error) or f"not done within {GIVE_UP_S:g} s") from error


async def make_live(connection: Connection, chosen: Generation, live: Generation | None) -> None:
    """Flip the states and the views, within ``changing_places``. What was live stays as the previous one.

    The previous one, if it is not what becomes live, leaves the catalogue: see ``clean_up``. Raises as ``set_state``.
    """
    await set_state(connection, chosen, "live")
    if live is not None:
        previous = await _in_state(connection, "previous")
        if previous is not None:
            await connection.execute(catalogue.REMOVE, previous.number, ["previous"])
        await set_state(connection, live, "previous")
    await point_views(connection, chosen.name)


async def set_state(connection: Connection, one: Generation, state: str) -> None:
    """Put ``one`` into another state. Raises NoGeneration if it is not in the one that it was seen in any more."""
    if await connection.fetchval(catalogue.SET_STATE, one.number, one.state, state) is None:
        raise NoGeneration(
            f"{one.name} is no longer {one.state}: it was dropped or swapped meanwhile; nothing was changed"
        )


async def clean_up(database: Database) -> None:
    """Drop the tables of generations that have left the catalogue. What is still being read waits for next time."""
    async with database.connection() as connection:
        kept = {one.name for one in await generations(connection)}
        gone = {row["name"] for row in await connection.fetch(catalogue.SCHEMAS)} - kept
        for schema in sorted(gone):
            with contextlib.suppress(Locked):
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL lock_timeout = '{int(GIVE_UP_S * 1000)}ms'")
                    await connection.execute(catalogue.LOCK_META)
                    await connection.execute(catalogue.TAKE_ALONE, catalogue.number_of(schema))
                    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def patiently(database: Database, change: Callable[[], Awaitable[T]]) -> T:
    """Do ``change``, again until its locks are to be had. Raises NotSwapped when they are not within PATIENCE_S."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await change()
        except Locked as error:
            if time.monotonic() > until:
                raise NotSwapped(
                    f"{database.place}: not within {PATIENCE_S:g} s: {error or 'it is too busy'}"
                ) from error
            await asyncio.sleep(PAUSE_S)  # let the writer go on meanwhile


async def _bring_in(database: Database, state: str) -> Generation:
    chosen = next((one for one in await list_generations(database) if one.state == state), None)
    if chosen is None:
        raise NoGeneration(f"{database.place} has no {state} generation")
    live = await patiently(database, lambda: _change(database, chosen))
    await clean_up(database)
    return live


async def _change(database: Database, chosen: Generation) -> Generation:
    """Make ``chosen`` live; returns it as it is then, whatever others do with it later."""
    async with changing_places(database) as (connection, live):
        if live is not None:
            await _caught_up(database, chosen, live)
        await make_live(connection, chosen, live)
        (row,) = await connection.fetch(catalogue.READ_ONE, chosen.number)
        return as_generation(row)


async def _caught_up(database: Database, chosen: Generation, live: Generation) -> None:
    """Return once ``chosen`` shows all that ``live`` does: those of another version are written by another process."""
    if chosen.log_identity != live.log_identity:
        raise NotSwapped(f"{chosen.name} was made from the log {chosen.log_identity}, not from {live.log_identity}")
    async with database.connection() as looking:
        until = time.monotonic() + GIVE_UP_S / 2
        while True:
            row = await looking.fetchrow(catalogue.READ_ONE, chosen.number)
            if row is None:
                raise NoGeneration(f"{database.place}: {chosen.name} was dropped meanwhile")
            position = row["position"]
            if position == live.position or (position > live.position and chosen.version != live.version):
                return
            if time.monotonic() > until or chosen.version == live.version:
                raise NotSwapped(
                    f"{chosen.name} stands at position {position}, the live {live.name} at {live.position}, and nobody "
                    f"keeps it up: start a projector of version {chosen.version}, or build it anew with "
                    "`driftline projections rebuild --swap`"
                )
            await asyncio.sleep(POLL_S)  # what another process commits wakes nobody here


async def _in_state(connection: Connection, state: str) -> Generation | None:
    row: Any = await connection.fetchrow(catalogue.READ_STATE, state)
    return as_generation(row) if row is not None else None
