"""``driftline up`` and the commands that find it by themselves."""

import json
import signal

import pytest

from driftline.figures import STEPS
from projections.port_states import PAIRS
from tests.acceptance.harness import Site, site, start_up, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]


async def spawn_two(place: Site) -> None:
    """web-1 and web-2, in one VRF, on two hosts."""
    await place.run("spawn", "web-1", "--network", "prod-net1", "--host", "az1-h1")
    await place.run("spawn", "web-2", "--network", "prod-net2", "--host", "az1-h7")


async def test_the_life_of_two_instances_for_programs() -> None:
    async with site() as place:
        up = await start_up(place)
        networks = {row["network"]: row for row in await place.json("networks")}
        assert "prod-env" in networks["prod-net1"]["labels"]
        first = await place.json("spawn", "web-1", "--label", "prod-env", "--host", "az1-h1")
        second = await place.json("spawn", "web-2", "--network", "prod-net2", "--host", "az1-h7")
        assert (first["kind"], second["kind"]) == ("active", "active")

        ports = {row["name"]: row for row in await place.json("ports")}
        assert set(ports) == {"web-1", "web-2"}
        assert {(row["underlay"], row["overlay"]) for row in ports.values()} == {("ACTIVE", "ACTIVE")}
        assert [row["name"] for row in await place.json("ports", "--host", "az1-h7")] == ["web-2"]
        assert [row["name"] for row in await place.json("ports", "--network", ports["web-1"]["network"])] == ["web-1"]
        assert await place.json("ports", "--name", "nobody") == []

        story = await place.json("timeline", "web-1")
        assert story["spawn"]["instance"] == first["instance"]
        assert [step["step"] for step in story["steps"]] == [step.number for step in STEPS]
        at = {step["step"]: step["at_ms"] for step in story["steps"]}
        assert 0.0 == at[1] < at[2] < at[3] < at[4] < at[12] < at[13]
        assert at[6] <= at[7] <= at[8] < at[13]
        assert at[9] < at[10] <= at[11] <= at[12]
        assert await place.json("timeline", first["instance"]) == story

        states = await place.json("port-states")
        assert set(states["states"]) == set(PAIRS)
        assert states["ports"] == 2
        assert states["states"]["ACTIVE_ACTIVE"] == {"count": 2, "percent": 100.0}
        assert len(await place.json("port-states", "--history")) > 0

        path = await place.json("reach", "web-1", "web-2")
        assert path["reachable"]
        assert len(path["ways"]) == 2  # through either leaf
        assert all("az1-h1" in way[0] and "az1-h7" in way[-1] for way in path["ways"])

        events = await place.json("tail", "--no-follow", "--after", "0")
        assert [event["position"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["event"]["type"] == "instance.active.v1"
        own = await place.json("tail", "--no-follow", "--after", "0", "--subject", f"dl.instance.{first['instance']}.>")
        assert {event["correlation"] for event in own} == {first["request"]}
        assert len(await place.json("tail", "--no-follow", "--last", "3")) == 3

        assert (await place.json("delete", "web-1"))["kind"] == "deleted"
        assert [row["name"] for row in await place.json("ports")] == ["web-2"]
        assert "web-1" in await place.refused("reach", "web-1", "web-2")
        verdict = await place.json("verify")
        assert verdict["equal"]
        assert verdict["rows"]["addresses"] == verdict["rows"]["ports"] == 1
        assert await place.json("quarantine") == []
        assert (await up.end()).code == 0
        await place.nothing_left()


async def test_the_same_for_people() -> None:
    async with site() as place:
        await start_up(place, "--json")
        await spawn_two(place)
        assert "prod-net1" in (await place.run("networks")).stdout
        ports = (await place.run("ports")).stdout
        assert "2 ports" in ports
        assert "web-2" in ports
        figure_10 = (await place.run("timeline", "web-1")).stdout
        assert all(f"{step.number} {step.text}" in figure_10 for step in STEPS)
        assert "100.00 %" in (await place.run("port-states")).stdout
        assert "DOWN_ERROR" in (await place.run("port-states", "--history")).stdout.upper()
        reached = (await place.run("reach", "web-1", "web-2")).stdout
        assert reached.splitlines()[-1] == "web-1 reaches web-2"
        assert "instance.active" in (await place.run("tail", "--no-follow")).stdout
        assert (await place.run("delete", "web-2")).stdout.endswith("is deleted\n")
        assert "equal: " in (await place.run("verify")).stdout
        assert "0 messages in quarantine" in (await place.run("quarantine")).stdout


async def test_tail_follows_the_log_and_ends_at_ctrl_c() -> None:
    async with site() as place:
        await start_up(place)
        tail = await place.start("tail", "--after", "0", "--json", "--subject", "dl.instance.>")
        spawned = await place.json("spawn", "web-1", "--label", "prod-env")
        await until(lambda: "instance.active.v1" in tail.stdout, "tail shows the end of the spawn")
        ended = await tail.end(signal.SIGINT)
        assert (ended.code, ended.stderr.strip()) == (130, "driftline: interrupted")
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        assert {line["correlation"] for line in lines} == {spawned["request"]}


async def test_what_was_kept_is_there_again_after_a_stop_and_after_a_kill() -> None:
    async with site() as place:
        data = place.folder / "data"
        up = await start_up(place, "--data", data)
        await spawn_two(place)
        before, story = await place.json("ports"), await place.json("timeline", "web-1")
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
        assert (await place.json("verify"))["equal"]
        ended = await up.end(signal.SIGINT)
        assert (ended.code, ended.stdout) == (0, "")
        await place.nothing_left()


async def test_a_killed_up_without_data_leaves_nothing() -> None:
    async with site() as place:
        up = await start_up(place)
        await up.end(signal.SIGKILL)
        assert await place.json("tail", "--no-follow") == []  # the note it left is cleared away, not believed
        await place.nothing_left()


async def test_two_on_one_folder_are_refused_and_two_elsewhere_must_be_told_apart() -> None:
    async with site() as place:
        data = place.folder / "data"
        first = await start_up(place, "--data", data)
        refusal = await place.refused("up", "--data", data, "--log-level", "error")
        assert str(data) in refusal
        assert "in use" in refusal
        await place.run("spawn", "web-1", "--label", "prod-env", "--data", data)

        await start_up(place)
        assert "several driftlines" in await place.refused("ports")
        assert [row["name"] for row in await place.json("ports", "--data", data)] == ["web-1"]
        await first.end()
        assert await place.json("ports") == []  # only the other one is left
