"""IPAM gives an address out once, and back only when both planes have confirmed that nothing is left."""

import pytest

from bus.events import (
    Event,
    HostAdded,
    NetworkCreated,
    PortAllocated,
    PortBindRequested,
    PortDeleteRequested,
    PortEvent,
    PortOverlayRemoved,
    PortRefused,
    PortUnderlayRemoved,
    SubnetCreated,
)
from projections.addresses import VLAN_MAX
from tests.workers.playbook import (
    AZ,
    Playbook,
    allocated,
    bound,
    case,
    create_port,
    given,
    port_deleted,
    port_refused,
    say,
    unbound,
)
from workers import ipam

BIND, GIVE_BACK = say(PortBindRequested), say(PortDeleteRequested)
UNDERLAY_GONE, OVERLAY_GONE = say(PortUnderlayRemoved), say(PortOverlayRemoved)


def refused(reason: str, field: str, value: str, instance: str = "i1", host: str = "h1") -> PortRefused:
    at = {"port": f"{instance}-0", "az": AZ, "host": host}
    return PortRefused(**at, instance=instance, reason=reason, field=field, value=value)


def filler(vni: int, vlan: int, instance: str = "x") -> PortAllocated:
    """A port of some other network that takes a VLAN of the leaf pair l1, l2."""
    port = allocated(f"{instance}{vni}", ip="10.0.9.9", vlan=vlan)
    fields = {name: getattr(port, name) for name in port.__struct_fields__}
    return PortAllocated(**{**fields, "vni": vni, "vrf": f"vrf{vni}", "subnet": "sub9"})


def vlans_taken(vlans: range) -> Playbook:
    """All of ``vlans`` are taken on the leaf pair l1, l2."""
    many = SubnetCreated(subnet="sub9", network="net9", cidr="10.9.0.0/16", gateway="10.9.0.1")
    net9 = NetworkCreated(network="net9", vpc="vpc1", vni=5009)
    return given(ipam, net9, many, *(filler(9000 + vlan, vlan) for vlan in vlans))


def test_the_first_address_and_the_first_vlan_are_given_out() -> None:
    given(ipam).when(create_port()).then(allocated())


def test_a_redelivered_request_allocates_nothing_more() -> None:
    play = given(ipam).when(create_port()).when_decisions_come_back().when(create_port()).then_nothing()
    play.given(port_deleted()).when(create_port()).then_nothing()


def test_a_refused_request_is_not_granted_later() -> None:
    given(ipam, create_port(), port_refused()).when(create_port()).then_nothing()


def test_two_requests_of_one_batch_never_get_the_same_address() -> None:
    play = given(ipam).when(create_port("i1", network="net2")).then(allocated("i1", network="net2"))
    play.when(create_port("i2", network="net2")).then(allocated("i2", network="net2", ip="10.0.2.3"))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        case("host", create_port(host="h9"), refused("unknown host", "host", "h9", host="h9")),
        case("network", create_port(network="net9"), refused("unknown network", "network", "net9")),
        case("label", create_port(label="dev"), refused("no network carries this label", "label", "dev")),
    ],
)
def test_a_wrong_request_is_refused_by_field_and_value(request_: Event, expected: Event) -> None:
    given(ipam).when(request_).then(expected)


def test_a_name_in_use_is_refused_and_free_again_once_its_port_is_deleted() -> None:
    again = create_port("i2", name="i1-name", network="net2")
    play = given(ipam, allocated()).when(again).then(refused("the port name is in use", "name", "i1-name", "i2"))
    given(ipam, allocated(), port_deleted()).when(again)
    assert play.output is not None


def test_an_empty_network_is_refused() -> None:
    given(ipam, allocated()).when(create_port("i2")).then(
        refused("no address is left in the network", "network", "net1", "i2")
    )


def test_a_label_takes_the_next_network_only_when_the_first_is_full() -> None:
    play = given(ipam).when(create_port("i1", label="prod")).then(allocated("i1"))
    play.when(create_port("i2", label="prod")).then(allocated("i2", network="net2", vlan=2))


