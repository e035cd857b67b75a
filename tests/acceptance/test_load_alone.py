"""``driftline load`` on servers of its own: one command measures the run and what it is a share of."""

import pytest

from tests.acceptance.harness import site

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.timeout(180)]


async def test_a_burst_is_told_as_a_share_of_what_the_log_alone_does() -> None:
    async with site() as place:
        report = await place.json("load", "--instances", "1000", "--hosts", "40", timeout_s=120)
        assert report["faults"] == []
        assert report["active"] == 1000
        assert report["limit_events_per_second"] > report["events_per_second"] > 0
        share = report["events_per_second"] / report["limit_events_per_second"]
        assert report["share_of_limit"] == pytest.approx(share, abs=0.002)
        await place.nothing_left()


async def test_a_small_burst_is_not() -> None:
    async with site() as place:
        report = await place.json("load", "--instances", "20", timeout_s=60)
        assert report["faults"] == []
        assert report["limit_events_per_second"] is report["share_of_limit"] is None
