"""The harness against a log that stands still for a while, and one that answers twice."""

import asyncio
from collections.abc import Sequence

import pytest

from bus.envelope import Envelope, Recorded, now_us
from bus.events import InstanceActive, InstanceFailed, SpawnRequested
from bus.log import Appended
from bus.memory import MemoryLog
from driftline.loadtest.harness import Harness, Tally
from driftline.loadtest.latency import Latency, Percentiles
from driftline.trace import Target, TimedRequest, TraceRow, plan

STALL_S = 0.4


class SlowLog(MemoryLog):
    """Takes the first requests at once, and those that come then only after STALL_S."""

    def __init__(self) -> None:
        super().__init__()
        self.appends = 0

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        self.appends += 1
        if self.appends == 2:
            await asyncio.sleep(STALL_S)
        return await super().append(envelopes)


def spawns(times_s: Sequence[float]) -> list[TimedRequest]:
    rows = [TraceRow(line=n, name=f"i{n}", created_s=at_s) for n, at_s in enumerate(times_s, 1)]
    return plan(rows, ["az1"], [Target(label="web")])


async def answer(log: MemoryLog, *, twice: bool) -> None:
    """What a control plane would say, in no time; ``twice``: and then the contrary."""
    async for batch in log.follow(0):
        for r in batch.records:
            if isinstance(r.event, SpawnRequested):
                about = {"instance": r.event.instance, "az": "az1", "host": "h1"}
                await say(log, r, InstanceActive(**about, port="p1"))
                if twice:
                    await say(log, r, InstanceFailed(**about, reason="no"))


async def say(log: MemoryLog, r: Recorded, event: InstanceActive | InstanceFailed) -> None:
    kind = type(event).__name__
    said = Envelope(id=f"{r.id}:{kind}", event=event, correlation=r.correlation, actor="nova", time_us=now_us())
    await MemoryLog.append(log, [said])


async def driven(
    log: MemoryLog, times_s: Sequence[float], *, timed: bool = True, in_flight_max: int = 2000, twice: bool = False
) -> tuple[Tally, Percentiles]:
    latencies: dict[str, Latency] = {}
    answering = asyncio.create_task(answer(log, twice=twice))
    harness = Harness(log, spawns(times_s), latencies=latencies, timed=timed, in_flight_max=in_flight_max)
    try:
        tally = await harness.run()
    finally:
        answering.cancel()
    told = latencies["spawn"].percentiles()
    assert told is not None
    return tally, told


@pytest.mark.asyncio
async def test_a_stall_counts_for_all_that_was_due_during_it() -> None:
    """A client that waits for each answer before it asks again would have met it once."""
    tally, told = await driven(SlowLog(), [0.0, *(0.1 + 0.01 * n for n in range(9))])
    assert (tally.active, told.count) == (10, 10)
    assert told.p50 >= 1000 * (STALL_S - 0.1)


@pytest.mark.asyncio
async def test_what_comes_as_fast_as_is_allowed_is_due_from_the_start() -> None:
    log = SlowLog()
    tally, told = await driven(log, [0.0] * 10, timed=False, in_flight_max=5)
    assert tally.active == 10
    assert log.appends > 1
    assert told.max >= 1000 * STALL_S > told.p50


@pytest.mark.asyncio
async def test_a_plan_without_requests_is_over_at_once_on_a_log_where_nothing_happens() -> None:
    log = MemoryLog()
    await MemoryLog.append(log, [Envelope(id="s", event=spawns([0.0])[0].event, actor="x", time_us=now_us())])
    async with asyncio.timeout(5):
        assert (await Harness(log, []).run()).requested == 0


@pytest.mark.asyncio
async def test_a_second_end_of_a_request_is_counted() -> None:
    tally, told = await driven(MemoryLog(), [0.0, 0.01, 0.02], twice=True)
    assert (tally.active, tally.failed, tally.twice, told.count) == (3, 0, 3, 3)
