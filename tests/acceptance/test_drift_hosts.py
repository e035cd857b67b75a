"""Hosts that fail, are drained and come back: what was on them drifts, and nothing arrives there any more."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.events import HostFailRequested, InstanceDriftRequested, PortClaimed
from tests.acceptance.drifting import Here, two_racks

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

A, NEXT, B = "az1-h1", "az1-h2", "az1-h4"
PODS = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(3) as one:
        yield one


async def pods_on(here: Here, prefix: str, host: str) -> list[str]:
    """The names of some pods on ``host``."""
    names = [f"{prefix}-{number}" for number in range(PODS)]
    await asyncio.gather(*[here.spawned(name, host) for name in names])
    return names


@pytest.mark.parametrize("cut_off", [False, True], ids=["without power", "cut off, and forwarding"])
async def test_an_old_host_that_returns_after_a_drift_is_cleaned_and_gets_no_packet(here: Here, cut_off: bool) -> None:
    place, prefix = here.place, "cut" if cut_off else "dead"
    names, peer = await pods_on(here, prefix, A), await here.spawned(f"{prefix}-peer", NEXT)
    addresses = {name: (await here.port(name)).ip for name in names}
    report = await place.json("host", "fail", A, "--reason", "smoke", *(["--cut-off"] if cut_off else []))
    assert (report["instances"], report["drifted"], report["failed"], report["refused"]) == (PODS, PODS, 0, 0)
    assert {(move["name"], move["from_host"], move["outcome"]) for move in report["moves"]} == {
        (name, A, "drifted") for name in names
    }
    assert report["fabric"] == {"checked": PODS, "at_new_host": PODS, "at_old_host": 0, "first_problem": ""}
    assert await here.state(A) == "down"
    assert (await here.places(f"{names[0]}-0"))["vnics"] > {A}  # it could not be told to remove it
    await here.all_is_well()

    new = {name: (await here.port(name)).host for name in names}
    returning = asyncio.create_task(place.json("host", "return", A))
    while not returning.done():  # at no moment does a packet for any of them go to A
        for name in names:
            assert await here.arrives(peer, addresses[name]) == {new[name]}
        await asyncio.sleep(0.01)
    (returned,) = await returning
    assert (returned["host"], returned["removed"]) == (A, 2 * PODS)
    assert await here.state(A) == "up"
    for name in names:
        assert await here.places(f"{name}-0") == {"vnics": {new[name]}, "flows": {new[name]}}
        ((drift, at),) = await here.drifts(name)
        assert drift.cause == f"host {A} is down: smoke"
        assert (at["2b"] or 0) > (at["8"] or 0) > 0
    await here.spawned(f"{prefix}-new", A)  # and it takes instances again
    await here.all_is_well()
    await here.deleted(*names, f"{prefix}-peer", f"{prefix}-new")


async def test_a_host_is_drained_and_given_back(here: Here) -> None:
    names = await pods_on(here, "drained", A)
    shown = (await here.place.run("host", "drain", A)).stdout
    assert f"{PODS} drifted, 0 failed, 0 refused" in shown
    assert f"fabric: {PODS} of {PODS} are reached at their new host, 0 at the old" in shown
    assert all(name in shown for name in names)
    assert "draining" in (await here.place.run("hosts")).stdout
    said = await here.place.refused("spawn", "pinned", "--network", "net1", "--host", A)
    assert said == f"pinned refused: the host is being drained (host: {A})"
    ((drift, at),) = await here.drifts(names[0])
    assert (drift.cause, drift.outcome, at["2a"] is None) == (f"host {A} is drained", "drifted", False)
    assert "1 up again" in (await here.place.run("host", "return", A)).stdout
    assert await here.state(A) == "up"
    await here.all_is_well()
    await here.deleted(*names)


async def test_a_pod_that_has_drifted_to_a_host_that_fails_moves_on(here: Here) -> None:
    port, start = await here.spawned("unlucky", A), await here.log.last_position()
    await here.faults("PlugVnic:latency=10")  # longer than the command takes to start, however slow this machine is
    drifting = await here.client.publish(InstanceDriftRequested(instance="unlucky", host=B))
    await here.seen(PortClaimed, port, start)
    failing = asyncio.create_task(here.place.json("host", "fail", B))
    await here.seen(HostFailRequested, B, start, "host")
    await here.faults()
    report = await failing
    assert (await here.client.outcome(drifting)).kind == "drift_failed"
    assert (report["instances"], report["drifted"]) == (1, 1)
    row = await here.port("unlucky")
    assert row.usable
    assert row.host != B
    assert [drift.outcome for drift, _ in await here.drifts("unlucky")] == ["failed", "drifted"]
    await here.place.run("host", "return", B)
    await here.all_is_well()
    await here.deleted("unlucky")


async def test_a_host_that_is_empty_fails_and_returns(here: Here) -> None:
    report = await here.place.json("host", "fail", A, NEXT)
    assert (report["hosts"], report["instances"], report["moves"]) == ([A, NEXT], 0, [])
    assert {row["host"] for row in await here.place.json("host", "return", NEXT, A)} == {A, NEXT}


async def test_where_no_host_has_room_the_drift_is_refused_and_the_pod_stays(here: Here) -> None:
    """The only host of its zone is drained: nothing is changed, and the command says so."""
    request = ("spawn", "alone", "--network", "net1", "--az", "az2", "--timeout", "20")
    await here.place.run(*request)
    ended = await (await here.place.start("host", "drain", "az2-h1", "--json")).ended()
    assert ended.code == 1
    assert "1 of 1 instances did not drift: alone: no host of the zone has room" in ended.complaint.replace(
        ended.document["moves"][0]["instance"], "alone"
    )
    assert (ended.document["refused"], ended.document["drifted"]) == (1, 0)
    (row,) = await here.rows("ports", name="alone")
    assert (row.host, row.generation, row.usable) == ("az2-h1", 1, True)
    await here.place.run("host", "return", "az2-h1")
    await here.place.run("delete", "alone")
    assert await here.rows("ports") == []


async def test_hosts_that_fail_together_leave_nobody_on_one_another(here: Here) -> None:
    """Whatever is sent from the first to the second, before that one is known to fail as well, moves on."""
    await asyncio.gather(*[here.spawned(f"far-{number}", host) for number, host in enumerate([B, "az1-h5", "az1-h6"])])
    names = await pods_on(here, "pair", A)
    report = await here.place.json("host", "fail", A, NEXT, "az1-h3")
    assert (report["instances"], report["drifted"]) == (PODS, PODS), report["moves"]
    assert {(await here.port(name)).physical_network for name in names} == {"leaf3-leaf4"}
    await here.place.run("host", "return", "--rack", "leaf1-leaf2")
    await here.all_is_well()
    await here.deleted(*names, "far-0", "far-1", "far-2")
