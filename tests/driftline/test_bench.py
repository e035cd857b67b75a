"""The limits: measured with real events, each appended once and delivered once to each of two."""

import pytest

from bus.log import Log
from bus.memory import MemoryLog
from bus.shared import shared
from driftline.bench.events import spawn_events
from driftline.bench.limits import log_alone


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
