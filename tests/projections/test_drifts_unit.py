"""The timeline of drifts (Figure 11): which event belongs to which drift, and what never happened."""

from typing import Any

import pytest

from bus.events import (
    Event,
    HostAdded,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostResynced,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    LeafVlanRemoved,
    PortBindRequested,
    PortBound,
    PortClaimCleared,
    PortClaimed,
    PortClaimRequested,
    PortDeleted,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.drifts import DriftRow, Drifts
from projections.fold import NOTHING
from tests.projections.events import claim
from tests.projections.given import T0_US, record

#: h1 and h2 hang below one pair of leaves, h3 below another.
CABLES = {"h1": ("l1", "l2", "e1"), "h2": ("l1", "l2", "e2"), "h3": ("l3", "l4", "e1")}
STEPS = ["01", "02a", "02b", "03", "04a", "04b", "05a", "05b", "06a", "06b", "07a", "07b", "07c", "08"]
PORT = "i1-0"


class Log:
    """A fold that is told events, one a second; ``at`` are the positions of the events that were given a name."""

    def __init__(self) -> None:
        self.fold = Drifts()
        self.position = 0
        for host, (leaf_a, leaf_b, interface) in CABLES.items():
            self.tell(HostAdded(host=host, az="az1", leaf_a=leaf_a, leaf_b=leaf_b, interface=interface))

    def tell(self, *events: Event, by: str = "operator") -> "Log":
        """Events that belong to the request ``by``; each comes twice, which must not matter."""
        for event in events:
            self.position += 1
            one = record(event, self.position, correlation=by)
            self.fold.evolve(one)
            before = self.rows()
            self.fold.evolve(one)
            assert self.rows() == before, event
        return self

    def rows(self) -> dict[Any, str]:
        return {key: repr(row) for key, row in self.fold.tables["drifts"].items()}

    def row(self, request: str, instance: str = "i1") -> DriftRow:
        row: DriftRow = self.fold.tables["drifts"][instance, request]
        return row

    def times(self, request: str) -> dict[str, int]:
        """The steps that have happened, by label: the position at which they did."""
        row = self.row(request)
        found = {label: getattr(row, f"step_{label}_us") for label in STEPS}
        return {label: (time_us - T0_US) // 1_000_000 for label, time_us in found.items() if time_us}


def requested(instance: str = "i1", host: str | None = None, reason: str = "") -> InstanceDriftRequested:
    return InstanceDriftRequested(instance=instance, host=host, reason=reason)


def scheduled(to: str, origin: str = "h1", generation: int = 1, instance: str = "i1") -> InstanceDriftScheduled:
    return InstanceDriftScheduled(
        instance=instance,
        name=f"n-{instance}",
        az="az1",
        host=to,
        from_host=origin,
        generation=generation,
        port_name=f"n-{instance}",
    )


def claim_requested(host: str, instance: str = "i1") -> PortClaimRequested:
    return PortClaimRequested(port=f"{instance}-0", az="az1", host=host, name=f"n-{instance}", instance=instance)


def claimed(host: str, generation: int = 2, origin: str = "h1", instance: str = "i1") -> PortClaimed:
    leaf_a, leaf_b, _ = CABLES[host]
    return PortClaimed(
        **claim(f"{instance}-0", host, generation),
        name=f"n-{instance}",
        instance=instance,
        network="net1",
        subnet="s1",
        vpc="vpc1",
        vrf="vrf1",
        ip="10.0.0.2",
        prefix_length=24,
        gateway="10.0.0.1",
        mac="fa:16:0a:00:00:02",
        physical_network=f"{leaf_a}-{leaf_b}",
        vlan=100,
        vni=5001,
        from_host=origin,
    )


def arrival(host: str, generation: int = 2) -> list[Event]:
    """Steps 5 to 7 on B."""
    at = claim(PORT, host, generation)
    return [
        PortPlugged(**at, received_us=1),
        PortUnderlayReported(**at, status="ACTIVE", detected_us=1),
        PortBindRequested(**at),
        PortBound(**at, vlan=100, vni=5001),
        PortOverlayReported(**at, status="ACTIVE", configured_us=T0_US + 1_000_000),
    ]


def removal(host: str, generation: int = 1) -> list[Event]:
    """Step 2 on A, in the order in which it usually comes."""
    at = claim(PORT, host, generation)
    return [PortUnplugged(**at), PortUnderlayRemoved(**at)]


def clearing(host: str, generation: int = 1, *, leaves: bool = True) -> list[Event]:
    """CNC withdraws A's claim, with or without touching leaves, and IPAM says that nothing is left."""
    leaf_a, leaf_b, interface = CABLES[host]
    removed = [
        LeafVlanRemoved(leaf=leaf, az="az1", interface=interface, vlan=100, vni=5001, epoch=1)
        for leaf in (leaf_a, leaf_b)
    ]
    return [*(removed if leaves else []), PortOverlayRemoved(**claim(PORT, host, generation))]


def cleared(host: str, generation: int = 1) -> PortClaimCleared:
    leaf_a, leaf_b, _ = CABLES[host]
    return PortClaimCleared(**claim(PORT, host, generation), physical_network=f"{leaf_a}-{leaf_b}", vni=5001)


def unbound(host: str, generation: int = 1) -> PortUnbound:
    return PortUnbound(**claim(PORT, host, generation), vlan=100, vni=5001)


def drifted(host: str, origin: str = "h1", generation: int = 2) -> InstanceDrifted:
    return InstanceDrifted(instance="i1", az="az1", host=host, from_host=origin, port=PORT, generation=generation)


def failed(host: str = "h1", reason: str = "overtaken") -> InstanceDriftFailed:
    return InstanceDriftFailed(instance="i1", az="az1", host=host, reason=reason)


def moved(log: Log, request: str, to: str, origin: str = "h1", generation: int = 2) -> Log:
    """A whole drift of i1; what happens on A and on its leaves comes last."""
    log.tell(requested(host=to, reason="why"), scheduled(to, origin, generation - 1), by=request)
    log.tell(claim_requested(to), claimed(to, generation, origin), by=request)
    log.tell(unbound(origin, generation - 1), *arrival(to, generation), by="spawn")
    log.tell(drifted(to, origin, generation), by=request)
    return log.tell(
        *removal(origin, generation - 1), *clearing(origin, generation - 1), cleared(origin, generation - 1)
    )


def test_a_drift_has_all_steps_of_figure_11() -> None:
    log = Log()
    start = log.position
    moved(log, "d1", "h3")
    row = log.row("d1")
    assert (row.name, row.port, row.from_host, row.host, row.generation) == ("n-i1", PORT, "h1", "h3", 2)
    assert (row.outcome, row.cause, row.reason) == ("drifted", "why", "")
    assert log.times("d1") == {
        **{"01": start + 1, "03": start + 2, "04a": start + 3, "04b": start + 4},
        **{"05a": start + 6, "05b": start + 7, "06a": start + 8, "06b": start + 9, "07b": 1, "07c": start + 10},
        **{"08": start + 11, "02a": start + 12, "02b": start + 13, "07a": start + 15},
    }
    assert row.ended_us == row.step_08_us < row.cleared_us


def test_leaves_that_others_need_are_not_touched() -> None:
    log = Log()
    log.tell(requested(), scheduled("h2"), claim_requested("h2"), claimed("h2"), by="d1").tell(unbound("h1"))
    log.tell(*clearing("h1", leaves=False), cleared("h1"))
    assert "07a" not in log.times("d1")
    assert log.row("d1").cleared_us
    log.tell(*clearing("h1"))  # another port's
    assert "07a" not in log.times("d1")


def test_the_leaves_of_another_host_or_vlan_are_not_those_of_a() -> None:
    log = Log()
    log.tell(requested(), scheduled("h3"), claim_requested("h3"), claimed("h3"), by="d1").tell(unbound("h1"))
    log.tell(LeafVlanRemoved(leaf="l1", az="az1", interface="e2", vlan=100, vni=5001, epoch=1))
    log.tell(LeafVlanRemoved(leaf="l1", az="az1", interface="e1", vlan=101, vni=5002, epoch=1))
    log.tell(LeafVlanRemoved(leaf="l9", az="az1", interface="e1", vlan=100, vni=5001, epoch=1))
    assert "07a" not in log.times("d1")


def test_the_second_drift_overtakes_the_first_and_each_has_its_own_steps() -> None:
    log = Log()
    log.tell(requested(host="h2"), scheduled("h2"), claim_requested("h2"), claimed("h2"), by="d1").tell(unbound("h1"))
    log.tell(requested(host="h3"), by="d2").tell(failed("h2", "overtaken by a drift to h3"), by="d1")
    log.tell(scheduled("h3", "h2", 2), claim_requested("h3"), claimed("h3", 3, "h2"), by="d2").tell(unbound("h2", 2))
    log.tell(*arrival("h2", 2))  # too late
    log.tell(*arrival("h3", 3)).tell(drifted("h3", "h2", 3), by="d2")
    log.tell(*removal("h1", 1), *clearing("h1", 1), *removal("h2", 2), *clearing("h2", 2))
    first, second = log.row("d1"), log.row("d2")
    assert (first.outcome, first.reason, first.generation) == ("failed", "overtaken by a drift to h3", 2)
    assert (second.outcome, second.from_host, second.host, second.generation) == ("drifted", "h2", "h3", 3)
    assert {"01", "02a", "02b", "03", "04a", "04b", "07a"} == set(log.times("d1"))
    assert set(STEPS) == set(log.times("d2"))


def test_a_drift_that_was_overtaken_before_its_claim() -> None:
    log = Log()
    log.tell(requested(host="h2"), scheduled("h2"), by="d1")
    log.tell(requested(host="h3"), by="d2").tell(failed(), by="d1").tell(scheduled("h3"), by="d2")
    log.tell(claim_requested("h2"), by="d1")
    log.tell(claim_requested("h3"), claimed("h3"), by="d2").tell(*arrival("h3")).tell(drifted("h3"), by="d2")
    assert set(log.times("d1")) == {"01", "03", "04a"}
    assert (log.row("d1").outcome, log.row("d2").outcome) == ("failed", "drifted")
    assert log.row("d1").generation == 0


def test_there_and_back_again() -> None:
    log = moved(moved(Log(), "d1", "h3"), "d2", "h1", "h3", 3)
    assert [set(log.times(request)) for request in ("d1", "d2")] == [set(STEPS)] * 2
    assert log.row("d1").step_08_us < log.row("d2").step_01_us < log.row("d2").step_02a_us
    assert [(log.row(d).from_host, log.row(d).host) for d in ("d1", "d2")] == [("h1", "h3"), ("h3", "h1")]


@pytest.mark.parametrize("position", [0, 1])
def test_a_dead_host_removes_nothing_before_it_returns(position: int) -> None:
    log = Log()
    log.tell(requested(), scheduled("h3"), claim_requested("h3"), claimed("h3"), by="d1")
    claim_at = log.position
    log.tell(unbound("h1"), *arrival("h3")).tell(drifted("h3"), by="d1")
    log.tell(*clearing("h1", leaves=False), cleared("h1"))  # it was fenced
    assert {"02a", "02b", "07a"}.isdisjoint(log.times("d1"))
    log.tell(HostResynced(host="h2", az="az1", epoch=claim_at + 1))
    log.tell(HostResynced(host="h1", az="az1", epoch=claim_at - 1 + position))
    if position:
        assert log.times("d1")["02a"] == log.times("d1")["02b"] == log.position
    else:
        assert "02b" not in log.times("d1")  # it had returned before the drift


def test_what_a_did_before_it_was_cleaned_keeps_its_time() -> None:
    log = Log()
    log.tell(requested(), scheduled("h3"), claim_requested("h3"), claimed("h3"), by="d1").tell(unbound("h1"))
    log.tell(PortUnplugged(**claim(PORT, "h1", 1)))
    unplugged_at = log.position
    log.tell(HostResynced(host="h1", az="az1", epoch=log.position))
    assert (log.times("d1")["02a"], log.times("d1")["02b"]) == (unplugged_at, log.position)


@pytest.mark.parametrize(
    ("befell", "cause"),
    [
        pytest.param(
            [
                HostFailRequested(host="h1", reason="smoke"),
                HostDown(host="h1", az="az1", reason="smoke", evacuate=True, held=True),
            ],
            "host h1 is down: smoke",
            id="fail",
        ),
        pytest.param(
            [HostDrainRequested(host="h1"), HostDraining(host="h1", az="az1")], "host h1 is drained", id="drain"
        ),
        pytest.param(
            [HostDown(host="h1", az="az1", reason="silent", evacuate=True)], "host h1 is down: silent", id="silence"
        ),
    ],
)
def test_what_befalls_a_host_is_a_drift_of_each_instance_on_it(befell: list[Event], cause: str) -> None:
    log = Log().tell(*befell, by="f1")
    begun_us = T0_US + (log.position - len(befell) + 1) * 1_000_000
    log.tell(scheduled("h3"), scheduled("h2", instance="i2"), by="f1")
    log.tell(InstanceDriftRefused(instance="i3", reason="no host has room", field="az", value="az1"), by="f1")
    log.tell(claim_requested("h3"), claimed("h3"), claim_requested("h2", "i2"), claimed("h2", instance="i2"), by="f1")
    log.tell(*arrival("h3")).tell(drifted("h3"), by="f1")
    rows = [log.row("f1", instance) for instance in ("i1", "i2", "i3")]
    assert [row.outcome for row in rows] == ["drifted", "", "refused"]
    assert [row.host for row in rows] == ["h3", "h2", ""]
    assert {row.from_host for row in rows} == {"h1"}
    assert {row.cause for row in rows} == {cause}
    assert {row.step_01_us for row in rows} == {begun_us}
    assert (rows[1].step_05a_us, rows[0].step_05a_us > 0) == (0, True)


def test_a_host_that_dies_and_is_not_emptied_causes_no_drift() -> None:
    log = Log().tell(HostDown(host="h1", az="az1", reason="silent"), by="l1")
    assert log.fold.tables["drifts"] == {}


def test_a_refused_drift_has_its_reason_and_nothing_else() -> None:
    log = Log().tell(requested(host="h9"), by="d1")
    log.tell(InstanceDriftRefused(instance="i1", reason="unknown host", field="host", value="h9"), by="d1")
    row = log.row("d1")
    assert (row.outcome, row.reason, row.host) == ("refused", "unknown host", "h9")
    assert set(log.times("d1")) == {"01"}
    assert row.ended_us == T0_US + log.position * 1_000_000


def test_a_claim_that_comes_after_the_drift_was_given_up_is_shown_and_does_not_undo_its_end() -> None:
    log = Log().tell(requested(), scheduled("h3"), claim_requested("h3"), by="d1")
    log.tell(failed("h1", "not done in time"), claimed("h3"), by="d1").tell(*arrival("h3"))
    row = log.row("d1")
    assert (row.outcome, row.reason, row.step_08_us, row.generation) == ("failed", "not done in time", 0, 2)
    log.tell(drifted("h3"), by="d1")
    assert (log.row("d1").outcome, log.row("d1").step_08_us) == ("failed", 0)


def test_reports_after_the_port_was_deleted_change_nothing() -> None:
    log = Log().tell(requested(), scheduled("h3"), claim_requested("h3"), claimed("h3"), by="d1")
    deleted = PortDeleted(
        **{"port": PORT, "az": "az1", "host": "h3"},
        instance="i1",
        subnet="s1",
        ip="10.0.0.2",
        physical_network="l3-l4",
        vni=5001,
    )
    log.tell(deleted, *arrival("h3"))
    assert set(log.times("d1")) == {"01", "03", "04a", "04b"}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(claim_requested("h3"), id="claim requested"),
        pytest.param(claimed("h3"), id="claimed"),
        pytest.param(drifted("h3"), id="drifted"),
        pytest.param(failed(), id="failed"),
        pytest.param(PortUnplugged(**claim(PORT, "h1", 1)), id="unplugged"),
        pytest.param(PortPlugged(**claim(PORT, "h3", 2), received_us=1), id="plugged"),
        pytest.param(HostResynced(host="h1", az="az1", epoch=1), id="resynced"),
    ],
)
def test_what_belongs_to_no_drift_changes_nothing(event: Event) -> None:
    log = Log()
    assert log.fold.evolve(record(event, 9)) == NOTHING
    assert log.fold.tables["drifts"] == {}


def test_a_report_of_another_host_or_generation_is_not_that_of_b() -> None:
    log = Log().tell(requested(), scheduled("h3"), claim_requested("h3"), claimed("h3"), by="d1")
    log.tell(*arrival("h2", 2), *arrival("h3", 1), *arrival("h3", 3))
    assert set(log.times("d1")) == {"01", "03", "04a", "04b"}


def test_nothing_is_remembered_of_a_drift_that_is_over_and_cleaned() -> None:
    log = moved(moved(Log(), "d1", "h3"), "d2", "h1", "h3", 3)
    fold = log.fold
    assert (fold._left, fold._waiting) == ({}, {})
