"""The projector against a real PostgreSQL: its tables are the fold of the log, whatever happens to either."""

import asyncio
import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict, WrappedLogger

import bus.memory
from bus.embedded import EmbeddedServer, embedded_postgres_server
from bus.envelope import Recorded, Rejected
from bus.errors import LogMismatch, LogUnavailable
from bus.events import PortPlugged
from bus.memory import MemoryLog, MemoryQuarantine
from projections.errors import CheckpointMoved, DatabaseUnavailable, FoldError, ProjectorStopped, SchemaMismatch
from projections.fold import Touched
from projections.postgres import Database, connect, fetch_table, snapshot
from projections.runner import Projector
from projections.spawns import Spawns
from projections.verify import verify
from projections.views import SkippedRow
from tests.projections.conftest import running
from tests.projections.given import tuples, viewed
from tests.story import Story


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even a short log is read, folded and written in many steps."""
    monkeypatch.setattr(bus.memory, "READ_BATCH", 5)


def busy(count: int = 40) -> Story:
    """Spawns and deletes in turn, over all hosts and both networks."""
    story = Story().world()
    for i in range(count):
        story.spawn(f"i{i}", f"h{i % 3 + 1}", f"net{i % 2 + 1}")
        if i % 3 == 2:
            story.delete(f"i{i - 1}")
    return story


async def crash(server: EmbeddedServer, database: Database) -> None:
    """SIGKILL PostgreSQL, and wait until its backends have noticed: before that it cannot start again."""
    async with database.connection() as connection:
        backends = [os.pidfd_open(row["pid"]) for row in await connection.fetch("SELECT pid FROM pg_stat_activity")]
    await server.kill()
    for backend in backends:
        exited, _, _ = await asyncio.to_thread(select.select, [backend], [], [], 20)
        assert exited
        os.close(backend)


@contextmanager
def logged(event: str) -> Iterator[asyncio.Event]:
    """Set as soon as a line with this event is logged."""
    seen = asyncio.Event()

    def look(_logger: WrappedLogger, _name: str, line: EventDict) -> EventDict:
        if line["event"] == event:
            seen.set()
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[look])
    try:
        yield seen
    finally:
        structlog.configure(processors=before)


async def log_of(story: Story) -> MemoryLog:
    log = MemoryLog()
    await story.append_to(log)
    return log


def projector_of(log: MemoryLog, database: Database, ahead_events: int = 10_000) -> Projector:
    return Projector(log, database, MemoryQuarantine(), ahead_events=ahead_events)


async def project(log: MemoryLog, database: Database) -> None:
    projector = projector_of(log, database)
    async with running(projector):
        await projector.wait_for(await log.last_position())


async def assert_equal(log: MemoryLog, database: Database, position: int) -> None:
    verdict = await verify(log, database)
    assert (verdict.difference, verdict.position) == (None, position)


async def test_the_tables_are_the_fold_of_the_log(database: Database) -> None:
    story = busy()
    await project(await log_of(story), database)
    views = viewed(story.records())
    async with snapshot(database) as seen:
        assert seen.position == story.position
        for table in views.tables():
            rows = views.rows(table.name)
            assert await fetch_table(seen, table.name) == [rows[key] for key in sorted(rows)]


async def test_a_projector_that_is_cancelled_anywhere_goes_on_at_its_checkpoint(database: Database) -> None:
    story = busy()
    log = await log_of(story)
    for position in range(50, story.position, 60):
        projector = projector_of(log, database, ahead_events=7)
        run = asyncio.create_task(projector.run())
        await projector.wait_for(position)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        async with snapshot(database) as seen:
            assert projector.position <= seen.position <= story.position
    await project(log, database)
    await assert_equal(log, database, story.position)


async def test_events_that_come_while_it_runs_are_projected(database: Database) -> None:
    story, log = Story().world(), MemoryLog()
    projector = projector_of(log, database)
    async with running(projector):
        for i in range(20):
            story.spawn(f"i{i}")
            await log.append(story.envelopes)
            if i % 4 == 3:
                await projector.wait_for(story.position)
    await assert_equal(log, database, story.position)


async def test_stop_writes_all_that_was_folded(database: Database) -> None:
    story = busy()
    log = await log_of(story)
    projector = projector_of(log, database, ahead_events=50)
    async with running(projector):
        await projector.wait_for(100)
    assert 100 <= projector.position < story.position
    assert tuples(projector.views) == tuples(viewed(story.records()[: projector.position]))
    await assert_equal(log, database, projector.position)


async def test_a_projector_that_is_stopped_before_it_starts_only_prepares(database: Database) -> None:
    projector = projector_of(await log_of(busy(3)), database)
    await projector.stop()
    await projector.run()
    assert projector.position == 0


async def test_waiting_ends_when_the_projector_does(database: Database) -> None:
    projector = projector_of(MemoryLog(), database)
    async with running(projector):
        waiting = asyncio.create_task(projector.wait_for(1))
    with pytest.raises(ProjectorStopped, match="stopped at position 0, before 1"):
        await waiting


async def test_of_two_projectors_on_one_database_one_is_told(database: Database) -> None:
    story = busy(5)
    log = await log_of(story)
    both = [projector_of(log, database), projector_of(log, database)]
    await project(log, database)
    runs = [asyncio.create_task(projector.run()) for projector in both]
    for projector in both:
        await projector.wait_for(story.position)  # both have started from the checkpoint
    await log.append(story.spawn("new").envelopes)
    [ended], [left] = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(CheckpointMoved, match="another projector writes here"):
        await ended
    winner = both[runs.index(left)]
    await winner.wait_for(story.position)
    await winner.stop()
    await left
    await assert_equal(log, database, story.position)


async def test_postgresql_may_be_killed_and_come_back() -> None:
    story = busy()
    log = await log_of(story)
    async with embedded_postgres_server() as server, connect(server.url) as database:
        projector = projector_of(log, database, ahead_events=20)
        with capture_logs() as logs:
            async with running(projector):
                for i in range(3):
                    await projector.wait_for(story.position // 2)
                    await crash(server, database)
                    await log.append(story.spawn(f"k{i}").envelopes)
                    await server.start()
                    await projector.wait_for(story.position)
        await assert_equal(log, database, story.position)
    told = [entry["event"] for entry in logs]
    assert told.count("trying again") >= 3
    assert "database is back" in told or "commits were lost, folding anew from the log" in told


async def test_commits_that_a_crash_took_are_written_again(database: Database) -> None:
    story = busy(5)
    log = await log_of(story)
    projector = projector_of(log, database)
    with capture_logs() as logs:
        async with running(projector):
            await projector.wait_for(story.position)
            await database.clear()  # as if no commit had ever reached the disk
            await log.append(story.spawn("new").envelopes)
            await projector.wait_for(story.position)
    await assert_equal(log, database, story.position)
    assert "commits were lost, folding anew from the log" in [entry["event"] for entry in logs]


async def test_stop_while_postgresql_is_away_says_so_and_loses_nothing() -> None:
    story = busy(5)
    log = await log_of(story)
    async with embedded_postgres_server() as server, connect(server.url) as database:
        projector = projector_of(log, database)
        run = asyncio.create_task(projector.run())
        await projector.wait_for(story.position)
        await crash(server, database)
        with logged("trying again") as failed:
            await log.append(story.spawn("new").envelopes)
            await failed.wait()
        await projector.stop()
        with pytest.raises(DatabaseUnavailable):
            await run
        await server.start()
        await project(log, database)
        await assert_equal(log, database, story.position)


async def test_the_tables_of_another_log_are_left_alone(database: Database) -> None:
    await project(await log_of(busy(3)), database)
    other = MemoryLog()
    with pytest.raises(LogMismatch, match="was projected from the log memory-"):
        await projector_of(other, database).run()


class Truncated(MemoryLog):
    """A log that has lost its end."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self._identity = identity


