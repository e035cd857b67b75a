"""The core router's gateways as effects with outcomes; and CNC's trunks and shut interfaces of leaves."""

import pytest

from bus.events import (
    Event,
    HostAdded,
    HostFenced,
    HostResynced,
    HostReturned,
    HostUp,
    LeafAdded,
    LeafInterfaceOpened,
    LeafInterfaceShut,
    LeafTrunkAdded,
    NetworkCreated,
    NetworkGatewayChanged,
    RouterAdded,
    RouterGatewayConfigured,
    SubnetCreated,
)
from tests.workers.playbook import AZ, Playbook, given, host_down
from workers import cnc, core_router
from workers.effects import PlugVnic, Result, RouterGateway, ShutInterface, TrunkVlan

ROUTER = RouterAdded(router="core1")
LEGACY = NetworkCreated(network="legacy", vpc="vpc1", model="vlan", vlan=100)
SUBNET = SubnetCreated(subnet="legacy-a", network="legacy", cidr="10.7.0.0/24", gateway="10.7.0.1")
MOVED = NetworkGatewayChanged(
    network="legacy", subnet="legacy-a", address="10.7.0.254", from_address="10.7.0.1", ports=0, instances=0
)


def gateway(epoch: int, address: str = "10.7.0.1/24") -> RouterGateway:
    return RouterGateway(device="core1", network="legacy", vlan=100, vrf="vrf1", address=address, epoch=epoch)


def configured(epoch: int, address: str = "10.7.0.1/24") -> RouterGatewayConfigured:
    ip, _, length = address.partition("/")
    return RouterGatewayConfigured(
        router="core1", network="legacy", vlan=100, ip=ip, prefix_length=int(length), epoch=epoch
    )


def state_of_legacy(play: Playbook) -> str:
    state = play.machine.state
    assert isinstance(state, core_router.RouterState)
    row = state.gateways.get("legacy")
    return row.state if row else ""


def test_the_gateway_of_a_provider_network_goes_to_the_router_and_that_of_no_other() -> None:
    play = given(core_router, ROUTER, LEGACY).when(SUBNET)
    play.then(gateway(play.machine.position))
    other = SubnetCreated(subnet="s3", network="net3", cidr="10.9.0.0/24", gateway="10.9.0.1")
    play.given(NetworkCreated(network="net3", vpc="vpc1", vni=7)).when(other).then_nothing()


def test_a_change_replaces_the_gateway_and_an_answer_to_the_old_wish_counts_for_nothing() -> None:
    play = given(core_router, ROUTER, LEGACY).when(SUBNET)
    first = play.machine.position
    play.when(MOVED)
    second = play.machine.position
    play.then(gateway(second, "10.7.0.254/24"))
    play.given(configured(first))
    assert state_of_legacy(play) == "configuring"
    play.given(configured(second, "10.7.0.254/24"))
    assert state_of_legacy(play) == "present"
    play.when_decided_again(MOVED).then_nothing()  # it is as wished: nothing more


def test_a_router_that_comes_late_is_told_all() -> None:
    play = given(core_router, LEGACY, SUBNET).when(ROUTER)
    play.then(gateway(play.machine.position))


def test_what_the_router_answers_is_an_event() -> None:
    assert core_router.settle(gateway(5), Result()) == (configured(5),)
    plug = PlugVnic(device="h1", port="p", az=AZ, generation=1, mac="", ip="", prefix_length=24, gateway="")
    with pytest.raises(TypeError, match="did not ask for"):
        core_router.settle(plug, Result())


# --- CNC: trunks ---

L1 = LeafAdded(leaf="l1", az=AZ, vtep="10.255.0.1", asn=1)
L2 = LeafAdded(leaf="l2", az=AZ, vtep="10.255.0.2", asn=2)


def trunk(leaf: str, epoch: int, vlan: int = 100) -> TrunkVlan:
    return TrunkVlan(device=leaf, az=AZ, vlan=vlan, epoch=epoch)


