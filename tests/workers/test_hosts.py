"""Hosts that die, return, restart their agents or differ from the log: liveness, the agents and CNC on them."""

from typing import Any

import pytest

from bus.events import (
    Event,
    HostAgentStarted,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostFenced,
    HostRefused,
    HostResynced,
    HostReturned,
    HostReturnRequested,
    HostSuspected,
    HostUp,
    LeafAudited,
    LeafAuditRequested,
    LeafDifference,
    LeafVlanAdded,
    LeafVlanRemoved,
    PortClaimCleared,
    PortEvent,
    PortOverlayRemoved,
    PortPlugged,
    PortUnplugged,
)
from tests.workers.playbook import (
    AZ,
    By,
    Playbook,
    active,
    allocated,
    bound,
    claim_port,
    claimed,
    create_port,
    drift_scheduled,
    given,
    host_down,
    living,
    say,
    scheduled,
    spawn,
    terminating,
    unbound,
    usable,
)
from workers import cnc, compute, liveness, ovs_agent
from workers.effects import (
    AuditHost,
    AuditLeaf,
    FlowWish,
    InstallFlows,
    LeafVlan,
    PlugVnic,
    RemoveFlows,
    Result,
    ResyncFlows,
    ResyncHost,
    UnplugVnic,
    WishedEntry,
)
from workers.liveness import DOWN_US, SUSPECT_US
from workers.worker import AUDIT_EVERY_US, Now

FAILED = HostDown(host="h1", az=AZ, reason="failed on request", evacuate=True, held=True)
UP, RETURNED = HostUp(host="h1", az=AZ), HostReturned(host="h1", az=AZ)
MAC = "fa:16:0a:00:01:02"
PLUG = PlugVnic(
    device="h1", port="i1-0", az=AZ, generation=1, mac=MAC, ip="10.0.1.2", prefix_length=30, gateway="10.0.1.1"
)
UNPLUG = UnplugVnic(device="h1", port="i1-0", az=AZ, generation=1)
INSTALL = InstallFlows(device="h1", port="i1-0", az=AZ, generation=1, mac=MAC, vlan=1)


# Liveness


def ask(play: Playbook, heard: dict[str, int] | None, time_us: int) -> list[Event]:
    """What the clock makes true of h1."""
    due = play.machine.worker.due(play.machine.state, Now(time_us, heard))
    return [one.event for one in due if getattr(one.event, "host", "h1") == "h1"]


def test_silence_makes_a_host_suspect_then_down() -> None:
    play = given(liveness)
    assert ask(play, {"h1": 100}, 100) == []  # it is only from now on that silence counts
    [suspected] = ask(play, {"h1": 100}, 100 + SUSPECT_US)
    assert suspected == HostSuspected(host="h1", az=AZ, silent_us=SUSPECT_US)
    play.given(suspected)
    [down] = ask(play, {"h1": 100}, 100 + DOWN_US)
    assert isinstance(down, HostDown)
    assert not down.evacuate


def test_a_suspect_that_is_heard_again_is_up() -> None:
    play = given(liveness, HostSuspected(host="h1", az=AZ, silent_us=SUSPECT_US))
    assert ask(play, {"h1": 100}, 200) == [UP]


def test_a_host_that_is_just_up_again_is_not_judged_by_what_was_heard_before() -> None:
    play = given(liveness)
    assert ask(play, {"h1": 1}, 1) == []
    play.given(host_down(), RETURNED, UP)  # at 5
    assert ask(play, {"h1": 1}, 5 + SUSPECT_US - 1) == []
    assert ask(play, {"h1": 1}, 5 + SUSPECT_US) != []


def test_a_host_that_one_beat_leaves_out_was_heard_all_the_same() -> None:
    play = given(liveness)
    ask(play, {"h1": 100}, 100)
    assert ask(play, {"h1": SUSPECT_US}, SUSPECT_US) == []
    assert ask(play, {}, SUSPECT_US + 200) == []


