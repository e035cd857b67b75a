"""The machine: own decisions are applied once, positions stay open until all they led to is on disk."""

from typing import Any

import msgspec
import pytest

from bus.envelope import Envelope, Recorded, recorded
from bus.errors import Conflict
from bus.events import (
    Event,
    LeafVlanAdded,
    NetworkCreated,
    PortAllocated,
    PortBindRequested,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
    PortPlugged,
    PortUnplugged,
)
from projections.ports import Ports
from tests.workers.playbook import (
    L1,
    L2,
    WORLD,
    allocated,
    bound,
    create_port,
    given,
    say,
    scheduled,
    spawn,
    terminating,
    unbound,
)
from workers import cloud, cnc, compute, host_ipam, ipam, nova, ovs_agent
from workers.effects import AnyEffect, PlugVnic, Result
from workers.machine import Machine, Output, Planned
from workers.worker import Commons, Emit, Folds, State, Worker

PLUGGED = say(PortPlugged, received_us=1)


def at(position: int, event: Event, id: str = "") -> Recorded:
    envelope = Envelope(id=id or f"e{position}", event=event, correlation="story")  # type: ignore[arg-type]
    return recorded(envelope, position, stored_us=5)


def step(machine: Machine, position: int, event: Event, id: str = "") -> Output:
    output = machine.step(at(position, event, id), now_us=7)
    assert output is not None
    return output


def machine_of(worker: Worker, *history: Event) -> Machine:
    machine = Machine(worker)
    for position, event in enumerate((*WORLD, *history), 1):
        machine.replay(at(position, event))
    return machine


def plugging() -> tuple[Machine, Output]:
    """A compute machine that has asked for one effect at position 20."""
    machine = machine_of(compute.WORKER, scheduled(), create_port())
    return machine, step(machine, 20, allocated())


def test_a_redelivered_event_does_nothing() -> None:
    machine = machine_of(nova.WORKER)
    assert machine.step(at(20, spawn()), 7) is not None
    assert machine.step(at(20, spawn()), 7) is None
    assert machine.step(at(3, spawn("i2")), 7) is None
    assert machine.position == 20


def test_a_decision_names_its_cause_its_story_and_its_author() -> None:
    [envelope] = step(machine_of(nova.WORKER), 20, spawn()).envelopes
    assert (envelope.id, envelope.cause, envelope.correlation) == ("nova:20:instance.scheduled:i1", "e20", "story")
    assert (envelope.actor, envelope.time_us) == ("nova", 7)


def test_the_same_decision_has_the_same_id_whoever_makes_it() -> None:
    first, second = (step(machine_of(nova.WORKER), 20, spawn()).envelopes for _ in range(2))
    assert first == second


def test_a_decision_is_applied_at_once_and_not_again_when_it_comes_back() -> None:
    machine = machine_of(nova.WORKER)
    [envelope] = step(machine, 20, spawn()).envelopes
    load = machine.state.instances.load  # type: ignore[attr-defined]
    assert load == {"h1": 1}
    assert machine.step(recorded(envelope, 21, 5), 7) is None
    assert load == {"h1": 1}


def test_another_decision_under_the_same_id_is_a_conflict() -> None:
    machine = machine_of(nova.WORKER)
    [envelope] = step(machine, 20, spawn()).envelopes
    with pytest.raises(Conflict, match=r"nova:20:instance\.scheduled:i1 at position 21 is not what was decided"):
        machine.step(at(21, scheduled(host="h2"), envelope.id), 7)


def test_a_decision_that_comes_back_is_not_decided_on() -> None:
    """What a worker decided it has dealt with; ``PortBindRequested`` is IPAM's input, not compute's own."""
    machine, _ = plugging()
    [envelope] = step(machine, 21, PLUGGED).envelopes
    assert machine.step(recorded(envelope, 22, 5), 7) is None


