"""Agents of one host each, as they would run on the hosts themselves: they serve their own host and no other."""

import pytest

from tests.acceptance.harness import Cluster, cluster

pytestmark = [pytest.mark.servers, pytest.mark.processes]

CENTRAL = ("fabric", "nova", "cnc", "ipam", "projector")
WORLD = ("--hosts", "3")


async def events_about(plane: Cluster, host: str) -> set[str]:
    """Who has written what about a host, e.g. ``compute port.plugged.v1``."""
    events = await plane.place.json(
        *("tail", "--no-follow", "--after", "0", "--subject", f"dl.port.*.*.{host}.*", "--nats", plane.nats.url)
    )
    return {f"{event['actor']} {event['event']['type']}" for event in events}


async def test_a_host_is_served_by_its_own_agents_alone() -> None:
    async with cluster(CENTRAL, *WORLD) as plane:
        for role in ("compute", "ovs-agent"):
            await plane.start(role, "--host", "az1-h1")
        await plane.at_work()
        place, target = plane.place, ("--label", "prod-env", *plane.servers)
        first = await place.json("spawn", "web-1", "--host", "az1-h1", *target)
        assert first["kind"] == "active"

        waiting = await place.start("spawn", "web-2", "--host", "az1-h2", "--json", *target)
        again = await place.json("spawn", "web-3", "--host", "az1-h1", *target)  # goes on meanwhile
        assert again["kind"] == "active"
        assert waiting.process.returncode is None
        assert await events_about(plane, "az1-h2") == set()  # its compute has not even asked for a port

        for role in ("compute", "ovs-agent"):
            await plane.start(role, "--host", "az1-h2", "--host", "az1-h3")  # one process may serve some hosts
        ended = await waiting.ended()
        assert (ended.code, ended.document["kind"]) == (0, "active"), ended.stderr
        assert "compute port.plugged.v1" in await events_about(plane, "az1-h2")
        await place.run("spawn", "web-4", "--host", "az1-h3", *target)
        hosts = {row["name"]: row["host"] for row in await place.json("ports", *plane.servers)}
        assert hosts == {"web-1": "az1-h1", "web-2": "az1-h2", "web-3": "az1-h1", "web-4": "az1-h3"}
        assert (await place.json("reach", "web-1", "web-2", *plane.servers))["reachable"]
