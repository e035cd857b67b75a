"""What every home of the log must do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
import pytest_asyncio

from bus.embedded import embedded_nats
from bus.envelope import encode
from bus.errors import Conflict
from bus.jetstream import JetStreamLog, connect
from bus.log import Appended
from bus.memory import MemoryLog
from bus.shared import SharedLog
from bus.subjects import history_filter, host_filter, subject_of
from tests.bus.given import OpenLog, active, gather, plugged

#: Below and above the size from which JetStream is given an atomic batch.
SIZES = [3, 11, 12, 40]


class SharedMemoryLog(SharedLog):
    """A shared reader over a log that takes raw messages, too."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.append_raw = log.append_raw


@pytest_asyncio.fixture(params=["memory", "shared", "jetstream"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[OpenLog]:
    if request.param == "memory":
        yield MemoryLog()
        return
    if request.param == "shared":
        async with asyncio.TaskGroup() as tasks:
            one = SharedMemoryLog(MemoryLog())
            reading = tasks.create_task(one.run())
            yield one
            reading.cancel()
        return
    async with embedded_nats() as server, connect(server.url) as connection:
        yield JetStreamLog(connection)


async def positions_of(log: OpenLog) -> dict[str, int]:
    return {r.id: r.position for r in await gather(log.read(0, await log.last_position()))}


async def test_an_empty_log(log: OpenLog) -> None:
    assert await log.last_position() == 0
    assert await gather(log.read(0, 0)) == []
    assert await gather(log.read(0, 10)) == []
    assert await log.append([]) == []
    assert await log.identity() == await log.identity() != ""


@pytest.mark.parametrize("size", SIZES)
async def test_append_keeps_the_order(log: OpenLog, size: int) -> None:
    first = await log.append([plugged(n) for n in range(size)])
    second = await log.append([active(n) for n in range(size)])

    assert first + second == [Appended(n, False) for n in range(1, 2 * size + 1)]
    records = await gather(log.read(0, 2 * size))
    assert [r.position for r in records] == list(range(1, 2 * size + 1))
    assert [r.event for r in records] == [plugged(n).event for n in range(size)] + [
        active(n).event for n in range(size)
    ]
    assert (records[0].correlation, records[0].time_us) == (records[0].id, 7)


@pytest.mark.parametrize("make", [plugged, active])
@pytest.mark.parametrize("size", SIZES)
async def test_appending_again_adds_nothing(log: OpenLog, size: int, make: type) -> None:
    envelopes = [make(n) for n in range(size)]
    stored = await log.append(envelopes)

    assert await log.append(envelopes) == [Appended(a.position, True) for a in stored]
    mixed = await log.append([make(size), *envelopes, make(size + 1)])
    assert [a.duplicate for a in mixed] == [False] + [True] * size + [False]
    assert [a.position for a in mixed] == [size + 1, *range(1, size + 1), size + 2]
    assert await log.last_position() == size + 2


@pytest.mark.parametrize("size", SIZES)
async def test_the_same_envelope_twice_in_one_append(log: OpenLog, size: int) -> None:
    appended = await log.append([*(plugged(n) for n in range(size)), plugged(0), active(0), active(0)])

    assert appended[size] == Appended(1, True)
    assert appended[-1] == Appended(size + 1, True)
    assert await log.last_position() == size + 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("host", ["h1", "h2"])
async def test_once_means_once_whatever_the_host(log: OpenLog, size: int, host: str) -> None:
    await log.append([active(0)])
    before, after = [plugged(n) for n in range(size - 1)], [plugged(n) for n in range(100, 100 + size)]

    with pytest.raises(Conflict, match=r"dl\.instance\.i0\."):
        await log.append([*before, active(0, host, id="too late"), *after])

    ids = await positions_of(log)
    assert "too late" not in ids
    assert not {e.id for e in after} & ids.keys()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("host", ["h1", "h2"])
async def test_once_holds_within_one_append(log: OpenLog, size: int, host: str) -> None:
    with pytest.raises(Conflict):
        await log.append([*(active(n) for n in range(size)), active(1, host, id="second")])

    assert "second" not in await positions_of(log)


async def test_only_one_of_many_racing_writers_gets_it(log: OpenLog) -> None:
    async def attempt(writer: int) -> int:
        try:
            await log.append([active(n, f"h{writer}", id=f"{writer}:{n}") for n in range(20)])
        except Conflict:
            return 0
        return 1

    won = sum(await asyncio.gather(*(attempt(writer) for writer in range(6))))

    assert won <= 1
    records = await gather(log.read(0, await log.last_position()))
    assert len({r.event for r in records}) == len(records)
    assert len({r.id.partition(":")[2] for r in records}) == len(records)


@pytest.mark.parametrize(("after", "until"), [(0, 10), (3, 7), (9, 10), (0, 99), (10, 10), (7, 3)])
async def test_read_a_range(log: OpenLog, after: int, until: int) -> None:
    await log.append([plugged(n) for n in range(10)])

    records = await gather(log.read(after, until))

    assert [r.position for r in records] == list(range(after + 1, min(until, 10) + 1))


async def test_read_stops_before_what_came_later(log: OpenLog) -> None:
    await log.append([plugged(n) for n in range(30)])

    batches = [batch async for batch in log.read(0, 20)]

    assert batches[-1].last == 20
    assert sum(len(batch.records) for batch in batches) == 20


async def test_filtered_read(log: OpenLog) -> None:
    await log.append([plugged(n, f"h{n % 3}") for n in range(30)])

    assert [r.position for r in await gather(log.read(0, 30, host_filter("h1")))] == list(range(2, 31, 3))
    assert [r.position for r in await gather(log.read(2, 15, host_filter("h1")))] == [5, 8, 11, 14]
    assert [r.position for r in await gather(log.read(0, 30, history_filter("port", "i4-0")))] == [5]


@pytest.mark.parametrize("subject", [history_filter("port", "nobody"), history_filter("port", "i4-0")])
async def test_a_filtered_read_covers_its_range_though_little_matches(log: OpenLog, subject: str) -> None:
    await log.append([plugged(n) for n in range(30)])

    batches = [batch async for batch in log.read(0, 20, subject)]

    assert batches[-1].last == 20


async def test_follow_sees_what_comes_later(log: OpenLog) -> None:
    await log.append([plugged(0), plugged(1)])
    async with aclosing(log.follow(1)) as batches:  # type: ignore[type-var]
        assert [r.id for r in (await anext(batches)).records] == ["plugged:1"]
        for n in range(2, 8):  # one by one: nothing waits for company
            await log.append([plugged(n)])
            assert [r.id for r in (await anext(batches)).records] == [f"plugged:{n}"]


async def test_follow_with_a_filter(log: OpenLog) -> None:
    async with asyncio.TaskGroup() as tasks:
        followed = tasks.create_task(gather(log.follow(0, host_filter("h2")), 4))
        await log.append([plugged(n, f"h{n % 3}") for n in range(12)])

    assert [r.position for r in followed.result()] == [3, 6, 9, 12]


async def test_concurrent_appenders(log: OpenLog) -> None:
    async def write(writer: int) -> list[Appended]:
        size = 5 if writer % 2 else 50
        appended = []
        for start in range(0, 200, size):
            appended += await log.append([plugged(n, id=f"{writer}:{n}") for n in range(start, start + size)])
        return appended

    async with asyncio.TaskGroup() as tasks:
        followed = tasks.create_task(gather(log.follow(0), 1600))
        appended = await asyncio.gather(*(write(writer) for writer in range(8)))

    records = followed.result()
    assert [r.position for r in records] == list(range(1, 1601))
    at = {r.id: r.position for r in records}
    for writer, results in enumerate(appended):
        assert [a.position for a in results] == [at[f"{writer}:{n}"] for n in range(200)]
        assert not any(a.duplicate for a in results)


async def test_what_is_no_event_is_rejected_and_holds_up_nothing(log: OpenLog) -> None:
    good = plugged(1)
    elsewhere = subject_of(plugged(1, "h2").event)
    await log.append([plugged(0)])
    await log.append_raw("dl.port.x.az1.h1.plugged", b"{not json")
    await log.append_raw("dl.port.x.az1.h1.exploded", b'{"id": "x", "event": {"type": "port.exploded.v9"}}')
    await log.append_raw(elsewhere, encode(good))
    await log.append_raw("dl.port.x.az1.h1.plugged", b'{"id": "x", "event": {"type": "port.plugged.v1", "port": 5}}')
    assert await log.append_raw(subject_of(good.event), encode(good)) == 6

    batches = [batch async for batch in log.read(0, 6)]

    assert [r.position for batch in batches for r in batch.records] == [1, 6]
    rejects = [reject for batch in batches for reject in batch.rejects]
    assert [(r.position, r.malformed) for r in rejects] == [(2, True), (3, False), (4, True), (5, True)]
    assert "port.exploded.v9" in rejects[1].reason
    assert rejects[2].subject == elsewhere
    assert rejects[2].reason.startswith("subject: ")
    assert "$.event.port" in rejects[3].reason


async def test_five_thousand(log: OpenLog) -> None:
    async with asyncio.TaskGroup() as tasks:
        followed = tasks.create_task(gather(log.follow(0), 5000))
        appended = await log.append([plugged(n) if n % 2 else active(n) for n in range(5000)])

    assert [a.position for a in appended] == list(range(1, 5001))
    records = await gather(log.read(0, 5000))
    assert records == followed.result()
    assert [r.position for r in records] == list(range(1, 5001))


@pytest.mark.parametrize("size", [1, 20])
async def test_garbage_on_a_subject_keeps_nobody_from_deciding(log: OpenLog, size: int) -> None:
    """An ``once`` event may come once; a message that is no event is not it."""
    await log.append_raw(subject_of(active(0).event), b"garbage")
    await log.append_raw(subject_of(active(0).event), encode(active(1)))  # of another aggregate
    assert [one.duplicate for one in await log.append([active(n) for n in range(size)])] == [False] * size
    with pytest.raises(Conflict):
        await log.append([msgspec.structs.replace(active(0), id="a rival's")])


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":"x","zzz":' + b"[" * 5000 + b"]" * 5000 + b',"event":{}}',
        b'{"id":5,"event":{"x":"\xff"}}',
        b'{"id":"x","event":{"type":5,"type":"new.v1"}}',
        b'{"id":"x","event":{"type":"new.v1"},"event":{"type":5}}',
        b'{"id":"x","correlation":"'
        + b"c" * 300
        + b'","event":{"type":"instance.delete_requested.v1","instance":"i"}}',
        b'{"id":"x","time_us":1e30,"event":{"type":"instance.delete_requested.v1","instance":"i"}}',
        b"\xff\xfe",
        b"",
    ],
)
async def test_hostile_messages_hold_up_nobody(log: OpenLog, data: bytes) -> None:
    await log.append_raw("dl.instance.i._._.delete_requested", data)
    await log.append([plugged(1)])
    batches = [batch async for batch in log.read(0, 2)]
    assert [one.position for batch in batches for one in batch.rejects] == [1]
    assert [r.position for batch in batches for r in batch.records] == [2]