def test_nobody_is_blamed_for_a_silence_that_may_be_ours() -> None:
    play = given(liveness)
    assert ask(play, {}, 100) == []
    assert ask(play, None, 100 + SUSPECT_US) == []  # the beats could not be read
    assert ask(play, {}, 101 + SUSPECT_US) == []
    assert ask(play, {}, 101 + 2 * SUSPECT_US) != []


def test_a_dead_host_that_is_heard_has_returned_unless_an_operator_holds_it() -> None:
    play = given(liveness, host_down())
    assert ask(play, {"h1": 4}, 10) == []  # from before
    assert ask(play, {"h1": 9}, 10) == [RETURNED]
    assert ask(given(liveness, host_down(evacuate=True)), {"h1": 9}, 10) == []


def test_a_returned_host_is_up_once_it_was_cleaned() -> None:
    play = given(liveness, host_down(), RETURNED)
    epoch = play.machine.position
    play.when(HostResynced(host="h1", az=AZ, epoch=epoch - 1)).then_nothing()
    play.when(HostResynced(host="h1", az=AZ, epoch=epoch)).then(UP)


@pytest.mark.parametrize(
    ("history", "request_", "answer"),
    [
        ((), HostFailRequested(host="h1"), FAILED),
        ((), HostDrainRequested(host="h1"), HostDraining(host="h1", az=AZ)),
        ((HostDraining(host="h1", az=AZ),), HostReturnRequested(host="h1"), UP),
        ((host_down(evacuate=True),), HostReturnRequested(host="h1"), RETURNED),
        ((), HostFailRequested(host="h9"), "unknown host"),
        ((host_down(),), HostFailRequested(host="h1"), "the host is down already; drain it to move what is on it"),
        ((HostDraining(host="h1", az=AZ),), HostDrainRequested(host="h1"), "the host is being drained already"),
        ((), HostReturnRequested(host="h1"), "the host is up and not being drained"),
        ((host_down(), RETURNED), HostReturnRequested(host="h1"), "the host is being cleaned already"),
    ],
    ids=str,
)
def test_operators_are_answered_once(history: tuple[Event, ...], request_: Any, answer: Event | str) -> None:
    if isinstance(answer, str):
        answer = HostRefused(host=request_.host, reason=answer, field="host", value=request_.host)
    play = given(liveness, *history).when(By("q", request_)).then(answer).of_story("q")
    play.when(By("q", request_)).then_nothing()


# Compute


DRIFTED_AWAY = (*living(), drift_scheduled(), claim_port(), claimed())


def test_the_new_host_claims_the_port_by_its_name() -> None:
    given(compute, *living()).when(drift_scheduled()).then(claim_port())
    given(compute, *living(), drift_scheduled(), claim_port()).when(drift_scheduled()).then_nothing()


def test_a_dead_host_does_not_claim() -> None:
    given(compute, *living(), host_down("h2")).when(drift_scheduled()).then_nothing()


def test_the_port_is_plugged_where_it_was_claimed_and_unplugged_where_it_was() -> None:
    plug = PlugVnic(
        device="h2", port="i1-0", az=AZ, generation=2, mac=MAC, ip="10.0.1.2", prefix_length=30, gateway="10.0.1.1"
    )
    given(compute, *living(), drift_scheduled(), claim_port()).when(claimed()).then(plug)
    given(compute, *DRIFTED_AWAY).when(unbound("i1")).then(UNPLUG)
    given(compute, *DRIFTED_AWAY, unbound("i1")).when(say(PortUnplugged)).then(plug)  # still to be plugged on h2


def test_an_agent_that_sees_its_own_host_alone_does_the_same() -> None:
    h1, h2 = frozenset({"h1"}), frozenset({"h2"})
    given(compute, *living(), hosts=h1).when(unbound("i1")).then(UNPLUG)
    play = given(compute, *living(), hosts=h2).when(drift_scheduled()).then(claim_port())
    play.when(claimed())
    assert play.output is not None
    assert len(play.output.effects) == 1


