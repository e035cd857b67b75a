"""Group commit: what workers decide while one append is on its way goes into the next one, in the order decided.

One append is in flight at a time, so the log holds a process's events in the order in which it decided them.
"""

import asyncio

import msgspec
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


class _Item(msgspec.Struct, frozen=True, gc=False):
    machine: Machine
    position: int
    envelope: Envelope


class Appender:
    """Appends what machines decide, and tells each machine once it is on disk."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: list[_Item] = []
        self._taken = self._stored = 0  # how many envelopes, since the start
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()

    def put(self, machine: Machine, position: int, envelopes: list[Envelope]) -> None:
        """Queue envelopes that ``machine`` keeps ``position`` open for."""
        self._waiting += [_Item(machine, position, envelope) for envelope in envelopes]
        self._taken += len(envelopes)
        self._wake.set()

    async def room(self) -> None:
        """Wait until there is room for more."""
        if len(self._waiting) > WAITING_MAX:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._waiting) <= WAITING_MAX)

    async def stored(self, taken: int) -> None:
        """Wait until the first ``taken`` envelopes are on disk."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._stored >= taken)

    @property
    def taken(self) -> int:
        """How many envelopes it was given so far."""
        return self._taken

    async def run(self) -> None:
        """Append for ever.

        Raises Conflict when somebody else decided what a machine had decided, LogUnavailable when the log has been
        out of reach for too long; either way the machines must be rebuilt from the log.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                items, self._waiting = self._waiting[:APPEND_MAX], self._waiting[APPEND_MAX:]
                await self._append([item.envelope for item in items])
                self._stored += len(items)
                for item in items:
                    item.machine.done(item.position)
                async with self._changed:
                    self._changed.notify_all()

    @stamina.retry(on=LogUnavailable, attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0)
    async def _append(self, envelopes: list[Envelope]) -> None:
        await self._log.append(envelopes)
