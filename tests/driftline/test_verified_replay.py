"""Verified replay: equal on unchanged code, crashes and all; the first diverging event on changed code."""

from collections.abc import Callable
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Recorded
from bus.events import LeafVlanAdded, LeafVlanRemoved, PortAllocated, PortPlugged, PortUnplugged, WorkerStarted
from driftline.parts import all_workers
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from driftline.simulator.themes import THEMES
from tests.driftline import test_simulator_bugs as planted
from workers.replayed import Divergence, Replay, Verdict

Bug = Callable[[pytest.MonkeyPatch], None]

#: The mistakes that change what a worker decides, and whose log shows it: (worker, seed, themes).
DECISIONS: dict[Bug, tuple[str, int, tuple[str, ...]]] = {
    planted.free_the_address_before_the_leaf_acknowledged: ("ipam", 0, ()),
    planted.free_the_address_before_the_host_is_clear: ("ipam", 0, ()),
    planted.take_a_dead_host_for_cleared_before_it_is_fenced: ("ipam", 4, ()),
    planted.allocate_from_a_stale_fold: ("ipam", 1, ()),
    planted.give_a_drifting_port_a_new_address: ("ipam", 0, ()),
    planted.collect_after_one_look: ("ipam", 20, ()),
    planted.drop_the_generation_check: ("nova", 0, ()),
    planted.accept_a_report_of_another_host: ("nova", 0, ()),
    planted.forget_the_reference_count: ("cnc", 0, ()),
    planted.take_a_late_acknowledgement_for_the_current_one: ("cnc", 4, ()),
    planted.report_when_one_leaf_has_acknowledged: ("cnc", 0, ()),
    planted.let_a_port_that_was_never_bound_wait: ("cnc", 32, ()),
    planted.forget_the_flows_of_a_restarted_agent: ("ovs-agent", 14, ()),
    planted.let_a_deleted_spawn_run_on: ("nova", 0, ()),
    planted.answer_a_delete_with_an_earlier_clean_up: ("nova", 5, ()),
    planted.do_not_say_that_a_drift_was_overtaken: ("nova", 2, ()),
    planted.call_a_drift_done_when_it_is_claimed: ("nova", 0, ()),
    planted.call_a_port_usable_before_its_rules_are_there: ("nova", 28, ()),
    planted.forget_whom_a_policy_selected_before: ("policy", 28, ()),
    planted.forget_the_peers_of_a_new_pod: ("policy", 28, ()),
    planted.say_applied_when_one_has_acknowledged: ("policy", 28, ()),
    planted.leave_a_host_that_is_back_without_rules: ("policy", 2, planted.POLICIES),
}
#: The others are mistakes of devices and of the performer, which decide nothing; and one in how a fold takes a forged
#: event, which no decision of these logs hangs on.
OTHERS = {
    planted.skip_the_tombstone,
    planted.let_a_late_push_to_a_leaf_in,
    planted.let_a_late_push_to_a_host_in,
    planted.let_removals_be_given_up,
    planted.do_not_clean_a_host_that_returns,
    planted.remove_stale_flows_before_the_resync,
    planted.reinstall_flows_that_have_not_changed,
    planted.let_older_rules_in,
}


@cache
def log_of(seed: int, themes: tuple[str, ...] = ()) -> list[Recorded]:
    played = play(draw(seed, themes))
    assert played.outcome.failure is None
    return played.records


def replayed(worker: str, records: list[Recorded]) -> Verdict:
    return Replay(all_workers()[worker], records).run()


def test_every_planted_mistake_is_accounted_for() -> None:
    assert {*DECISIONS} | OTHERS == {*planted.BUGS}


@pytest.mark.parametrize("seed", range(len(THEMES)))
def test_unchanged_code_decides_the_same_in_every_theme(seed: int) -> None:
    for name in all_workers():
        verdict = replayed(name, log_of(seed))
        assert verdict.divergences == []
        assert verdict.equal


def test_logs_with_crashes_are_among_them() -> None:
    verdicts = [replayed(name, log_of(seed)) for seed in range(len(THEMES)) for name in ("nova", "ipam", "cnc")]
    assert any(verdict.starts > 1 for verdict in verdicts)
    assert sum(verdict.matched for verdict in verdicts) > 1000
    assert sum(verdict.outcomes for verdict in verdicts) > 100