async def test_a_log_that_ends_before_the_checkpoint_is_another_log(database: Database) -> None:
    story = busy(3)
    log = await log_of(story)
    await project(log, database)
    shorter = Truncated(await log.identity())
    await shorter.append(story.envelopes[:10])
    with pytest.raises(LogMismatch, match=f"the tables show position {story.position}.* ends at 10"):
        await projector_of(shorter, database).run()


async def test_tables_of_another_version_are_refused_until_they_are_rebuilt(database: Database) -> None:
    story = busy(3)
    log = await log_of(story)
    await project(log, database)
    async with database.connection() as connection:
        await connection.execute("UPDATE driftline.generations SET version = 'older'")
    with pytest.raises(SchemaMismatch, match="version older"):
        await projector_of(log, database).run()
    await database.clear()
    await project(log, database)
    await assert_equal(log, database, story.position)


class Watching(MemoryQuarantine):
    """Notes how far the projector was when it put something away; the first try fails."""

    def __init__(self) -> None:
        super().__init__()
        self.projector: Projector | None = None
        self.positions: list[int] = []
        self.tries = 0

    async def put(self, rejected: Sequence[Rejected]) -> None:
        assert self.projector is not None
        self.tries += 1
        if self.tries == 1:
            raise LogUnavailable("not now")
        self.positions.append(self.projector.position)
        await super().put(rejected)