def test_the_checkpoint_stays_below_an_input_until_its_decisions_are_on_disk() -> None:
    machine = machine_of(nova.WORKER)
    step(machine, 20, spawn())
    machine.step(at(21, WORLD[0]), 7)
    assert machine.checkpoint == 19
    machine.done(20)
    assert machine.checkpoint == 21


def test_the_checkpoint_waits_for_the_oldest_open_input() -> None:
    machine = machine_of(nova.WORKER)
    step(machine, 20, spawn("i1"))
    step(machine, 21, spawn("i2"))
    machine.done(21)
    assert machine.checkpoint == 19
    machine.done(20)
    assert machine.checkpoint == 21


def test_an_effect_keeps_its_input_open_until_its_outcome_is_on_disk() -> None:
    machine, output = plugging()
    [planned] = output.effects
    [envelope] = machine.settle(planned, Result("", 3), 8)
    assert envelope.event == say(PortPlugged, received_us=3)
    assert (envelope.cause, envelope.correlation, envelope.time_us) == ("e20", "story", 8)
    assert machine.checkpoint == 19
    machine.done(20)
    assert machine.checkpoint == 20


def test_a_superseded_effect_closes_its_input() -> None:
    machine, output = plugging()
    step(machine, 21, terminating())
    machine.done(output.position)
    assert machine.checkpoint == 20


@pytest.mark.parametrize(("outcomes", "open_until"), [(0, 0), (1, 1), (2, 2)])
def test_an_effect_may_have_no_outcome_or_several(outcomes: int, open_until: int) -> None:
    def settle(effect: AnyEffect, result: Result) -> list[Event]:
        events: list[Event] = [PLUGGED, say(PortUnplugged)]
        return events[:outcomes]

    machine = machine_of(compute.WORKER._replace(settle=settle), scheduled(), create_port())
    [planned] = step(machine, 20, allocated()).effects
    assert len(machine.settle(planned, Result(), 8)) == outcomes
    for _ in range(open_until):
        assert machine.checkpoint == 19
        machine.done(20)
    assert machine.checkpoint == 20


def test_both_effects_of_one_input_keep_it_open() -> None:
    machine = machine_of(cnc.WORKER, allocated())
    first, second = step(machine, 20, bound()).effects
    machine.settle(first, Result(), 8)
    machine.done(20)
    assert machine.checkpoint == 19
    machine.settle(second, Result(), 8)
    machine.done(20)
    assert machine.checkpoint == 20


def test_an_outcome_is_folded_when_it_comes_back_and_then_decided_on() -> None:
    machine, output = plugging()
    [envelope] = machine.settle(output.effects[0], Result("", 3), 8)
    assert machine.state.ports.get("i1-0").plugged is False  # type: ignore[attr-defined]
    again = machine.step(recorded(envelope, 21, 5), 7)
    assert again is not None
    assert [one.event for one in again.envelopes] == [say(PortBindRequested)]


def test_the_answer_to_a_newer_wish_is_not_taken_for_a_copy_of_the_older_ones() -> None:
    """After a crash an old input asks for what is needed now. Its answer once had the id of the first answer."""
    machine = machine_of(cnc.WORKER, allocated("i1"), allocated("i2", ip="10.0.1.3"))
    binding = at(20, bound("i1"))
    machine.replay(binding)
    first = [machine.settle(planned, Result(), 8)[0].id for planned in _decide(machine, binding)]
    for position, event in enumerate((L1.added(20), L2.added(20), unbound("i1"), bound("i2")), 21):
        machine.replay(at(position, event))
    second = [machine.settle(planned, Result(), 8)[0].id for planned in _decide(machine, binding)]
    assert first == [f"cnc:20:leaf.vlan_added:{leaf}:e1:1:20" for leaf in ("l1", "l2")]
    assert second == [f"cnc:20:leaf.vlan_added:{leaf}:e1:1:24" for leaf in ("l1", "l2")]


