"""What PostgreSQL is given and gives back: odd values, readers, snapshots, and who may move the checkpoint."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.errors import LogMismatch
from bus.events import NetworkCreated, PortPlugFailed
from bus.memory import MemoryLog, MemoryQuarantine
from projections.errors import CheckpointMoved, CommitsLost, DatabaseUnavailable, NotProjected
from projections.fold import Row
from projections.port_rows import PortRow
from projections.postgres import Database, connect, fetch_table, place_of, snapshot, stream_tuples
from projections.runner import Projector
from projections.sql import storable
from projections.verify import verify
from projections.views import Views
from projections.writer import Writer, prepare
from tests.projections.conftest import running
from tests.projections.events import claim
from tests.projections.given import viewed
from tests.story import START_US, STEP_US, Story


async def projected(story: Story, database: Database) -> MemoryLog:
    log = MemoryLog()
    await story.append_to(log)
    projector = Projector(log, database, MemoryQuarantine())
    async with running(projector):
        await projector.wait_for(story.position)
    return log


async def rows_of(database: Database, table: str, **where: Any) -> list[Row]:
    async with snapshot(database) as seen:
        return await fetch_table(seen, table, where)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ('it\'s "quoted" \\ and $1 -- {a,b} NULL', None),
        ("tab\tnewline\nreturn\r", None),
        ("Grüße \N{SNOWMAN} \N{MATHEMATICAL FRAKTUR CAPITAL U} \u2028", None),
        ("'); DROP SCHEMA driftline CASCADE; --", None),
        ("x" * 100_000, None),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
async def test_any_text_is_kept_and_verified(database: Database, reason: str, kept: str | None) -> None:
    story = Story().world()
    story.request("i1")
    story.tell(PortPlugFailed(**claim("i1-0"), reason=reason))
    log = await projected(story, database)
    [row] = await rows_of(database, "ports")
    assert isinstance(row, PortRow)
    assert row.reason == (reason if kept is None else kept)
    assert (await verify(log, database)).difference is None


def test_an_integer_of_more_than_64_bits_is_kept_as_the_largest() -> None:
    assert storable([10**30, -(10**30), 7, True]) == [(1 << 63) - 1, -(1 << 63), 7, True]


@pytest.mark.parametrize("labels", [(), ("one",), tuple(f"label-{i}" for i in range(2000, 0, -1)), ("b", "a", "b")])
async def test_lists_keep_their_order_whatever_their_length(database: Database, labels: tuple[str, ...]) -> None:
    story = Story().world()
    story.tell(NetworkCreated(network="labelled", vpc="vpc1", vni=77, labels=labels))
    log = await projected(story, database)
    [row] = await rows_of(database, "networks", network="labelled")
    assert getattr(row, "labels", None) == list(labels)
    assert (await verify(log, database)).difference is None


async def test_people_can_read_the_times(database: Database) -> None:
    story = Story().world()
    story.request("i1")
    await projected(story, database)
    async with database.connection() as connection:
        at = await connection.fetchval("SELECT allocated_at FROM driftline.ports_v")
        steps = await connection.fetchrow("SELECT step_03_at, step_13_at FROM driftline.spawns_v")
    allocated_us = START_US + (story.position - 1) * STEP_US
    assert at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=allocated_us)
    assert tuple(steps or ()) == (at, None)


async def test_rows_are_chosen_by_their_columns_in_key_order(database: Database) -> None:
    story = Story().world()
    for i in (3, 1, 2, 10):
        story.spawn(f"i{i}", "h1" if i < 3 else "h3")
    await projected(story, database)
    ports = viewed(story.records()).rows("ports")
    async with snapshot(database) as seen:
        assert await fetch_table(seen, "ports") == [ports[(key,)] for key in ("i1-0", "i10-0", "i2-0", "i3-0")]
        assert await fetch_table(seen, "ports", {"host": "h3"}, limit=1) == [ports[("i10-0",)]]
        assert await fetch_table(seen, "ports", {"host": "h1", "bound": True, "generation": 1}, limit=9) == [
            ports[("i1-0",)],
            ports[("i2-0",)],
        ]
        assert await fetch_table(seen, "ports", {"host": "h1' OR true --"}) == []
        with pytest.raises(KeyError, match="ports has no column colour"):
            await fetch_table(seen, "ports", {"colour": "red"})


async def test_a_large_table_is_streamed_in_key_order(database: Database) -> None:
    story = Story().world()
    for i in range(2100):
        story.request(f"i{i}")
    await projected(story, database)
    async with snapshot(database) as seen:
        chunks = [rows async for rows in stream_tuples(seen, "ports")]
    keys = [row[0] for rows in chunks for row in rows]
    assert len(chunks) == 2
    assert keys == sorted(f"i{i}-0" for i in range(2100))


async def test_a_snapshot_stays_at_its_position_while_the_projector_writes(database: Database) -> None:
    story, log = Story().world().spawn("i1"), MemoryLog()
    await story.append_to(log)
    projector = Projector(log, database, MemoryQuarantine())
    async with running(projector):
        await projector.wait_for(story.position)
        async with snapshot(database) as seen:
            before = story.position
            await log.append(story.spawn("i2").delete("i1").envelopes)
            await projector.wait_for(story.position)
            assert seen.position == before
            rows = await fetch_table(seen, "ports")
        assert [getattr(row, "port", None) for row in rows] == ["i1-0"]
        assert [getattr(row, "port", None) for row in await rows_of(database, "ports")] == ["i2-0"]


async def test_an_empty_database_holds_no_projections(database: Database) -> None:
    with pytest.raises(NotProjected, match="holds no projections yet"):
        async with snapshot(database):
            pass
    await prepare(database, "log")
    async with snapshot(database) as seen:
        assert (seen.position, seen.generation.name) == (0, "driftline_g1")
        assert await fetch_table(seen, "hosts") == []


async def test_preparing_twice_keeps_what_is_there(database: Database) -> None:
    await projected(Story().world(), database)
    await prepare(database, "log")
    assert len(await rows_of(database, "hosts")) == 3


async def writer(database: Database, log: str = "log") -> Writer:
    one = Writer(database, log)
    await one.start()
    return one


async def test_a_commit_that_is_repeated_happens_once(database: Database) -> None:
    views = Views()
    touched = [key for one in Story().world().records() for key in views.evolve(one)]
    one = await writer(database)
    await one.write(views.cut(touched), 0, 10)
    await one.write(views.cut([]), 0, 10)
    assert len(await rows_of(database, "hosts")) == 3
    assert await Writer(database, "log").start() == 10


async def test_a_second_writer_is_refused_even_for_the_same_position(database: Database) -> None:
    first, second = await writer(database), await writer(database)
    await first.write([], 0, 10)
    with pytest.raises(CheckpointMoved, match="is at 10, this projector had left it at 0"):
        await second.write([], 0, 10)
    with pytest.raises(CheckpointMoved):
        await second.write([], 0, 20)
    await first.write([], 10, 20)


async def test_a_checkpoint_that_fell_back_is_told_from_one_that_was_moved(database: Database) -> None:
    one = await writer(database)
    await one.write([], 0, 10)
    async with database.connection() as connection:
        await connection.execute("UPDATE driftline.generations SET position = 5")
        with pytest.raises(CommitsLost, match="is back at position 5, after it had been at 10"):
            await one.write([], 10, 20)
        await connection.execute("UPDATE driftline.generations SET position = 0, writer = ''")
        with pytest.raises(CommitsLost, match="is back at position 0"):
            await one.write([], 10, 20)
        await connection.execute("UPDATE driftline.generations SET position = 5, writer = 'somebody'")
        with pytest.raises(CheckpointMoved):
            await one.write([], 10, 20)
        await connection.execute("DELETE FROM driftline.generations")
        with pytest.raises(CommitsLost, match="the checkpoint is gone"):
            await one.write([], 10, 20)
        await connection.execute("DROP SCHEMA driftline CASCADE")
        with pytest.raises(CommitsLost, match="the tables are gone"):
            await one.write([], 10, 20)


async def test_a_writer_for_another_log_is_refused(database: Database) -> None:
    await writer(database, "log a")
    with pytest.raises(LogMismatch, match="from the log log a, not from log b"):
        await writer(database, "log b")


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"PostgreSQL at 127\.0\.0\.1:1, database dc: ") as caught:
        async with connect("postgresql://me:secret@127.0.0.1:1/dc"):
            pass
    assert "secret" not in str(caught.value)


async def test_a_database_that_is_not_there_is_unavailable(postgres_dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable, match='database "nowhere" does not exist'):
        async with connect(postgres_dsn.replace("/test_", "/nowhere?was=", 1).replace("?host", "&host")):
            pass


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://u:p@db.example:5433/dc?sslmode=require", "PostgreSQL at db.example:5433, database dc"),
        ("postgresql://postgres@/postgres?host=%2Ftmp%2Fx&port=7", "PostgreSQL at /tmp/x:7, database postgres"),
        ("postgresql://", "PostgreSQL at the default host, database of the user"),
    ],
)
def test_a_place_is_named_for_people(dsn: str, place: str) -> None:
    assert place_of(dsn) == place