def test_an_agent_that_sees_its_own_host_alone_takes_no_copy_of_a_claim_that_is_over() -> None:
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    over = (*living(), unbound("i1"), say(PortUnplugged), cleared)
    play = given(compute, *over, hosts=frozenset({"h1"}))
    play.when(allocated()).then_nothing()
    play.when(claimed(host="h1", generation=1)).then_nothing()


def test_what_is_on_a_dead_host_is_left_to_its_return() -> None:
    given(compute, *DRIFTED_AWAY, host_down()).when(unbound("i1")).then_nothing()
    given(compute, *living(), host_down()).when(terminating()).then_nothing()


def test_a_host_that_is_up_again_wires_what_is_its_own_and_drops_what_is_over() -> None:
    given(compute, *living(), host_down(), RETURNED).when(UP).then(PLUG)
    given(compute, *DRIFTED_AWAY, host_down(), RETURNED, unbound("i1")).when(UP).then(UNPLUG)


def test_an_instance_that_is_gone_gets_no_port() -> None:
    gone = (spawn(), scheduled(), terminating(), host_down())
    given(compute, *gone).when(scheduled()).then(create_port())  # IPAM refuses it, and so the delete ends


# The OVS agent


def test_a_returned_host_keeps_only_what_is_its_own() -> None:
    other = ("i2", "h1")
    play = given(ovs_agent, *DRIFTED_AWAY, create_port(*other), allocated(*other, ip="10.0.1.3"), host_down())
    play.when(RETURNED).then(ResyncHost(device="h1", az=AZ, epoch=play.machine.position, keep={"i2-0": 1}))


def test_a_return_that_was_cleaned_up_already_is_not_again() -> None:
    play = given(ovs_agent, host_down(), RETURNED)
    epoch = play.machine.position
    play.given(HostResynced(host="h1", az=AZ, epoch=epoch)).when(RETURNED).then_nothing()


def test_an_agent_that_begins_anew_puts_all_flows_under_its_cookie() -> None:
    play = given(ovs_agent, *living())
    assert list(ovs_agent.wake(play.machine.state)) == [HostAgentStarted(host="h1", az=AZ)]  # type: ignore[arg-type]
    play.when(HostAgentStarted(host="h1", az=AZ))
    cookie = play.machine.position
    flows = {"i1-0": FlowWish(generation=1, mac=MAC, vlan=1)}
    play.then(ResyncFlows(device="h1", az=AZ, epoch=cookie, flows=flows))
    again = InstallFlows(device="h1", port="i2-0", az=AZ, generation=1, mac="fa:16:0a:00:01:03", vlan=1, cookie=cookie)
    play.given(allocated("i2", ip="10.0.1.3")).when(say(PortPlugged, "i2", received_us=1)).then(again)


def test_an_agent_without_flows_says_nothing_at_its_start() -> None:
    assert list(ovs_agent.wake(given(ovs_agent).machine.state)) == []  # type: ignore[arg-type]


def audit_of(play: Playbook, *differences: HostDifference) -> HostAudited:
    return HostAudited(host="h1", az=AZ, epoch=play.machine.position, differences=differences)


def vnic(missing: bool, generation: int = 1, port: str = "i1-0") -> HostDifference:
    return HostDifference(part="vnic", port=port, generation=generation, missing=missing)


def flows(missing: bool, generation: int = 1, port: str = "i1-0") -> HostDifference:
    return HostDifference(part="flows", port=port, generation=generation, missing=missing)


def test_an_audit_compares_with_what_the_log_says() -> None:
    wish = {"i1-0": FlowWish(generation=1, mac=MAC, vlan=1)}
    play = given(ovs_agent, *living()).when(HostAuditRequested(host="h1", az=AZ))
    epoch = play.machine.position
    play.then(AuditHost(device="h1", az=AZ, epoch=epoch, vnics={"i1-0": 1}, flows=wish))


def test_a_dead_host_is_not_audited_but_answered_for() -> None:
    play = given(ovs_agent, host_down()).when(HostAuditRequested(host="h1", az=AZ))
    play.then(HostAudited(host="h1", az=AZ, epoch=play.machine.position, error="the host is down"))