def test_a_replay_decides_nothing_and_a_later_decision_knows_the_past() -> None:
    machine = machine_of(ipam.WORKER, create_port("i1", network="net2"))
    again = machine.decide(at(machine.position, create_port("i1", network="net2")), 7)
    assert again is not None
    assert [envelope.event for envelope in again.envelopes] == [allocated("i1", network="net2")]


def test_only_what_it_folds_or_decides_on_is_wanted() -> None:
    machine = Machine(compute.WORKER)
    assert machine.wants(PortPlugged)
    assert not machine.wants(LeafVlanAdded)


def test_hosts_limit_only_a_worker_that_acts_for_hosts() -> None:
    assert Machine(nova.WORKER, frozenset({"h9"})).decides_on(at(1, spawn()))
    assert not Machine(compute.WORKER, frozenset({"h9"})).decides_on(at(1, scheduled()))


def test_a_worker_without_effects_settles_none() -> None:
    effect = PlugVnic(
        device="h1", port="p", az="az1", generation=1, mac="m", ip="10.0.1.2", prefix_length=30, gateway="10.0.1.1"
    )
    with pytest.raises(TypeError, match="no effect was asked for"):
        nova.WORKER.settle(effect, Result())


def test_a_state_without_folds_handles_nothing() -> None:
    assert not State(Folds(frozenset(), Commons())).handles(PortPlugged)


def test_what_a_worker_never_decides_is_folded_once_for_all_of_a_process() -> None:
    commons = Commons()
    agent, agents, compute_here, server = (
        Machine(ovs_agent.WORKER, None, commons),
        Machine(ovs_agent.WORKER, frozenset({"h1"}), commons),
        Machine(compute.WORKER, None, commons),
        Machine(nova.WORKER, None, commons),
    )
    assert agent.state.ports is server.state.ports is commons.fold(Ports)  # type: ignore[attr-defined]
    assert compute_here.state.ports is not agent.state.ports  # type: ignore[attr-defined]  # it asks for their binding
    assert agents.state.ports is not agent.state.ports  # type: ignore[attr-defined]  # it hears of its own host alone
    assert not agent.wants(PortBindRequested)


def test_what_is_shared_takes_each_event_once() -> None:
    commons = Commons()
    ports = commons.fold(Ports)
    for position, event in enumerate((*WORLD, allocated()), 1):
        commons.evolve(at(position, event))
    (row,) = ports.tables["ports"].values()
    before = msgspec.structs.replace(row)
    commons.evolve(at(position, unbound()))
    commons.evolve(at(2, unbound()))
    assert ports.tables["ports"] == {(row.port,): before}
    assert commons.position == position


def test_a_worker_may_not_decide_what_it_does_not_say() -> None:
    says_more = cnc.WORKER._replace(decide=lambda state, r: [Emit(unbound())])
    with pytest.raises(TypeError, match="cnc decides what is not among what it says"):
        machine_of(says_more).step(at(30, allocated()), 7)


def test_the_playbook_itself_notices_a_difference() -> None:
    with pytest.raises(AssertionError):
        given(nova).when(spawn()).then_nothing()


def _decide(machine: Machine, r: Recorded) -> list[Planned]:
    output = machine.decide(r, 7)
    assert output is not None
    return output.effects


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traced(r: Recorded) -> Recorded:
    return msgspec.structs.replace(r, traceparent=TRACE)


def test_what_is_decided_is_told_in_the_trace_of_its_cause() -> None:
    output = machine_of(nova.WORKER).step(traced(at(20, spawn())), 7)
    assert output is not None
    assert [envelope.traceparent for envelope in output.envelopes] == [TRACE]
    untraced = machine_of(nova.WORKER).step(at(20, spawn()), 7)
    assert untraced is not None
    assert [msgspec.structs.replace(e, traceparent=TRACE) for e in untraced.envelopes] == output.envelopes


