"""Violations of each invariant, planted into a tale: each must be found, and named."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from bus.events import (
    HostAgentStarted,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockRefused,
    HostBlockReleased,
    HostBlockRequested,
    HostDraining,
    HostDrainRequested,
    HostFenced,
    HostRefused,
    InstanceActive,
    InstanceDrifted,
    InstanceDriftRequested,
    InstanceFailed,
    InstanceScheduled,
    InstanceTerminating,
    LeafVlanAdded,
    LeafVlanRemoved,
    NetworkCreated,
    PolicyApplied,
    PolicyCreated,
    PolicyCreateRequested,
    PortAddressOffered,
    PortBound,
    PortCreateRequested,
    PortEniAttached,
    PortOrphanSeen,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortPolicyReported,
    PortRefused,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    SubnetCreated,
)
from driftline.invariants import Violation
from tests.driftline.test_invariants_tale import AZ, HOUR_US, Tale, allocated, claimed, down, gone, scheduled
from workers.cloud_effects import AttachEni
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.host import Flow
from workers.devices.simulated.leaf import Entry
from workers.policy_rules import HeldPolicy, HeldRules

# Planted violations: (number, what is done to a tale)


def an_eni_said_to_be_in_another_zone(tale: Tale) -> None:
    tale.say(PortEniAttached(port=tale.live(), az=AZ, epoch=1, eni="eni-1", node="h1"))


def an_eni_held_in_another_zone(tale: Tale) -> None:
    _attached(tale, tale.live(), node="h1")


def an_eni_of_no_port(tale: Tale) -> None:
    _attached(tale, "ghost-0", node="h1")


def an_eni_where_no_claim_needs_it(tale: Tale) -> None:
    _attached(tale, tale.live(), node="h3")


def _attached(tale: Tale, port: str, node: str) -> None:
    """The tale's subnet is in no zone, so no node is in its zone."""
    tale.fabric.add_device(CableDevice("cloud", "cloud"))
    attach = AttachEni(
        device="cloud",
        port=port,
        az=AZ,
        epoch=1,
        subnet="s1",
        vpc="v1",
        ip="10.0.0.11",
        secondary_ips=(),
        generation=1,
        node=node,
        node_az=AZ,
        instance_type="m5.large",
    )
    assert tale.fabric.apply(attach) == ""
    tale.check()


def an_address_twice(tale: Tale) -> None:
    tale.spawn()
    tale.say(allocated(2, ip="10.0.0.11"))


def a_mac_twice(tale: Tale) -> None:
    tale.spawn()
    tale.say(allocated(2, mac="aa:11"))


def the_gateway_given_out(tale: Tale) -> None:
    tale.say(allocated(2, ip="10.0.0.1"))


def a_name_twice(tale: Tale) -> None:
    tale.spawn()
    tale.say(allocated(2, name="i1"))


def a_pool_that_does_not_add_up(tale: Tale) -> None:
    tale.auditor._folded.addresses.pools["s1"].row.free -= 1
    tale.spawn()


def a_pool_that_lost_a_port(tale: Tale) -> None:
    row = tale.auditor._folded.addresses.pools["s1"].row
    row.free, row.allocated = row.free - 1, row.allocated + 1
    tale.spawn()


def usable_without_a_vnic(tale: Tale) -> None:
    port = tale.live()
    tale.fabric.host("h1").withdraw_vnic(port, 1)
    tale.check()


def usable_without_flows(tale: Tale) -> None:
    port = tale.live()
    tale.fabric.host("h1").drop_flow(port)
    tale.check()


def said_to_work_before_it_did(tale: Tale) -> None:
    port = tale.spawn()
    tale.say(InstanceActive(instance="i1", az=AZ, host="h1", port=port), "spawn-1")


def an_ip_changed_by_drift(tale: Tale) -> None:
    tale.live()
    tale.say(claimed(1, "h2", "h1", 2, ip="10.0.0.99"))


def a_generation_again(tale: Tale) -> None:
    tale.live()
    tale.say(claimed(1, "h2", "h1", 1))


