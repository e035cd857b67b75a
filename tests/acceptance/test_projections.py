"""``driftline projections`` against a control plane that runs: listed, rebuilt, swapped, rolled back, killed."""

import asyncio
import signal
from typing import Any

import pytest

from projections import catalogue
from projections.postgres import VERSION, Database, connect
from tests.acceptance.harness import Site, site, start_up, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]


async def states(place: Site) -> dict[str, str]:
    listed = await place.json("projections", "--quick")
    return {one["state"]: one["generation"] for one in listed["generations"]}


async def test_a_generation_is_built_swapped_in_and_back_while_the_control_plane_runs() -> None:
    async with site() as place:
        up = await start_up(place)
        await place.json("spawn", "web-1", "--network", "prod-net1")
        assert [port["name"] for port in await place.json("ports")] == ["web-1"]  # it waits for the projector
        listed = await place.json("projections")
        check_listed(listed)
        built = await place.json("projections", "rebuild")
        assert (built["generation"], built["state"], built["live_differs"]) == ("driftline_g2", "ready", [])
        assert built["events"] > 0
        assert (await place.json("projections", "swap"))["generation"] == "driftline_g2"
        await place.json("spawn", "web-2", "--network", "prod-net1")
        assert {port["name"] for port in await place.json("ports")} == {"web-1", "web-2"}
        assert (await place.json("projections", "rollback"))["generation"] == "driftline_g1"
        assert {port["name"] for port in await place.json("ports")} == {"web-1", "web-2"}
        verdict, other, again = await asyncio.gather(
            place.json("projections", "verify"),
            place.json("projections", "verify", "--generation", "2"),
            place.json("verify"),
        )
        assert [one["equal"] for one in (verdict, other, again)] == [True, True, True]
        assert (verdict["generation"], other["generation"]) == ("driftline_g1", "driftline_g2")
        assert verdict["hashes"] == other["hashes"] == again["hashes"]
        assert await states(place) == {"live": "driftline_g1", "previous": "driftline_g2"}
        assert (await place.run("projections", "drop", "driftline_g2")).stdout.startswith("driftline_g2 was dropped")
        shown = (await place.run("projections")).stdout
        assert "driftline_g1: live" in shown
        assert "port_states" in shown
        refusals = await asyncio.gather(
            *(place.refused("projections", *arguments) for arguments in (("drop", "1"), ("drop", "9"), ("drop", "x"))),
            *(place.refused("projections", command) for command in ("swap", "rollback", "drop")),
            place.refused("projections", "verify", "--generation", "7"),
        )
        expected = (
            "driftline_g1 is live",
            "has no generation 9",
            "generation 'x': not a name or number",
            "has no ready generation",
            "has no previous generation",
            "GENERATION or --all: give one of them",
            "has no generation 7",
        )
        for refusal, text in zip(refusals, expected, strict=True):
            assert text in refusal
        assert (await up.end()).code == 0
        await place.nothing_left()


def check_listed(listed: Any) -> None:
    (live,) = listed["generations"]
    assert (live["generation"], live["state"], live["ours"]) == ("driftline_g1", "live", True)
    assert live["position"] + live["lag"] == listed["log_last"]
    by_name = {one["projection"]: one for one in live["projections"]}
    assert by_name["spawns"]["rows"] == by_name["instances"]["rows"] == 1
    assert by_name["spawns"]["tables"] == ["spawns"]
    assert len(by_name["spawns"]["hash"]) == 64
    assert listed["skipped"] == []


#: Where a rebuild is held up, each by a lock that it needs there: what holds that lock, and the states of the
#: generations meanwhile. ``{next}``: the number that the generation to be built will have.
STAGES = {
    "it begins": (catalogue.LOCK_META, {"live"}),
    "it makes the tables": ("SELECT pg_advisory_xact_lock(1)", {"live", "building"}),
    "all rows are written": ("SELECT pg_advisory_xact_lock(2)", {"live", "building"}),
    "it compares them": ("SELECT pg_advisory_xact_lock(7012, {next})", {"live", "building"}),
    "it hands over": (
        f"SELECT pg_advisory_xact_lock_shared(7014, {catalogue.gate_of(VERSION)})",
        {"live", "building"},
    ),
}
#: PostgreSQL itself waits for locks 1 and 2 where tables are made, and where they get their keys.
HOLD_UP = """
CREATE FUNCTION public.hold_up() RETURNS event_trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_advisory_xact_lock(CASE tg_tag WHEN 'CREATE TABLE' THEN 1 ELSE 2 END); END$$;
CREATE EVENT TRIGGER hold_up ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
EXECUTE FUNCTION public.hold_up()"""
NEXT = f"SELECT last_value + 1 FROM {catalogue.NUMBERS}"
HELD_UP = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
BUILDS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 7013)"


async def kill_a_rebuild(place: Site, database: Database, hold: str) -> None:
    """SIGKILL a ``rebuild --swap`` while it surely waits for the lock that ``hold`` takes."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute(hold.format(next=await connection.fetchval(NEXT)))
        rebuild = await place.start("projections", "rebuild", "--swap")

        async def held_up() -> bool:
            assert rebuild.process.returncode is None, f"it ended: {rebuild.stdout}{rebuild.stderr}"
            return bool(await connection.fetchval(HELD_UP))

        await until(held_up, "the rebuild is held up")
        assert (await rebuild.end(signal.SIGKILL)).code == -signal.SIGKILL

    async def noticed() -> bool:
        async with database.connection() as connection:
            return not await connection.fetchval(BUILDS)

    await until(noticed, "the server notices that it is gone")


async def test_a_rebuild_that_is_killed_harms_nothing_and_can_be_made_again() -> None:
    async with site() as place:
        up = await start_up(place)
        await place.run("load", "--instances", "50")
        before = await states(place)
        async with connect(place.note()["postgres"]) as database:
            async with database.connection() as connection:
                await connection.execute(HOLD_UP)
            for number, (stage, (hold, expected)) in enumerate(STAGES.items()):
                await kill_a_rebuild(place, database, hold)
                found = await states(place)
                assert (set(found), found["live"]) == (expected, before["live"]), stage
                await place.json("spawn", f"after-{number}", "--network", "prod-net1")
                assert (await place.json("verify"))["equal"], stage
        built = await place.json("projections", "rebuild", "--swap")
        assert await states(place) == {"live": built["generation"], "previous": before["live"]}
        assert built["generation"] != before["live"]
        assert (await place.json("verify"))["equal"]
        assert (await up.end()).code == 0
        await place.nothing_left()