def test_a_label_is_refused_when_all_of_its_networks_are_full() -> None:
    full = [allocated(f"x{n}", network="net2", ip=f"10.0.2.{n}", vlan=2) for n in range(2, 7)]
    given(ipam, allocated(), *full).when(create_port("i2", label="prod")).then(
        refused("no address is left in any network with this label", "label", "prod", "i2")
    )


def test_a_network_takes_no_second_subnet() -> None:
    """Its leaves would know one gateway only."""
    more = SubnetCreated(subnet="sub1b", network="net1", cidr="10.0.3.0/30", gateway="10.0.3.2")
    given(ipam, more, allocated()).when(create_port("i2")).then(
        refused("no address is left in the network", "network", "net1", "i2")
    )


@pytest.mark.parametrize(
    "facts",
    [
        [NetworkCreated(network="twin", vpc="vpc1", vni=5001, labels=("twin",))],  # the VNI of net1
        [
            NetworkCreated(network="twin", vpc="vpc1", vni=7777, labels=("twin",)),
            SubnetCreated(subnet="overlaps", network="twin", cidr="10.0.0.0/16", gateway="10.0.9.1"),
        ],
        [SubnetCreated(subnet="early", network="twin", cidr="10.7.0.0/16", gateway="10.7.0.1")],
    ],
)
def test_facts_that_contradict_others_give_no_address(facts: list[Event]) -> None:
    play = given(ipam, *facts).when(create_port("i2", network="twin"))
    assert play.output is not None
    assert isinstance(play.output.envelopes[0].event, PortRefused)


def test_an_address_that_the_vrf_holds_is_passed_over_whatever_subnet_it_was_taken_from() -> None:
    stray = allocated("x", network="net1", ip="10.0.2.2")  # an address of net2
    play = given(ipam, stray).when(create_port("i1", network="net2"))
    play.then(allocated("i1", network="net2", ip="10.0.2.3", vlan=2))


def test_network_broadcast_and_gateway_addresses_are_never_given_out() -> None:
    middle = SubnetCreated(subnet="sub8", network="net8", cidr="10.0.8.0/29", gateway="10.0.8.3")
    play = given(ipam, NetworkCreated(network="net8", vpc="vpc1", vni=5008), middle)
    given_out = []
    for n in range(5):
        play.when(create_port(f"i{n}", network="net8"))
        assert play.output is not None
        given_out.append(play.output.envelopes[0].event.ip)  # type: ignore[union-attr]
    assert given_out == [f"10.0.8.{last}" for last in (1, 2, 4, 5, 6)]
    play.when(create_port("i5", network="net8")).then(
        refused("no address is left in the network", "network", "net8", "i5")
    )


def test_an_address_is_free_only_once_both_planes_are_clear() -> None:
    play = given(ipam, allocated(), bound(), unbound()).when(UNDERLAY_GONE).then_nothing()
    play.when(create_port("i2")).then(refused("no address is left in the network", "network", "net1", "i2"))
    play.when(OVERLAY_GONE).then(port_deleted()).when_decisions_come_back()
    play.when(create_port("i3")).then(allocated("i3"))


def test_the_planes_may_be_cleared_in_any_order() -> None:
    given(ipam, allocated(), unbound(), OVERLAY_GONE).when(UNDERLAY_GONE).then(port_deleted())


def test_a_redelivered_clearance_deletes_nothing_again() -> None:
    cleared = (allocated(), unbound(), UNDERLAY_GONE, OVERLAY_GONE, port_deleted())
    given(ipam, *cleared).when(OVERLAY_GONE).then_nothing()


def test_an_address_that_came_back_is_given_out_after_all_others() -> None:
    first, second = allocated("i1", network="net2"), allocated("i2", network="net2", ip="10.0.2.3")
    play = given(ipam, first, port_deleted("i1", network="net2")).when(create_port("i2", network="net2")).then(second)
    for n in range(3, 6):
        play.when(create_port(f"i{n}", network="net2")).then(allocated(f"i{n}", network="net2", ip=f"10.0.2.{n + 1}"))
    play.when(create_port("i6", network="net2")).then(allocated("i6", network="net2"))


