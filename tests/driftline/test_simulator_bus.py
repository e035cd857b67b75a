"""The log that misbehaves: what it may do, and what it must never do."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bus.envelope import Envelope, Recorded
from bus.errors import Conflict, LogUnavailable
from bus.events import InstanceActive, RegionAdded
from driftline.simulator.bus import CALM, BusFaults, Client, Store
from driftline.simulator.loop import START_US, Deadlock, now_us, run


class Bench:
    """A store, and as many clients as are asked for."""

    def __init__(self) -> None:
        self.landed: list[Recorded] = []
        self.store = Store(random.Random(1), self.landed.append)

    def client(self, faults: BusFaults = CALM) -> Client:
        client = Client(self.store, random.Random(2), lambda: None)
        client.faults = faults
        return client


def virtually(body: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def in_virtual_time() -> None:
        async def main() -> None:
            await body(Bench())

        run(main(), seed=1)

    in_virtual_time.__name__ = body.__name__
    return in_virtual_time


def _region(number: int) -> Envelope:
    return Envelope(id=f"e{number}", event=RegionAdded(region=f"r{number}"))


def test_time_jumps_and_a_wait_for_nothing_is_told() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        assert now_us() == START_US + 3_600_000_000
        return asyncio.get_running_loop().time()

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    assert run(wait(), seed=1) == pytest.approx(3600)
    with pytest.raises(Deadlock):
        run(wait_for_ever(), seed=1)


@virtually
async def test_what_is_acknowledged_is_there_and_is_read(bench: Bench) -> None:
    client = bench.client()
    appended = await client.append([_region(1), _region(2)])
    assert [one.position for one in appended] == [1, 2]
    batch = await client.follow(0).__anext__()
    assert [r.id for r in batch.records] == ["e1", "e2"][: batch.last]
    assert bench.landed == bench.store.records


@virtually
async def test_what_is_lost_never_comes(bench: Bench) -> None:
    with pytest.raises(LogUnavailable):
        await bench.client(BusFaults(lost=1.0)).append([_region(1)])
    await asyncio.sleep(60)
    assert not bench.store.records


@virtually
async def test_what_is_not_acknowledged_may_be_there_and_comes_once(bench: Bench) -> None:
    client = bench.client(BusFaults(unacknowledged=1.0))
    for _ in range(20):
        with pytest.raises(LogUnavailable):
            await client.append([_region(1), _region(2)])
    await asyncio.sleep(60)
    assert [r.id for r in bench.store.records] == ["e1", "e2"]


@virtually
async def test_what_a_dead_process_sent_lands_later(bench: Bench) -> None:
    sending = asyncio.ensure_future(bench.client(BusFaults(held=1.0, held_s=9.0)).append([_region(1)]))
    await asyncio.sleep(0)
    sending.cancel()
    assert not bench.store.records
    await asyncio.sleep(10)
    assert [r.id for r in bench.store.records] == ["e1"]
    assert not bench.store.in_flight


@virtually
async def test_a_copy_comes_under_another_id(bench: Bench) -> None:
    await bench.client(BusFaults(doubled=1.0)).append([_region(1)])
    await asyncio.sleep(10)
    first, second = bench.store.records
    assert first.event == second.event
    assert first.id != second.id


@virtually
async def test_an_event_that_may_come_once_comes_once(bench: Bench) -> None:
    event = InstanceActive(instance="i1", az="az1", host="h1", port="i1-0")
    client = bench.client(BusFaults(doubled=1.0))
    await client.append([Envelope(id="one", event=event)])
    with pytest.raises(Conflict):
        await client.append([_region(1), Envelope(id="other", event=event)])
    await asyncio.sleep(10)
    assert [r.id for r in bench.store.records if r.id[:4] != "copy"] == ["one", "e1"]
    assert sum(isinstance(r.event, InstanceActive) for r in bench.store.records) == 1


@virtually
async def test_who_is_cut_off_reads_nothing_until_that_ends(bench: Bench) -> None:
    client = bench.client(BusFaults(down=True))
    await bench.client().append([_region(1)])
    reading = asyncio.ensure_future(client.follow(0).__anext__())
    await asyncio.sleep(60)
    assert not reading.done()
    client.faults = CALM
    bench.store.wake()
    assert (await reading).last == 1