def a_request_answered_twice(tale: Tale) -> None:
    port = tale.live()
    tale.say(InstanceActive(instance="i1", az=AZ, host="h1", port=port), "spawn-1")


def a_request_refused_and_granted(tale: Tale) -> None:
    tale.say(HostDrainRequested(host="h1"), "drain")
    tale.say(HostDraining(host="h1", az=AZ), "drain")
    tale.say(HostRefused(host="h1", reason="no", field="host", value="h1"), "drain")


def a_request_never_answered(tale: Tale) -> None:
    tale.live()
    tale.say(InstanceDriftRequested(instance="i1"), "drift-1")
    tale.quiet()


def a_redelivered_spawn_that_allocates_again(tale: Tale) -> None:
    tale.spawn()
    tale.say(allocated(2, instance="i1"))


def two_vnis_on_a_vlan(tale: Tale) -> None:
    tale.spawn()
    tale.say(allocated(2, vni=5002))


def two_vnis_on_a_vlan_of_a_leaf(tale: Tale) -> None:
    tale.live()
    tale.fabric.leaf("l1").interfaces["e9"] = {1: Entry(5002, "vrf1", "10.0.0.1/24")}
    tale.check()


def more_entries_than_the_hardware_holds(tale: Tale) -> None:
    tale.live()
    tale.fabric.leaf("l1").capacity = 0
    tale.check()


def an_entry_that_nobody_needs(tale: Tale) -> None:
    tale.fabric.leaf("l1").put("e1", 7, Entry(5001, "vrf1", "10.0.0.1/24"))
    tale.check()


def an_entry_removed_under_a_port(tale: Tale) -> None:
    tale.live()
    tale.fabric.leaf("l2").drop("e1", 1)
    tale.check()


def a_reference_count_that_is_off(tale: Tale) -> None:
    tale.live()
    tale.auditor._folded.leaves._users["l1", "e1", 1].add(("nobody", 1))
    tale.report(PortBound, tale.spawn(2), vlan=1, vni=5001)


def an_entry_dropped_that_a_claim_needs(tale: Tale) -> None:
    epoch = tale.report(PortBound, tale.spawn(), vlan=1, vni=5001)
    tale.say(LeafVlanRemoved(leaf="l1", az=AZ, interface="e1", vlan=1, vni=5001, epoch=epoch), actor="cnc")


def an_entry_made_that_no_claim_needs(tale: Tale) -> None:
    tale.live()
    tale.drift()
    added = LeafVlanAdded(leaf="l1", az=AZ, interface="e1", vlan=1, vni=5001, epoch=tale.unbound_at)
    tale.say(added, actor="cnc")


def a_second_writer(tale: Tale) -> None:
    added = LeafVlanAdded(leaf="l1", az=AZ, interface="e1", vlan=1, vni=5001, epoch=1)
    tale.say(added, actor="someone")


def two_wishes_of_one_epoch(tale: Tale) -> None:
    tale.leaf("h1", 1, 3)
    tale.leaf("h1", 1, 3, present=False)


def a_living_port_collected(tale: Tale) -> None:
    port = tale.live()
    tale.report(PortUnbound, port, vlan=1, vni=5001)


def an_orphan(tale: Tale, *, looks: Sequence[int], wait_us: int, report: bool = False) -> None:
    tale.say(allocated(1))
    for look in looks:
        tale.now_us += wait_us
        seen = PortOrphanSeen(port="i1-0", az=AZ, host="h1", generation=1, look=look)  # type: ignore[arg-type]
        tale.say(seen, id=f"look-{look}")
        if report and look == 1:
            tale.report(PortPlugged, "i1-0", received_us=0)
    unbound = PortUnbound(port="i1-0", az=AZ, host="h1", generation=1, vlan=1, vni=5001)
    tale.say(unbound, cause=f"look-{looks[-1]}")


def collected_after_one_look(tale: Tale) -> None:
    an_orphan(tale, looks=(1,), wait_us=HOUR_US)


