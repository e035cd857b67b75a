"""The limits: measured with real events, each appended once and delivered once to each of two."""

from collections.abc import AsyncGenerator

import pytest

from bus.log import Log
from bus.memory import MemoryLog
from bus.shared import shared
from driftline.bench.events import spawn_events
from driftline.bench.figure import Bounds, measured
from driftline.bench.limits import log_alone
from driftline.bench.of_log import of_codec


@pytest.mark.parametrize("count", [1, 11, 25])
def test_as_many_events_as_asked_for_each_with_an_id_of_its_own(count: int) -> None:
    envelopes = spawn_events(count)
    assert len({envelope.id for envelope in envelopes}) == len(envelopes) == count
    assert [e.cause for e in envelopes[1:11]] == [e.id for e in envelopes[:10]][: count - 1]


async def test_the_log_alone_appends_all_and_delivers_all() -> None:
    told: list[tuple[int, int]] = []
    async with shared(MemoryLog()) as log:
        rate = await log_alone(log, 1200, lambda done, until: told.append((done, until)))
        assert await log.last_position() == 1200
    assert rate > 0
    assert told[-1] == (1200, 1200)
    assert told == sorted(told)


async def test_it_can_be_measured_twice_on_one_log() -> None:
    inner = MemoryLog()
    log: Log
    async with shared(inner) as log:
        await log_alone(log, 30)
        await log_alone(log, 30)
    assert await inner.last_position() == 60


async def test_a_figure_is_bounded_by_time_and_closes_what_it_measured() -> None:
    closed = False

    async def steps() -> AsyncGenerator[int, None]:
        nonlocal closed
        try:
            while True:
                yield 5
        finally:
            closed = True

    one = await measured("x", "for ever", steps(), Bounds(seconds=0.01), unit="rows")
    assert closed
    assert one.count % 5 == 0
    assert one.count >= 5
    assert one.per_second == pytest.approx(one.count / one.seconds, rel=0.01)


async def test_a_figure_ends_with_its_steps() -> None:
    async def steps() -> AsyncGenerator[int, None]:
        yield 3
        yield 4

    assert (await measured("x", "seven", steps(), Bounds(seconds=60))).count == 7


async def test_the_codec_is_measured_with_all_events() -> None:
    figures = [one async for one in of_codec(Bounds(events=700, seconds=60))]
    assert [(one.name, one.count) for one in figures] == [("encode", 700), ("decode", 700)]
