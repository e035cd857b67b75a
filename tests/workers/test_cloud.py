"""The worker ``cloud`` and the model ``eni``, decision by decision."""

from typing import Any

import pytest

from bus.envelope import Recorded
from bus.events import (
    AzAdded,
    CloudAudited,
    CloudAuditRequested,
    CloudDifference,
    CloudLeakCollected,
    CloudResource,
    Event,
    HostAdded,
    HostReturned,
    HostUp,
    InstanceDriftRefused,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortClaimCleared,
    PortClaimed,
    PortEniAttached,
    PortEniAvailable,
    PortEniDeleted,
    PortEniFailed,
    PortFloatingIpAssociated,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortRefused,
    PortUnbound,
    RegionAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from tests.workers.playbook import (
    AZ,
    By,
    Playbook,
    active,
    case,
    create_port,
    drift,
    host_down,
    say,
    scheduled,
    spawn,
)
from workers import cloud, ipam, nova
from workers.cloud_effects import AssociateFloatingIp, AttachEni, AuditCloud, CollectLeak, DeleteEni, EnsureEni
from workers.effects import AnyEffect, Result, UnplugVnic
from workers.worker import AUDIT_EVERY_US, Now

#: k1 and k2 are nodes of az1, k3 is one of az2. A t3.micro takes one pod.
NODES: tuple[Event, ...] = (
    RegionAdded(region="r1"),
    AzAdded(az=AZ, region="r1"),
    AzAdded(az="az2", region="r1"),
    *(
        HostAdded(
            host=host, az=az, leaf_a=a, leaf_b=b, interface=host, capacity=9, kind="node", instance_type="t3.micro"
        )
        for host, az, a, b in (("k1", AZ, "l1", "l2"), ("k2", AZ, "l1", "l2"), ("k3", "az2", "l3", "l4"))
    ),
    TenantAdded(tenant="t1"),
    VpcCreated(vpc="v1", tenant="t1", vrf="v1", cidr="10.0.0.0/16"),
    NetworkCreated(network="net1", vpc="v1", model="eni"),
    SubnetCreated(subnet="sub1", network="net1", cidr="10.0.1.0/28", gateway="10.0.1.1", zone=AZ),
)


def given(worker: Any, *history: Event | By) -> Playbook:
    return Playbook(worker).given(*NODES, *history)


def facts(host: str, generation: int, instance: str = "i1") -> dict[str, Any]:
    return {
        **{"port": f"{instance}-0", "az": AZ, "host": host, "name": f"{instance}-name", "instance": instance},
        **{"network": "net1", "subnet": "sub1", "vpc": "v1", "vrf": "v1", "generation": generation},
        **{"ip": "10.0.1.4", "secondary_ips": ("10.0.1.5",), "prefix_length": 28, "gateway": "10.0.1.1"},
        **{"mac": "fa:16:0a:00:01:04", "vlan": 0, "vni": 0, "model": "eni", "underlay_by": "", "overlay_by": "cloud"},
        "physical_network": "l3-l4" if host == "k3" else "l1-l2",
    }


ALLOCATED = PortAllocated(**facts("k1", 1))
CLAIMED = PortClaimed(**facts("k2", 2), from_host="k1")
#: The position of the first event after the world.
FIRST = len(NODES) + 1


def ensure(epoch: int, generation: int = 1, *, detach: bool = False) -> EnsureEni:
    return EnsureEni(**_eni(epoch, generation), detach=detach)


def attach(epoch: int, node: str = "k1", generation: int = 1) -> AttachEni:
    return AttachEni(**_eni(epoch, generation), node=node, node_az=AZ, instance_type="t3.micro")


def _eni(epoch: int, generation: int) -> dict[str, Any]:
    where = {"device": "cloud", "port": "i1-0", "az": AZ, "subnet": "sub1", "vpc": "v1"}
    return {**where, "epoch": epoch, "ip": "10.0.1.4", "secondary_ips": ("10.0.1.5",), "generation": generation}


def delete(epoch: int) -> DeleteEni:
    return DeleteEni(device="cloud", port="i1-0", az=AZ, epoch=epoch)


def available(epoch: int) -> PortEniAvailable:
    return PortEniAvailable(port="i1-0", az=AZ, epoch=epoch, eni="eni-1")


def attached(epoch: int, node: str = "k1") -> PortEniAttached:
    return PortEniAttached(port="i1-0", az=AZ, epoch=epoch, eni="eni-1", node=node)


def failed(epoch: int) -> PortEniFailed:
    return PortEniFailed(port="i1-0", az=AZ, epoch=epoch, reason="throttled")


def bound(host: str = "k1", generation: int = 1) -> Event:
    return say(PortBound, host=host, generation=generation, vlan=0, vni=0)


def unbound(host: str = "k1", generation: int = 1) -> Event:
    return say(PortUnbound, host=host, generation=generation, vlan=0, vni=0)


def overlay(host: str = "k1", generation: int = 1, **said: Any) -> PortOverlayReported:
    fields = {"status": "ACTIVE", "configured_us": 5, **said}
    return say(PortOverlayReported, host=host, generation=generation, **fields)


#: Allocated (FIRST), available, bound (FIRST + 2), attached and reported.
LIVING = (ALLOCATED, available(FIRST), bound(), attached(FIRST + 2), overlay())
AFTER = FIRST + len(LIVING)


def test_an_eni_is_made_at_once_and_attached_when_the_port_is_bound() -> None:
    play = given(cloud).when(ALLOCATED).then(ensure(FIRST))
    play.when(available(FIRST)).then_nothing()
    play.when(bound()).then(attach(FIRST + 2))
    play.when(attached(FIRST + 2)).then(overlay())
    play.when_decisions_come_back().when(bound()).then_nothing()


def test_bound_before_it_is_made() -> None:
    play = given(cloud, ALLOCATED).when(bound()).then(attach(FIRST + 1))
    play.when(available(FIRST)).then_nothing()  # an answer to what is needed no more
    play.when(attached(FIRST + 1)).then(overlay())


def test_a_drift_detaches_first_and_keeps_both_addresses() -> None:
    play = given(cloud, *LIVING).when(CLAIMED).then(ensure(AFTER, 2, detach=True))
    play.when(unbound()).then(ensure(AFTER, 2, detach=True))
    play.when(available(AFTER)).then(say(PortOverlayRemoved, host="k1"))
    play.when(bound("k2", 2)).then(attach(AFTER + 3, "k2", 2))
    play.when(attached(AFTER + 3, "k2")).then(overlay("k2", 2))


def test_an_old_claim_waits_until_it_is_known_to_be_detached() -> None:
    play = given(cloud, *LIVING, CLAIMED, unbound(), bound("k2", 2))
    play.when(available(AFTER)).then_nothing()  # answers the claim, and the ENI may be on its way to k2 by now
    play.when(attached(AFTER + 2, "k2")).then(say(PortOverlayRemoved, host="k1"), overlay("k2", 2))


def test_there_and_back_the_newer_claim_of_the_same_node_holds_it() -> None:
    back = PortClaimed(**facts("k1", 3), from_host="k2")
    play = given(cloud, *LIVING, CLAIMED, back, unbound(), unbound("k2", 2))
    play.when(bound("k1", 3)).then(say(PortOverlayRemoved, host="k1"), attach(AFTER + 4, "k1", 3))
    play.when(attached(AFTER + 4)).then(say(PortOverlayRemoved, host="k2", generation=2), overlay("k1", 3))


def test_what_cannot_be_attached_is_undone_and_told() -> None:
    play = given(cloud, ALLOCATED, available(FIRST), bound())
    error = overlay(status="ERROR", reason="throttled", configured_us=0)
    play.when(failed(FIRST + 2)).then(error, ensure(FIRST + 3, detach=True))
    play.when_decisions_come_back().when(available(FIRST + 3)).then_nothing()


def test_what_cannot_be_made_is_tried_again_when_it_is_bound() -> None:
    play = given(cloud, ALLOCATED).when(failed(FIRST)).then_nothing()
    play.when(bound()).then(attach(FIRST + 2))


def test_a_dead_node_is_fenced_by_detaching_and_gets_its_own_back() -> None:
    play = given(cloud, *LIVING).when(host_down("k1")).then(ensure(AFTER, detach=True))
    play.when(available(AFTER)).then_nothing()
    play.given(HostReturned(host="k1", az=AZ)).when(HostUp(host="k1", az=AZ)).then(attach(AFTER + 3))
    play.when(attached(AFTER + 3)).then(overlay())


def test_deleted_with_all_that_it_had() -> None:
    play = given(cloud, *LIVING).when(unbound()).then(delete(AFTER))
    play.when(PortEniDeleted(port="i1-0", az=AZ, epoch=AFTER)).then(say(PortOverlayRemoved, host="k1"))


def test_killed_between_create_and_attach_it_goes_on_from_the_log() -> None:
    """Nothing is in its memory: what is needed, and the epoch of it, are in the log."""
    given(cloud).when_decided_again(ALLOCATED).then(ensure(FIRST))
    given(cloud, ALLOCATED).when_decided_again(bound()).then(attach(FIRST + 1))
    given(cloud, ALLOCATED).when_decided_again(unbound(), available(FIRST)).then(delete(FIRST + 1))


def floating(request: str = "f1") -> By:
    return By(request, PortFloatingIpRequested(port="i1-0"))


def associate(epoch: int) -> AssociateFloatingIp:
    return AssociateFloatingIp(device="cloud", port="i1-0", az=AZ, epoch=epoch, ip="10.0.1.4")


def refused(reason: str, port: str = "i1-0") -> PortFloatingIpRefused:
    return PortFloatingIpRefused(port=port, reason=reason, field="port", value=port)


ADDRESS = PortFloatingIpAssociated(port="i1-0", az=AZ, address="198.18.0.1")


def test_a_floating_ip_waits_for_the_eni_and_is_given_once() -> None:
    play = given(cloud, ALLOCATED).when(floating()).then_nothing()
    play.when(available(FIRST)).then(associate(FIRST))
    play.when(By("f1", ADDRESS)).then_nothing()
    play.when(floating()).then_nothing()  # redelivered
    play.when(floating("f2")).then(refused("the port has a floating IP already: 198.18.0.1"))


def test_a_floating_ip_that_cannot_be() -> None:
    given(cloud).when(floating()).then(refused("unknown port"))
    given(cloud, *LIVING, unbound()).when(floating()).then(refused("the port is being deleted"))
    play = given(cloud, ALLOCATED, floating()).when(unbound())
    play.then(refused("the port is being deleted"), delete(FIRST + 2)).of_story("f1")


def test_a_refused_floating_ip_may_be_asked_for_again() -> None:
    play = given(cloud, *LIVING, floating(), By("f1", refused("AddressLimitExceeded")))
    play.when(floating("f2")).then(associate(FIRST + 2))


# Audits and leaks

LEAK = CloudDifference("eni", "eni-9", "ghost-0", missing=False)
AUDIT = CloudAuditRequested(cloud="cloud")


def audited(epoch: int, *found: CloudDifference) -> CloudAudited:
    return CloudAudited(cloud="cloud", epoch=epoch, found=found)


def test_an_audit_says_what_should_be_where() -> None:
    play = given(cloud, *LIVING).when(AUDIT)
    play.then(AuditCloud(device="cloud", epoch=AFTER, enis={"i1-0": "k1"}))


@pytest.mark.parametrize(
    ("apart_us", "collected"),
    [case("too soon", cloud.GRACE_US - 1, False), case("after the grace period", cloud.GRACE_US, True)],
)
def test_a_leak_goes_at_the_second_look(apart_us: int, collected: bool) -> None:
    play = given(cloud, *LIVING, AUDIT)
    at(play, audited(AFTER, LEAK), 1_000).then_nothing()
    play.given(AUDIT)
    at(play, audited(AFTER + 2, LEAK), 1_000 + apart_us)
    collect = CollectLeak(device="cloud", kind="eni", resource="eni-9", port="ghost-0", epoch=AFTER + 2)
    play.then(*([collect] if collected else []))


def test_what_is_gone_at_the_second_look_begins_anew() -> None:
    play = given(cloud, *LIVING, AUDIT)
    at(play, audited(AFTER, LEAK), 0)
    at(play, audited(AFTER + 2), 1)
    at(play, audited(AFTER + 4, LEAK), cloud.GRACE_US * 2).then_nothing()


def test_the_eni_of_a_live_port_is_no_leak() -> None:
    mine = CloudDifference("eni", "eni-1", "i1-0", missing=False)
    play = given(cloud, ALLOCATED, AUDIT)
    at(play, audited(FIRST + 1, mine), 0)
    at(play, audited(FIRST + 3, mine), cloud.GRACE_US * 2).then_nothing()


def test_what_somebody_took_away_is_attached_again() -> None:
    gone = CloudDifference("eni", "", "i1-0", missing=True)
    given(cloud, *LIVING, AUDIT).when(audited(AFTER, gone)).then(attach(AFTER + 1))
    late = given(cloud, *LIVING, AUDIT, CLAIMED, unbound())
    late.when(audited(AFTER, gone)).then_nothing()  # it has moved on since


def test_audits_come_by_the_clock_where_there_is_something_to_compare() -> None:
    def asked_at(play: Playbook, time_us: int) -> list[Event]:
        state = play.machine.state
        assert isinstance(state, cloud.CloudState)
        return [due.event for due in cloud.due(state, Now(time_us))]

    assert asked_at(given(cloud), AUDIT_EVERY_US * 9) == []
    assert asked_at(given(cloud, *LIVING), AUDIT_EVERY_US) == [AUDIT]
    assert asked_at(given(cloud, *LIVING), AUDIT_EVERY_US - 1) == []


def at(play: Playbook, event: Event, time_us: int) -> Playbook:
    """``event`` as it happened at this time."""
    position = play.machine.position + 1
    play.output = play.machine.step(Recorded(position, f"at{position}", event, "", "story", "cloud", time_us), time_us)
    return play


@pytest.mark.parametrize(
    ("effect", "result", "event"),
    [
        case("available", ensure(3), Result(found=(CloudResource("eni-1"),)), available(3)),
        case("attached", attach(3), Result(found=(CloudResource("eni-1"),)), attached(3)),
        case("failed", attach(3), Result("throttled"), failed(3)),
        case("deleted", delete(3), Result(), PortEniDeleted(port="i1-0", az=AZ, epoch=3)),
        case("address", associate(3), Result(found=(CloudResource("198.18.0.1"),)), ADDRESS),
        case("no address", associate(3), Result("AddressLimitExceeded"), refused("AddressLimitExceeded")),
        case("looked", AuditCloud(device="cloud", epoch=3, enis={}), Result(found=(LEAK,)), audited(3, LEAK)),
        case(
            "collected",
            CollectLeak(device="cloud", kind="eni", resource="eni-9", port="ghost-0", epoch=3),
            Result(),
            CloudLeakCollected(cloud="cloud", kind="eni", resource="eni-9", port="ghost-0"),
        ),
    ],
)
def test_outcomes(effect: AnyEffect, result: Result, event: Event) -> None:
    assert list(cloud.settle(effect, result)) == [event]


def test_it_asks_for_nothing_else() -> None:
    with pytest.raises(TypeError, match="cloud did not ask for"):
        list(cloud.settle(UnplugVnic(device="k1", port="p", az=AZ, generation=1), Result()))


def test_ipam_gives_two_addresses_and_none_of_amazons() -> None:
    given(ipam).when(create_port(host="k1")).then(ALLOCATED)


def test_ipam_counts_what_is_not_detached_yet() -> None:
    """A t3.micro takes one pod: also while one that has drifted away is still being detached."""
    play = given(ipam, create_port(host="k1"), ALLOCATED)
    full = "a t3.micro takes 2 ENIs, one of them the node's own, and all are taken"
    play.when(create_port("i2", "k1")).then(port_refused("i2", "k1", full, "k1 (t3.micro, 2 ENIs)"))
    drifted = given(ipam, create_port(host="k1"), ALLOCATED, CLAIMED)
    drifted.when(create_port("i2", "k1")).then(port_refused("i2", "k1", full, "k1 (t3.micro, 2 ENIs)"))
    cleared = say(PortClaimCleared, host="k1", physical_network="l1-l2", vni=0)
    (envelope,) = drifted.given(cleared).when(create_port("i3", "k1")).output.envelopes  # type: ignore[union-attr]
    assert isinstance(envelope.event, PortAllocated)


def test_ipam_refuses_another_zone_and_names_both() -> None:
    reason = "the subnet sub1 is in az1, the node in az2: an ENI does not leave its AZ"
    given(ipam).when(create_port(host="k3")).then(port_refused("i1", "k3", reason, "k3 (az2)"))


def test_ipam_refuses_a_node_of_an_unknown_type() -> None:
    odd = HostAdded(host="k4", az=AZ, leaf_a="l1", leaf_b="l2", interface="e9", kind="node", instance_type="t9.huge")
    reason = "how many ENIs the node takes is not known: its instance type is none that is known"
    given(ipam, odd).when(create_port(host="k4")).then(port_refused("i1", "k4", reason, "k4 (t9.huge)"))


def port_refused(instance: str, host: str, reason: str, value: str) -> PortRefused:
    at_host = {"port": f"{instance}-0", "az": AZ, "host": host}
    return PortRefused(**at_host, instance=instance, reason=reason, field="host", value=value)


def test_a_pool_that_has_one_address_left_has_none_for_a_pod() -> None:
    """A /28 has 16 addresses: 4 to 14 are for pods, two each, so the sixth finds one."""
    pods = [PortAllocated(**{**facts(f"h{n}", 1, f"p{n}"), **addresses(n)}) for n in range(5)]
    play = given(ipam, *pods).when(create_port("i9", "k1"))
    refusal = PortRefused(
        **{"port": "i9-0", "az": AZ, "host": "k1"},
        instance="i9",
        reason="no address is left in the network",
        field="network",
        value="net1",
    )
    play.then(refusal)


def addresses(n: int) -> dict[str, Any]:
    return {"ip": f"10.0.1.{4 + 2 * n}", "secondary_ips": (f"10.0.1.{5 + 2 * n}",), "mac": f"fa:16:00:00:00:0{n}"}


def test_nova_refuses_a_drift_to_another_zone_and_names_both() -> None:
    history = (By("q", spawn()), By("q", scheduled(host="k1")), *LIVING, say(PortPlugged, host="k1", received_us=1))
    play = given(nova, *history, By("q", active(host="k1")))
    refusal = InstanceDriftRefused(instance="i1", reason="the host is in az2, not in az1", field="host", value="k3")
    play.when(By("d", drift(host="k3"))).then(refusal)
