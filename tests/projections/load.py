"""A load of spawns, and a reader that looks on all the while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus.memory import MemoryLog
from projections.postgres import Database, Snapshot, fetch_table, snapshot
from tests.story import Story


class Load:
    """Spawns and deletes that never end, and a reader that looks all the while: nothing may ever go back."""

    def __init__(self, log: MemoryLog, database: Database, story: Story) -> None:
        self._log, self._database, self._story = log, database, story
        self.generations: list[str] = []
        self._read, self._stop = asyncio.Event(), asyncio.Event()

    async def spawn(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            before = self._story.position
            self._story.spawn(f"load{number}", f"h{number % 3 + 1}", f"net{number % 2 + 1}")
            if number % 2 == 0:
                self._story.delete(f"load{number - 1}")
            await self._log.append(self._story.envelopes[before:])
            await asyncio.sleep(0.002)  # the rate of the load

    async def read(self) -> None:
        position, instances = 0, set[str]()
        while not self._stop.is_set():
            async with snapshot(self._database) as seen:
                assert seen.position >= position, "the projections went back"
                position = seen.position
                await self._check(seen, instances)
            if self.generations[-1:] != [seen.generation.name]:
                self.generations.append(seen.generation.name)
            self._read.set()

    async def _check(self, seen: Snapshot, known: set[str]) -> None:
        """The rows are those of the position: all that was seen before is there, and tables agree with each other."""
        instances = {getattr(row, "instance", "") for row in await fetch_table(seen, "instances")}
        spawns = {getattr(row, "instance", "") for row in await fetch_table(seen, "spawns")}
        assert instances == spawns
        assert known <= instances, "an instance is gone"
        known |= instances

    @asynccontextmanager
    async def on(self) -> AsyncIterator["Load"]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.spawn())
            tasks.create_task(self.read())
            try:
                yield self
            finally:
                self._stop.set()

    async def more(self, reads: int = 5) -> None:
        """Return after some more reads."""
        async with asyncio.timeout(20):
            for _ in range(reads):
                self._read.clear()
                await self._read.wait()
