"""What JetStream and the codec can do: appending, reading, decoding, and how late one event is."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, encode
from bus.jetstream.plain import Message, Plain, plain
from bus.log import Batch, RawLog
from bus.subjects import subject_of
from driftline.bench.events import spawn_events
from driftline.bench.figure import Bounds, Figure, figure, measured
from driftline.stack import Bus

#: How many messages nats-py has under way, and fetches at a time.
PIPELINED = 500
#: How many atomic batches of so many events are under way.
SIDE_BY_SIDE = 4
#: How many single events are timed from their append to their delivery.
DELIVERIES = 300


async def of_log(bus: Bus, bounds: Bounds) -> AsyncIterator[Figure]:
    """The figures of the log, one after the other. Appends to it. Raises LogUnavailable."""
    async with plain(bus.servers.nats) as client:
        singles = _append_singles(client, _messages(bounds.events, "single-"))
        yield await measured("append.nats_py.single", "append by nats-py, one at a time", singles, bounds)
        pipelined = _append_pipelined(client, _messages(bounds.events, "pipelined-"))
        yield await measured("append.nats_py.pipelined", f"append by nats-py, {PIPELINED} under way", pipelined, bounds)
        for size in bounds.batches:
            batches = _append_batches(bus.log, spawn_events(bounds.events, f"batch{size}-"), size)
            yield await measured(f"append.batch.{size}", f"append, atomic batches of {size}", batches, bounds)
        many = _append_side_by_side(bus.log, spawn_events(bounds.events, "many-"))
        what = f"append, {SIDE_BY_SIDE} atomic batches of {PIPELINED} under way"
        yield await measured("append.batches", what, many, bounds)
        there = min(bounds.events, await bus.log.last_position())
        fetched = _fetched(client, there)
        yield await measured("consume.nats_py.fetch", f"consume by nats-py, fetch of {PIPELINED}", fetched, bounds)
    yield await measured("consume.raw", "consume by our reader, not decoded", _read_raw(bus.log, there), bounds)
    yield await measured("consume.decoded", "consume by our reader, decoded", _read(bus.log, there), bounds)
    yield await _delivery(bus.log, bounds)


async def of_codec(bounds: Bounds) -> AsyncIterator[Figure]:
    """The figures of msgspec on our events."""
    envelopes = spawn_events(bounds.events)
    yield await measured("encode", "encode", _encoded(envelopes), bounds)
    raws = [Raw(n, subject_of(one.event), encode(one), 0) for n, one in enumerate(envelopes, 1)]
    yield await measured("decode", "decode, subject checked", _decoded(raws), bounds)


def _messages(count: int, prefix: str) -> list[Message]:
    return [Message(subject_of(one.event), encode(one), one.id) for one in spawn_events(count, prefix)]


def _cut(items: Sequence[Envelope], size: int) -> Iterator[Sequence[Envelope]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _append_singles(client: Plain, messages: list[Message]) -> AsyncGenerator[int, None]:
    for message in messages:
        await client.append(message)
        yield 1


async def _append_pipelined(client: Plain, messages: list[Message]) -> AsyncGenerator[int, None]:
    for start in range(0, len(messages), PIPELINED):
        part = messages[start : start + PIPELINED]
        await client.append_all(part)
        yield len(part)


async def _append_batches(log: RawLog, envelopes: list[Envelope], size: int) -> AsyncGenerator[int, None]:
    for part in _cut(envelopes, size):
        await log.append(part)
        yield len(part)


async def _append_side_by_side(log: RawLog, envelopes: list[Envelope]) -> AsyncGenerator[int, None]:
    for part in _cut(envelopes, PIPELINED * SIDE_BY_SIDE):
        await asyncio.gather(*[log.append(batch) for batch in _cut(part, PIPELINED)])
        yield len(part)


async def _fetched(client: Plain, count: int) -> AsyncGenerator[int, None]:
    async for brought in client.fetch(count, PIPELINED):
        yield brought


async def _read_raw(log: RawLog, until: int) -> AsyncGenerator[int, None]:
    async for batch in log.read_raw(0, until):
        yield len(batch.raws)


async def _read(log: RawLog, until: int) -> AsyncGenerator[int, None]:
    async for batch in log.read(0, until):
        yield len(batch.records)


async def _encoded(envelopes: list[Envelope]) -> AsyncGenerator[int, None]:
    for part in _cut(envelopes, PIPELINED):
        for one in part:
            encode(one)
        yield len(part)


async def _decoded(raws: list[Raw]) -> AsyncGenerator[int, None]:
    for start in range(0, len(raws), PIPELINED):
        records, _ = decode_batch(raws[start : start + PIPELINED])
        yield len(records)


async def _delivery(log: RawLog, bounds: Bounds) -> Figure:
    """One event at a time, from before its append until a follower has it."""
    late: list[float] = []
    followed: AsyncIterator[Batch] = log.follow(await log.last_position())
    started = time.perf_counter()
    async with aclosing(followed):  # type: ignore[type-var]  # a generator, in both homes of the log
        for envelope in spawn_events(min(bounds.events, DELIVERIES), "late-"):
            sent = time.perf_counter()
            appending = asyncio.ensure_future(log.append([envelope]))
            await anext(followed)
            late.append(time.perf_counter() - sent)
            await appending
            if time.perf_counter() - started >= bounds.seconds:
                break
    seconds = time.perf_counter() - started
    return figure("delivery", "one event, appended to delivered", len(late), seconds, median_s=statistics.median(late))
