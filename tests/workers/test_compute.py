"""Nova-compute asks for the port, makes the vNIC and says where the port is; and the way back."""

import pytest

from bus.events import (
    Event,
    PortBindRequested,
    PortDeleteRequested,
    PortPlugFailed,
    PortPlugged,
    PortUnderlayReported,
    PortUnplugged,
)
from tests.workers.playbook import (
    AZ,
    allocated,
    bound,
    create_port,
    given,
    port_deleted,
    port_refused,
    say,
    scheduled,
    terminating,
)
from workers import compute, ovs_agent
from workers.effects import PlugVnic, RemoveFlows, Result, UnplugVnic

PLUGGED = say(PortPlugged, received_us=3)
UNPLUGGED = say(PortUnplugged)
BIND = say(PortBindRequested)
GIVE_BACK = say(PortDeleteRequested)
PLUG = PlugVnic(
    device="h1",
    port="i1-0",
    az=AZ,
    generation=1,
    mac="fa:16:0a:00:01:02",
    ip="10.0.1.2",
    prefix_length=30,
    gateway="10.0.1.1",
)
UNPLUG = UnplugVnic(device="h1", port="i1-0", az=AZ, generation=1)
SCHEDULED: tuple[Event, ...] = (scheduled(), create_port())
WITH_PORT: tuple[Event, ...] = (*SCHEDULED, allocated())


def test_a_scheduled_instance_asks_for_one_port() -> None:
    given(compute).when(scheduled()).then(create_port()).when_decisions_come_back().when(scheduled()).then_nothing()


def test_a_label_is_passed_on() -> None:
    given(compute).when(scheduled(label="prod")).then(create_port(label="prod"))


def test_a_refused_port_is_not_asked_for_again() -> None:
    given(compute, *SCHEDULED, port_refused()).when(scheduled()).then_nothing()


def test_a_created_port_is_plugged() -> None:
    given(compute, *SCHEDULED).when(allocated()).then(PLUG)


def test_a_plugged_port_is_bound() -> None:
    given(compute, *WITH_PORT).when(PLUGGED).then(BIND).when_decisions_come_back().when(PLUGGED).then_nothing()


def test_a_port_of_an_unknown_instance_is_left_alone() -> None:
    given(compute).when(allocated()).then_nothing()


@pytest.mark.parametrize("stale", [{"host": "h2"}, {"generation": 2}], ids=str)
def test_a_report_of_another_claim_binds_nothing(stale: dict[str, str]) -> None:
    report = say(PortPlugged, received_us=1, **stale)  # type: ignore[arg-type]
    given(compute, *WITH_PORT).when(report).then(PLUG)


@pytest.mark.parametrize(
    "history",
    [(), (PLUGGED,), (PLUGGED, BIND), (PLUGGED, BIND, bound()), (say(PortPlugFailed, reason="no"),)],
    ids=["before the plug", "plugged", "binding", "bound", "plug failed"],
)
def test_an_instance_is_taken_down_from_wherever_it_got_to(history: tuple[Event, ...]) -> None:
    play = given(compute, *WITH_PORT, *history).when(terminating()).then(UNPLUG)
    play.when(UNPLUGGED).then(GIVE_BACK).when_decisions_come_back().when(UNPLUGGED).then_nothing()


def test_taken_down_before_its_port_came() -> None:
    play = given(compute, *SCHEDULED).when(terminating()).then_nothing()
    play.when(allocated()).then(UNPLUG)


def test_taken_down_before_it_asked_for_its_port_still_asks_once() -> None:
    """The request may be on disk already, by a process that died: asking and giving back is the only safe way."""
    given(compute).when_decided_again(scheduled(), terminating()).then(create_port())


def test_a_plug_that_ends_after_the_take_down_is_unplugged_again() -> None:
    given(compute, *WITH_PORT, terminating()).when(PLUGGED).then(UNPLUG)


def test_a_late_plug_report_does_not_bring_an_unplugged_port_back() -> None:
    given(compute, *WITH_PORT, terminating(), UNPLUGGED, GIVE_BACK).when(PLUGGED).then_nothing()


def test_a_deleted_port_is_left_alone() -> None:
    given(compute, *WITH_PORT, terminating(), UNPLUGGED, GIVE_BACK, port_deleted()).when(UNPLUGGED).then_nothing()


def test_only_the_hosts_served_are_acted_for() -> None:
    given(compute, hosts=frozenset({"h2"})).when(scheduled(host="h1")).then_nothing()
    given(compute, hosts=frozenset({"h1"})).when(scheduled(host="h1")).then(create_port())


def test_what_became_of_a_plug() -> None:
    assert compute.settle(PLUG, Result("", 3)) == (PLUGGED,)
    assert compute.settle(PLUG, Result("no OVS", 3)) == (say(PortPlugFailed, reason="no OVS"),)


def test_what_became_of_an_unplug() -> None:
    assert compute.settle(UNPLUG, Result()) == (UNPLUGGED,)


def test_an_effect_of_another_worker_is_not_settled() -> None:
    with pytest.raises(TypeError, match="compute did not ask for RemoveFlows"):
        compute.settle(RemoveFlows(device="h1", port="i1-0", az=AZ, generation=1), Result())
    with pytest.raises(TypeError, match="agent did not ask for UnplugVnic"):
        ovs_agent.settle(UNPLUG, Result())


def test_an_underlay_report_is_none_of_its_business() -> None:
    given(compute, *WITH_PORT).when(say(PortUnderlayReported, status="ACTIVE", detected_us=1)).then_nothing()
