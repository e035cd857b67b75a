"""What must hold under any schedule (spec: invariants.md), and proof that each check is able to fail.

A failure prints its seed: ``Schedule(seed).run()`` plays it again.
"""

from collections.abc import Callable, Iterable

import pytest

from bus.envelope import Recorded
from bus.events import (
    Event,
    InstanceFailed,
    LeafVlanRemoved,
    PortDeleted,
    PortUnbound,
    SpawnRequested,
)
from projections.fold import Handler, Touched
from projections.leaves import Leaves
from projections.ports import PortRow, Ports
from tests.workers.cluster import Node, Outcome
from tests.workers.device_model import DeviceModel
from tests.workers.schedule import AZ, Schedule, final_rows
from workers import cnc, ipam, nova
from workers.effects import LeafVlan
from workers.worker import Decision

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("hundred", range(6))
def test_any_schedule_keeps_the_invariants(hundred: int) -> None:
    _run(range(hundred * 100, hundred * 100 + 100))


def test_schedules_reach_what_they_are_to_test() -> None:
    """A schedule that never crashes, fails or refuses anything would prove nothing."""
    seen: dict[str, int] = {}
    for seed in range(100):
        schedule = Schedule(seed)
        schedule.run()
        for r in schedule.cluster.log.records:
            seen[type(r.event).__name__] = seen.get(type(r.event).__name__, 0) + 1
        for line in schedule.trace:
            seen["crash"] = seen.get("crash", 0) + ("crashes" in line)
            seen["late"] = seen.get("late", 0) + line.startswith("late: PlugVnic")
    kinds = ("InstanceActive", "InstanceRefused", "InstanceFailed", "InstanceDeleted", "InstanceDeleteRefused")
    for kind in (*kinds, "PortRefused", "PortPlugFailed", "LeafVlanFailed", "LeafVlanRemoved", "crash", "late"):
        assert seen.get(kind, 0) >= 5, f"{kind}: {seen.get(kind)}"


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = Schedule(7), Schedule(7)
    first.run()
    second.run()
    assert first.trace == second.trace
    assert first.cluster.log.records == second.cluster.log.records


def _spawns() -> list[Event]:
    wishes = [("n1", None), ("n2", None), ("n3", None), (None, "prod"), ("n1", None), (None, "test"), ("n9", None)]
    return [
        SpawnRequested(instance=f"i{n}", name=f"name-{n}", az=AZ, network=network, label=label)
        for n, (network, label) in enumerate(wishes)
    ]


def test_without_faults_the_outcome_does_not_depend_on_the_schedule() -> None:
    """Which address and VLAN a port gets depends on who asked first; how many, where, and how it ends must not."""
    outcomes = []
    for seed in range(25):
        schedule = Schedule(seed, requests=0)
        schedule._wishes = iter(_spawns())
        schedule._failures = schedule._forgeries = 0.0
        schedule.disturb()
        schedule.calm()
        outcomes.append(final_rows(schedule))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert [row[1] for row in outcomes[0]["instances"]] == ["active"] * 6 + ["refused"]  # type: ignore[attr-defined]


def test_a_rebuild_from_nothing_decides_nothing_more() -> None:
    """All checkpoints are lost: every input of the past is decided on again, and nothing is left to be done."""
    schedule = Schedule(3)
    schedule.disturb()
    schedule.calm()
    for node in schedule.cluster.nodes:
        node.saved_checkpoint = 0
        node.crash(lambda: Outcome.FAILED)
        assert not node.queue, f"{node.worker.name} decided again: {node.queue}"
    schedule.cluster.settle_down()
    schedule.auditor.once_quiet()


# Each of these is a mistake that somebody could make. The schedules must find it.


def _free_the_address_before_the_leaf_acknowledged(patch: Patch) -> None:
    def clear(port: PortRow | None) -> Iterable[Decision]:
        if port is not None:
            port.overlay_removed = port.overlay_removed or port.underlay_removed
        return right(port)

    right = ipam._clear
    patch.setattr(ipam, "_clear", clear)


def _free_the_address_before_the_host_is_clear(patch: Patch) -> None:
    def clear(port: PortRow | None) -> Iterable[Decision]:
        if port is not None:
            port.underlay_removed = port.underlay_removed or port.overlay_removed
        return right(port)

    right = ipam._clear
    patch.setattr(ipam, "_clear", clear)


