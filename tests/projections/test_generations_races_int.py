"""Two who change generations at once, on a real PostgreSQL: one of them is told, and there is always a live one."""

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType

import pytest

from bus.errors import LogMismatch
from projections import generations as places
from projections import rebuild as building
from projections.errors import NoGeneration, NotSwapped
from projections.generations import drop, patiently, rollback, swap
from projections.postgres import Database
from projections.rebuild import rebuild
from projections.verify import verify
from tests.projections.test_generations_int import STORY, catch_up, projected, states
from tests.story import Story

#: What is compared with the fold: what was built, then the live generation.
BOTH = 2


def after(
    patched: pytest.MonkeyPatch, where: ModuleType, name: str, then: Callable[[], Awaitable[object]], *, calls: int = 1
) -> None:
    """Have ``then`` happen right after so many calls of ``where.name``: that is what a slow caller does not see."""
    whole, left = getattr(where, name), calls

    async def wrapped(*args: object) -> object:
        nonlocal left
        answer = await whole(*args)
        left -= 1
        if not left:
            patched.undo()
            await then()
        return answer

    patched.setattr(where, name, wrapped)


@pytest.mark.parametrize("to_swap", [False, True], ids=["ready", "swap"])
async def test_what_is_being_built_is_dropped_and_the_live_one_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch, to_swap: bool
) -> None:
    log = await projected(database)
    after(monkeypatch, building, "compare", lambda: drop(database, 2), calls=BOTH)
    with pytest.raises(NoGeneration, match="driftline_g2 is no longer building"):
        await rebuild(log, database, swap=to_swap)
    assert await states(database) == {"live": "driftline_g1"}
    assert (await verify(log, database)).equal


async def test_what_is_being_built_is_dropped_before_more_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story().world().spawn("i1")
    log = await projected(database, story)

    async def drop_and_go_on() -> None:
        await drop(database, 2)
        await log.append(story.spawn("i2").envelopes)
        await catch_up(log, database)

    after(monkeypatch, building, "compare", drop_and_go_on, calls=BOTH)
    with pytest.raises(NoGeneration, match="driftline_g2 was dropped, or taken over, meanwhile"):
        await rebuild(log, database)
    assert await states(database) == {"live": "driftline_g1"}


async def test_of_two_swaps_the_second_is_refused_and_the_way_back_stays_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    await rebuild(log, database)
    after(monkeypatch, places, "list_generations", lambda: swap(database))
    with pytest.raises(NoGeneration, match="driftline_g2 is no longer ready"):
        await swap(database)
    assert await states(database) == {"previous": "driftline_g1", "live": "driftline_g2"}
    assert (await rollback(database)).name == "driftline_g1"


async def test_a_swap_tells_what_it_made_live_also_if_that_is_undone_and_dropped_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    await rebuild(log, database)

    async def undo() -> None:
        await rollback(database)
        await drop(database, 2)

    after(monkeypatch, places, "clean_up", undo)
    live = await swap(database)
    assert (live.name, live.state, live.position) == ("driftline_g2", "live", STORY.position)
    assert await states(database) == {"live": "driftline_g1"}


async def test_many_at_once_leave_one_live_generation(database: Database) -> None:
    log = await projected(database)
    await rebuild(log, database, swap=True)
    await rebuild(log, database)
    changes = [swap(database), rollback(database), swap(database), rollback(database), drop(database, 3)]
    answers = await asyncio.gather(*changes, return_exceptions=True)
    assert not [one for one in answers if isinstance(one, Exception) and not isinstance(one, NoGeneration | NotSwapped)]
    assert "live" in await states(database)
    assert (await verify(log, database)).equal


async def test_what_becomes_live_while_it_is_to_be_dropped_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    await rebuild(log, database)
    after(monkeypatch, places, "generations", lambda: swap(database))
    with pytest.raises(NotSwapped, match="driftline_g2 is live"):
        await drop(database, 2)
    assert await states(database) == {"previous": "driftline_g1", "live": "driftline_g2"}


async def test_what_becomes_live_while_a_rebuild_begins_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    await rebuild(log, database)
    after(monkeypatch, building, "list_generations", lambda: swap(database))
    await rebuild(log, database)
    assert await states(database) == {"previous": "driftline_g1", "live": "driftline_g2", "ready": "driftline_g3"}


async def test_a_log_that_lost_its_end_is_told_and_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    last = STORY.position - 3
    log._messages, log._last = log._messages[:last], last
    monkeypatch.setattr(building, "CLOSE_EVENTS", 0)  # so far behind the live one that it is followed
    with pytest.raises(LogMismatch, match=f"driftline_g1 is live and shows position {last + 3}, .* ends at {last}"):
        async with asyncio.timeout(10):
            await rebuild(log, database)
    assert await states(database) == {"live": "driftline_g1"}


async def test_all_is_dropped_while_one_is_built(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await projected(database)
    whole = patiently

    async def cleared_first(database: Database, change: Callable[[], Awaitable[None]]) -> None:
        await database.clear()
        await whole(database, change)

    monkeypatch.setattr(building, "patiently", cleared_first)
    with pytest.raises(NoGeneration, match="the projections were dropped meanwhile"):
        await rebuild(log, database)
    await catch_up(log, database)
    assert await states(database) == {"live": "driftline_g1"}
