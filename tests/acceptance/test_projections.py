"""``driftline projections`` against a control plane that runs: listed, rebuilt, swapped, rolled back, killed."""

import asyncio
import signal
from typing import Any

import pytest

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


async def test_a_rebuild_that_is_killed_harms_nothing_and_can_be_made_again() -> None:
    async with site() as place:
        up = await start_up(place)
        await place.run("load", "--instances", "200")
        killed = 0
        for number, delay_s in enumerate((0.2, 0.4, 0.7, 1.0, 1.5)):
            rebuild = await place.start("projections", "rebuild", "--swap")
            await asyncio.sleep(delay_s)  # anywhere: there is no condition to wait for
            killed += (await rebuild.end(signal.SIGKILL)).code == -signal.SIGKILL
            await place.json("spawn", f"after-{number}", "--network", "prod-net1")
            assert (await place.json("verify"))["equal"]
        assert killed
        before = await states(place)

        async def rebuilt() -> bool:
            """The server may still hold what the killed one held."""
            command = await place.start("projections", "rebuild", "--swap", "--json")
            ended = await command.ended()
            assert ended.code == 0 or "another rebuild is under way" in ended.complaint, ended.stderr
            return ended.code == 0

        await until(rebuilt, "a rebuild after one that was killed")
        assert (await states(place))["live"] != before["live"]
        assert (await place.json("verify"))["equal"]
        assert (await up.end()).code == 0
        await place.nothing_left()