def test_every_leaf_trunks_every_provider_vlan_whoever_comes_first() -> None:
    play = given(cnc, L1).when(LEGACY)
    first = play.machine.position
    play.then(trunk("l1", first)).when(L2)
    second = play.machine.position
    play.then(trunk("l2", second))
    play.given(LeafTrunkAdded(leaf="l1", az=AZ, vlan=100, epoch=first))
    play.when_decided_again(LEGACY).then(trunk("l2", second))  # what a leaf has not acknowledged is asked for again
    play.given(LeafTrunkAdded(leaf="l2", az=AZ, vlan=100, epoch=second))
    play.when(NetworkCreated(network="net3", vpc="vpc1", vni=7)).then_nothing()  # EVPN needs no trunk
    play.when_decided_again(LEGACY).then_nothing()  # the second description changes nothing
    assert cnc.settle(trunk("l1", 5), Result()) == (LeafTrunkAdded(leaf="l1", az=AZ, vlan=100, epoch=5),)


# --- CNC: the fence ---


def shut(leaf: str, epoch: int, *, back: bool = False) -> ShutInterface:
    return ShutInterface(device=leaf, az=AZ, interface="e1", shut=not back, epoch=epoch)


def said(leaf: str, epoch: int, *, back: bool = False) -> Event:
    kind = LeafInterfaceOpened if back else LeafInterfaceShut
    return kind(leaf=leaf, az=AZ, interface="e1", epoch=epoch)


def with_provider() -> Playbook:
    return given(cnc, L1, L2, LEGACY)


def test_a_dead_host_is_fenced_only_once_both_its_interfaces_are_shut() -> None:
    play = with_provider().when(host_down())
    down = play.machine.position
    play.then(shut("l1", down), shut("l2", down))
    play.when(said("l1", down)).then_nothing()
    play.when(said("l2", down - 1)).then_nothing()  # an answer to an older wish
    play.when(said("l2", down)).then(HostFenced(host="h1", az=AZ, epoch=down))
    assert cnc.settle(shut("l1", 5), Result()) == (said("l1", 5),)
    assert cnc.settle(shut("l1", 5, back=True), Result()) == (said("l1", 5, back=True),)


def test_without_a_provider_network_nothing_is_shut() -> None:
    play = given(cnc, L1, L2).when(host_down())
    play.then(HostFenced(host="h1", az=AZ, epoch=play.machine.position))


def test_a_host_is_heard_again_once_it_was_cleaned_and_not_before() -> None:
    play = with_provider().when(host_down())
    down = play.machine.position
    play.given(said("l1", down), said("l2", down))
    play.when(HostResynced(host="h1", az=AZ, epoch=down)).then_nothing()  # it has not returned
    play.when(HostReturned(host="h1", az=AZ)).then_nothing()
    returned = play.machine.position
    play.when(HostResynced(host="h1", az=AZ, epoch=down)).then_nothing()  # of an earlier return
    play.when(HostResynced(host="h1", az=AZ, epoch=returned))
    cleaned = play.machine.position
    play.then(shut("l1", cleaned, back=True), shut("l2", cleaned, back=True))
    play.given(said("l1", cleaned, back=True), said("l2", cleaned, back=True), HostUp(host="h1", az=AZ))
    play.when(host_down())  # it dies again: shut anew
    play.then(shut("l1", play.machine.position), shut("l2", play.machine.position))


def test_a_host_that_dies_again_before_it_is_up_is_shut_again() -> None:
    play = with_provider().when(host_down())
    first = play.machine.position
    play.given(said("l1", first), said("l2", first), HostReturned(host="h1", az=AZ)).when(host_down())
    again = play.machine.position
    play.then(shut("l1", again), shut("l2", again))
    play.when(said("l1", again)).then_nothing()
    play.when(said("l2", again)).then(HostFenced(host="h1", az=AZ, epoch=again))


def test_a_host_that_is_not_in_the_world_has_no_interface() -> None:
    with_provider().given(HostAdded(host="h9", az=AZ, leaf_a="l1", leaf_b="l1", interface="e9")).when(
        host_down("h9")
    ).then_nothing()
