"""Generations against a real PostgreSQL: built beside, swapped, rolled back, while everything goes on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bus.errors import LogMismatch
from bus.events import NetworkCreated, PortPlugFailed
from bus.memory import MemoryLog, MemoryQuarantine
from projections import filling
from projections import generations as places
from projections import rebuild as building
from projections import verify as verifying
from projections.edition import CURRENT, Edition
from projections.errors import CheckpointMoved, NoGeneration, NotSwapped, RebuildBusy, SchemaMismatch, ShadowDiffers
from projections.generations import drop, list_generations, rollback, swap
from projections.instances import Instances
from projections.postgres import Database, connect, fetch_table, snapshot
from projections.rebuild import rebuild
from projections.runner import Projector
from projections.spawns import Spawns
from projections.verify import verify
from projections.views import PROJECTIONS
from projections.writer import Writer
from tests.projections.conftest import running
from tests.projections.events import claim
from tests.projections.given import viewed
from tests.projections.load import Load
from tests.story import Story

STORY = Story().world().spawn("i1").spawn("i2", "h3").spawn("i3").delete("i1")


class NewerInstances(Instances):
    """The instances, of a newer version."""

    VERSION = Instances.VERSION + 1


NEWER = Edition(NewerInstances if projection is Instances else projection for projection in PROJECTIONS)


async def projected(database: Database, story: Story = STORY) -> MemoryLog:
    log = MemoryLog()
    await story.append_to(log)
    await catch_up(log, database)
    return log


def projector_of(log: MemoryLog, database: Database) -> Projector:
    return Projector(log, database, MemoryQuarantine())


async def catch_up(log: MemoryLog, database: Database) -> None:
    projector = projector_of(log, database)
    async with running(projector):
        await projector.wait_for(await log.last_position())


async def states(database: Database) -> dict[str, str]:
    return {one.state: one.name for one in await list_generations(database)}


async def positions(database: Database) -> set[int]:
    return {one.position for one in await list_generations(database)}


async def test_rebuild_swap_and_rollback_under_load_are_seen_by_nobody(database: Database) -> None:
    story = Story().world().spawn("i1").spawn("i2", "h3")
    log = MemoryLog()
    await story.append_to(log)
    projector = projector_of(log, database)
    async with running(projector):
        await projector.wait_for(story.position)
        load = Load(log, database, story)
        async with load.on():
            await load.more()
            built = await rebuild(log, database)
            assert (built.state, await states(database)) == ("ready", {"live": "driftline_g1", "ready": "driftline_g2"})
            await load.more()
            await swap(database)
            await load.more()
            await rollback(database)
            await load.more()
            built = await rebuild(log, database, swap=True)
            assert (built.generation, built.state) == ("driftline_g3", "live")
            await load.more()
        await projector.wait_for(story.position)
    assert load.generations == ["driftline_g1", "driftline_g2", "driftline_g1", "driftline_g3"]
    assert await states(database) == {"previous": "driftline_g1", "live": "driftline_g3"}
    assert await positions(database) == {story.position}
    for number in (1, 3):
        verdict = await verify(log, database, number=number)
        assert (verdict.difference, verdict.position) == (None, story.position)


async def test_what_was_swapped_in_is_kept_by_the_running_projector_and_by_the_next(database: Database) -> None:
    story = Story().world().spawn("i1")
    log = await projected(database, story)
    await rebuild(log, database, swap=True)
    await log.append(story.spawn("i2").envelopes)
    await catch_up(log, database)
    assert await positions(database) == {story.position}
    await log.append(story.spawn("i3").envelopes)
    projector = projector_of(log, database)
    async with running(projector):
        await projector.wait_for(story.position)
        await rollback(database)
        await log.append(story.spawn("i4").envelopes)
        await projector.wait_for(story.position)
    assert await positions(database) == {story.position}
    for number in (1, 2):
        assert (await verify(log, database, number=number)).equal


async def test_rows_that_were_corrupted_are_found_named_and_healed(database: Database) -> None:
    log = await projected(database)
    async with database.connection() as connection:
        await connection.execute("UPDATE driftline.ports SET vlan = 7 WHERE port = 'i3-0'")
    verdict = await verify(log, database)
    assert str(verdict.difference) == "ports i3-0: vlan is 7 in the database, 100 by the log"
    assert verdict.first_touched is not None
    assert verdict.first_touched.type == "port.allocated.v1"
    built = await rebuild(log, database, swap=True)
    assert [str(one.first) for one in built.live_differs] == [str(verdict.difference)]
    assert (await verify(log, database)).equal
    assert not (await verify(log, database, number=1)).equal


async def test_people_read_the_live_generation(database: Database) -> None:
    log = await projected(database)

    async def vlan() -> int:
        async with database.connection() as connection:
            return int(await connection.fetchval("SELECT vlan FROM driftline.ports_v WHERE port = 'i3-0'"))

    async with database.connection() as connection:
        await connection.execute("UPDATE driftline_g1.ports SET vlan = 7 WHERE port = 'i3-0'")
    assert await vlan() == 7
    await rebuild(log, database)
    assert await vlan() == 7
    await swap(database)
    assert await vlan() == 100
    await rollback(database)
    assert await vlan() == 7


async def test_a_reader_may_take_longer_than_two_swaps(database: Database) -> None:
    log = await projected(database)
    expected = [row for _, row in sorted(viewed(STORY.records()).rows("spawns").items())]
    async with snapshot(database) as seen:
        for _ in range(2):
            await rebuild(log, database, swap=True)
        assert await states(database) == {"previous": "driftline_g2", "live": "driftline_g3"}
        assert await fetch_table(seen, "spawns") == expected
    await places.clean_up(database)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT to_regnamespace('driftline_g1')") is None


class Killed(BaseException):
    """The process ends here."""


def steps() -> list[tuple[object, str]]:
    """Where a builder can be killed: at the start of each of its steps."""
    return [
        (building, "create_tables"),
        (building, "add_keys"),
        (building, "compare"),
        (building, "changing_places"),
        (building, "make_live"),
        (building, "clean_up"),
    ]


@pytest.mark.parametrize(("where", "step"), steps(), ids=[step for _, step in steps()])
async def test_a_builder_killed_anywhere_leaves_a_working_live_generation(
    database: Database, monkeypatch: pytest.MonkeyPatch, where: object, step: str
) -> None:
    story = Story().world().spawn("i1")
    log = await projected(database, story)
    calls = 0
    whole: Callable[..., Awaitable[object]] = getattr(where, step)

    def die(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if step == "clean_up" and calls == 1:  # the first one is before anything was built
            return whole(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(where, step, die)
        with pytest.raises(Killed):
            await rebuild(log, database, swap=True)
    await log.append(story.spawn("i2").envelopes)
    await catch_up(log, database)
    assert (await verify(log, database)).equal
    built = await rebuild(log, database, swap=True)
    assert (await states(database))["live"] == built.generation
    assert (await verify(log, database)).position == story.position
    assert (await verify(log, database)).equal


async def test_what_a_killed_builder_left_can_be_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await projected(database)
    with monkeypatch.context() as patched:
        patched.setattr(building, "compare", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            await rebuild(log, database)
    assert await states(database) == {"live": "driftline_g1", "building": "driftline_g2"}
    with pytest.raises(NoGeneration, match="has no ready generation"):
        await swap(database)
    await drop(database, 2)
    assert await states(database) == {"live": "driftline_g1"}
    with pytest.raises(NotSwapped, match="driftline_g1 is live"):
        await drop(database, 1)
    with pytest.raises(NoGeneration, match="has no generation 7"):
        await drop(database, 7)
    with pytest.raises(NoGeneration, match="has no previous generation"):
        await rollback(database)


async def test_of_two_builders_the_second_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await projected(database)
    arrived, go_on = asyncio.Event(), asyncio.Event()
    whole = verifying.compare

    async def wait(*args: object) -> object:
        arrived.set()
        await go_on.wait()
        return await whole(*args)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(building, "compare", wait)
    first = asyncio.create_task(rebuild(log, database))
    await arrived.wait()
    with pytest.raises(RebuildBusy, match="another rebuild is under way"):
        await rebuild(log, database)
    go_on.set()
    assert (await first).state == "ready"
    assert (await rebuild(log, database)).generation == "driftline_g3"  # in place of the one that was ready


async def test_a_shadow_that_is_not_what_the_log_says_is_never_swapped_in(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await projected(database)
    whole = filling.copy_chunks
    monkeypatch.setattr(
        building, "copy_chunks", lambda table, rows, careful: () if table.name == "spawns" else whole(table, rows)
    )
    with pytest.raises(ShadowDiffers, match="driftline_g2 is not what the log says: spawns i1: not in the database"):
        await rebuild(log, database, swap=True)
    assert await states(database) == {"live": "driftline_g1", "building": "driftline_g2"}


async def test_rows_that_postgresql_cannot_hold_are_rebuilt_as_they_are_projected(database: Database) -> None:
    story = Story().world()
    story.request("i1")
    story.tell(PortPlugFailed(**claim("i1-0"), reason="a\0b\\c\td\n\re"))
    story.tell(NetworkCreated(network="odd", vpc="vpc1", vni=77, labels=('"', "\\", "\0", "a,b", "", "{}", "NULL")))
    log = await projected(database, story)
    built = await rebuild(log, database, swap=True)
    assert built.live_differs == []
    assert (await verify(log, database)).equal


async def test_the_projections_of_another_log_are_not_replaced(database: Database) -> None:
    await projected(database)
    with pytest.raises(LogMismatch, match="was projected from the log memory-"):
        await rebuild(MemoryLog(), database)


async def test_an_empty_database_is_filled_by_a_rebuild(database: Database) -> None:
    log = MemoryLog()
    story = Story().world().spawn("i1")
    await story.append_to(log)
    await rebuild(log, database, swap=True)
    await log.append(story.spawn("i2").envelopes)
    await catch_up(log, database)
    assert (await verify(log, database)).position == story.position


async def test_a_new_version_is_built_beside_the_old_one_and_each_program_keeps_its_own(
    postgres_dsn: str, database: Database
) -> None:
    story = Story().world().spawn("i1")
    log = await projected(database, story)
    async with connect(postgres_dsn, edition=NEWER) as newer:
        with pytest.raises(SchemaMismatch, match=f"holds the projections of version {CURRENT.version}"):
            await projector_of(log, newer).run()
        async with running(projector_of(log, database)):
            built = await rebuild(log, newer)
            assert (built.version, built.state) == (NEWER.version, "ready")
            async with running(new := projector_of(log, newer)):
                await log.append(story.spawn("i2").envelopes)
                await new.wait_for(story.position)
                await swap(newer)
                await log.append(story.spawn("i3").envelopes)
                await new.wait_for(story.position)
                assert (await verify(log, newer)).equal
                with pytest.raises(SchemaMismatch):
                    async with snapshot(database):
                        pass
                await rollback(newer)
                assert (await verify(log, database)).equal
                await rollback(newer)  # undoes the other one
        assert (await verify(log, newer)).equal
        await log.append(story.spawn("i4").envelopes)
        await catch_up(log, newer)
        with pytest.raises(NotSwapped, match="nobody keeps it up: start a projector of version"):
            await rollback(newer)
        assert (await states(newer))["live"] == built.generation


async def test_a_new_version_may_have_other_tables(postgres_dsn: str, database: Database) -> None:
    log = await projected(database)
    fewer = Edition(projection for projection in PROJECTIONS if projection is not Spawns)
    async with connect(postgres_dsn, edition=fewer) as other:
        await rebuild(log, other, swap=True)
        verdict = await verify(log, other)
        assert verdict.equal
        assert "spawns" not in verdict.rows
        await rollback(other)
    assert (await verify(log, database)).equal


def test_a_version_changes_with_a_fold_and_with_a_column() -> None:
    assert NEWER.version != CURRENT.version
    changed = {name for name in CURRENT.versions if NEWER.versions.get(name) != CURRENT.versions[name]}
    assert changed == {"instances"}


async def test_a_projector_does_not_leave_the_live_generation_of_its_version_behind(database: Database) -> None:
    log = await projected(database)
    writer = Writer(database, await log.identity())
    await rebuild(log, database, swap=True)
    position = await writer.start()
    async with database.connection() as connection:
        await connection.execute("UPDATE driftline.generations SET position = position + 5 WHERE state = 'live'")
    with pytest.raises(CheckpointMoved, match=f"the live generation is at {position + 5}"):
        await writer.write([], position, position + 1)


async def test_tables_from_before_there_were_generations_are_kept_until_they_are_replaced(database: Database) -> None:
    log = MemoryLog()
    await STORY.append_to(log)
    async with database.connection() as connection:
        await connection.execute(
            "CREATE SCHEMA driftline; CREATE TABLE driftline.schema_version (version text PRIMARY KEY);"
            "CREATE TABLE driftline.checkpoint (name text, position bigint, log_identity text, writer text);"
            "CREATE TABLE driftline.ports (port text); INSERT INTO driftline.ports VALUES ('old');"
            f"INSERT INTO driftline.checkpoint VALUES ('views', 5, '{await log.identity()}', '');"
            "INSERT INTO driftline.schema_version VALUES ('abc')"
        )
    with pytest.raises(SchemaMismatch, match=r"before there were generations: .*rebuild --swap"):
        async with snapshot(database):
            pass
    with pytest.raises(SchemaMismatch, match="version old-abc"):
        await projector_of(log, database).run()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT port FROM driftline.ports") == "old"
    await rebuild(log, database, swap=True)
    assert (await verify(log, database)).equal
    assert await states(database) == {"previous": "driftline_g1", "live": "driftline_g2"}
