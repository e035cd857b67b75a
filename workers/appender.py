"""Group commit: what a worker decides while its append is on its way goes into its next one, in the order decided.

Each machine has one append in flight at a time, so the log holds a worker's events in the order in which it decided
them. Those of other workers go beside it, as they do where each runs in a process of its own.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import stamina

from bus.envelope import Envelope
from bus.errors import LogUnavailable
from bus.log import Log
from workers.machine import Machine

#: Events in one append: JetStream's limit for an atomic batch.
APPEND_MAX = 1000
#: Above this many waiting events ``room`` blocks the reader.
WAITING_MAX = 8000
#: How long an unreachable log is retried before the worker gives up and refolds, seconds. Below the log's
#: duplicate window, within which appending the same envelopes again is recognised.
RETRY_S = 100.0


class _Item(NamedTuple):
    position: int
    envelope: Envelope


class _Lane:
    """What waits to be appended for one machine. ``taken``, ``stored``: how many envelopes, since the start."""

    def __init__(self) -> None:
        self.waiting: list[_Item] = []
        self.taken = self.stored = 0
        self.wake = asyncio.Event()

    def put(self, position: int, envelopes: list[Envelope]) -> None:
        self.waiting.extend([_Item(position, envelope) for envelope in envelopes])
        self.taken += len(envelopes)
        self.wake.set()

    async def next(self) -> list[_Item]:
        """What goes into one append, waited for if need be."""
        while not self.waiting:
            self.wake.clear()
            await self.wake.wait()
        items, self.waiting = self.waiting[:APPEND_MAX], self.waiting[APPEND_MAX:]
        return items


class Appender:
    """Appends what machines decide, and tells each machine once it is on disk. Works in ``tasks``, for ever.

    These end with Conflict when somebody else decided what a machine had decided, with LogUnavailable when the log has
    been out of reach for too long; either way the machines must be rebuilt from the log.
    """

    def __init__(self, log: Log, tasks: asyncio.TaskGroup) -> None:
        self._log = log
        self._tasks = tasks
        self._lanes: dict[Machine, _Lane] = {}
        self._changed = asyncio.Condition()

    def put(self, machine: Machine, position: int, envelopes: list[Envelope]) -> None:
        """Queue envelopes that ``machine`` keeps ``position`` open for."""
        if not envelopes:
            return
        lane = self._lanes.get(machine)
        if lane is None:
            lane = self._lanes[machine] = _Lane()
            self._tasks.create_task(self._run(machine, lane), name=f"append for {machine.worker.name}")
        lane.put(position, envelopes)

    async def room(self) -> None:
        """Wait until there is room for more."""
        if self._waiting() > WAITING_MAX:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting() <= WAITING_MAX)

    async def stored(self, taken: Mapping[Machine, int]) -> None:
        """Wait until so many envelopes of each machine are on disk."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(self._lanes[one].stored >= n for one, n in taken.items()))

    @property
    def taken(self) -> dict[Machine, int]:
        """How many envelopes it was given so far, by machine."""
        return {machine: lane.taken for machine, lane in self._lanes.items()}

    def _waiting(self) -> int:
        return sum([len(lane.waiting) for lane in self._lanes.values()])

    async def _run(self, machine: Machine, lane: _Lane) -> None:
        while True:
            items = await lane.next()
            await self._append([item.envelope for item in items])
            lane.stored += len(items)
            for item in items:
                machine.done(item.position)
            async with self._changed:
                self._changed.notify_all()

    @stamina.retry(on=LogUnavailable, attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0)
    async def _append(self, envelopes: list[Envelope]) -> None:
        await self._log.append(envelopes)
