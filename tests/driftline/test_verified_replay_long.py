"""Verified replay of 100,000 events that a real runner made: equal, and one changed event near the end is named."""

import asyncio
import logging
from collections.abc import Iterator

import msgspec
import pytest
import structlog

from bus.envelope import Recorded
from bus.events import InstanceActive, InstanceDeleted, PortAllocated
from tests.workers.site import ROLES, Site, delete, spawn, world
from workers import ipam
from workers.replayed import Replay

EVENTS = 100_000
#: How many instances are there at once: the hosts of the site have room for them.
WAVE = 400

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def few_words() -> Iterator[None]:
    """Nothing below a warning is logged: each event would be a line."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**before)


async def recorded() -> list[Recorded]:
    """Waves of instances, each spawned and deleted, until the log is long enough."""
    site, wave = Site(), 0
    await site.ask(world())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(site.runner().run())
        while await site.log.last_position() < EVENTS:
            numbers = range(wave * WAVE, (wave + 1) * WAVE)
            wave += 1
            for requests, kind in ((map(spawn, numbers), InstanceActive), (map(delete, numbers), InstanceDeleted)):
                before = await site.log.last_position()
                await site.ask(requests)
                await site.until(kind, WAVE, before)
        running.cancel()
    return await site.records()


@pytest.mark.usefixtures("few_words")
async def test_a_long_log_is_equal_and_one_changed_event_is_named() -> None:
    records = await recorded()
    assert len(records) >= EVENTS
    decided = 0
    for role in ROLES:  # who ran there; the others have nothing to decide
        verdict = Replay(role.worker, records).run()
        assert (verdict.divergences, verdict.equal) == ([], True)
        decided += verdict.matched + verdict.outcomes
    assert decided > EVENTS / 2
    was = [r for r in records if isinstance(r.event, PortAllocated)][-1]
    other = msgspec.structs.replace(was, event=msgspec.structs.replace(was.event, vlan=77))
    verdict = Replay(ipam.WORKER, [other if r is was else r for r in records]).run()
    assert [(one.position, one.id) for one in verdict.divergences] == [(was.position, was.id)]