@pytest.mark.parametrize("bug", DECISIONS, ids=lambda bug: bug.__name__)
def test_a_mistake_that_changes_decisions_is_named(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, seed, themes = DECISIONS[bug]
    records = log_of(seed, themes)
    assert replayed(worker, records).equal
    with monkeypatch.context() as patch:
        bug(patch)
        verdict = replayed(worker, records)
        every = Replay(all_workers()[worker], records, most=len(records)).run().divergences
    (divergence,) = verdict.divergences
    assert (divergence.position, divergence.id) == min((one.position, one.id) for one in every)
    assert divergence.then is not None or divergence.now is not None
    was_said = {r.id: r.event for r in records}
    assert divergence.then == (None if divergence.kind == "not said then" else was_said[divergence.id])
    assert not verdict.equal


def ipam_without(position: int) -> list[Recorded]:
    return [r for r in log_of(0) if r.position != position]


def test_an_event_that_is_gone_is_decided_now_and_was_not_said_then() -> None:
    gone = next(r for r in log_of(0) if isinstance(r.event, PortAllocated))
    divergence = first(replayed("ipam", ipam_without(gone.position)))
    assert (divergence.kind, divergence.id, divergence.now) == ("not said then", gone.id, gone.event)
    assert divergence.cause is not None
    assert (divergence.cause.id, divergence.position) == (gone.cause, divergence.cause.position)


def test_an_event_that_said_something_else_is_shown_with_both_versions() -> None:
    was = next(r for r in log_of(0) if isinstance(r.event, PortAllocated))
    other = msgspec.structs.replace(was, event=msgspec.structs.replace(was.event, vlan=77))
    divergence = first(replayed("ipam", [other if r is was else r for r in log_of(0)]))
    assert (divergence.kind, divergence.position) == ("differs", was.position)
    assert divergence.fields == {"vlan": (77, was.event.vlan)}  # type: ignore[attr-defined]
    assert [row["port"] for row in divergence.state["ports.ports"]] == [was.event.port]  # type: ignore[attr-defined]


def first(verdict: Verdict) -> Divergence:
    return verdict.divergences[0]


@given(st.data())
def test_a_log_that_ends_anywhere_is_equal_with_what_is_open(data: st.DataObject) -> None:
    records = log_of(data.draw(st.integers(0, 3)))
    end = data.draw(st.integers(0, len(records)))
    name = data.draw(st.sampled_from(["nova", "ipam", "cnc", "compute"]))
    assert replayed(name, records[:end]).divergences == []


def test_workers_say_when_they_begin() -> None:
    begun = {r.event.worker for r in log_of(0) if isinstance(r.event, WorkerStarted)}
    assert begun == {*all_workers()}


def test_more_than_the_first_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.report_when_one_leaf_has_acknowledged(monkeypatch)
    verdict = Replay(all_workers()["cnc"], log_of(0), most=3).run()
    assert len({one.id for one in verdict.divergences}) == 3


def decided_before_the_last_start(worker: str, records: list[Recorded]) -> list[Recorded]:
    """What ``worker`` decided on inputs that it was done with when it last began: all of it was said by then."""
    done = [r.event for r in records if isinstance(r.event, WorkerStarted) and r.event.worker == worker][-1].checkpoint
    inputs = {str(position) for position in range(1, done + 1)}
    own = [r for r in records if r.id.startswith(f"{worker}:") and r.id.split(":")[1] in inputs]
    return [r for r in own if not isinstance(r.event, PortPlugged | PortUnplugged | LeafVlanAdded | LeafVlanRemoved)]


@pytest.mark.parametrize(("seed", "worker"), [(11, "ipam"), (11, "compute"), (12, "cnc"), (5, "cnc")])
def test_what_was_not_said_before_a_restart_is_found(seed: int, worker: str) -> None:
    records = log_of(seed)
    decisions = decided_before_the_last_start(worker, records)
    assert len(decisions) > 10
    for gone in decisions:
        assert not replayed(worker, [r for r in records if r is not gone]).equal, gone


def test_the_first_divergence_is_the_first_also_when_a_later_one_ends_the_replay() -> None:
    records = log_of(0)
    gone, changed = [r for r in records if isinstance(r.event, PortAllocated)][:2]
    other = msgspec.structs.replace(changed, event=msgspec.structs.replace(changed.event, vlan=77))
    verdict = replayed("ipam", [other if r is changed else r for r in records if r is not gone])
    assert [(one.kind, one.id) for one in verdict.divergences] == [("not said then", gone.id)]
