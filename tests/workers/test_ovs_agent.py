"""The OVS agent: flows follow the device."""

import pytest

from bus.events import Event, PortEvent, PortPlugged, PortUnderlayRemoved, PortUnderlayReported, PortUnplugged
from tests.workers.playbook import AZ, allocated, given, port_deleted, say
from workers import ovs_agent
from workers.effects import InstallFlows, RemoveFlows, Result

PLUGGED, UNPLUGGED = say(PortPlugged, received_us=1), say(PortUnplugged)
REPORTED = say(PortUnderlayReported, status="ACTIVE", detected_us=4)
REMOVED = say(PortUnderlayRemoved)
INSTALL = InstallFlows(device="h1", port="i1-0", az=AZ, generation=1, mac="fa:16:0a:00:01:02", vlan=1)
REMOVE = RemoveFlows(device="h1", port="i1-0", az=AZ, generation=1)


def test_a_plugged_device_gets_its_flows() -> None:
    given(ovs_agent, allocated()).when(PLUGGED).then(INSTALL)


def test_an_unplugged_device_loses_its_flows() -> None:
    given(ovs_agent, allocated(), PLUGGED, REPORTED).when(UNPLUGGED).then(REMOVE)


def test_a_device_that_was_never_plugged_is_cleaned_up_all_the_same() -> None:
    given(ovs_agent, allocated()).when(UNPLUGGED).then(REMOVE)


@pytest.mark.parametrize(
    ("history", "redelivered"), [((PLUGGED, REPORTED), PLUGGED), ((UNPLUGGED, REMOVED), UNPLUGGED)], ids=["in", "out"]
)
def test_a_redelivered_report_yields_nothing(history: tuple[Event, ...], redelivered: Event) -> None:
    given(ovs_agent, allocated(), *history).when(redelivered).then_nothing()


def test_flows_that_failed_are_not_tried_again_by_a_redelivery() -> None:
    error = say(PortUnderlayReported, status="ERROR", detected_us=1, reason="no")
    given(ovs_agent, allocated(), PLUGGED, error).when(PLUGGED).then_nothing()


def test_a_late_plug_report_of_an_unplugged_device_installs_nothing() -> None:
    given(ovs_agent, allocated(), UNPLUGGED).when(PLUGGED).then(REMOVE)
    given(ovs_agent, allocated(), UNPLUGGED, REMOVED).when(PLUGGED).then_nothing()


@pytest.mark.parametrize("stale", [{"host": "h2"}, {"generation": 2}], ids=str)
@pytest.mark.parametrize("kind", [PortPlugged, PortUnplugged])
def test_a_report_of_another_claim_changes_nothing(kind: type[PortEvent], stale: dict[str, str]) -> None:
    fields = {"received_us": 1} if kind is PortPlugged else {}
    report = say(kind, **stale, **fields)  # type: ignore[arg-type]
    given(ovs_agent, allocated()).when(report).then_nothing()


def test_a_deleted_port_is_left_alone() -> None:
    given(ovs_agent, allocated(), UNPLUGGED, REMOVED, port_deleted()).when(UNPLUGGED).then_nothing()


def test_only_the_hosts_served_are_acted_for() -> None:
    given(ovs_agent, allocated(), hosts=frozenset({"h2"})).when(PLUGGED).then_nothing()


def test_what_became_of_the_flows() -> None:
    assert ovs_agent.settle(INSTALL, Result("", 4)) == (REPORTED,)
    error = say(PortUnderlayReported, status="ERROR", detected_us=4, reason="no bridge")
    assert ovs_agent.settle(INSTALL, Result("no bridge", 4)) == (error,)
    assert ovs_agent.settle(REMOVE, Result()) == (REMOVED,)
