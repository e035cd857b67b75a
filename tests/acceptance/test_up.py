"""``driftline up`` and the commands that find it by themselves."""

import asyncio
import json
import signal
from typing import Any

import pytest

from driftline.figures import STEPS
from projections.port_states import PAIRS
from tests.acceptance.harness import Command, Site, site, start_up, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]


async def spawn_two(place: Site) -> tuple[Any, Any]:
    """web-1 and web-2, in one VRF, on two hosts; returns what is said of them with --json."""
    return await asyncio.gather(
        place.json("spawn", "web-1", "--network", "prod-net1", "--host", "az1-h1"),
        place.json("spawn", "web-2", "--label", "prod-env", "--host", "az1-h7"),
    )


async def test_the_life_of_two_instances_by_commands_that_find_up_by_themselves() -> None:
    async with site(from_the_shell=True) as place:
        up = await start_up(place)
        tail = await place.start("tail", "--after", "0", "--json", "--subject", "dl.instance.>")
        first, second = await spawn_two(place)
        assert (first["kind"], second["kind"]) == ("active", "active")
        await asyncio.gather(
            lists_of_networks_and_ports(place),
            figure_10_of(place, first["instance"]),
            figure_8(place),
            reachability(place),
            the_log(place, first),
        )
        await asyncio.gather(place.run("delete", "web-1"), deleted(place, "web-2"))
        await followed(tail, {first["request"], second["request"]})
        ports, verdict, verified, quarantined, none = await asyncio.gather(
            place.json("ports"),
            place.json("verify"),
            place.run("verify"),
            place.json("quarantine"),
            place.run("quarantine"),
        )
        assert (ports, quarantined) == ([], [])
        assert verdict["equal"]
        assert verdict["rows"]["addresses"] == verdict["rows"]["ports"] == 0
        assert "equal: " in verified.stdout
        assert "0 messages in quarantine" in none.stdout
        ended = await up.end()
        assert (ended.code, ended.stdout) == (0, "")
        await place.nothing_left()


async def deleted(place: Site, name: str) -> None:
    assert (await place.json("delete", name))["kind"] == "deleted"


async def followed(tail: Command, spawns: set[str]) -> None:
    """The log as it grew, a document a line; Ctrl-C ends it."""
    await until(lambda: tail.stdout.count("instance.deleted.v1") == 2, "tail shows both deletes")
    ended = await tail.end(signal.SIGINT)
    assert (ended.code, ended.stderr.strip()) == (130, "driftline: interrupted")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {line["correlation"] for line in lines if line["event"]["type"] == "instance.active.v1"} == spawns
    assert len({line["correlation"] for line in lines}) == 4  # and two deletes


async def lists_of_networks_and_ports(place: Site) -> None:
    networks, for_people, ports, shown = await asyncio.gather(
        place.json("networks"), place.run("networks"), place.json("ports"), place.run("ports")
    )
    assert {row["network"] for row in networks if "prod-env" in row["labels"]} == {"prod-net1", "prod-net2"}
    assert all(row["network"] in for_people.stdout for row in networks)
    by_name = {row["name"]: row for row in ports}
    assert set(by_name) == {"web-1", "web-2"}
    assert {(row["underlay"], row["overlay"]) for row in ports} == {("ACTIVE", "ACTIVE")}
    assert "2 ports" in shown.stdout
    assert all(row["ip"] in shown.stdout for row in ports)
    on_host, nobody = await asyncio.gather(
        place.json("ports", "--host", "az1-h7"), place.json("ports", "--name", "nobody", "--network", "prod-net1")
    )
    assert (on_host, nobody) == ([by_name["web-2"]], [])


async def figure_10_of(place: Site, instance: str) -> None:
    story, by_id, shown = await asyncio.gather(
        place.json("timeline", "web-1"), place.json("timeline", instance), place.run("timeline", "web-1")
    )
    assert story == by_id
    assert story["spawn"]["instance"] == instance
    assert [step["step"] for step in story["steps"]] == [step.number for step in STEPS]
    at = {step["step"]: step["at_ms"] for step in story["steps"]}
    assert 0.0 == at[1] < at[2] < at[3] < at[4] < at[12] < at[13]
    assert at[6] <= at[7] <= at[8] < at[13]
    assert at[9] < at[10] <= at[11] <= at[12]
    assert all(f"{step.number} {step.text}" in shown.stdout for step in STEPS)