def collected_without_a_grace_period(tale: Tale) -> None:
    an_orphan(tale, looks=(1, 2), wait_us=1000)


def collected_in_spite_of_a_fresh_report(tale: Tale) -> None:
    an_orphan(tale, looks=(1, 2), wait_us=HOUR_US, report=True)


def an_address_of_an_overlapping_subnet(tale: Tale) -> None:
    tale.say(NetworkCreated(network="n2", vpc="v1", vni=5002))
    tale.say(SubnetCreated(subnet="s2", network="n2", cidr="10.0.0.128/25", gateway="10.0.0.129"))
    tale.say(allocated(1, network="n2", subnet="s2", ip="10.0.0.140", vni=5002))


def flows_installed_anew_by_a_restart(tale: Tale) -> None:
    port = tale.live()
    cookie = tale.say(HostAgentStarted(host="h1", az=AZ))
    tale.fabric.host("h1").put_flow(port, Flow(1, "aa:11", 1, cookie))
    tale.check()


def an_undeclared_edge(tale: Tale) -> None:
    port = tale.spawn()
    claim = tale.auditor.live[port].current
    tale.report(PortUnderlayReported, port, status="ACTIVE", detected_us=0)
    claim.overlay = "ERROR"
    row = tale.auditor._folded.ports[port,]
    row.overlay_report = "ERROR"
    tale.report(PortBound, port, vlan=1, vni=5001)


def a_count_of_figure_8_that_is_off(tale: Tale) -> None:
    tale.auditor._folded.states.counts["ACTIVE_ACTIVE"] += 1
    tale.spawn()


def a_network_without_the_label(tale: Tale) -> None:
    create = PortCreateRequested(port="i1-0", az=AZ, host="h1", name="i1", instance="i1", label="test")
    tale.say(create)
    tale.say(allocated(1))


def refused_though_there_is_room(tale: Tale) -> None:
    tale.say(PortCreateRequested(port="i1-0", az=AZ, host="h1", name="i1", instance="i1", label="prod"))
    reason = "no address is left in any network with this label"
    tale.say(PortRefused(port="i1-0", az=AZ, host="h1", instance="i1", reason=reason, field="label", value="prod"))


def blocks(tale: Tale, *reserved: str) -> None:
    """A network with one block, which h1 has asked for and got; ``reserved`` of its addresses are never given out."""
    tale.say(NetworkCreated(network="n2", vpc="v1", model="host-local-bgp", block_length=29, labels=("pods",)))
    tale.say(SubnetCreated(subnet="s2", network="n2", cidr="10.0.9.0/29", gateway="10.0.9.1"))
    tale.say(HostBlockRequested(host="h1", az=AZ, network=None, label="pods"), id="asked")
    assigned = HostBlockAssigned(
        host="h1",
        az=AZ,
        network="n2",
        labels=("pods",),
        subnet="s2",
        vpc="v1",
        vrf="vrf1",
        model="host-local-bgp",
        cidr="10.0.9.0/29",
        gateway="10.0.9.1",
        reserved=reserved,
    )
    tale.say(assigned, cause="asked")
    tale.say(HostBlockAnnounced(host="h1", az=AZ, cidrs=("10.0.9.0/29",)))


def no_block(tale: Tale, host: str) -> None:
    """The host asks for a block, for a port by label, and gets none."""
    tale.say(PortCreateRequested(port="i9-0", az=AZ, host=host, name="i9", instance="i9", label="pods"))
    tale.say(HostBlockRequested(host=host, az=AZ, network=None, label="pods"), id="asked again")
    exhausted = HostBlockRefused(
        host=host, az=AZ, network=None, label="pods", reason="block exhausted", field="label", value="pods"
    )
    tale.say(exhausted, id="none", cause="asked again")
    refused = PortRefused(port="i9-0", az=AZ, host=host, instance="i9", reason="none left", field="host", value=host)
    tale.say(refused, cause="none")


