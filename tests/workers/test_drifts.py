"""Nova and IPAM on drifts (Figure 11): how each is granted, and how each ends."""

import pytest

from bus.events import (
    Event,
    HostAdded,
    HostDraining,
    HostFenced,
    HostResynced,
    HostReturned,
    InstanceDrifted,
    InstanceDriftRefused,
    InstanceOverdue,
    InstanceRecovered,
    PortClaimCleared,
    PortClaimRefused,
    PortOrphanSeen,
    PortOverlayRemoved,
    PortOverlayReported,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
)
from tests.workers.playbook import (
    AZ,
    By,
    active,
    allocated,
    bound,
    claim_port,
    claimed,
    create_port,
    delete,
    deleted,
    drift,
    drift_failed,
    drift_scheduled,
    failed,
    given,
    host_down,
    living,
    port_deleted,
    say,
    scheduled,
    spawn,
    terminating,
    unbound,
    usable,
)
from workers import ipam, nova
from workers.worker import Now

DRIFTED = InstanceDrifted(instance="i1", az=AZ, host="h2", from_host="h1", port="i1-0", generation=2)
DRIFTING = (*living(), By("d", drift()), By("d", drift_scheduled()))
ARRIVED = (*DRIFTING, claim_port(), claimed(), unbound("i1"))
RECOVERED = InstanceRecovered(instance="i1", az=AZ, host="h1", port="i1-0")


def refused(reason: str, field: str, value: str, instance: str = "i1") -> InstanceDriftRefused:
    return InstanceDriftRefused(instance=instance, reason=reason, field=field, value=value)


def test_a_drift_goes_where_it_is_asked_to() -> None:
    given(nova, *living()).when(By("d", drift())).then(drift_scheduled()).of_story("d")


def test_a_drift_without_a_target_goes_elsewhere() -> None:
    given(nova, *living()).when(drift(host=None)).then(drift_scheduled())


