"""Bare metal: nova-compute sets its NIC and cleans it; no agent and no liveness; nothing on it drifts."""

import msgspec

from bus.events import (
    BARE_METAL,
    Event,
    HostAdded,
    HostAudited,
    HostAuditRequested,
    HostDown,
    HostFailRequested,
    HostResynced,
    HostReturned,
    HostReturnRequested,
    HostUp,
    InstanceDriftRefused,
    InstanceRefused,
    PortBindRequested,
    PortDeleted,
    PortOverlayRemoved,
    PortPlugged,
    PortUnplugged,
)
from tests.workers.playbook import (
    AZ,
    By,
    active,
    allocated,
    bound,
    create_port,
    drift,
    given,
    say,
    scheduled,
    spawn,
    terminating,
    unbound,
)
from workers import compute, ipam, liveness, nova, ovs_agent
from workers.effects import PlugVnic, ResyncHost
from workers.worker import Now

#: A host of bare metal beside h1 and h2, what is on it, and how it dies.
METAL = HostAdded(host="b1", az=AZ, leaf_a="l1", leaf_b="l2", interface="e9", kind=BARE_METAL)
SPAWNED: tuple[Event, ...] = (METAL, spawn("m1", kind="bm"), scheduled("m1", "b1", kind="bm"))
CLAIMED = msgspec.structs.replace(allocated("m1", "b1"), underlay_by="")
DOWN = HostDown(host="b1", az=AZ, reason="smoke", evacuate=True, held=True)
PLUGGED = say(PortPlugged, "m1", "b1", received_us=1)


def test_an_instance_of_bare_metal_goes_to_bare_metal_and_no_other_does() -> None:
    given(nova, METAL).when(spawn("m1", kind="bm")).then(scheduled("m1", "b1", kind="bm"))
    reason = "the host is a bare-metal, not a server"
    refused = InstanceRefused(instance="i1", az=AZ, reason=reason, field="host", value="b1")
    given(nova, METAL).when(spawn("i1", host="b1")).then(refused)


def test_it_is_one_instance_whatever_its_description_says() -> None:
    assert METAL.capacity > 1
    full = InstanceRefused(instance="m2", az=AZ, reason="no bare-metal host of the zone has room", field="az", value=AZ)
    given(nova, *SPAWNED).when(spawn("m2", kind="bm")).then(full)


def test_ipam_grants_a_claim_without_an_underlay() -> None:
    given(ipam, *SPAWNED).when(create_port("m1", "b1")).then(CLAIMED)


def test_compute_sets_the_nic_and_binds() -> None:
    story = given(compute, *SPAWNED, create_port("m1", "b1"))
    nic = PlugVnic(
        device="b1",
        port="m1-0",
        az=AZ,
        generation=1,
        mac="fa:16:0a:00:01:02",
        ip="10.0.1.2",
        prefix_length=30,
        gateway="10.0.1.1",
    )
    story.when(CLAIMED).then(nic)
    story.when(PLUGGED).then(say(PortBindRequested, "m1", "b1"))


def test_no_agent_acts_for_it() -> None:
    for event in (PLUGGED, HostReturned(host="b1", az=AZ), HostAuditRequested(host="b1", az=AZ)):
        given(ovs_agent, METAL, CLAIMED).when(event).then_nothing()
    state = given(ovs_agent, METAL, CLAIMED, PLUGGED).machine.state
    assert ovs_agent.WORKER.knows(state) == ["h1", "h2", "h3"]
    assert list(ovs_agent.WORKER.wake(state)) == []
    assert list(ovs_agent.WORKER.due(state, Now(1))) == []
    assert [due.event for due in ovs_agent.WORKER.due(state, Now(1 << 50))] == [
        HostAuditRequested(host=host, az="az2" if host == "h3" else AZ) for host in ("h1", "h2", "h3")
    ]


def test_its_silence_says_nothing() -> None:
    state = given(liveness, METAL).machine.state
    assert list(liveness.WORKER.due(state, Now(1, {}))) == []
    suspected = {getattr(due.event, "host", "") for due in liveness.WORKER.due(state, Now(1 << 50, {}))}
    assert suspected == {"h1", "h2", "h3"}


def test_an_operator_fails_and_returns_it() -> None:
    given(liveness, METAL).when(HostFailRequested(host="b1", reason="smoke")).then(DOWN)
    returned = HostReturned(host="b1", az=AZ)
    given(liveness, METAL, DOWN).when(By("later", HostReturnRequested(host="b1"))).then(returned)

    story = given(liveness, METAL, DOWN, returned)
    resynced = HostResynced(host="b1", az=AZ, epoch=story.machine.position)
    story.when(resynced).then(HostUp(host="b1", az=AZ))


def test_compute_cleans_it_when_it_returns() -> None:
    story = given(compute, *SPAWNED, create_port("m1", "b1"), CLAIMED, DOWN)
    epoch = story.machine.position + 1
    clean = ResyncHost(device="b1", az=AZ, epoch=epoch, keep={"m1-0": 1})
    story.when(HostReturned(host="b1", az=AZ)).then(clean)
    given(compute, METAL, HostDown(host="h1", az=AZ, reason="")).when(HostReturned(host="h1", az=AZ)).then_nothing()


def test_it_cannot_be_compared_with_the_log() -> None:
    story = given(compute, METAL)
    epoch, why = story.machine.position + 1, "it is bare metal, and has no agent"
    story.when(HostAuditRequested(host="b1", az=AZ)).then(HostAudited(host="b1", az=AZ, epoch=epoch, error=why))


def test_what_is_on_it_does_not_drift_even_where_there_is_no_other() -> None:
    story = given(nova, *SPAWNED, create_port("m1", "b1"), CLAIMED, active("m1", "b1"))
    reason = "a host of bare metal takes part in no drift"
    refused = InstanceDriftRefused(instance="m1", reason=reason, field="host", value="b1 (bare-metal)")
    story.when(By("later", drift("m1", None))).then(refused)


def test_the_port_is_gone_once_its_nic_and_its_leaves_are_clear() -> None:
    story = given(ipam, *SPAWNED, CLAIMED, bound("m1", "b1"), terminating("m1", "b1"), unbound("m1", "b1"))
    story.when(say(PortOverlayRemoved, "m1", "b1")).then_nothing()
    story.when(say(PortUnplugged, "m1", "b1"))
    assert story.output is not None
    assert [type(envelope.event) for envelope in story.output.envelopes] == [PortDeleted]