def a_block_refused_though_one_is_free(tale: Tale) -> None:
    blocks(tale)
    tale.say(HostBlockReleased(host="h1", az=AZ, cidrs=("10.0.9.0/29",)))
    no_block(tale, "h2")


def a_port_refused_though_the_host_has_an_address(tale: Tale) -> None:
    blocks(tale)
    no_block(tale, "h1")


def the_last_address_is_offered_and_claimed(tale: Tale) -> None:
    """It is the only one of h1's block; port i1-0 gets it."""
    blocks(tale, *(f"10.0.9.{n}" for n in range(3, 7)))
    address: dict[str, Any] = {"subnet": "s2", "ip": "10.0.9.2", "prefix_length": 29, "gateway": "10.0.9.1"}
    tale.say(PortAddressOffered(port="i1-0", az=AZ, host="h1", name="i1", instance="i1", **address), id="offer")
    routed: dict[str, Any] = {"network": "n2", "model": "host-local-bgp", "vlan": 0, "vni": 0, "overlay_by": ""}
    tale.say(allocated(1, **address, **routed, physical_network="h1"), cause="offer")


def a_port_refused_though_what_was_offered_is_free_again(tale: Tale) -> None:
    the_last_address_is_offered_and_claimed(tale)
    tale.say(InstanceTerminating(instance="i1", az=AZ, host="h1"))
    tale.report(PortUnbound, "i1-0", vlan=0, vni=0)
    tale.report(PortUnplugged, "i1-0")
    tale.report(PortUnderlayRemoved, "i1-0")
    tale.say(msgspec.structs.replace(gone("h1"), subnet="s2", ip="10.0.9.2", physical_network="h1", vni=0))
    no_block(tale, "h1")


def test_a_host_whose_last_address_is_held_is_refused() -> None:
    tale = Tale()
    the_last_address_is_offered_and_claimed(tale)
    no_block(tale, "h1")
    assert tale.auditor.exercised[17] == 3  # by label, of a block, of an address


def test_a_host_without_a_block_is_refused_where_there_is_none() -> None:
    tale = Tale()
    blocks(tale)
    no_block(tale, "h2")
    assert tale.auditor.exercised[17] == 3  # by label, of a block, of an address


def cleared_without_the_host_s_word(tale: Tale) -> None:
    port = tale.live()
    tale.drift()
    tale.leaf("h1", 1, tale.unbound_at, present=False)
    tale.report(PortOverlayRemoved, port, "h1", 1)
    tale.cleared(port, "h1", 1)


def cleared_without_the_leaves_word(tale: Tale) -> None:
    port = tale.live()
    tale.drift()
    tale.report(PortUnderlayRemoved, port, "h1", 1)
    tale.cleared(port, "h1", 1)


def the_old_host_holds_on(tale: Tale) -> None:
    port = tale.live()
    tale.drift()
    vnic = tale.fabric.host("h1").vnics[port]
    tale.clear(port, "h1", 1)
    tale.cleared(port, "h1", 1)
    tale.fabric.host("h1").vnics[port] = vnic
    tale.check()


def a_port_that_waits_for_ever(tale: Tale) -> None:
    port = tale.spawn()
    tale.say(InstanceFailed(instance="i1", az=AZ, host="h1", reason="late"), "spawn-1")
    assert port in tale.auditor.live
    tale.auditor._stories.failed.clear()
    tale.quiet()


def a_failed_spawn_that_keeps_its_port(tale: Tale) -> None:
    tale.live()
    tale.auditor._stories.failed["i1"] = tale.position
    tale.quiet()


def a_device_that_holds_a_freed_port(tale: Tale) -> None:
    port = tale.live()
    device = tale.fabric.host("h1")
    vnic = device.vnics[port]
    tale.say(InstanceTerminating(instance="i1", az=AZ, host="h1"))
    tale.report(PortUnbound, port, vlan=1, vni=5001)
    tale.clear(port, "h1", 1)
    tale.say(gone("h1"))
    device.vnics[port] = vnic
    tale.check()