@pytest.mark.parametrize(
    ("history", "request_", "why"),
    [
        ((), drift(), ("unknown instance", "instance", "i1")),
        ((spawn(), scheduled()), drift(), ("the instance is still being spawned", "instance", "i1")),
        ((*living(), delete(), terminating()), drift(), ("the instance is being deleted", "instance", "i1")),
        ((spawn(), scheduled(), failed()), drift(), ("the instance is failed", "instance", "i1")),
        (living(), drift(host="h9"), ("unknown host", "host", "h9")),
        (living(), drift(host="h3"), ("the host is in az2, not in az1", "host", "h3")),
        (living(), drift(host="h1"), ("the instance is on this host already", "host", "h1")),
        (DRIFTING, drift(), ("the instance is drifting to this host already", "host", "h2")),
        ((*living(), *living("i2", "h2")), drift(), ("the host is full (1 instances)", "host", "h2")),
        ((*living(), *living("i2", "h2")), drift(host=None), ("no host of the zone has room", "az", AZ)),
        ((*living(), host_down("h2")), drift(), ("the host is down", "host", "h2")),
        ((*living(), HostDraining(host="h2", az=AZ)), drift(), ("the host is being drained", "host", "h2")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else "",
)
def test_a_drift_that_cannot_be_is_refused(
    history: tuple[Event | By, ...], request_: Event, why: tuple[str, str, str]
) -> None:
    given(nova, *history).when(By("d2", request_)).then(refused(*why)).of_story("d2")


@pytest.mark.parametrize("answer", [drift_scheduled(), refused("no", "host", "h2")], ids=["granted", "refused"])
def test_a_request_that_was_answered_is_not_answered_again(answer: Event) -> None:
    given(nova, *living(), By("d", drift()), By("d", answer)).when(By("d", drift())).then_nothing()


def test_done_when_both_planes_of_the_new_claim_are_active() -> None:
    *before, last = usable(host="h2", generation=2)
    given(nova, *ARRIVED, *before).when(last).then(DRIFTED).of_story("d")


def test_a_late_report_of_the_old_host_ends_nothing() -> None:
    given(nova, *DRIFTING).when(say(PortOverlayReported, status="ACTIVE")).then_nothing()


def test_a_drift_back_is_not_done_by_the_claim_it_left_with() -> None:
    """A → B → A before B has claimed: A is usable still, and must claim anew."""
    back = drift_scheduled(host="h1")
    history = (*DRIFTING, By("d", drift_failed()), By("d2", back))
    given(nova, *history).when(say(PortUnderlayReported, status="ACTIVE", detected_us=9)).then_nothing()


def test_a_second_drift_overtakes_the_first() -> None:
    play = given(nova, *DRIFTING).when(By("d2", drift(host="h1")))
    overtaken = drift_failed(reason="overtaken by a drift to h1")
    assert play.output is not None
    events = [envelope.event for envelope in play.output.envelopes]
    assert events == [overtaken, drift_scheduled(host="h1")]
    play.of_story("d", "d2")


def test_an_instance_in_error_whose_port_works_after_all_recovers() -> None:
    lost = (*ARRIVED, By("d", drift_failed(host="h2")))
    *before, last = usable(host="h2", generation=2)
    recovered = InstanceRecovered(instance="i1", az=AZ, host="h2", port="i1-0")
    given(nova, *lost, *before).when(last).then(recovered)


def test_a_plane_in_error_ends_the_drift_where_the_claim_is() -> None:
    error = say(PortUnderlayReported, host="h2", generation=2, status="ERROR", detected_us=1, reason="no bridge")
    given(nova, *ARRIVED).when(error).then(drift_failed(host="h2", reason="no bridge")).of_story("d")


def test_a_claim_that_is_refused_leaves_the_instance_where_it_was() -> None:
    no = PortClaimRefused(port="i1-0", az=AZ, host="h2", instance="i1", reason="no VLAN", field="host", value="h2")
    given(nova, *DRIFTING).when(no).then(drift_failed(reason="no VLAN (host: h2)"), RECOVERED)


def test_a_delete_ends_the_drift_and_takes_down_whoever_holds_the_port() -> None:
    play = given(nova, *DRIFTING).when(By("x", delete()))
    play.then(drift_failed(reason="deleted while it drifted"), terminating()).of_story("d", "x")
    play.when(claimed()).then(terminating(host="h2"))
    play.when(port_deleted(host="h2")).then(deleted(host="h2"))


def test_a_drift_takes_too_long() -> None:
    play = given(nova, *DRIFTING)
    [due] = nova.due(play.machine.state, Now(10**15))  # type: ignore[arg-type]
    overdue = InstanceOverdue(instance="i1", az=AZ, host="h2", request="d", due_us=300_000_005)
    assert due.event == overdue
    play.when(overdue).then(drift_failed(reason="not done in time: host h2 has no port"), RECOVERED)
    play.when(overdue).then_nothing()


def test_a_spawn_takes_too_long() -> None:
    play = given(nova, By("q", spawn()), By("q", scheduled()))
    [due] = nova.due(play.machine.state, Now(10**15))  # type: ignore[arg-type]
    play.when(due.event).then(failed(reason="not done in time: host h1 has no port"), terminating()).of_story("q", "q")


def test_what_is_done_is_never_overdue() -> None:
    play = given(nova, *living())
    assert list(nova.due(play.machine.state, Now(10**15))) == []  # type: ignore[arg-type]


def test_a_host_that_dies_fails_what_was_on_its_way_to_it() -> None:
    reason = "host h2 is down: no power"
    given(nova, *DRIFTING).when(host_down("h2")).then(drift_failed(reason=reason), RECOVERED)


def test_a_spawn_on_a_host_that_dies_is_over_at_once_if_it_had_no_port_yet() -> None:
    reason = "host h1 is down: no power"
    play = given(nova, By("q", spawn()), By("q", scheduled()))
    play.when(host_down()).then(failed(reason=reason), terminating(), deleted())
    play = given(nova, By("q", spawn()), By("q", scheduled()), create_port())
    play.when(host_down()).then(failed(reason=reason), terminating())


def test_a_host_that_fails_on_request_is_evacuated() -> None:
    play = given(nova, *living()).when(By("f", host_down(evacuate=True))).then(drift_scheduled()).of_story("f")
    play.when(By("f", host_down(evacuate=True))).then_nothing()


def test_hosts_that_fail_one_after_the_other_strand_nobody() -> None:
    """h1 fails, i1 goes to h2, which fails before i1 has arrived: back on h1 it would stay for ever."""
    fourth = HostAdded(host="h4", az=AZ, leaf_a="l1", leaf_b="l2", interface="e4", capacity=5)
    leaving = (fourth, *living(), By("f1", host_down(evacuate=True)), By("f1", drift_scheduled()))
    play = given(nova, *leaving).when(By("f2", host_down("h2", evacuate=True)))
    play.then(drift_failed(reason="host h2 is down: no power"), drift_scheduled(host="h4")).of_story("f1", "f2")


def test_a_copy_of_an_old_decision_starts_no_drift() -> None:
    done = (*ARRIVED, *usable(host="h2", generation=2), By("d", DRIFTED))
    play = given(nova, *done, By("d", drift_scheduled()))
    assert play.machine.state.instances.get("i1").state == "active"  # type: ignore[attr-defined]


def test_a_host_that_is_drained_is_evacuated() -> None:
    given(nova, *living()).when(By("f", HostDraining(host="h1", az=AZ))).then(drift_scheduled()).of_story("f")


# IPAM


def test_a_claim_moves_the_port_and_ends_the_old_claim() -> None:
    given(ipam, *DRIFTING).when(claim_port()).then(claimed(), unbound("i1"))


def test_a_claim_from_another_leaf_pair_gets_a_vlan_there() -> None:
    other = claimed(host="h3", vlan=1)
    play = given(ipam, *living(), By("d", drift_scheduled(host="h3"))).when(claim_port(host="h3"))
    play.then(other, unbound("i1"))
    assert set(play.machine.state.addresses.tables["segments"]) == {("l1-l2", 5001), ("l3-l4", 5001)}  # type: ignore[attr-defined]
    play.when(say(PortUnderlayRemoved)).then_nothing()
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    play.when(say(PortOverlayRemoved)).then(cleared)
    assert set(play.machine.state.addresses.tables["segments"]) == {("l3-l4", 5001)}  # type: ignore[attr-defined]


def refused_claim(reason: str, field: str = "host", value: str = "h2") -> PortClaimRefused:
    return PortClaimRefused(port="i1-0", az=AZ, host="h2", instance="i1", reason=reason, field=field, value=value)


def test_a_claim_that_nobody_scheduled_is_refused() -> None:
    no = refused_claim("the instance is not drifting to this host")
    given(ipam, *living()).when(claim_port()).then(no)
    given(ipam, *DRIFTING, By("d", drift_failed())).when(claim_port()).then(no)
    given(ipam, *DRIFTING, By("d", drift_failed()), By("e", drift_scheduled(host="h1"))).when(claim_port()).then(no)


def test_a_claim_of_a_name_that_no_port_has_is_refused() -> None:
    given(ipam).when(claim_port()).then(refused_claim("no port has this name", "name", "i1-name"))


def test_a_dead_host_claims_nothing() -> None:
    given(ipam, *DRIFTING, host_down("h2")).when(claim_port()).then(refused_claim("the host is down"))


def test_a_claim_request_is_answered_once() -> None:
    request = By("d", claim_port(), "the-request")
    play = given(ipam, *DRIFTING).when(request).then(claimed(), unbound("i1"))
    play.when(By("d", claim_port(), "the-request")).then_nothing()


def test_the_old_host_is_told_even_if_ipam_died_after_the_claim() -> None:
    request, answer = By("d", claim_port(), "the-request"), By("d", claimed(), "ipam:1", "the-request")
    given(ipam, *DRIFTING).when_decided_again(request, answer).then(unbound("i1"))
    given(ipam, *DRIFTING).when_decided_again(request, answer, unbound("i1")).then_nothing()


@pytest.mark.parametrize("last", [host_down(), say(PortUnderlayReported, status="ERROR", detected_us=1, reason="no")])
def test_what_failed_is_taken_down_even_if_nova_died_in_between(last: Event) -> None:
    history = (By("q", spawn()), By("q", scheduled()), create_port(), allocated())
    given(nova, *history).when_decided_again(last, By("q", failed())).then(terminating())


def test_a_port_is_deleted_when_no_claim_of_it_is_left() -> None:
    gone = (
        unbound(host="h2", generation=2),
        say(PortUnderlayRemoved, host="h2", generation=2),
        say(PortOverlayRemoved, host="h2", generation=2),
        say(PortUnderlayRemoved),
    )
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    play = given(ipam, *ARRIVED, terminating(host="h2"), *gone[:-1]).when(gone[-1]).then_nothing()
    play.when(say(PortOverlayRemoved)).then(cleared, port_deleted(host="h2"))


FENCED = HostFenced(host="h1", az=AZ, epoch=0)


def test_a_fenced_host_need_not_confirm() -> None:
    play = given(ipam, *ARRIVED, say(PortOverlayRemoved)).when(host_down()).then_nothing()
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    epoch = play.machine.position
    play.when(HostFenced(host="h1", az=AZ, epoch=epoch - 1)).then_nothing()
    play.when(HostFenced(host="h1", az=AZ, epoch=epoch)).then(cleared)


def test_after_its_return_a_host_must_confirm_again() -> None:
    play = given(ipam, *ARRIVED, host_down())
    down = play.machine.position
    play.given(HostFenced(host="h1", az=AZ, epoch=down), HostReturned(host="h1", az=AZ))
    returned = play.machine.position
    play.when(say(PortOverlayRemoved)).then_nothing()
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    play.when(HostResynced(host="h1", az=AZ, epoch=returned)).then(cleared)


def test_what_a_dead_host_would_unbind_is_unbound_for_it() -> None:
    given(ipam, *living(), host_down()).when(terminating()).then(unbound("i1"))
    given(ipam, *living(), terminating()).when(host_down()).then(unbound("i1"))


def test_a_port_for_an_instance_that_is_going_is_refused() -> None:
    play = given(ipam, spawn(), scheduled(), terminating()).when(create_port())
    assert play.output is not None
    [envelope] = play.output.envelopes
    assert "being deleted" in envelope.event.reason  # type: ignore[union-attr]


def test_orphans_go_after_two_looks_and_a_grace_period() -> None:
    play = given(ipam, create_port(), allocated(), say(PortUnderlayRemoved))
    state = play.machine.state
    hour = 3_600_000_000
    [first] = ipam.due(state, Now(hour))  # type: ignore[arg-type]
    play.when(first.event).then_nothing()
    assert list(ipam.due(state, Now(hour + 1))) == []  # type: ignore[arg-type]
    [second] = ipam.due(state, Now(2 * hour))  # type: ignore[arg-type]
    assert isinstance(second.event, PortOrphanSeen)
    assert second.event.look == 2
    early = given(ipam, create_port(), allocated()).when(second.event)
    early.then_nothing()  # nobody has looked before


def test_a_port_of_a_living_instance_is_no_orphan() -> None:
    play = given(ipam, *living())
    assert list(ipam.due(play.machine.state, Now(10**15))) == []  # type: ignore[arg-type]


def test_stale_reports_change_nothing() -> None:
    play = given(ipam, *ARRIVED)
    before = str(play.machine.state.ports.get("i1-0"))  # type: ignore[attr-defined]
    for stale in (*usable(), bound(), say(PortUnbound, vlan=1, vni=5001), active()):
        play.when(stale).then_nothing()
    assert str(play.machine.state.ports.get("i1-0")) == before  # type: ignore[attr-defined]
