"""Envelopes and small helpers for the tests of the bus."""

from collections.abc import AsyncIterator
from typing import Protocol

from bus.envelope import Envelope, Recorded
from bus.events import InstanceActive, PortPlugged
from bus.log import Batch, Log


class OpenLog(Log, Protocol):
    """A log that also takes what is no event."""

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int: ...


def plugged(number: int, host: str = "h1", id: str = "") -> Envelope:
    """An event that may happen any number of times."""
    event = PortPlugged(port=f"i{number}-0", az="az1", host=host, generation=1, received_us=5)
    return Envelope(id=id or f"plugged:{number}", event=event, time_us=7)


def active(number: int, host: str = "h1", id: str = "") -> Envelope:
    """An event that happens once per instance."""
    event = InstanceActive(instance=f"i{number}", az="az1", host=host, port=f"i{number}-0")
    return Envelope(id=id or f"active:{number}", event=event, time_us=7)


async def gather(batches: AsyncIterator[Batch], count: int | None = None) -> list[Recorded]:
    """All records, or the first ``count`` of them; positions that never fall, and ``last`` that covers them."""
    records: list[Recorded] = []
    last = 0
    async for batch in batches:
        assert batch.last >= last
        last = batch.last
        records.extend(batch.records)
        if records:
            assert records[-1].position <= last
        if count is not None and len(records) >= count:
            break
    return records
