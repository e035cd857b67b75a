"""What was changed on devices behind the control plane's back is found and mended."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.drifting import Here, two_racks
from tests.acceptance.harness import until
from workers.devices.simulated.tamper import AddEntry, AddFlow, AddVnic, DropEntry, DropFlow, DropVnic

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

A, B = "az1-h1", "az1-h4"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(3) as one:
        await one.spawned("web-1", A)
        await one.spawned("web-2", B)
        yield one


def found(document: dict[str, Any]) -> set[tuple[str, str, bool]]:
    return {(one["device"], one["what"], one["missing"]) for one in document["differences"]}


async def is_mended(here: Here) -> bool:
    """Whether nothing differs any more."""
    document = await here.place.json("reconcile")
    assert (document["errors"], document["skipped"]) == ({}, [])
    return not document["differences"]


async def test_a_flow_and_a_leaf_entry_that_were_removed_are_put_back(here: Here) -> None:
    place = here.place
    port, interface = await here.port("web-1"), "Ethernet1"
    vlan, vni = port.vlan, port.vni
    await here.fabric.tamper([DropFlow(A, "web-1-0"), DropEntry("leaf2", interface, vlan)])
    assert "no flows of port web-1-0" in (await place.run("reach", "web-1", "web-2", code=1)).complaint
    shown = (await place.run("reconcile")).stdout
    assert "2 differences, under repair" in shown
    assert all(
        text in shown for text in (A, "flows of port web-1-0, generation 1", "leaf2", f"VLAN {vlan} to VNI {vni}")
    )
    assert shown.count("missing") == 2
    await until(lambda: is_mended(here), "all is as it was")
    assert (await place.json("reach", "web-1", "web-2"))["reachable"]
    assert (await place.json("reach", "web-2", "web-1"))["reachable"]
    assert (await here.port("web-1")).generation == 1
    await here.all_is_well()


async def test_what_nobody_asked_for_is_taken_away(here: Here) -> None:
    """Also a vNIC with the address of another pod."""
    ip, mac = (await here.port("web-2")).ip, "fa:16:00:00:00:99"
    rogue = AddVnic(A, "rogue-0", mac, ip, 20, "10.1.0.1")
    entry = AddEntry("leaf3", "Ethernet2", 999, 10002, "prod", "10.2.0.1/20")
    await here.fabric.tamper([rogue, AddFlow(A, "rogue-0", mac, (await here.port("web-1")).vlan), entry])
    document = await here.place.json("reconcile")
    assert found(document) == {
        (A, "vnic of port rogue-0, generation 1", False),
        (A, "flows of port rogue-0, generation 1", False),
        ("leaf3", "Ethernet2 VLAN 999 to VNI 10002", False),
    }
    await until(lambda: is_mended(here), "what nobody asked for is gone")
    assert await here.places("rogue-0") == {"vnics": set(), "flows": set()}
    await here.all_is_well()


async def test_one_device_alone_is_compared(here: Here) -> None:
    vlan = (await here.port("web-2")).vlan
    await here.fabric.tamper([DropVnic(B, "web-2-0"), DropEntry("leaf4", "Ethernet1", vlan)])
    of_others = [await here.place.json("reconcile", "--host", A), await here.place.json("reconcile", "--leaf", "leaf1")]
    assert [(one["compared"], one["differences"]) for one in of_others] == [(1, []), (1, [])]
    of_host = await here.place.json("reconcile", "--host", B)
    assert found(of_host) == {(B, "vnic of port web-2-0, generation 1", True)}
    of_leaf = await here.place.json("reconcile", "--leaf", "leaf4")
    assert {one["device"] for one in of_leaf["differences"]} == {"leaf4"}
    await until(lambda: is_mended(here), "all is as it was")
    await here.all_is_well()


async def test_a_host_that_is_down_is_not_compared(here: Here) -> None:
    await here.place.run("host", "fail", "az1-h3")
    document = await here.place.json("reconcile")
    assert (document["skipped"], document["differences"], document["errors"]) == (["az1-h3"], [], {})
    assert "not compared, because they are down: az1-h3" in (await here.place.run("reconcile")).stdout
    said = await here.place.refused("reconcile", "--host", "az1-h3")
    assert said == "1 of 1 devices could not be compared: az1-h3: the host is down"
