"""The log in memory: for tests, for the simulator and for recorded files.

Keeps bytes, as JetStream does, so nothing escapes the codec.
"""

import asyncio
import uuid
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from operator import attrgetter

from bus.decoding import Raw, RawBatch, decode_batch
from bus.envelope import Envelope, Rejected, encode
from bus.errors import Conflict, LogMismatch
from bus.log import Appended, Batch
from bus.subjects import matches, once_filter, subject_of

READ_BATCH = 1000


class MemoryLog:
    """Implements ``bus.log.RawLog``. One thread, one event loop.

    ``identity``: what the log is known by; by default no other log has it. ``raws``: what is in it from the start, in
    the order of their positions, which may have holes.
    """

    def __init__(self, identity: str = "", raws: Iterable[Raw] = ()) -> None:
        self._messages: list[Raw] = list(raws)
        self._last = self._messages[-1].position if self._messages else 0
        self._ids: dict[str, int] = {}
        self._once: dict[str, int] = {}
        self._grown = asyncio.Condition()
        self._identity = identity or f"memory-{uuid.uuid4().hex}"

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        try:
            return [self._append_one(envelope) for envelope in envelopes]
        finally:  # also what came before a conflict is there to be read
            async with self._grown:
                self._grown.notify_all()

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int:
        """Append a message that may be no event at all, as an outside publisher could. Returns its position."""
        position = self._store(subject, data, stored_us)
        async with self._grown:
            self._grown.notify_all()
        return position

    async def last_position(self) -> int:
        return self._last

    async def identity(self) -> str:
        return self._identity

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        async for batch in self.read_raw(after, until):
            yield _decoded(batch, subject)

    async def read_raw(self, after: int, until: int) -> AsyncIterator[RawBatch]:
        until = min(until, self._last)
        while after < until:
            batch = self._batch(after, until)
            yield batch
            after = batch.last

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        if after > self._last:
            raise LogMismatch(f"position {after} is beyond the end of the log ({self._last})")
        while True:
            async with self._grown:
                while self._last <= after:
                    await self._grown.wait()
            batch = self._batch(after, self._last)
            yield _decoded(batch, subject)
            after = batch.last

    def _batch(self, after: int, until: int) -> RawBatch:
        """The messages from there on, at most READ_BATCH of them; up to ``until`` if these are all."""
        start = bisect_right(self._messages, after, key=attrgetter("position"))
        raws = [raw for raw in self._messages[start : start + READ_BATCH] if raw.position <= until]
        return RawBatch(raws, raws[-1].position if len(raws) == READ_BATCH else until)

    def _append_one(self, envelope: Envelope) -> Appended:
        known = self._ids.get(envelope.id)
        if known is not None:
            return Appended(known, True)
        event = envelope.event
        if event.once:
            key = once_filter(event)
            if key in self._once:
                raise Conflict(f"{key} is at position {self._once[key]}, {envelope.id} came too late")
            self._once[key] = self._last + 1
        position = self._store(subject_of(event), encode(envelope), envelope.time_us)
        self._ids[envelope.id] = position
        return Appended(position, False)

    def _store(self, subject: str, data: bytes, stored_us: int) -> int:
        self._last += 1
        self._messages.append(Raw(self._last, subject, data, stored_us))
        return self._last


def _decoded(batch: RawBatch, subject: str) -> Batch:
    raws = [raw for raw in batch.raws if not subject or matches(subject, raw.subject)]
    records, rejects = decode_batch(raws)
    return Batch(records, rejects, batch.last)


class MemoryCheckpoints:
    """Implements ``bus.log.Checkpoints``."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    async def load(self, name: str) -> int:
        return self._positions.get(name, 0)

    async def save(self, name: str, position: int) -> None:
        self._positions[name] = position


class MemoryBeats:
    """Implements ``bus.log.Beats``."""

    def __init__(self) -> None:
        self._heard: dict[str, int] = {}

    async def beat(self, agent: str, hosts: Iterable[str], time_us: int) -> None:
        for host in hosts:
            self._heard[host] = max(time_us, self._heard.get(host, 0))

    async def heard(self) -> dict[str, int]:
        return dict(self._heard)


class MemoryQuarantine:
    """Implements ``bus.log.Quarantine``."""

    def __init__(self) -> None:
        self._kept: dict[int, Rejected] = {}

    async def put(self, rejected: Sequence[Rejected]) -> None:
        for one in rejected:
            self._kept.setdefault(one.position, one)

    async def list(self) -> list[Rejected]:
        return [self._kept[position] for position in sorted(self._kept)]
