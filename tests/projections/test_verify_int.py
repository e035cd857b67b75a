"""``verify`` against a real PostgreSQL: finds what was planted, works beside a running projector."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.errors import LogMismatch
from bus.memory import MemoryLog, MemoryQuarantine
from projections.errors import NotProjected
from projections.hashes import hash_of, row_digests
from projections.postgres import Database
from projections.runner import Projector
from projections.verify import Difference, verify
from tests.projections.conftest import running
from tests.projections.given import tuples, viewed
from tests.story import Story

STORY = Story().world().spawn("i1").spawn("i2", "h3").spawn("i3").delete("i1")


@pytest_asyncio.fixture
async def log(database: Database) -> AsyncIterator[MemoryLog]:
    """The log of STORY, projected."""
    log = MemoryLog()
    await STORY.append_to(log)
    projector = Projector(log, database, MemoryQuarantine())
    async with running(projector):
        await projector.wait_for(STORY.position)
    yield log


async def test_equal_tables_are_counted(database: Database, log: MemoryLog) -> None:
    told: list[tuple[int, int]] = []
    verdict = await verify(log, database, lambda *progress: told.append(progress))
    expected = {table: len(rows) for table, rows in tuples(viewed(STORY.records())).items()}
    assert (verdict.equal, verdict.difference, verdict.position) == (True, None, STORY.position)
    assert (verdict.rows, verdict.total) == (expected, sum(expected.values()))
    assert verdict.seconds > 0
    assert told[-1] == (STORY.position, STORY.position)


@pytest.mark.parametrize(
    ("planted", "difference"),
    [
        (
            "UPDATE driftline.ports SET vlan = vlan + 7 WHERE port = 'i3-0'",
            Difference(table="ports", key=["i3-0"], kind="changed", column="vlan", expected=100, found=107),
        ),
        (
            "UPDATE driftline.networks SET labels = '{blue,net2}' WHERE network = 'net1'",
            Difference(
                table="networks",
                key=["net1"],
                kind="changed",
                column="labels",
                expected=["blue", "net1"],
                found=["blue", "net2"],
            ),
        ),
        (
            "DELETE FROM driftline.addresses WHERE ip = '10.1.0.4'",
            Difference(table="addresses", key=["vrf1", "10.1.0.4"], kind="missing"),
        ),
        (
            "INSERT INTO driftline.pools SELECT 'sub-ghost', network, 0, 0, 0, 0 FROM driftline.pools LIMIT 1",
            Difference(table="pools", key=["sub-ghost"], kind="extra"),
        ),
    ],
)
async def test_the_first_planted_difference_is_named(
    database: Database, log: MemoryLog, planted: str, difference: Difference
) -> None:
    async with database.connection() as connection:
        await connection.execute(planted)
        await connection.execute("UPDATE driftline.spawns SET name = 'a later table'")
    verdict = await verify(log, database)
    assert (verdict.equal, verdict.difference) == (False, difference)
    assert [one.first.table for one in verdict.differing] == [difference.table, "spawns"]
    clean = viewed(STORY.records())
    for table in clean.tables():
        expected = hash_of(row_digests(row for _, row in sorted(clean.rows(table.name).items())))
        assert (verdict.hashes[table.name] == expected) == (table.name not in (difference.table, "spawns"))


@pytest.mark.parametrize(
    ("planted", "first", "last"),
    [
        ("UPDATE driftline.ports SET vlan = 7 WHERE port = 'i3-0'", "port.allocated.v1", "port.overlay_reported.v1"),
        ("DELETE FROM driftline.hosts WHERE host = 'h3'", "host.added.v1", "host.added.v1"),
        ("INSERT INTO driftline.pools SELECT 'sub-ghost', network, 0, 0, 0, 0 FROM driftline.pools LIMIT 1", "", ""),
    ],
)
async def test_the_events_that_touched_what_differs_are_named(
    database: Database, log: MemoryLog, planted: str, first: str, last: str
) -> None:
    async with database.connection() as connection:
        await connection.execute(planted)
    verdict = await verify(log, database)
    touched = (verdict.first_touched, verdict.last_touched)
    assert [touch.type if touch else "" for touch in touched] == [first, last]
    for touch in touched:
        if touch is not None:
            record = STORY.records()[touch.position - 1]
            assert (record.id, record.position) == (touch.id, touch.position)


async def test_the_projector_may_run_meanwhile(database: Database) -> None:
    story, log = Story().world(), MemoryLog()
    projector = Projector(log, database, MemoryQuarantine(), ahead_events=30)
    async with running(projector):
        positions: list[int] = []
        await log.append(story.envelopes)
        await projector.wait_for(1)
        for i in range(40):
            await log.append(story.spawn(f"i{i}", f"h{i % 3 + 1}").envelopes)
            if i % 8 == 7:
                verdict = await verify(log, database)
                assert verdict.difference is None
                positions.append(verdict.position)
            if i % 8 == 0:
                await projector.wait_for(story.position - 100)
        await projector.wait_for(story.position)
    assert positions == sorted(positions)
    assert (await verify(log, database)).position == story.position


async def test_the_tables_of_another_log_are_not_compared(database: Database, log: MemoryLog) -> None:
    with pytest.raises(LogMismatch, match="the tables were made from the log memory-"):
        await verify(MemoryLog(), database)


async def test_tables_ahead_of_the_log_are_not_compared(database: Database, log: MemoryLog) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE driftline.generations SET position = position + 1")
    with pytest.raises(LogMismatch, match=f"ends at {STORY.position}"):
        await verify(log, database)


async def test_an_empty_database_cannot_be_verified(database: Database) -> None:
    with pytest.raises(NotProjected):
        await verify(MemoryLog(), database)
