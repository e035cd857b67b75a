"""Limits: the table of a leaf, refused before it overflows, by the command line against real servers."""

import pytest

from tests.acceptance.drifting import WORLD
from tests.acceptance.harness import site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes]


async def test_the_leaf_that_would_overflow_is_named_and_nothing_is_left() -> None:
    async with site() as place:
        world = place.folder / "world.toml"
        text = WORLD.format(hosts=2, second=3).replace("asn = 4200000002 }", "asn = 4200000002, capacity = 1 }")
        world.write_text(text)
        await start_up(place, "--world", world)
        await place.run("spawn", "a", "--network", "net1", "--host", "az1-h1")
        await place.run("spawn", "b", "--network", "net1", "--host", "az1-h1")  # shares the entry
        for name, network, host in (("c", "net2", "az1-h1"), ("d", "net1", "az1-h2")):
            said = await place.refused("spawn", name, "--network", network, "--host", host)
            assert said == f"{name} refused: the table of the leaf is full (leaf: leaf2 (capacity 1))"
            assert await place.json("ports", "--name", name) == []
        assert (await place.json("reach", "a", "b"))["reachable"]
        await place.run("delete", "a")
        await place.run("delete", "b")
        await place.run("spawn", "e", "--network", "net2", "--host", "az1-h1")


async def test_what_fails_with_a_component_is_listed() -> None:
    async with site() as place:
        world = place.folder / "world.toml"
        world.write_text(WORLD.format(hosts=2, second=3))
        await start_up(place, "--world", world)
        await place.run("spawn", "a", "--network", "net1", "--host", "az1-h1")
        (port,) = [row["port"] for row in await place.json("ports")]
        host = await place.json("radius", "az1-h1")
        assert (host["kind"], host["failed"]) == ("host", [port])
        leaf = await place.json("radius", "leaf1")
        assert (leaf["failed"], leaf["degraded"]) == ([], [port])
        both = await place.json("radius", "leaf1", "--down", "leaf2")
        assert (both["failed"], both["degraded"]) == ([port], [])
        assert "nothing is spawned" in (await place.json("radius", "nova"))["meanwhile"]
        assert port in (await place.run("radius", "az1")).stdout
        assert "'mars' is no leaf, spine, router, host, zone or worker" in await place.refused("radius", "mars")
        assert "--down: 'mars' is no component" in await place.refused("radius", "leaf1", "--down", "mars")
