"""Bare metal: no agent and no OVS; the overlay alone makes it usable. VM, BM and container in one network and IPAM."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from projections.port_rows import PortRow
from tests.acceptance.drifting import WORLD, Here, running
from tests.acceptance.harness import site, until

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

A, B = "az1-h1", "az1-h3"
METAL = """
[[host]]
name = "bm1"
az = "az1"
leaves = ["leaf1", "leaf2"]
interface = "Ethernet41"
kind = "bare-metal"
"""
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with running(WORLD.format(hosts=2, second=3) + METAL) as one:
        yield one


async def spawn(here: Here, name: str, kind: str, *options: str) -> None:
    await here.place.run("spawn", name, "--kind", kind, "--network", "net1", *options)


async def port(here: Here, name: str) -> PortRow:
    (row,) = await here.rows("ports", name=name)
    assert isinstance(row, PortRow)
    return row


async def test_vm_bm_and_container_share_a_network_and_reach_each_other(here: Here) -> None:
    await spawn(here, "metal", "bm")
    await spawn(here, "machine", "vm", "--host", B)
    await spawn(here, "box", "container", "--host", A)
    ports = {row.name: row for row in await here.rows("ports")}
    metal = ports["metal"]

    assert (metal.host, metal.underlay_by, metal.underlay, metal.overlay) == ("bm1", "", "ACTIVE", "ACTIVE")
    assert {row.subnet for row in ports.values()} == {"net1-a"}
    assert len({row.ip for row in ports.values()}) == 3
    for one in ports:
        for other in ports:
            if one != other:
                assert (await here.place.json("reach", one, other))["reachable"]
    held = (await here.fabric.dump())["hosts"]["bm1"]
    assert (list(held["vnics"]), held["flows"], held["trunk"]) == ([metal.port], {}, [])
    path = await here.place.json("reach", "metal", "machine")
    assert path["ways"][0][:2] == [f"{metal.port}@bm1 nic", "leaf1 Ethernet41"]
    found = await here.place.json("routes", "--type", "2")
    assert [route["leaf"] for route in found if route["port"] == metal.port] == ["leaf1", "leaf2"]
    await here.all_is_well()


async def test_it_does_not_drift_and_the_refusal_names_the_kind_of_host(here: Here) -> None:
    said = await here.place.refused("drift", "metal")
    assert said == "metal drift refused: a host of bare metal takes part in no drift (host: bm1 (bare-metal))"
    assert "is a bare-metal" in await here.place.refused("drift", "box", "--host", "bm1")
    assert (await here.place.json("reach", "box", "metal"))["reachable"]


async def test_only_bare_metal_goes_to_bare_metal_and_one_at_a_time(here: Here) -> None:
    said = await here.place.refused("spawn", "extra", "--kind", "bm", "--network", "net1")
    assert said == "extra refused: no bare-metal host of the zone has room (az: az1)"
    said = await here.place.refused("spawn", "extra", "--network", "net1", "--host", "bm1")
    assert said == "extra refused: the host is a bare-metal, not a server (host: bm1)"
    said = await here.place.refused("spawn", "extra", "--kind", "bm", "--network", "net1", "--host", A)
    assert said == f"extra refused: the host is a server, not a bare-metal (host: {A})"
    assert "'bare' is not one of" in await here.place.refused("spawn", "extra", "--kind", "bare", "--network", "net1")
    assert await here.rows("ports", name="extra") == []


async def test_audits_pass_it_over(here: Here) -> None:
    report = await here.place.json("reconcile")
    assert (report["differences"], report["errors"], report["skipped"]) == ([], {}, [])
    assert report["compared"] == 5 + 6, "all servers and all leaves"
    said = await here.place.refused("reconcile", "--host", "bm1")
    assert said == "--host: bm1 is bare metal: it has no agent that could compare it"


async def test_an_operator_fails_it_and_returns_it(here: Here) -> None:
    before = await port(here, "metal")
    ended = await (await here.place.start("host", "fail", "bm1", "--json")).ended()
    assert ended.code == 1
    assert (ended.document["refused"], ended.document["drifted"]) == (1, 0)
    assert "a host of bare metal takes part in no drift" in ended.complaint
    (state,) = await here.rows("host_states", host="bm1")
    assert (state.state, state.held) == ("down", True)
    await here.place.run("reach", "box", "metal", code=1)

    await here.place.run("host", "return", "bm1")
    after: list[PortRow] = []

    async def is_usable() -> bool:
        after[:] = [await port(here, "metal")]
        return after[0].usable

    await until(is_usable, "the instance has recovered")
    assert (after[0].ip, after[0].mac, after[0].generation) == (before.ip, before.mac, before.generation)
    assert (await here.place.json("reach", "box", "metal"))["reachable"]
    await here.all_is_well()


async def test_a_deletion_leaves_nothing(here: Here) -> None:
    for name in ("metal", "machine", "box"):
        await here.place.run("delete", name)
    assert await here.rows("ports") == []
    assert await here.rows("leaf_interfaces") == []
    assert not await here.fabric.leftovers()
    await spawn(here, "next", "bm")
    await here.place.run("delete", "next")
    assert not await here.fabric.leftovers()


async def test_a_world_in_which_bare_metal_holds_more_than_one_is_wrong() -> None:
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD.format(hosts=2, second=3) + METAL + "capacity = 2\n")
        up = await place.start("up", "--world", "world.toml", "--log-level", "error")
        ended = await up.ended()
    assert ended.code == 2
    assert ended.complaint == "host bm1: capacity: 2 is not 1: bare metal is one instance"


async def test_the_example_plays() -> None:
    async with site() as place:
        document = await place.json("scenario", EXAMPLES / "bare-metal.toml")
    assert document["passed"], document["failed"]
