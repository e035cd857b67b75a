import re

import pytest

from tests.workers.devices.world import RED_1, Port, audit_host, flows, leaf_vlan, plug, resync_flows, resync_host
from workers.devices.simulated.faults import CLASSES, Dice, EffectFaults, Fate, FaultPlan, parse_faults

A = Port("a", "h1", RED_1, 5)
LEAF = leaf_vlan("l1", "Ethernet1", RED_1)


def fates(count: int, seed: int = 1, **faults: float) -> list[Fate]:
    dice = Dice(FaultPlan({"LeafVlan": EffectFaults(**faults)}, seed=seed))
    return [dice.decide(LEAF) for _ in range(count)]


def test_without_faults_all_is_well() -> None:
    assert Dice(FaultPlan()).decide(LEAF) == Fate(0.0, True, "", True)


def test_faults_of_one_class_leave_the_others_alone() -> None:
    dice = Dice(FaultPlan({"LeafVlan": EffectFaults(latency=0.05, fail=1)}))

    assert dice.decide(LEAF) == Fate(0.05, False, "l1: injected failure", True)
    assert dice.decide(plug(A)) == Fate(0.0, True, "", True)


def test_applied_and_reported_as_failed() -> None:
    assert fates(1, applied_fail=1) == [Fate(0.0, True, "l1: injected failure after it was applied", True)]


def test_timed_out_effects_are_applied_or_not() -> None:
    drawn = fates(100, timeout=1)

    assert {fate.answer for fate in drawn} == {False}
    assert {fate.apply for fate in drawn} == {True, False}


def test_a_resync_that_dies_on_the_way_did_some_ports_and_anything_else_none() -> None:
    dice = Dice(FaultPlan({kind: EffectFaults(partial=1) for kind in CLASSES}, seed=1))
    for resync in (resync_host("h1", 1, {}), resync_flows("h1", 1, {})):
        drawn = [dice.decide(resync) for _ in range(100)]
        assert {(fate.apply, fate.answer) for fate in drawn} == {(True, False)}
        assert 0 <= min(fate.part for fate in drawn) < 0.1
        assert 0.9 < max(fate.part for fate in drawn) < 1
    for other in (LEAF, plug(A), audit_host("h1", {}, {})):
        assert (dice.decide(other).apply, dice.decide(other).answer) == (False, False)


def test_late_effects_come_after_they_were_due_and_are_never_answered() -> None:
    drawn = fates(1000, late=1, lateness=3.0, latency=0.5)

    assert {(fate.delay_s, fate.apply, fate.answer) for fate in drawn} == {(0.5, True, False)}
    assert 0 < min(fate.late_s for fate in drawn) < 0.1
    assert 2.9 < max(fate.late_s for fate in drawn) <= 3


def test_probabilities_are_met() -> None:
    drawn = fates(4000, fail=0.1, applied_fail=0.2, timeout=0.1, partial=0.1, late=0.1)

    assert sum("failure" in fate.error and not fate.apply for fate in drawn) == pytest.approx(400, rel=0.2)
    assert sum(fate.error.endswith("applied") for fate in drawn) == pytest.approx(800, rel=0.2)
    assert sum(not fate.answer for fate in drawn) == pytest.approx(1200, rel=0.2)


def test_jitter_spreads_the_latency() -> None:
    delays = [fate.delay_s for fate in fates(1000, latency=0.1, jitter=0.2)]

    assert 0.08 <= min(delays) < 0.085
    assert 0.115 < max(delays) <= 0.12


def test_the_seed_gives_the_same_run() -> None:
    faults = {"latency": 0.1, "jitter": 1.0, "fail": 0.3, "timeout": 0.3, "late": 0.3}

    assert fates(50, seed=7, **faults) == fates(50, seed=7, **faults)
    assert fates(50, seed=7, **faults) != fates(50, seed=8, **faults)


def test_a_broken_device_refuses_everything() -> None:
    dice = Dice(FaultPlan(broken={"l1": "no power"}))

    assert dice.decide(LEAF) == Fate(0.0, False, "l1: no power", True)
    assert dice.decide(flows(A)).apply


def test_a_hung_device_answers_nothing_and_others_are_well() -> None:
    plan = parse_faults("hung:l1=0.01")
    assert plan == FaultPlan(hung={"l1": 0.01})
    assert Dice(plan).decide(LEAF) == Fate(0.01, False, "", False)
    assert Dice(plan).decide(flows(A)).answer


def test_text_for_a_command_line() -> None:
    text = "LeafVlan:latency=0.05,fail=0.1; PlugVnic:late=0.2,lateness=10;ResyncFlows:partial=1;broken:az1-l2=no power"
    plan = parse_faults(text, seed=3)

    assert plan == FaultPlan(
        {
            "LeafVlan": EffectFaults(latency=0.05, fail=0.1),
            "PlugVnic": EffectFaults(late=0.2, lateness=10),
            "ResyncFlows": EffectFaults(partial=1),
        },
        {"az1-l2": "no power"},
        3,
    )
    assert parse_faults("") == FaultPlan()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("LeafVlan", "faults: 'LeafVlan' is not CLASS:FIELD=VALUE"),
        ("LeafVlam:fail=1", "effect class: 'LeafVlam' is none of PlugVnic, UnplugVnic, InstallFlows, RemoveFlows"),
        ("LeafVlan:latencyy=1", "faults: LeafVlan: field 'latencyy' is none of latency, jitter, fail"),
        ("LeafVlan:fail=often", "faults: LeafVlan: fail: 'often' is no number"),
        ("LeafVlan:fail=1.5", "faults: LeafVlan: fail: 1.5 is out of range"),
        ("LeafVlan:lateness=4000", "faults: LeafVlan: lateness: 4000.0 is out of range"),
        ("LeafVlan:latency=-1", "faults: LeafVlan: latency: -1.0 is out of range"),
        ("LeafVlan:latency=nan", "faults: LeafVlan: latency: nan is out of range"),
        ("hung:l1=long", "faults: hung: l1: 'long' is no number"),
        ("hung:l1=-1", "faults: hung: l1: -1.0 is out of range"),
        (
            "LeafVlan:fail=0.6,timeout=0.6",
            "faults: LeafVlan: fail, applied_fail, timeout, partial, late: together more than 1",
        ),
    ],
)
def test_text_that_is_no_plan_is_an_error(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        parse_faults(text)
