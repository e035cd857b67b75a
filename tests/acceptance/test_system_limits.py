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