def test_the_outcome_of_an_effect_is_told_in_the_trace_of_what_led_to_it() -> None:
    machine = machine_of(compute.WORKER, scheduled(), create_port())
    output = machine.step(traced(at(20, allocated())), 7)
    assert output is not None
    (planned,) = output.effects
    assert [envelope.traceparent for envelope in machine.settle(planned, Result(), 9)] == [TRACE]


def test_what_is_said_in_another_story_is_not_told_in_this_trace() -> None:
    elsewhere = nova.WORKER._replace(
        decide=lambda state, r: [
            msgspec.structs.replace(one, correlation="another") for one in nova.WORKER.decide(state, r)
        ]
    )
    output = machine_of(elsewhere).step(traced(at(20, spawn())), 7)
    assert output is not None
    assert [envelope.traceparent for envelope in output.envelopes] == [msgspec.UNSET]


CLOUDY = NetworkCreated(network="enis", vpc="vpc1", model="eni")


@pytest.mark.parametrize("shared", [True, False])
def test_one_sleeps_through_the_stories_until_it_wakes(*, shared: bool) -> None:
    commons = Commons() if shared else None
    machine = Machine(cloud.WORKER, None, commons)

    def given(position: int, event: Event) -> None:
        if commons is not None:
            commons.evolve(at(position, event))
        machine.step(at(position, event), 7)

    for position, event in enumerate((*WORLD, spawn(), scheduled(), allocated()), 1):
        given(position, event)
    state: Any = machine.state
    assert (machine.is_asleep, machine.position) == (True, position)
    assert state.ports.tables["ports"] == {}  # its own: it would decide of them
    assert state.every_port.get(allocated().port) is not None  # shared, as are the hosts: nobody sleeps in there
    assert len(state.world.hosts) == 3
    assert not machine.decides_on(at(50, allocated()))
    assert machine.wants(NetworkCreated)
    assert machine.wants(PortAllocated) == (not shared)  # alone, it looks after what is shared by itself
    given(51, CLOUDY)
    assert not machine.is_asleep
    assert machine.wants(PortAllocated)
    given(52, msgspec.structs.replace(allocated(), port="another-0", network="enis", model="eni"))
    assert [row.port for row in state.ports.tables["ports"].values()] == ["another-0"]


def test_a_snapshot_keeps_whether_it_sleeps() -> None:
    asleep, awake, restored = Machine(cloud.WORKER), Machine(cloud.WORKER), Machine(cloud.WORKER)
    awake.replay(at(1, CLOUDY))
    for machine in (asleep, awake):
        restored.restore(machine.keep(), 1)
        assert restored.is_asleep == machine.is_asleep == (machine is asleep)


def test_one_that_serves_a_host_is_woken_by_its_own_alone() -> None:
    machine = Machine(host_ipam.WORKER, frozenset({"h1"}))
    for number, (host, allocator) in enumerate((("h2", host_ipam.NAME), ("h1", "ipam"), ("h1", host_ipam.NAME)), 1):
        assert machine.is_asleep
        machine.replay(at(number, msgspec.structs.replace(scheduled(), host=host, allocator=allocator)))
    assert not machine.is_asleep


def test_what_is_decided_asleep_is_still_decided_after_a_restart() -> None:
    """Else the request would be answered again at each start, under a new id each time."""
    live, asked = Machine(cloud.WORKER, None, Commons()), at(1, PortFloatingIpRequested(port="p1"))
    [refused] = (live.step(asked, 7) or Output([], [], 0)).envelopes
    assert live.wants(PortFloatingIpRefused)  # or it would never know that it came back
    assert not live.wants(PortAllocated)
    said = recorded(refused, 2, stored_us=5)
    live.step(said, 7)
    assert (live.is_ahead, live.is_asleep) == (False, True)
    restarted = Machine(cloud.WORKER, None, Commons())
    for r in (asked, said):
        restarted.replay(r, checkpoint=0)
    assert restarted.is_asleep
    assert restarted.decides_on(asked)
    assert restarted.decide(asked, 9) is None
