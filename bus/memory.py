"""The log in memory: for tests and for the simulator. Keeps bytes, as JetStream does, so nothing escapes the codec."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Rejected, encode
from bus.errors import Conflict, LogMismatch
from bus.log import Appended, Batch
from bus.subjects import matches, once_filter, subject_of

READ_BATCH = 1000


class MemoryLog:
    """Implements ``bus.log.Log``. One thread, one event loop."""

    def __init__(self) -> None:
        self._messages: list[Raw] = []
        self._ids: dict[str, int] = {}
        self._once: dict[str, int] = {}
        self._grown = asyncio.Condition()
        self._identity = f"memory-{uuid.uuid4().hex}"

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
        return len(self._messages)

    async def identity(self) -> str:
        return self._identity

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        until = min(until, len(self._messages))
        for start in range(after, until, READ_BATCH):
            yield self._batch(start, min(start + READ_BATCH, until), subject)

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        if after > len(self._messages):
            raise LogMismatch(f"position {after} is beyond the end of the log ({len(self._messages)})")
        while True:
            async with self._grown:
                while len(self._messages) <= after:
                    await self._grown.wait()
            until = min(after + READ_BATCH, len(self._messages))
            yield self._batch(after, until, subject)
            after = until

    def _batch(self, after: int, until: int, subject: str) -> Batch:
        raws = [raw for raw in self._messages[after:until] if not subject or matches(subject, raw.subject)]
        records, rejects = decode_batch(raws)
        return Batch(records, rejects, until)

    def _append_one(self, envelope: Envelope) -> Appended:
        known = self._ids.get(envelope.id)
        if known is not None:
            return Appended(known, True)
        event = envelope.event
        if event.once:
            key = once_filter(event)
            if key in self._once:
                raise Conflict(f"{key} is at position {self._once[key]}, {envelope.id} came too late")
            self._once[key] = len(self._messages) + 1
        position = self._store(subject_of(event), encode(envelope), envelope.time_us)
        self._ids[envelope.id] = position
        return Appended(position, False)

    def _store(self, subject: str, data: bytes, stored_us: int) -> int:
        position = len(self._messages) + 1
        self._messages.append(Raw(position, subject, data, stored_us))
        return position


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