def test_a_port_is_bound_where_it_was_claimed() -> None:
    play = given(ipam, allocated()).when(BIND).then(bound()).when_decisions_come_back()
    play.when(BIND).then_nothing()


def test_a_port_that_is_being_deleted_is_not_bound_any_more() -> None:
    given(ipam, allocated(), unbound()).when(BIND).then_nothing()


def test_giving_a_port_back_unbinds_it_and_keeps_its_address() -> None:
    play = given(ipam, allocated(), bound()).when(GIVE_BACK).then(unbound()).when_decisions_come_back()
    play.when(GIVE_BACK).then_nothing()
    play.when(create_port("i2")).then(refused("no address is left in the network", "network", "net1", "i2"))


def test_a_port_that_was_never_bound_is_unbound_all_the_same() -> None:
    given(ipam, allocated()).when(GIVE_BACK).then(unbound())


@pytest.mark.parametrize("stale", [{"host": "h2"}, {"generation": 2}], ids=str)
@pytest.mark.parametrize("kind", [PortBindRequested, PortDeleteRequested, PortUnderlayRemoved, PortOverlayRemoved])
def test_a_report_of_another_claim_changes_nothing(kind: type[PortEvent], stale: dict[str, str]) -> None:
    play = given(ipam, allocated(), OVERLAY_GONE if kind is PortUnderlayRemoved else UNDERLAY_GONE)
    play.when(say(kind, **stale)).then_nothing()  # type: ignore[arg-type]


@pytest.mark.parametrize("report", [BIND, GIVE_BACK, UNDERLAY_GONE, OVERLAY_GONE], ids=lambda e: type(e).__name__)
def test_a_report_about_an_unknown_port_changes_nothing(report: Event) -> None:
    given(ipam).when(report).then_nothing()


def test_a_network_has_one_vlan_on_a_leaf_pair_and_may_have_another_on_the_next() -> None:
    pair = given(ipam, allocated(), allocated("i2", network="net2", vlan=2))
    pair.when(create_port("i3", host="h2", network="net2")).then(
        allocated("i3", "h2", network="net2", ip="10.0.2.3", vlan=2)
    )
    pair.when(create_port("i4", host="h3", network="net2")).then(
        allocated("i4", "h3", network="net2", ip="10.0.2.4", vlan=1)
    )


def test_a_leaf_pair_without_a_vlan_is_refused_and_other_pairs_are_not() -> None:
    play = vlans_taken(range(1, VLAN_MAX + 1)).when(create_port("i1"))
    play.then(refused("no VLAN is left on the leaf pair", "host", "h1 (l1-l2)"))
    play.when(create_port("i2", host="h3")).then(allocated("i2", "h3"))


def test_the_last_vlan_is_given_out() -> None:
    vlans_taken(range(1, VLAN_MAX)).when(create_port()).then(allocated(vlan=VLAN_MAX))


def test_a_vlan_is_reused_once_the_last_port_of_its_network_has_left_the_pair() -> None:
    two = (allocated("i1", network="net2"), allocated("i2", network="net2", ip="10.0.2.3"))
    left = port_deleted("i1", network="net2")
    given(ipam, *two, left).when(create_port("i3")).then(allocated("i3", vlan=2))
    right = port_deleted("i2", network="net2", ip="10.0.2.3")
    given(ipam, *two, left, right).when(create_port("i3")).then(allocated("i3", vlan=1))


def test_the_order_in_which_a_host_names_its_leaves_does_not_matter() -> None:
    turned = HostAdded(host="h4", az=AZ, leaf_a="l2", leaf_b="l1", interface="e4")
    given(ipam, turned, allocated("i1", network="net2")).when(create_port("i2", host="h4")).then(
        allocated("i2", "h4", vlan=2)
    )


def test_a_second_description_of_a_subnet_changes_nothing() -> None:
    again = SubnetCreated(subnet="sub1", network="net1", cidr="10.0.1.0/24", gateway="10.0.1.1")
    given(ipam, allocated(), again).when(create_port("i2")).then(
        refused("no address is left in the network", "network", "net1", "i2")
    )
