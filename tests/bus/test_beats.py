"""What every home of the beats must do."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.embedded import embedded_nats
from bus.jetstream import JetStreamBeats, connect
from bus.log import Beats
from bus.memory import MemoryBeats


@pytest_asyncio.fixture(params=["memory", pytest.param("jetstream", marks=pytest.mark.servers)])
async def beats(request: pytest.FixtureRequest) -> AsyncIterator[Beats]:
    if request.param == "memory":
        yield MemoryBeats()
        return
    async with embedded_nats() as server, connect(server.url) as connection:
        yield JetStreamBeats(connection)


async def test_the_newest_beat_of_each_host_counts(beats: Beats) -> None:
    assert await beats.heard() == {}
    await beats.beat("one", ["h1", "h2"], 5)
    await beats.beat("other", ["h2", "h3"], 7)
    assert await beats.heard() == {"h1": 5, "h2": 7, "h3": 7}
    await beats.beat("one", ["h1", "h2"], 6)  # its clock is behind the other's
    assert await beats.heard() == {"h1": 6, "h2": 7, "h3": 7}


async def test_an_agent_of_many_hosts_with_an_odd_name(beats: Beats) -> None:
    hosts = [f"az1-h{number}" for number in range(2000)]
    await beats.beat("node 1.example.org>*", hosts, 1)
    assert await beats.heard() == dict.fromkeys(hosts, 1)
