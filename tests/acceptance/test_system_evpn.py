"""The SDN fabric of 2016 (Figures 7 to 10): EVPN routes, MAC mobility, duplicate MACs, anycast gateways.

RFC 7432 sections 7.7, 10.1 and 15; RFC 9136. By the command line and the bus; the fabric judges.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bus.events import LeafMacDuplicateDetected
from bus.subjects import history_filter
from tests.acceptance.drifting import WORLD, Here, two_racks
from tests.acceptance.harness import site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

#: A and NEXT hang below leaf1 and leaf2, B below leaf3 and leaf4.
A, NEXT, B = "az1-h1", "az1-h2", "az1-h3"
ONE, OTHER = ("leaf1", "leaf2"), ("leaf3", "leaf4")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(2) as one:
        yield one


async def routes(here: Here, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await here.place.json("routes", *arguments)
    return found


async def numbers(here: Here, port: str) -> dict[str, int]:
    """By leaf: the sequence number of the route to the port's MAC."""
    return {route["leaf"]: route["sequence"] for route in await routes(here, "--type", "2") if route["port"] == port}


async def test_the_vlan_is_local_and_the_vni_is_global(here: Here) -> None:
    await here.spawned("db", B, "net2")
    await here.spawned("web", A, "net1")
    await here.spawned("far", B, "net1")
    vlans = {row.leaf: row.vlan for row in await here.rows("leaf_interfaces") if row.vni == 10001}
    assert vlans["leaf1"] == vlans["leaf2"]
    assert vlans["leaf3"] == vlans["leaf4"] != vlans["leaf1"]

    path = await here.place.json("reach", "web", "far")
    assert path["reachable"]
    assert {f"{A} trunk vlan {vlans['leaf1']}", f"{B} trunk vlan {vlans['leaf3']}"} <= set(path["ways"][0])
    flooded = await routes(here, "--type", "3", "--vni", "10001")
    assert {(route["leaf"], route["rd"]) for route in flooded} == {
        (leaf, f"10.255.0.{leaf[-1]}:{vlan}") for leaf, vlan in vlans.items()
    }
    await here.deleted("db", "web", "far")


async def test_each_leaf_of_the_pair_originates_the_routes_and_a_deletion_withdraws_them(here: Here) -> None:
    await here.spawned("shop", A)
    port = await here.port("shop")

    found = await routes(here)
    of_port = [route for route in found if route["port"] == port.port]
    assert [(r["leaf"], r["mac"], r["ip"], r["next_hop"], r["sequence"], r["flags"]) for r in of_port] == [
        (leaf, port.mac, port.ip, f"10.255.0.{leaf[-1]}", 0, []) for leaf in ONE
    ]
    gateways = {(r["leaf"], r["mac"], r["ip"]) for r in found if "gateway" in r["flags"]}
    assert gateways == {(leaf, "02:00:5e:00:00:01", "10.1.0.1") for leaf in ONE}
    assert {(r["leaf"], r["vrf"], r["ip"]) for r in found if r["type"] == 5} == {
        (leaf, "prod", "10.1.0.0/20") for leaf in ONE
    }
    assert {r["leaf"] for r in await routes(here, "leaf2")} == {"leaf2"}
    table = (await here.place.run("routes", "leaf2", "--type", "2")).stdout
    assert port.mac in table
    assert "leaf1" not in table

    await here.deleted("shop")
    assert await routes(here) == []


async def test_the_sequence_number_rises_with_a_drift_between_pairs_alone(here: Here) -> None:
    await here.spawned("pod", A)
    await here.spawned("peer", B, "net2")
    for host, wanted in ((NEXT, dict.fromkeys(ONE, 0)), (B, dict.fromkeys(OTHER, 1)), (A, dict.fromkeys(ONE, 2))):
        assert (await here.drifted("pod", host)).kind == "drifted"
        assert await numbers(here, "pod-0") == wanted, "and the old pair has withdrawn its routes"
        assert await here.arrives("peer-0", (await here.port("pod")).ip) == {host}
    await here.all_is_well()
    await here.deleted("pod", "peer")


