"""Mistakes that somebody could make, planted into the core one at a time. The simulator must find each of them."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from bus.envelope import Recorded
from bus.events import (
    Event,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceFailed,
    PortAllocated,
    PortDeleted,
    PortUnbound,
)
from driftline.simulator.run import simulate
from driftline.simulator.themes import THEMES
from projections import ports as ports_module
from projections.fold import Handler, Touched
from projections.hosts import Hosts
from projections.leaves import Leaves
from projections.policies import Policies
from projections.ports import Ports
from workers import claims_of_ports, cnc, drifts, effects, ipam, nova, orphans, ovs_agent, policy
from workers.devices.simulated import fabric, resync
from workers.devices.simulated import host as host_module
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.leaf import LeafDevice
from workers.effects import LeafVlan
from workers.machine import Machine
from workers.policy_compiler import Plan
from workers.policy_rules import HeldPolicy
from workers.worker import Decision, Emit

Patch = pytest.MonkeyPatch


def _handle(patch: Patch, fold: type[Any], event_type: type[Event], handler: Handler) -> None:
    handlers: dict[type[Event], Handler] = {**fold._handlers, event_type: handler}
    patch.setattr(fold, "_handlers", handlers)


# Addresses and claims


def free_the_address_before_the_leaf_acknowledged(patch: Patch) -> None:
    patch.setattr(claims_of_ports, "_is_clear", lambda state, over: over.underlay_removed)


def free_the_address_before_the_host_is_clear(patch: Patch) -> None:
    patch.setattr(claims_of_ports, "_is_clear", lambda state, over: over.overlay_removed)


def take_a_dead_host_for_cleared_before_it_is_fenced(patch: Patch) -> None:
    patch.setattr(Hosts, "is_fenced", Hosts.is_down)
    right = claims_of_ports._is_clear
    patch.setattr(
        claims_of_ports, "_is_clear", lambda state, over: state.hosts.is_down(over.host) or right(state, over)
    )


def allocate_from_a_stale_fold(patch: Patch) -> None:
    right = Machine._apply

    def apply(self: Machine, envelope: Any) -> None:
        if not isinstance(envelope.event, PortAllocated):
            right(self, envelope)

    patch.setattr(Machine, "_apply", apply)


def give_a_drifting_port_a_new_address(patch: Patch) -> None:
    right = claims_of_ports._claimed

    def claimed(*args: Any) -> Any:
        event = right(*args)
        first, _, last = event.ip.rpartition(".")
        return msgspec.structs.replace(event, ip=f"{first}.{int(last) + 1}")

    patch.setattr(claims_of_ports, "_claimed", claimed)


def skip_the_tombstone(patch: Patch) -> None:
    right = Ports._handlers[PortDeleted]

    def deleted(self: Ports, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        touched = right(self, r, e)
        self.gone.discard(e.port)
        return touched

    _handle(patch, Ports, PortDeleted, deleted)


def collect_after_one_look(patch: Patch) -> None:
    patch.setattr(orphans, "LAST_LOOK", 1)
    patch.setattr(ipam, "LAST_LOOK", 1)
    patch.setattr(ipam, "is_unclaimed", lambda state, port, now_us: orphans.is_orphan(state, port))


# Reports


def drop_the_generation_check(patch: Patch) -> None:
    def current(self: Ports, event: Any) -> Any:
        row = self.get(event.port)
        return row if row is not None and row.host == event.host else None

    patch.setattr(Ports, "current", current)


def accept_a_report_of_another_host(patch: Patch) -> None:
    patch.setattr(Ports, "current", lambda self, event: self.get(event.port))


# Leaves


def forget_the_reference_count(patch: Patch) -> None:
    right = Leaves._handlers[PortUnbound]

    def unbound(self: Leaves, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        port = self.claims.get((e.port, e.generation))
        for key in self._keys(port) if port is not None else ():
            self._users[key] = {port.key} & self._users.get(key, set())  # type: ignore[union-attr]
        return right(self, r, e)

    _handle(patch, Leaves, PortUnbound, unbound)


def take_a_late_acknowledgement_for_the_current_one(patch: Patch) -> None:
    patch.setattr(Leaves, "_answered", lambda self, e: self._entries.get((e.leaf, e.interface, e.vlan)))


def report_when_one_leaf_has_acknowledged(patch: Patch) -> None:
    patch.setattr(cnc, "all", any, raising=False)


def let_a_port_that_was_never_bound_wait(patch: Patch) -> None:
    right = Leaves.entries

    def entries(self: Leaves, port: Any) -> Any:
        port.placed = True
        return right(self, port)

    patch.setattr(Leaves, "entries", entries)


def let_a_late_push_to_a_leaf_in(patch: Patch) -> None:
    right = LeafDevice.apply

    def apply(self: LeafDevice, effect: Any) -> str:
        self._epochs.clear()
        return right(self, effect)

    patch.setattr(LeafDevice, "apply", apply)


# Hosts


def let_a_late_push_to_a_host_in(patch: Patch) -> None:
    """Hosts without a fence: what was withdrawn can land after the clean-up."""
    patch.setattr(host_module, "_raise", lambda fences, port, generation: None)


def let_removals_be_given_up(patch: Patch) -> None:
    for effect in (effects.UnplugVnic, effects.RemoveFlows, effects.LeafVlan):
        patch.setattr(effect, "withdraws", False)
    right = cnc.settle

    def settle(effect: Any, result: Any) -> Iterable[Event]:
        given_up = isinstance(effect, LeafVlan) and not effect.present
        return right(effect, msgspec.structs.replace(result, error="") if given_up else result)

    patch.setattr(cnc, "WORKER", cnc.WORKER._replace(settle=settle))


def do_not_clean_a_host_that_returns(patch: Patch) -> None:
    patch.setattr(fabric, "resync_host", lambda host, effect, part=1.0: ())


def remove_stale_flows_before_the_resync(patch: Patch) -> None:
    def resync_flows(host: HostDevice, effect: Any, part: float = 1.0) -> Any:
        host.cookie = max(host.cookie, effect.epoch)
        removed = resync._remove_stale(host)
        resync.resync_flows(host, effect, part)
        return removed

    patch.setattr(fabric, "resync_flows", resync_flows)


def reinstall_flows_that_have_not_changed(patch: Patch) -> None:
    patch.setattr(host_module, "same_flow", lambda flow, other: False)


def forget_the_flows_of_a_restarted_agent(patch: Patch) -> None:
    patch.setattr(ovs_agent, "_has_flows", lambda port: False)


# Requests


def let_a_deleted_spawn_run_on(patch: Patch) -> None:
    right = nova._take_down_early

    def take_down(*args: Any) -> Iterable[Decision]:
        return [one for one in right(*args) if not (isinstance(one, Emit) and isinstance(one.event, InstanceFailed))]

    patch.setattr(nova, "_take_down_early", take_down)


def answer_a_delete_with_an_earlier_clean_up(patch: Patch) -> None:
    patch.setattr(nova, "_why_not_deleted", lambda row: "no")
    right = nova._delete

    def delete(state: Any, r: Recorded, request: Any) -> Iterable[Decision]:
        row = state.instances.get(request.instance)
        return () if row is not None and row.cleaned else right(state, r, request)

    patch.setattr(nova, "_delete", delete)


def do_not_say_that_a_drift_was_overtaken(patch: Patch) -> None:
    right = drifts.give_up

    def give_up(*args: Any) -> Iterable[Decision]:
        return [
            one for one in right(*args) if not (isinstance(one, Emit) and isinstance(one.event, InstanceDriftFailed))
        ]

    patch.setattr(drifts, "give_up", give_up)


def call_a_drift_done_when_it_is_claimed(patch: Patch) -> None:
    right = drifts.reported

    def reported(state: Any, row: Any, port: Any) -> Iterable[Decision]:
        if row.state != "drifting" or port.generation <= row.from_generation or port.host != row.host:
            return right(state, row, port)
        drifted = InstanceDrifted(
            instance=row.instance,
            az=row.az,
            host=row.host,
            from_host=row.from_host,
            port=port.port,
            generation=port.generation,
        )
        return (Emit(drifted, row.drift_request),)

    patch.setattr(drifts, "reported", reported)


# Policy


def call_a_port_usable_before_its_rules_are_there(patch: Patch) -> None:
    patch.setattr(ports_module, "enforced", lambda underlay, report, removed: underlay)


def let_older_rules_in(patch: Patch) -> None:
    def enforce(host: HostDevice, effect: effects.InstallPolicy) -> str:
        held = HeldPolicy(effect.generation, effect.revision, effect.identity, effect.ingress, effect.egress)
        host.policies[effect.port] = held
        return ""

    patch.setattr(HostDevice, "_enforce", enforce)


def forget_whom_a_policy_selected_before(patch: Patch) -> None:
    patch.setattr(Policies, "_note_before", lambda policies, policy: None)


def forget_the_peers_of_a_new_pod(patch: Patch) -> None:
    patch.setattr(Plan, "_peers_of", lambda plan, member: ())


def say_applied_when_one_has_acknowledged(patch: Patch) -> None:
    patch.setattr(policy, "_waits_for", lambda state, row, name: False)


def leave_a_host_that_is_back_without_rules(patch: Patch) -> None:
    patch.setattr(policy, "_host_again", lambda state, host: ())


BUGS: tuple[Callable[[Patch], None], ...] = (
    free_the_address_before_the_leaf_acknowledged,
    free_the_address_before_the_host_is_clear,
    take_a_dead_host_for_cleared_before_it_is_fenced,
    allocate_from_a_stale_fold,
    give_a_drifting_port_a_new_address,
    skip_the_tombstone,
    collect_after_one_look,
    drop_the_generation_check,
    accept_a_report_of_another_host,
    forget_the_reference_count,
    take_a_late_acknowledgement_for_the_current_one,
    report_when_one_leaf_has_acknowledged,
    let_a_port_that_was_never_bound_wait,
    let_a_late_push_to_a_leaf_in,
    let_a_late_push_to_a_host_in,
    let_removals_be_given_up,
    do_not_clean_a_host_that_returns,
    remove_stale_flows_before_the_resync,
    reinstall_flows_that_have_not_changed,
    forget_the_flows_of_a_restarted_agent,
    let_a_deleted_spawn_run_on,
    answer_a_delete_with_an_earlier_clean_up,
    do_not_say_that_a_drift_was_overtaken,
    call_a_drift_done_when_it_is_claimed,
    call_a_port_usable_before_its_rules_are_there,
    let_older_rules_in,
    forget_whom_a_policy_selected_before,
    forget_the_peers_of_a_new_pod,
    say_applied_when_one_has_acknowledged,
    leave_a_host_that_is_back_without_rules,
)

#: By how many seeds a mistake must be found: of the themes of the SDN fabric, and of policies.
SEEDS = 200
POLICIES = ("policies",)
FABRIC = tuple(name for name in THEMES if THEMES[name].of_fabric)
OF_POLICIES = BUGS[BUGS.index(call_a_port_usable_before_its_rules_are_there) :]
#: Too rare for a mix: it takes a copy of an answer that comes just when the same entry is needed anew.
ONE_THEME: dict[Callable[[Patch], None], tuple[str, ...]] = {
    take_a_late_acknowledgement_for_the_current_one: ("churn",)
}
#: Seeds that found some of them when this was written, tried first: it saves time and decides nothing.
HINTS: dict[Callable[[Patch], None], int] = {
    take_a_dead_host_for_cleared_before_it_is_fenced: 4,
    collect_after_one_look: 20,
    let_a_port_that_was_never_bound_wait: 50,
    let_a_late_push_to_a_host_in: 5,
    do_not_clean_a_host_that_returns: 4,
    forget_whom_a_policy_selected_before: 4,
    skip_the_tombstone: 7,
    let_a_late_push_to_a_leaf_in: 8,
    let_removals_be_given_up: 4,
    remove_stale_flows_before_the_resync: 3,
    answer_a_delete_with_an_earlier_clean_up: 5,
    forget_the_peers_of_a_new_pod: 4,
    take_a_late_acknowledgement_for_the_current_one: 36,
    do_not_say_that_a_drift_was_overtaken: 2,
    leave_a_host_that_is_back_without_rules: 2,
}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    themes = ONE_THEME.get(bug, POLICIES if bug in OF_POLICIES else FABRIC)
    seeds = sorted(range(SEEDS), key=lambda seed: (seed != HINTS.get(bug), seed))
    with monkeypatch.context() as patch:
        bug(patch)
        found = next((seed for seed in seeds if simulate(seed, themes).failure is not None), None)
    assert found is not None
    assert simulate(found, themes).failure is None, f"seed {found} fails without the mistake, too: it proves nothing"