def something_left_after_all_was_deleted(tale: Tale) -> None:
    tale.live()
    tale.auditor.once_deleted(tale.fabric)


def a_vnic_with_another_address(tale: Tale) -> None:
    port = tale.live()
    device = tale.fabric.host("h1")
    device.vnics[port] = msgspec.structs.replace(device.vnics[port], ip="10.0.0.99")
    tale.quiet()


def a_port_that_cnc_does_not_know(tale: Tale) -> None:
    port = tale.live()
    del tale.auditor._folded.leaves.claims[port, 1]
    tale.quiet()


def a_drift_that_ended_elsewhere(tale: Tale) -> None:
    port = tale.live()
    tale.drift()
    tale.clear(port, "h1", 1)
    tale.cleared(port, "h1", 1)
    tale.wire(port, "h2", 2)
    tale.say(scheduled(1, "h1", "h3", 1), "drift-again")
    tale.say(InstanceDrifted(instance="i1", az=AZ, host="h2", from_host="h1", port=port, generation=2), "drift-1-2")
    tale.say(InstanceDrifted(instance="i1", az=AZ, host="h2", from_host="h1", port=port, generation=2), "drift-again")
    tale.quiet()


def a_leaf_that_serves_a_fenced_host(tale: Tale) -> None:
    tale.live()
    tale.say(HostFenced(host="h1", az=AZ, epoch=down(tale)))
    tale.check()


def an_error_without_a_broken_leaf(tale: Tale) -> None:
    port = tale.spawn()
    tale.report(PortBound, port, vlan=1, vni=5001)
    tale.report(PortOverlayReported, port, status="ERROR", reason="another host's leaf failed")


def guarded(tale: Tale, n: int = 1, identity: int = 256, ingress: HeldRules = None) -> str:
    """A port under enforcement that works, with these rules."""
    port = tale.spawn(n, policy_by="policy")
    tale.wire(port, ip=f"10.0.0.{10 + n}")
    host = tale.fabric.host("h1")
    host.vnics[port] = msgspec.structs.replace(host.vnics[port], enforced=True)
    host.policies[port] = HeldPolicy(1, tale.position, identity, ingress)
    tale.report(PortPolicyReported, port, status="ACTIVE", revision=tale.position)
    tale.say(InstanceActive(instance=f"i{n}", az=AZ, host="h1", port=port), f"spawn-{n}")
    return port


def closed(tale: Tale) -> int:
    """A policy that lets nobody in."""
    return tale.say(PolicyCreated(policy="p", vpc="v1", selects="all", ingress=(), revision=1))


def usable_without_its_rules(tale: Tale) -> None:
    port = guarded(tale)
    tale.quiet()
    del tale.fabric.host("h1").policies[port]
    tale.report(PortPlugged, port, received_us=0)
    tale.check()


def an_open_vnic_of_a_port_under_enforcement(tale: Tale) -> None:
    port = guarded(tale)
    host = tale.fabric.host("h1")
    host.vnics[port] = msgspec.structs.replace(host.vnics[port], enforced=False)
    tale.check()


def rules_that_let_in_what_policy_forbids(tale: Tale) -> None:
    guarded(tale, 1)
    port = guarded(tale, 2)
    tale.check()
    position = closed(tale)
    tale.check()  # its host may be behind
    held = tale.fabric.host("h1").policies[port]
    tale.fabric.host("h1").policies[port] = msgspec.structs.replace(held, revision=position)
    tale.report(PortPolicyReported, port, status="ACTIVE", revision=position)
    tale.check()


def a_policy_called_applied_that_is_not(tale: Tale) -> None:
    guarded(tale, 1)
    guarded(tale, 2)
    closed(tale)
    tale.check()
    tale.say(PolicyApplied(policy="p", revision=1))
    tale.report(PortPlugged, "i1-0", received_us=0)
    tale.check()


def rules_that_stop_what_policy_allows(tale: Tale) -> None:
    guarded(tale, 1, ingress=())
    guarded(tale, 2)
    tale.check()
    tale.quiet()