async def test_a_mac_that_moves_too_often_is_frozen_told_of_and_cleared(here: Here) -> None:
    await here.spawned("flap", A)
    await here.spawned("friend", A, "net2")
    mac = (await here.port("flap")).mac
    for host in (B, A, B, A):
        assert (await here.drifted("flap", host)).kind == "drifted"
    assert (await here.place.json("reach", "friend", "flap"))["reachable"]
    assert await here.place.refused("clear-mac", "10001", mac) == f"mac: {mac} is not frozen in VNI 10001"

    before = await here.log.last_position()
    assert (await here.drifted("flap", B)).kind == "drifted"

    detected = await duplicate(here, before)
    assert [(one.vni, one.mac, one.port, one.sequence) for one in detected.duplicates] == [(10001, mac, "flap-0", 5)]
    said = (await here.place.run("reach", "friend", "flap", code=1)).stderr
    assert f"MAC {mac} in VNI 10001 is frozen as a duplicate: it moved 5 times within 180 s" in said
    flags = [route["flags"] for route in await routes(here, "--type", "2") if route["port"] == "flap-0"]
    assert flags == [["duplicate"], ["duplicate"]]
    assert detected in [record.event for record in await history(here, detected.leaf)]

    assert "is cleared" in (await here.place.run("clear-mac", "10001", mac)).stdout
    assert (await here.place.json("reach", "friend", "flap"))["reachable"]
    assert await numbers(here, "flap-0") == dict.fromkeys(OTHER, 5)
    await here.deleted("flap", "friend")


async def duplicate(here: Here, after: int) -> LeafMacDuplicateDetected:
    async for batch in here.log.follow(after, "dl.leaf.>"):
        for r in batch.records:
            if isinstance(r.event, LeafMacDuplicateDetected):
                return r.event
    raise AssertionError("the log never ends")


async def history(here: Here, leaf: str) -> list[Any]:
    last = await here.log.last_position()
    return [r async for batch in here.log.read(0, last, history_filter("leaf", leaf)) for r in batch.records]


async def test_what_makes_no_sense_is_said(here: Here) -> None:
    assert await here.place.refused("routes", "leaf9") == "leaf: leaf9 is no leaf of the fabric"
    assert "'4' is not one of '2', '3', '5'" in await here.place.refused("routes", "--type", "4")
    assert "'--vni'" in await here.place.refused("routes", "--vni", "0")
    assert await here.place.refused("clear-mac", "10001", "nonsense") == "mac: nonsense is not frozen in VNI 10001"
    assert "16777216" in await here.place.refused("clear-mac", "16777216", "fa:16:0a:00:00:02")
    said = await here.place.refused("up", "--duplicate-mac", "5")
    assert said == "--duplicate-mac: '5' is not MOVES/SECONDS, two whole numbers"


async def test_the_memory_of_moves_outlives_the_fabric() -> None:
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD.format(hosts=2, second=3))
        options = ("--data", "data", "--duplicate-mac", "2/3600", "--world", "world.toml")
        up = await start_up(place, *options)
        await place.run("spawn", "pod", "--network", "net1", "--host", A)
        await place.run("drift", "pod", "--host", B)
        assert (await up.end()).code == 0

        up = await start_up(place, *options)
        found = await place.json("routes", "--type", "2")
        assert {route["sequence"] for route in found if route["port"]} == {1}
        await place.run("drift", "pod", "--host", A)
        found = await place.json("routes", "--type", "2")
        assert {(route["sequence"], *route["flags"]) for route in found if route["port"]} == {(2, "duplicate")}
        assert (await up.end()).code == 0


async def test_the_example_plays() -> None:
    async with site() as place:
        document = await place.json("scenario", EXAMPLES / "evpn.toml")
    assert document["passed"], document["failed"]
