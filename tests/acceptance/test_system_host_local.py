"""Host-local addresses by the command line and the bus: no word of the centre between a request and its address."""

from pathlib import Path

import pytest

from bus.envelope import Recorded
from bus.events import PortAllocated, PortCreateRequested
from tests.acceptance.harness import ROLES, Cluster, Site, cluster, site, start_up, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]

EXAMPLE = Path(__file__).parents[2] / "examples" / "host-local.toml"


async def spawn(place: Site, name: str, network: str, host: str) -> None:
    await place.run("spawn", name, "--network", network, "--az", "az1", "--host", host)


async def test_blocks_are_listed_used_up_and_given_back_only_when_empty() -> None:
    async with site() as place:
        await start_up(place, "--world", EXAMPLE)
        await spawn(place, "a", "vxlan", "h1")
        await spawn(place, "b", "vxlan", "h2")
        await place.run("reach", "a", "b")
        found = await place.json("blocks")
        assert [(row["host"], row["cidr"], row["used"], row["free"], row["reserved"]) for row in found] == [
            ("h1", "10.64.8.0/29", 1, 4, 3),
            ("h2", "10.64.8.8/29", 1, 4, 3),
        ]
        routes = await place.json("blocks", "--routes")
        assert {(row["router"], row["kind"]) for row in routes if row["host"] == "h1"} == {
            ("h1", "own-vxlan"),
            ("h2", "tunnel"),
            ("h3", "tunnel"),
        }
        refused = await place.refused("spawn", "c", "--network", "vxlan", "--az", "az1", "--host", "h3")
        assert "host h3" in refused
        assert "block exhausted" in refused
        assert "1 addresses of the block are held" in await place.refused("release-block", "h1", "10.64.8.0/29")
        assert "no such block" in await place.refused("release-block", "h1", "10.9.9.0/24")
        assert "h9" in await place.refused("release-block", "h9", "10.64.8.0/29")
        await place.run("delete", "a")
        await place.run("release-block", "h1", "10.64.8.0/29")
        assert [row["host"] for row in await place.json("blocks")] == ["h2"]
        assert (await place.json("verify"))["equal"]


async def test_a_host_allocates_while_the_central_ipam_is_dead() -> None:
    roles = (*ROLES, "host-ipam", "block-routes")
    async with cluster(roles, "--world", EXAMPLE) as one:
        nats = ("--nats", one.nats.url, "--postgres", one.postgres.url)
        await one.place.run("spawn", "a", "--network", "bgp", "--az", "az1", "--host", "h1", *nats)
        await one.kill("ipam")
        before = await one.log.last_position()
        await one.place.run("spawn", "b", "--network", "bgp", "--az", "az1", "--host", "h1", *nats)
        said = await _since(one, before)
        assert "ipam" not in {r.actor for r in said}
        asked = next(i for i, r in enumerate(said) if isinstance(r.event, PortCreateRequested))
        (given, ip) = next((r, r.event.ip) for r in said if isinstance(r.event, PortAllocated))
        assert said[asked + 1].id == given.id
        assert (given.actor, ip) == ("host-ipam", "10.64.0.3")
        await one.place.run("reach", "a", "b", *nats)


async def _since(one: Cluster, position: int) -> list[Recorded]:
    said: list[Recorded] = []
    last = await one.log.last_position()
    async for batch in one.log.read(position, last, "dl.>"):
        said += batch.records
    await until(lambda: bool(said), "the log says something")
    return said
