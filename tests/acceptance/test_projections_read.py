"""Projections are rebuilt, swapped and rolled back under a load of spawns, and somebody reads them all the while."""

import asyncio
import itertools
from typing import cast

import pytest

import driftline
from projections.instances import InstanceRow
from projections.postgres import Database, connect, fetch_table, snapshot
from tests.acceptance.harness import site, start_up, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]

#: What an instance goes through, in order.
STATES = ("requested", "scheduled", "active")
#: How many spawns are under way at any moment, and how many more are to be seen active after each change.
UNDER_WAY, MORE = 4, 8
IN_SQL = "SELECT instance, state FROM driftline.instances"


class Reader:
    """Reads the instances again and again, as commands do and in plain SQL: no error, no gap, and nothing goes back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._states: dict[str, str] = {}
        self._position = 0
        self.generations: list[str] = []

    @property
    def active(self) -> int:
        """How many instances have been seen active."""
        return sum(state == "active" for state in self._states.values())

    async def read(self) -> None:
        """Read until cancelled. Raises AssertionError, and whatever a reader would see."""
        while True:
            async with snapshot(self._database) as seen:
                rows = cast(list[InstanceRow], await fetch_table(seen, "instances"))
            assert seen.position >= self._position, f"{seen.generation.name} goes back to position {seen.position}"
            self._position = seen.position
            self._take({row.instance: row.state for row in rows}, seen.generation.name)
            if self.generations[-1:] != [seen.generation.name]:
                self.generations.append(seen.generation.name)
            async with self._database.connection() as connection:
                self._take({row["instance"]: row["state"] for row in await connection.fetch(IN_SQL)}, "the view")

    def _take(self, states: dict[str, str], where: str) -> None:
        for instance, before in self._states.items():
            now = states.get(instance)
            assert now is not None, f"{where}: {instance} is gone, it was {before}"
            assert STATES.index(now) >= STATES.index(before), f"{where}: {instance} is {now}, it was {before}"
        self._states = states

    async def sees_more(self) -> None:
        """Wait until it has seen more spawns end: the load goes on, and so does the reading."""
        wanted = self.active + MORE
        await until(lambda: self.active >= wanted, f"{wanted} instances are seen active")


async def spawn(bus: driftline.Client, numbers: "itertools.count[int]") -> None:
    """One spawn after the other, until cancelled."""
    while True:
        name = f"load-{next(numbers)}"
        request = await bus.publish(driftline.SpawnRequested(instance=name, name=name, az="az1", label="prod-env"))
        assert (await bus.outcome(request)).kind == "active"


async def test_who_reads_sees_no_error_no_gap_and_nothing_going_back() -> None:
    async with site() as place:
        up = await start_up(place, "--azs", "1", "--hosts", "10")
        note = place.note()
        assert await place.json("ports") == []  # it waits for the projector
        async with driftline.connect(note["nats"]) as bus, connect(note["postgres"]) as database:
            reader, numbers = Reader(database), itertools.count()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(spawn(bus, numbers)) for _ in range(UNDER_WAY)]
                tasks.append(group.create_task(reader.read()))
                await reader.sees_more()
                for change in (("rebuild",), ("swap",), ("rollback",), ("rebuild", "--swap"), ("rollback",)):
                    await place.json("projections", *change)
                    await reader.sees_more()
                for task in tasks:
                    task.cancel()
        names = [f"driftline_g{number}" for number in (1, 2, 1, 3, 1)]
        assert reader.generations == names
        for number in ("1", "3"):
            assert (await place.json("projections", "verify", "--generation", number))["equal"]
        assert (await up.end()).code == 0
        await place.nothing_left()
