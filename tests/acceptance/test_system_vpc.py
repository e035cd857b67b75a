"""Tenants, VPCs and the global VPC by the command line; what reaches what is the fabric's word."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.harness import Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Site]:
    """A ``driftline up`` with the world of the VPCs' scenario."""
    async with site() as place:
        await start_up(place, "--world", EXAMPLES / "vpc.toml")
        yield place


async def spawn(place: Site, name: str, network: str, az: str) -> None:
    await place.run("spawn", name, "--network", network, "--az", az)


async def unreachable(place: Site, source: str, target: str) -> str:
    """Why the one does not reach the other."""
    return (await place.run("reach", source, target, code=1)).complaint


async def test_overlapping_vpcs_are_isolated_and_never_connected(place: Site) -> None:
    for name, network in (("hotel", "hotels-web"), ("flight", "flights-web"), ("tool", "tools")):
        await spawn(place, name, network, "az1")
    await unreachable(place, "hotel", "tool")
    await place.run("vpc", "connect", "shared", "hotels-prod")
    await place.run("reach", "hotel", "tool")
    await place.run("reach", "tool", "hotel")
    complaint = await place.refused("vpc", "connect", "hotels-prod", "flights-prod")
    assert "10.0.0.0/16 of VPC hotels-prod and 10.0.0.0/16 of VPC flights-prod overlap" in complaint
    await unreachable(place, "hotel", "flight")
    document = await place.json("vpcs")
    assert [(row["vpc"], row["peer"], row["state"]) for row in document["vpc_connections"]] == [
        ("hotels-prod", "shared", "ready")
    ]
    await place.run("vpc", "disconnect", "shared", "hotels-prod")
    await unreachable(place, "hotel", "tool")
    assert not (await place.json("vpcs"))["vpc_connections"]
    assert (await place.json("verify"))["equal"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("vpc", "create", "x", "--tenant", "hotels", "--cidr", "10.0.0.1/16"), "cidr: 10.0.0.1/16"),
        (("vpc", "create", "x", "--tenant", "hotels", "--cidr", "10.8.0.0/30"), "cidr: 10.8.0.0/30"),
        (("vpc", "create", "x", "--tenant", "hotels", "--cidr", "10.8.0.0/16", "--region", "mars"), "region: mars"),
        (("vpc", "connect", "hotels-prod", "nowhere"), "peer: nowhere"),
        (("vpc", "disconnect", "hotels-prod", "shared"), "not connected"),
        (("direct-connect", "create", "dc", "--spoke", "shanghai", "--hub", "shanghai"), "hub: shanghai"),
        (("direct-connect", "fail", "dc"), "unknown line"),
    ],
)
async def test_what_cannot_be_is_refused_and_leaves_nothing(place: Site, arguments: tuple[str, ...], said: str) -> None:
    before = await place.json("vpcs")
    assert said in await place.refused(*arguments)
    assert await place.json("vpcs") == before