def test_what_an_audit_finds_missing_is_put_back() -> None:
    play = given(ovs_agent, *living())
    play.when(audit_of(play, flows(True), vnic(True))).then(INSTALL)
    play = given(compute, *living())
    play.when(audit_of(play, flows(True), vnic(True))).then(PLUG)


def test_what_an_audit_finds_and_nobody_owns_is_taken_away() -> None:
    remove = RemoveFlows(device="h1", port="x", az=AZ, generation=3)
    play = given(ovs_agent, *living())
    play.when(audit_of(play, flows(False, 3, "x"))).then(remove)
    play = given(compute, *living())
    play.when(audit_of(play, vnic(False, 3, "x"))).then(UnplugVnic(device="h1", port="x", az=AZ, generation=3))


@pytest.mark.parametrize("worker", [compute, ovs_agent], ids=lambda worker: worker.__name__)
def test_a_difference_that_is_none_any_more_is_left_alone(worker: Any) -> None:
    play = given(worker, *DRIFTED_AWAY, unbound("i1"))
    play.when(audit_of(play, flows(True), vnic(True))).then_nothing()  # i1 has left h1 meanwhile
    play = given(worker, *living())
    play.when(audit_of(play, flows(False), vnic(False))).then_nothing()  # and is wanted here


def test_hosts_are_audited_now_and_then() -> None:
    play = given(ovs_agent)
    assert ask(play, None, 100) == []
    assert ask(play, None, 100 + AUDIT_EVERY_US) == [HostAuditRequested(host="h1", az=AZ)]
    found = (flows(True), vnic(False))
    effect = AuditHost(device="h1", az=AZ, epoch=9, vnics={}, flows={})
    audited = HostAudited(host="h1", az=AZ, epoch=9, differences=found)
    assert ovs_agent.settle(effect, Result(found=found)) == (audited,)
    resync = ResyncHost(device="h1", az=AZ, epoch=9, keep={})
    assert ovs_agent.settle(resync, Result(found=found)) == (HostResynced(host="h1", az=AZ, epoch=9, removed=2),)


# CNC


def leaf(name: str, epoch: int, *, present: bool) -> LeafVlan:
    return LeafVlan(
        device=name,
        az=AZ,
        interface="e1",
        vlan=1,
        vni=5001,
        vrf="vrf1",
        gateway="10.0.1.1/30",
        epoch=epoch,
        present=present,
    )


def answered(play: Playbook, epoch: int, kind: str) -> Playbook:
    """Both leaves have answered to ``epoch``."""
    answer = LeafVlanAdded if kind == "added" else LeafVlanRemoved
    for name in ("l1", "l2"):
        play.when(answer(leaf=name, az=AZ, interface="e1", vlan=1, vni=5001, epoch=epoch))
    return play


def carried() -> Playbook:
    """CNC with one port on h1, whose interfaces carry it."""
    play = given(cnc, allocated(), bound())
    return answered(play, play.machine.position, "added").given(*usable()[4:])


def test_a_dead_host_is_cut_off_at_its_leaves() -> None:
    play = carried().when(host_down())
    down = play.machine.position
    play.then(leaf("l1", down, present=False), leaf("l2", down, present=False))
    answered(play, down, "removed").then(HostFenced(host="h1", az=AZ, epoch=down))


def test_a_dead_host_with_nothing_on_it_is_cut_off_at_once() -> None:
    play = given(cnc).when(host_down())
    play.then(HostFenced(host="h1", az=AZ, epoch=play.machine.position))


def test_a_host_that_dies_again_before_it_was_up_is_cut_off_again() -> None:
    play = given(cnc).when(host_down())
    play.given(HostFenced(host="h1", az=AZ, epoch=play.machine.position), RETURNED).when(host_down())
    play.then(HostFenced(host="h1", az=AZ, epoch=play.machine.position))


def test_a_late_word_that_a_host_is_up_does_not_revive_it() -> None:
    play = carried().given(host_down()).when(UP)
    assert play.output is not None
    assert not any(planned.effect.present for planned in play.output.effects)  # type: ignore[union-attr]


