"""Drifts of single pods (Figure 11), and what may come between: another drift, a delete, a host that is dead."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.events import InstanceDeleteRequested, InstanceDriftRequested, PortClaimed, PortUnplugged
from driftline.figures import DRIFT_STEPS
from tests.acceptance.drifting import Here, two_racks
from tests.acceptance.harness import until

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

#: What stays when a port drifts (invariant 5).
KEPT = ("port", "name", "instance", "ip", "mac", "vrf", "vni", "network", "subnet", "gateway")
#: Long enough for a request to come in between, however slow this machine is.
SLOW_PLUG = "PlugVnic:latency=3"
A, SAME_RACK, B, C = "az1-h1", "az1-h2", "az1-h4", "az1-h5"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(3) as one:
        yield one


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _sound(here: Here) -> AsyncIterator[None]:
    """Each test leaves no instance, and devices that are well."""
    yield
    await here.faults()


async def test_a_pod_drifts_and_keeps_its_address(here: Here) -> None:
    place = here.place
    port, peer = await here.spawned("keep", A), await here.spawned("peer", SAME_RACK)
    before = await here.port("keep")
    said = await place.run("drift", "keep", "--host", B, "--reason", "its node is old")
    assert said.stdout == f"keep (keep) has drifted to {B}\n"
    after = await here.port("keep")
    assert [getattr(after, name) for name in KEPT] == [getattr(before, name) for name in KEPT]
    assert (after.host, after.generation, after.usable) == (B, 2, True)
    assert await here.arrives(peer, after.ip) == {B}
    await until(lambda: cleaned(here, port, A), f"nothing of {port} is left on {A}")
    assert (await place.json("reach", "keep", "peer"))["reachable"]
    await the_timeline_is_that_of_figure_11(here, "keep")
    await here.all_is_well()
    await here.deleted("keep", "peer")


async def the_timeline_is_that_of_figure_11(here: Here, name: str) -> None:
    story, shown = await here.place.json("timeline", name), (await here.place.run("timeline", name)).stdout
    (told,) = story["drifts"]
    drift, at = told["drift"], {step["step"]: step["at_ms"] for step in told["steps"]}
    assert (drift["outcome"], drift["from_host"], drift["host"]) == ("drifted", A, B)
    assert drift["cause"] == "its node is old"
    assert 0.0 == at[1] < at[3] < at["4a"] < at["4b"] < at["5a"] < at["5b"]
    assert at["5a"] < at["6a"] < at["6b"] < at["7b"] < at["7c"] < at[8]
    assert at["4b"] < at["2a"] < at["2b"]
    assert at["4b"] < at["7a"]
    assert f"Figure 11 for {name} ({name}) from A = {A} to B = {B} (its node is old): drifted" in shown
    assert all(f"{step.label} {step.text}" in shown for step in DRIFT_STEPS)


async def cleaned(here: Here, port: str, *hosts: str) -> bool:
    """Whether nothing of ``port`` is left on ``hosts``, and no claim of it is still to be cleaned."""
    places = await here.places(port)
    return not await here.rows("stale_claims") and not any(held & set(hosts) for held in places.values())


async def test_double_drift(here: Here) -> None:
    """A to B, overtaken by B to C: it ends on C, and nothing that B does later counts."""
    port, peer = await here.spawned("twice", A), await here.spawned("peer-2", SAME_RACK)
    start = await here.log.last_position()
    await here.faults(SLOW_PLUG)
    first = await here.client.publish(InstanceDriftRequested(instance="twice", host=B))
    await here.seen(PortClaimed, port, start)
    second = await here.client.publish(InstanceDriftRequested(instance="twice", host=C))
    overtaken, ended = await here.client.outcome(first), await here.client.outcome(second)
    assert (overtaken.kind, overtaken.reason) == ("drift_failed", f"overtaken by a drift to {C}")
    assert (ended.kind, ended.host) == ("drifted", C)
    await here.faults()
    row = await here.port("twice")
    assert (row.host, row.generation) == (C, 3)
    await until(lambda: cleaned(here, port, A, B), f"nothing of {port} is left on {A} and {B}")
    assert await here.arrives(peer, row.ip) == {C}
    drifts = [row for row, _ in await here.drifts("twice")]
    assert [(d.host, d.outcome, d.generation) for d in drifts] == [(B, "failed", 2), (C, "drifted", 3)]
    await here.all_is_well()
    await here.deleted("twice", "peer-2")


async def test_double_drift_of_which_the_second_comes_before_the_first_has_begun(here: Here) -> None:
    port = await here.spawned("at-once", A)
    first, second = await here.client.publish_all(
        [InstanceDriftRequested(instance="at-once", host=B), InstanceDriftRequested(instance="at-once", host=C)]
    )
    assert (await here.client.outcome(first)).kind == "drift_failed"
    assert (await here.client.outcome(second)).kind == "drifted"
    assert (await here.port("at-once")).host == C
    await until(lambda: cleaned(here, port, A, B), f"nothing of {port} is left on {A} and {B}")
    await here.all_is_well()
    await here.deleted("at-once")


async def test_drift_with_a_dead_host_a(here: Here) -> None:
    """A never says that it has removed anything; its leaves are cleared without it."""
    port, peer = await here.spawned("orphan", A, "net2"), await here.spawned("peer-3", C)
    await here.power(power_off=[A])
    outcome = await here.drifted("orphan", B)
    assert (outcome.kind, outcome.host) == ("drifted", B)
    assert await here.arrives(peer, (await here.port("orphan")).ip) == {B}
    ((drift, at),) = await here.drifts("orphan")
    assert (at["2a"], at["2b"], drift.cleared_us) == (None, None, 0)
    states = {host["host"]: host for host in await here.place.json("hosts")}
    assert states[A]["stale_claims"] == 1  # it is not known to be dead: its word is waited for
    await here.power(power_on=[A])
    await until(lambda: cleaned(here, port, A), f"nothing of {port} is left on {A}")
    ((_, at),) = await here.drifts("orphan")
    assert (at["2b"] or 0) > (at["8"] or 0) > 0
    await here.all_is_well()
    await here.deleted("orphan", "peer-3")


async def test_drift_back_to_a(here: Here) -> None:
    """A to B and back, while A has not yet removed what it had: the third claim is not the first."""
    port, peer = await here.spawned("back", A), await here.spawned("peer-4", C)
    await here.faults("UnplugVnic:latency=0.5")
    assert (await here.drifted("back", B)).kind == "drifted"
    outcome = await here.drifted("back", A)
    assert (outcome.kind, outcome.host) == ("drifted", A)
    row = await here.port("back")
    assert (row.host, row.generation, row.usable) == (A, 3, True)
    await here.faults()
    await until(lambda: cleaned(here, port, B), f"nothing of {port} is left on {B}")
    assert await here.places(port) == {"vnics": {A}, "flows": {A}}
    assert await here.arrives(peer, row.ip) == {A}
    drifts = [row for row, _ in await here.drifts("back")]
    assert [(d.from_host, d.host, d.outcome) for d in drifts] == [(A, B, "drifted"), (B, A, "drifted")]
    await here.all_is_well()
    await here.deleted("back", "peer-4")


async def test_drift_during_delete(here: Here) -> None:
    """The delete stands: what is going away does not come back on another host."""
    port, start = await here.spawned("going", A), await here.log.last_position()
    await here.faults("UnplugVnic:latency=0.5")
    deleting, drifting = await here.client.publish_all(
        [InstanceDeleteRequested(instance="going"), InstanceDriftRequested(instance="going", host=B)]
    )
    refused = await here.client.outcome(drifting)
    assert (refused.kind, refused.reason) == ("drift_refused", "the instance is being deleted")
    assert (refused.field, refused.value) == ("instance", "going")
    assert (await here.client.outcome(deleting)).kind == "deleted"
    await here.seen(PortUnplugged, port, start)
    assert await here.places(port) == {"vnics": set(), "flows": set()}
    late = await here.drifted("going", B)
    assert (late.kind, late.reason) == ("drift_refused", "the instance is deleted")
    await here.all_is_well()


@pytest.mark.parametrize("claimed", [True, False], ids=["after the claim", "before the claim"])
async def test_delete_during_drift(here: Here, claimed: bool) -> None:
    """The drift fails, and nothing is left on A, on B or anywhere."""
    name = f"doomed-{int(claimed)}"
    port, start = await here.spawned(name, A), await here.log.last_position()
    await here.faults(SLOW_PLUG)
    drift, delete = InstanceDriftRequested(instance=name, host=B), InstanceDeleteRequested(instance=name)
    if claimed:
        drifting = await here.client.publish(drift)
        await here.seen(PortClaimed, port, start)
        deleting = await here.client.publish(delete)
    else:
        drifting, deleting = await here.client.publish_all([drift, delete])
    failed = await here.client.outcome(drifting)
    assert (failed.kind, failed.reason) == ("drift_failed", "deleted while it drifted")
    assert (await here.client.outcome(deleting)).kind == "deleted"
    # B takes as long to plug another: what was under way there has come by then, if it comes at all.
    await here.spawned(f"after-{name}", B)
    await here.faults()
    await here.deleted(f"after-{name}")
    assert await here.places(port) == {"vnics": set(), "flows": set()}
    assert [await here.rows(table) for table in ("ports", "addresses", "stale_claims")] == [[], [], []]
    await here.all_is_well()