def an_identity_of_two_sets_of_labels(tale: Tale) -> None:
    labels = {"app": "db"}
    tale.say(InstanceScheduled(instance="i2", name="i2", az=AZ, host="h1", network="n1", labels=labels))
    guarded(tale, 1)
    guarded(tale, 2)
    tale.check()


def a_policy_that_is_never_applied(tale: Tale) -> None:
    closed(tale)
    tale.quiet()


def a_request_for_a_policy_without_an_answer(tale: Tale) -> None:
    tale.say(PolicyCreateRequested(policy="p", vpc="v1"))
    tale.quiet()


POLICED = (
    usable_without_its_rules,
    an_open_vnic_of_a_port_under_enforcement,
    rules_that_let_in_what_policy_forbids,
    a_policy_called_applied_that_is_not,
    rules_that_stop_what_policy_allows,
    an_identity_of_two_sets_of_labels,
    a_policy_that_is_never_applied,
    a_request_for_a_policy_without_an_answer,
)

PLANTED: tuple[tuple[int, Callable[[Tale], None]], ...] = (
    *((12, an_eni_said_to_be_in_another_zone), (12, an_eni_held_in_another_zone)),
    *((18, an_eni_where_no_claim_needs_it), (20, an_eni_of_no_port)),
    *((1, an_address_twice), (1, a_mac_twice), (1, the_gateway_given_out), (2, a_name_twice)),
    *((3, a_pool_that_does_not_add_up), (3, a_pool_that_lost_a_port)),
    *((4, usable_without_a_vnic), (4, usable_without_flows), (4, said_to_work_before_it_did)),
    *((5, an_ip_changed_by_drift), (6, a_generation_again)),
    *((8, a_request_answered_twice), (8, a_request_refused_and_granted), (8, a_request_never_answered)),
    (8, a_redelivered_spawn_that_allocates_again),
    *((9, two_vnis_on_a_vlan), (9, two_vnis_on_a_vlan_of_a_leaf), (9, more_entries_than_the_hardware_holds)),
    *((10, an_entry_that_nobody_needs), (10, an_entry_removed_under_a_port), (10, a_reference_count_that_is_off)),
    *((10, an_entry_dropped_that_a_claim_needs), (10, an_entry_made_that_no_claim_needs)),
    *((11, a_second_writer), (11, two_wishes_of_one_epoch)),
    *((13, a_living_port_collected), (13, collected_after_one_look)),
    *((13, collected_without_a_grace_period), (13, collected_in_spite_of_a_fresh_report)),
    *((14, an_address_of_an_overlapping_subnet), (15, flows_installed_anew_by_a_restart)),
    *((16, an_undeclared_edge), (16, a_count_of_figure_8_that_is_off)),
    *((17, a_network_without_the_label), (17, refused_though_there_is_room)),
    *((17, a_block_refused_though_one_is_free), (17, a_port_refused_though_the_host_has_an_address)),
    (17, a_port_refused_though_what_was_offered_is_free_again),
    *((18, cleared_without_the_host_s_word), (18, cleared_without_the_leaves_word), (18, the_old_host_holds_on)),
    *((19, a_port_that_waits_for_ever), (20, a_failed_spawn_that_keeps_its_port)),
    *((20, a_device_that_holds_a_freed_port), (20, something_left_after_all_was_deleted)),
    *((21, a_vnic_with_another_address), (21, a_port_that_cnc_does_not_know)),
    *((22, a_drift_that_ended_elsewhere), (22, a_leaf_that_serves_a_fenced_host)),
    (23, an_error_without_a_broken_leaf),
    *((24, plant) for plant in POLICED),
)


@pytest.mark.parametrize(("number", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_planted_violation_is_named(number: int, plant: Callable[[Tale], None]) -> None:
    with pytest.raises(Violation) as caught:
        plant(Tale())
    assert caught.value.number == number, str(caught.value)
    assert caught.value.position or number in (9, 10)