def _forget_the_reference_count(patch: Patch) -> None:
    def unbound(self: Leaves, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        for key in self._keys(self.ports[e.port]) if e.port in self.ports else ():
            self._users[key] = {e.port} & self._users.get(key, set())
        return right(self, r, e)

    right = Leaves._handlers[PortUnbound]
    handlers: dict[type[Event], Handler] = {**Leaves._handlers, PortUnbound: unbound}
    patch.setattr(Leaves, "_handlers", handlers)


def _accept_a_report_of_another_host(patch: Patch) -> None:
    patch.setattr(Ports, "current", lambda self, event: self.get(event.port))


def _skip_the_tombstone(patch: Patch) -> None:
    def deleted(self: Ports, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        touched = right(self, r, e)
        self.gone.discard(e.port)
        return touched

    right = Ports._handlers[PortDeleted]
    handlers: dict[type[Event], Handler] = {**Ports._handlers, PortDeleted: deleted}
    patch.setattr(Ports, "_handlers", handlers)


def _take_a_late_acknowledgement_for_the_current_one(patch: Patch) -> None:
    def answered(self: Leaves, e: LeafVlanRemoved) -> object:
        return self._entries.get((e.leaf, e.interface, e.vlan))

    patch.setattr(Leaves, "_answered", answered)


def _report_when_one_leaf_has_acknowledged(patch: Patch) -> None:
    patch.setattr(cnc, "all", any, raising=False)


def _let_a_deleted_spawn_run_on(patch: Patch) -> None:
    right = nova._delete

    def delete(*args: object) -> Iterable[Decision]:
        return [one for one in right(*args) if not isinstance(one.event, InstanceFailed)]  # type: ignore[arg-type, union-attr]

    patch.setattr(nova, "_delete", delete)


def _give_answers_to_two_wishes_one_id(patch: Patch) -> None:
    patch.setattr(LeafVlan, "version", 0)


def _let_a_port_that_was_never_bound_wait(patch: Patch) -> None:
    right = Leaves.entries

    def entries(self: Leaves, port: object) -> object:
        port.placed = True  # type: ignore[attr-defined]
        return right(self, port)  # type: ignore[arg-type]

    patch.setattr(Leaves, "entries", entries)


def _answer_a_delete_with_an_earlier_clean_up(patch: Patch) -> None:
    patch.setattr(nova, "_why_not_deleted", lambda row: "no")
    right = nova._delete

    def delete(state: nova.NovaState, r: Recorded, request: object) -> Iterable[Decision]:
        row = state.instances.get(request.instance)  # type: ignore[attr-defined]
        return () if row is not None and row.cleaned else right(state, r, request)  # type: ignore[arg-type]

    patch.setattr(nova, "_delete", delete)


def _let_removals_be_given_up(patch: Patch) -> None:
    right = Node.finish

    def finish(self: Node, slot: tuple[str, ...], outcome: Outcome = Outcome.DONE) -> None:
        if slot in self.current and self.current[slot].planned.effect.withdraws and outcome is Outcome.FAILED:
            self._settle(slot, self.current[slot], "")
        else:
            right(self, slot, outcome)

    patch.setattr(Node, "finish", finish)


def _let_a_late_push_in(patch: Patch) -> None:
    """Hosts without a fence: what was withdrawn can land after the clean-up."""
    patch.setattr(DeviceModel, "is_over", lambda self, effect, part: False)


BUGS: tuple[Callable[[Patch], None], ...] = (
    _free_the_address_before_the_leaf_acknowledged,
    _free_the_address_before_the_host_is_clear,
    _forget_the_reference_count,
    _accept_a_report_of_another_host,
    _skip_the_tombstone,
    _take_a_late_acknowledgement_for_the_current_one,
    _report_when_one_leaf_has_acknowledged,
    _let_a_deleted_spawn_run_on,
    _give_answers_to_two_wishes_one_id,
    _let_a_port_that_was_never_bound_wait,
    _answer_a_delete_with_an_earlier_clean_up,
    _let_removals_be_given_up,
    _let_a_late_push_in,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__.strip("_"))
def test_the_properties_can_fail(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        _run(range(600))


def _run(seeds: Iterable[int]) -> None:
    for seed in seeds:
        Schedule(seed).run()
