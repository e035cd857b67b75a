"""Every role is a process of its own; each of them and both servers are killed while a load runs. Nobody notices.

``driftline load`` is the judge: it fails unless each request ended once, no address leaked, no device holds what no
port needs, the fabric delivers and separates, and the projections equal the log.
"""

import csv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.harness import Cluster, Command, cluster, until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.processes,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

SPAWNS, DELETES = 300, 150
#: Events that such a load makes at least.
EVENTS = 10 * SPAWNS + 8 * DELETES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane() -> AsyncIterator[Cluster]:
    async with cluster() as one:
        yield one


class Load:
    """A load of spawns and deletes that runs, and where the log was when it began."""

    def __init__(self, plane: Cluster, command: Command, start: int) -> None:
        self._plane = plane
        self._command = command
        self._start = start

    async def at(self, events: int) -> None:
        """Wait until so many events of it are on the log, and see that it goes on."""
        await self._plane.reached(self._start + events)
        assert self._command.process.returncode is None, "the load was over before the kill"

    async def done(self) -> Any:
        """Its report: all that was asked for came about."""
        ended = await self._command.ended(120)
        assert ended.code == 0, ended.stdout + ended.stderr
        report = ended.document
        assert (report["requested"], report["active"]) == (SPAWNS, SPAWNS)
        assert (report["deleted"], report["delete_refused"], report["skipped"]) == (DELETES, 0, 0)
        assert report["live"] == report["addresses_held"] == sum(report["port_states"].values())
        assert report["leftovers"] == report["twice"] == 0
        assert report["reachable_pairs_ok"] == report["reachable_pairs_checked"] > 0
        assert report["isolated_pairs_ok"] == report["isolated_pairs_checked"] > 0
        assert report["verify"]["equal"]
        return report


async def start_load(plane: Cluster) -> Load:
    """Half of the instances are deleted as soon as they are active."""
    trace = plane.place.folder / "trace.csv"
    write_trace(trace)
    start = await plane.log.last_position()
    return Load(plane, await plane.place.start("load", "--trace", trace, "--json", *plane.servers), start)


def write_trace(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "creation_time", "deletion_time"])
        # By pairs: labels are taken in turn, and instances of each are to be left.
        rows.writerows([f"pod-{i}", i, i + 20 if i % 4 < 2 else ""] for i in range(SPAWNS))


async def test_each_worker_is_killed_in_turn(plane: Cluster) -> None:
    load = await start_load(plane)
    for number, role in enumerate(["nova", "compute", "ovs-agent", "cnc", "ipam", "projector"]):
        await load.at(40 + number * (EVENTS // 7))
        await plane.kill(role)
        await plane.start(role)
    await load.done()


async def test_workers_are_killed_together_and_again_while_they_catch_up(plane: Cluster) -> None:
    load = await start_load(plane)
    await load.at(300)
    roles = ("ipam", "cnc", "compute")
    for _ in range(2):
        for role in roles:
            await plane.kill(role)
        for role in roles:
            await plane.start(role)
    await load.done()


async def test_nats_is_killed(plane: Cluster) -> None:
    load = await start_load(plane)
    for events in (EVENTS // 10, EVENTS // 2):
        await load.at(events)
        await plane.nats.restart()
    await load.done()


async def test_postgres_is_killed(plane: Cluster) -> None:
    load = await start_load(plane)
    for events in (EVENTS // 10, EVENTS // 2):
        await load.at(events)
        await plane.postgres.restart()
    await load.done()


async def test_the_fabric_is_killed(plane: Cluster) -> None:
    load = await start_load(plane)
    await load.at(EVENTS // 3)
    await plane.kill("fabric")
    await plane.start("fabric")
    await load.done()


async def test_no_second_control_plane_is_started_where_the_fabric_is_away(plane: Cluster) -> None:
    before = await plane.log.last_position()
    await plane.kill("fabric")
    for command in (("load", "--instances", "3"), ("spawn", "web-1", "--label", "prod-env")):
        assert plane.nats.url in await plane.place.refused(*command, *plane.servers)
    assert await plane.log.last_position() == before
    await plane.start("fabric")
    await plane.at_work()

    async def heard_again() -> bool:  # hosts that nobody could hear may be suspects by now, and take nothing
        states = await plane.place.json("hosts", *plane.servers)
        return all(row["state"] == "up" for row in states)

    await until(heard_again, "all hosts are up")
    await plane.place.run("spawn", "web-1", "--label", "prod-env", *plane.servers)
