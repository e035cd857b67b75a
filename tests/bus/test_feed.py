"""A long log read through another process: the same messages, whatever becomes of that process."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.jetstream import Connection, JetStreamLog, feed
from bus.log import Batch
from tests.bus.given import gather, plugged

COUNT = 3300


class Started:
    """Starts processes as asyncio does, after having changed something; remembers them."""

    def __init__(self, until: int | None = None, *, kill: bool = False) -> None:
        self.processes: list[asyncio.subprocess.Process] = []
        self._whole = asyncio.create_subprocess_exec
        self._until, self._kill = until, kill

    async def __call__(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        if self._until is not None:
            arguments = (*arguments[:-1], str(self._until))
        process = await self._whole(*arguments, **options)
        self.processes.append(process)
        if self._kill:
            process.kill()
        return process


@pytest.fixture
def started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Started:
    one = Started(**getattr(request, "param", {}))
    monkeypatch.setattr(feed, "FEED_MIN", 10)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", one)
    return one


async def filled(connection: Connection) -> JetStreamLog:
    log = JetStreamLog(connection)
    await log.append([plugged(n) for n in range(COUNT)])
    await log.append_raw("dl.port.p1.az1.h1.bound", b"no json")
    return log


async def whole(log: JetStreamLog) -> list[Batch]:
    return [batch async for batch in log.read(0, COUNT + 100)]


@pytest.mark.parametrize(
    ("started", "warned"),
    [({}, False), ({"until": 1500}, True), ({"kill": True}, True)],
    indirect=["started"],
    ids=["to its end", "half of it", "nothing"],
)
async def test_every_message_is_read_once_in_order_and_nothing_is_left(
    connection: Connection, started: Started, warned: bool
) -> None:
    log = await filled(connection)
    with capture_logs() as logs:
        batches = await whole(log)
    assert [r.position for batch in batches for r in batch.records] == list(range(1, COUNT + 1))
    assert [r.position for batch in batches for r in batch.rejects] == [COUNT + 1]
    assert batches[-1].last == COUNT + 1
    assert ("reading on without the other process, which has ended" in [line["event"] for line in logs]) == warned
    assert [process.returncode is not None for process in started.processes] == [True]


async def test_who_stops_reading_stops_the_other_process(connection: Connection, started: Started) -> None:
    log = await filled(connection)
    batches = log.read(0, COUNT)
    assert (await gather(batches, 1))[0].position == 1
    await batches.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert [process.returncode is not None for process in started.processes] == [True]


async def test_a_short_stretch_and_a_filter_need_no_other_process(connection: Connection, started: Started) -> None:
    log = await filled(connection)
    assert len(await gather(log.read(COUNT - 5, COUNT))) == 5
    assert len(await gather(log.read(0, COUNT, "dl.port.i7-0.>"))) == 1
    assert started.processes == []