async def figure_8(place: Site) -> None:
    states, shown, history, over_time = await asyncio.gather(
        place.json("port-states"),
        place.run("port-states"),
        place.json("port-states", "--history"),
        place.run("port-states", "--history"),
    )
    assert set(states["states"]) == set(PAIRS)
    assert states["ports"] == 2
    assert states["states"]["ACTIVE_ACTIVE"] == {"count": 2, "percent": 100.0}
    assert "100.00 %" in shown.stdout
    assert history[-1]["active_active"] == 2
    assert "down_error" in over_time.stdout


async def reachability(place: Site) -> None:
    path, shown = await asyncio.gather(place.json("reach", "web-1", "web-2"), place.run("reach", "web-2", "web-1"))
    assert path["reachable"]
    assert len(path["ways"]) == 2  # through either leaf
    assert all("az1-h1" in way[0] and "az1-h7" in way[-1] for way in path["ways"])
    assert shown.stdout.splitlines()[-1] == "web-2 reaches web-1"


async def the_log(place: Site, spawned: dict[str, Any]) -> None:
    events, own, last = await asyncio.gather(
        place.json("tail", "--no-follow", "--after", "0"),
        place.json("tail", "--no-follow", "--after", "0", "--subject", f"dl.instance.{spawned['instance']}.>"),
        place.run("tail", "--no-follow", "--last", "1"),
    )
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    assert {event["correlation"] for event in own} == {spawned["request"]}
    assert own[-1]["event"]["type"] == "instance.active.v1"
    assert "instance.active" in last.stdout


async def test_what_was_kept_is_there_again_after_a_stop_and_after_a_kill() -> None:
    async with site(from_the_shell=True) as place:
        data = place.folder / "data"
        up = await start_up(place, "--data", data)
        await spawn_two(place)
        refusal = await place.refused("up", "--data", data, "--log-level", "error")
        assert str(data) in refusal
        assert "in use" in refusal
        before, story = await place.json("ports", "--data", data), await place.json("timeline", "web-1")
        ended = await up.end(signal.SIGTERM)
        assert (ended.code, ended.stdout) == (0, "")
        await place.nothing_left()
        assert await place.json("ports", "--data", data) == before  # servers of its own, for as long as it takes
        await place.nothing_left()

        up = await start_up(place, "--data", data)
        assert await place.json("timeline", "web-1") == story
        await place.run("spawn", "web-3", "--network", "prod-net1", "--host", "az1-h2")
        await up.end(signal.SIGKILL)

        up = await start_up(place, "--data", data)
        assert {row["name"] for row in await place.json("ports")} == {"web-1", "web-2", "web-3"}
        assert (await place.json("reach", "web-1", "web-2"))["reachable"]
        assert (await place.json("reach", "web-3", "web-1"))["reachable"]
        await place.run("delete", "web-1")
        verdict = await place.json("verify")
        assert verdict["equal"]
        assert verdict["rows"]["ports"] == 2
        ended = await up.end(signal.SIGINT)
        assert (ended.code, ended.stdout) == (0, "")
        await place.nothing_left()
        rebuilt = await place.json("verify", "--rebuild", "--data", data)
        assert (rebuilt["equal"], rebuilt["behind"], rebuilt["rows"]) == (True, 0, verdict["rows"])
        await place.nothing_left()


async def test_two_must_be_told_apart_and_what_is_killed_leaves_nothing() -> None:
    async with site(from_the_shell=True) as place:
        first, second = await asyncio.gather(start_up(place), start_up(place))
        assert "several driftlines" in await place.refused("ports")
        await first.end(signal.SIGKILL)
        assert await place.json("ports") == []  # the note it left is cleared away, not believed
        assert place.note()["pid"] == second.process.pid
        await second.end(signal.SIGKILL)
        assert "no driftline runs here" in await place.refused("tail", "--no-follow")
        await place.nothing_left()