async def test_malformed_messages_are_put_away_before_the_checkpoint_passes_them(database: Database) -> None:
    story, quarantine = busy(3), Watching()
    log = await log_of(story)
    bad = await log.append_raw("dl.port.p1.az1.h1.bound", b"no json")
    last = await log.append_raw("dl.port.p1.az1.h1.bound", b'{"id": "1", "event": {"type": "port.bound.v1"}}')
    quarantine.projector = projector = Projector(log, database, quarantine)
    async with running(projector):
        await projector.wait_for(last)
    assert [one.position for one in await quarantine.list()] == [bad, last]
    assert quarantine.positions
    assert max(quarantine.positions) < bad
    await assert_equal(log, database, last)


async def test_unknown_types_are_counted_also_over_a_restart(database: Database) -> None:
    log = await log_of(busy(3))
    unknown = b'{"id": "%d", "event": {"type": "port.moved.v7"}}'
    for i in range(3):
        last = await log.append_raw("dl.port.p1.az1.h1.moved", unknown % i)
        await project(log, database)
    async with snapshot(database) as seen:
        assert await fetch_table(seen, "skipped") == [SkippedRow(type="port.moved.v7", count=3, last_position=last)]
    await assert_equal(log, database, last)


async def test_a_fold_that_raises_stops_the_projector_at_its_event(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = busy(10)
    log = await log_of(story)
    failing = next(one for one in story.records() if one.position >= 100 and isinstance(one.event, PortPlugged))
    whole = Spawns._handlers[PortPlugged]

    def broken(self: Spawns, one: Recorded, event: PortPlugged) -> tuple[Touched, ...]:
        touched = whole(self, one, event)
        if one.position == failing.position:
            raise KeyError("a bug")
        return touched

    with monkeypatch.context() as patched:
        patched.setattr(Spawns, "_handlers", dict(Spawns._handlers) | {PortPlugged: broken})
        with pytest.raises(FoldError, match=f"event {failing.id} at position {failing.position} failed") as caught:
            await projector_of(log, database).run()
    assert (caught.value.position, caught.value.id) == (failing.position, failing.id)
    async with snapshot(database) as seen:
        assert seen.position < failing.position
    await project(log, database)
    await assert_equal(log, database, story.position)


async def test_the_refold_at_the_start_tells_its_progress(database: Database) -> None:
    story = busy(3)
    log = await log_of(story)
    await project(log, database)
    told: list[tuple[int, int]] = []
    projector = Projector(log, database, MemoryQuarantine(), progress=lambda *progress: told.append(progress))
    async with running(projector):
        await projector.wait_for(story.position)
    assert told == [(done, story.position) for done in (*range(5, story.position, 5), story.position)]
