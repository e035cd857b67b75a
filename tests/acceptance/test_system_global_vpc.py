"""Figure 14 by the command line: eight places, hub and spoke."""

import pytest

from tests.acceptance.harness import site, start_up
from tests.acceptance.test_system_vpc import EXAMPLES, spawn, unreachable

pytestmark = [pytest.mark.servers, pytest.mark.processes]


async def test_places_reach_each_other_over_the_hub_alone() -> None:
    async with site() as place:
        await start_up(place, "--world", EXAMPLES / "global-vpc.toml")
        for name in ("seoul", "frankfurt"):
            await spawn(place, name, f"{name}-net", f"{name}-a")
        assert "no line from seoul to frankfurt" in await unreachable(place, "seoul", "frankfurt")
        for name in ("seoul", "frankfurt"):
            await place.run("direct-connect", "create", f"dc-{name}", "--spoke", name, "--hub", "shanghai")
        path = await place.json("reach", "seoul", "frankfurt")
        assert "line seoul to shanghai" in path["ways"][0]
        assert "line shanghai to frankfurt" in path["ways"][0]
        await place.run("direct-connect", "fail", "dc-seoul")
        assert "no line" in await unreachable(place, "frankfurt", "seoul")
        await place.run("direct-connect", "restore", "dc-seoul")
        await place.run("reach", "frankfurt", "seoul")
        assert "hub: frankfurt" in await place.refused(
            "direct-connect", "create", "dc-x", "--spoke", "seoul", "--hub", "frankfurt"
        )
        complaint = await place.refused(
            "vpc", "create", "twin", "--tenant", "trips", "--cidr", "10.3.128.0/17", "--global", "worldwide"
        )
        assert "10.3.0.0/16 of VPC seoul-vpc" in complaint
        drawn = (await place.run("vpcs")).stdout
        assert "dc-frankfurt" in drawn
        assert "frankfurt (public)" in drawn