def test_a_host_that_is_up_again_gets_its_interfaces_back_and_its_ports_are_reported() -> None:
    play = carried().when(host_down())
    down = play.machine.position
    answered(play, down, "removed").given(HostFenced(host="h1", az=AZ, epoch=down), RETURNED).when(UP)
    up = play.machine.position
    play.then(leaf("l1", up, present=True), leaf("l2", up, present=True))
    answered(play, up, "added")
    assert play.output is not None
    assert [envelope.event.status for envelope in play.output.envelopes] == ["ACTIVE"]  # type: ignore[union-attr]


def test_a_claim_that_is_over_leaves_a_dead_host_when_it_is_cut_off() -> None:
    play = carried().given(claimed()).when(host_down())
    down = play.machine.position
    play.when(unbound("i1"))
    epoch = play.machine.position
    answered(play, epoch, "removed")
    assert play.output is not None
    events = [envelope.event for envelope in play.output.envelopes]
    assert events == [say(PortOverlayRemoved), HostFenced(host="h1", az=AZ, epoch=down)]


def test_a_drift_removes_the_old_interface_and_adds_the_new() -> None:
    play = carried().given(claimed()).when(unbound("i1"))
    epoch = play.machine.position
    play.then(leaf("l1", epoch, present=False), leaf("l2", epoch, present=False))
    play.when(bound(host="h2", generation=2))
    assert play.output is not None
    assert [planned.effect.interface for planned in play.output.effects] == ["e2", "e2"]  # type: ignore[union-attr]


def test_a_drift_leaves_what_others_need() -> None:
    play = carried().given(allocated("i2", ip="10.0.1.3"), *usable("i2"), claimed())
    play.when(unbound("i1")).then(say(PortOverlayRemoved))


def test_a_leaf_is_compared_and_mended() -> None:
    play = carried().when(LeafAuditRequested(leaf="l1", az=AZ))
    epoch = play.machine.position
    play.then(AuditLeaf(device="l1", az=AZ, epoch=epoch, entries=(WishedEntry("e1", 1, 5001),)))
    lost = LeafDifference(interface="e1", vlan=1, vni=5001, missing=True)
    stray = LeafDifference(interface="e7", vlan=9, vni=5009, missing=False)
    added = play.machine.state.leaves.entry("l1", "e1", 1).epoch  # type: ignore[attr-defined]
    play.when(LeafAudited(leaf="l1", az=AZ, epoch=epoch, differences=(lost, stray)))
    removal = LeafVlan(
        device="l1", az=AZ, interface="e7", vlan=9, vni=5009, vrf="", gateway="", epoch=epoch + 1, present=False
    )
    play.then(leaf("l1", added, present=True), removal)


def test_leaves_are_audited_now_and_then() -> None:
    play = given(cnc)
    assert ask(play, None, 100) == []
    wanted = [
        LeafAuditRequested(leaf=name, az=az) for name, az in (("l1", AZ), ("l2", AZ), ("l3", "az2"), ("l4", "az2"))
    ]
    assert ask(play, None, 100 + AUDIT_EVERY_US) == wanted
    effect = AuditLeaf(device="l1", az=AZ, epoch=9, entries=())
    found = (LeafDifference(interface="e1", vlan=1, vni=5001, missing=False),)
    assert cnc.settle(effect, Result(found=found)) == (LeafAudited(leaf="l1", az=AZ, epoch=9, differences=found),)


@pytest.mark.parametrize("report", [*usable(), say(PortUnplugged)], ids=lambda report: type(report).__name__)
@pytest.mark.parametrize("worker", [cnc, ovs_agent], ids=lambda worker: worker.__name__)
def test_reports_of_a_claim_that_is_cleared_yield_nothing(worker: Any, report: PortEvent) -> None:
    cleared = PortClaimCleared(port="i1-0", az=AZ, host="h1", generation=1, physical_network="l1-l2", vni=5001)
    over = (*DRIFTED_AWAY, unbound("i1"), say(PortOverlayRemoved), cleared, active())
    given(worker, *over).when(report).then_nothing()
