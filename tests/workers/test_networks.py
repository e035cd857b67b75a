"""IPAM on requests about networks: granted whole, or refused with what was wrong and nothing left behind."""

import ipaddress
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from bus.events import (
    Event,
    NetworkCreated,
    NetworkCreateRequested,
    NetworkGatewayChanged,
    NetworkGatewayChangeRequested,
    NetworkRefused,
    PortClaimed,
    PortRefused,
    RouterAdded,
    SubnetCreated,
)
from projections.addresses import VLAN_MAX
from tests.workers.playbook import (
    AZ,
    By,
    Playbook,
    active,
    allocated,
    case,
    claim_port,
    create_port,
    drift,
    drift_scheduled,
    given,
    scheduled,
    spawn,
    usable,
)
from workers import ipam
from workers.ipam_state import IpamState
from workers.models import MODELS
from workers.networks import VNI_FIRST

ROUTER = RouterAdded(router="core1")
LEGACY = NetworkCreated(network="legacy", vpc="vpc1", model="vlan", vlan=100)
SUBNET = SubnetCreated(subnet="legacy-a", network="legacy", cidr="10.7.0.0/24", gateway="10.7.0.1")


NO_VNI = "no VXLAN network identifier: RFC 7348 has 1 to 16777215"
UNKNOWN = f"no known network model; there are {', '.join(sorted(MODELS))}"
LOCAL = "the VLANs of this model are local to the leaf pairs"
OVERLAPS = "overlaps 10.7.0.0/24 of network legacy in VRF vrf1"
HOST_BITS = "no IPv4 network: 10.8.0.1/24 has host bits set"
STAYS = "the gateway of a network of this model is on every leaf and stays"
_numbers = itertools.count()


def q(event: Event) -> By:
    """A request, each with a story of its own."""
    return By(f"q{next(_numbers)}", event)


def ask(**wish: Any) -> NetworkCreateRequested:
    return NetworkCreateRequested(**{"network": "new", "vpc": "vpc1", "cidr": "10.8.0.0/24", "model": "vlan", **wish})


def created(**facts: Any) -> NetworkCreated:
    return NetworkCreated(**{"network": "new", "vpc": "vpc1", "model": "vlan", "vlan": 1, **facts})


def subnet(**facts: Any) -> SubnetCreated:
    return SubnetCreated(**{"subnet": "new-a", "network": "new", "cidr": "10.8.0.0/24", "gateway": "10.8.0.1", **facts})


def refused(reason: str, field: str, value: str, network: str = "new") -> NetworkRefused:
    return NetworkRefused(network=network, reason=reason, field=field, value=value)


def with_router(*history: Event | By) -> Playbook:
    return given(ipam, ROUTER, *history)


@pytest.mark.parametrize(
    ("wish", "network", "sub"),
    [
        case("the lowest VLAN that is free", {}, {}, {}),
        case("the VLAN that was asked for", {"vlan": 4094}, {"vlan": 4094}, {}),
        case("labels", {"labels": ("old",)}, {"labels": ("old",)}, {}),
        case("a gateway", {"gateway": "10.8.0.254"}, {}, {"gateway": "10.8.0.254"}),
        case("a VNI for EVPN", {"model": "evpn"}, {"model": "evpn", "vlan": 0, "vni": VNI_FIRST}, {}),
        case("the VNI that was asked for", {"model": "evpn", "vni": 77}, {"model": "evpn", "vlan": 0, "vni": 77}, {}),
        case("a name for the subnet", {"subnet": "s"}, {}, {"subnet": "s"}),
    ],
)  # fmt: skip
def test_a_network_is_created_with_its_subnet(wish: Any, network: Any, sub: Any) -> None:
    with_router().when(q(ask(**wish))).then(created(**network), subnet(**sub))


@pytest.mark.parametrize(
    ("wish", "reason", "field", "value"),
    [
        case("4095", {"vlan": 4095}, "no VLAN id: IEEE 802.1Q has 1 to 4094", "vlan", "4095"),
        case("0", {"vlan": 0}, "no VLAN id: IEEE 802.1Q has 1 to 4094", "vlan", "0"),
        case("below 0", {"vlan": -5}, "no VLAN id: IEEE 802.1Q has 1 to 4094", "vlan", "-5"),
        case("VLAN in use", {"vlan": 100}, "the VLAN is that of network legacy", "vlan", "100"),
        case("VNI in use", {"model": "evpn", "vni": 5001}, "the VNI is that of network net1", "vni", "5001"),
        case("VNI of 25 bits", {"model": "evpn", "vni": 1 << 24}, NO_VNI, "vni", "16777216"),
        case("a VNI for a provider network", {"vlan": 5, "vni": 9}, "a network of this model has no VNI", "vni", "9"),
        case("a VLAN for an EVPN network", {"model": "evpn", "vlan": 9}, LOCAL, "vlan", "9"),
        case("unknown model", {"model": "atm"}, UNKNOWN, "model", "atm"),
        case("unknown VPC", {"vpc": "nowhere"}, "unknown VPC", "vpc", "nowhere"),
        case("name in use", {"network": "net1"}, "there is a network of this name already", "network", "net1"),
        case("subnet in use", {"subnet": "sub1"}, "there is a subnet of this name already", "subnet", "sub1"),
        case("no name", {"subnet": "a.b"}, "is no name: letters, digits, _ and -, at most 63", "subnet", "a.b"),
        case("no label", {"labels": ("*",)}, "is no label: letters, digits, _ and -, at most 63", "labels", "*"),
        case("label twice", {"labels": ("a", "a")}, "the label is given twice", "labels", "a"),
        case("overlap", {"cidr": "10.7.0.128/25"}, OVERLAPS, "cidr", "10.7.0.128/25"),
        case("outside", {"cidr": "192.168.0.0/24"}, "is outside 10.0.0.0/8 of VPC vpc1", "cidr", "192.168.0.0/24"),
        case("too small", {"cidr": "10.8.0.0/31"}, "has no room for a gateway and a host", "cidr", "10.8.0.0/31"),
        case("host bits", {"cidr": "10.8.0.1/24"}, HOST_BITS, "cidr", "10.8.0.1/24"),
        case("gateway outside", {"gateway": "10.9.0.1"}, "is no host address of 10.8.0.0/24", "gateway", "10.9.0.1"),
        case("broadcast", {"gateway": "10.8.0.255"}, "is no host address of 10.8.0.0/24", "gateway", "10.8.0.255"),
        case("gateway no address", {"gateway": "x"}, "is no host address of 10.8.0.0/24", "gateway", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_leaves_nothing(wish: Any, reason: str, field: str, value: str) -> None:
    play = with_router(LEGACY, SUBNET)
    name = wish.get("network", "new")
    play.when(q(ask(**wish))).then(refused(reason, field, value, name))
    play.when_decisions_come_back()
    taken: dict[str, Any] = {
        "network": "again",
        "vpc": "vpc1",
        "cidr": "10.8.0.0/24",
        "model": "vlan",
        "vlan": 1,
        "subnet": "new-a",
    }
    play.when(q(NetworkCreateRequested(**taken)))  # nothing of the refused one is in the way
    play.then(created(network="again"), subnet(network="again"))


def test_without_a_core_router_there_is_no_provider_network() -> None:
    given(ipam).when(q(ask())).then(refused("there is no core router to hold its gateway", "model", "vlan"))


def test_when_all_4094_vlans_are_taken_the_next_is_refused_with_that_reason() -> None:
    many = [created(network=f"n{vlan}", vlan=vlan) for vlan in range(1, VLAN_MAX)]
    play = with_router(*many)
    play.when(q(ask(network="last"))).then(
        created(network="last", vlan=VLAN_MAX), subnet(subnet="last-a", network="last")
    )
    play.when(q(ask(cidr="10.9.0.0/24"))).then(refused("no VLAN is free, all are taken", "vlan", "any"))


def test_a_vlan_that_stands_for_a_vni_on_a_leaf_pair_is_no_providers_and_the_other_way_round() -> None:
    play = with_router(create_port(), allocated())  # VNI 5001 is VLAN 1 on l1 and l2
    play.when(q(ask(vlan=1))).then(refused("the VLAN stands for a VNI on leaf pair l1-l2", "vlan", "1"))
    play.when(q(ask())).then(created(vlan=2), subnet())
    play.when(create_port("i2", network="net2")).then(allocated("i2", network="net2", vlan=3))


def test_a_provider_network_that_was_described_in_spite_of_that_gets_no_port_there() -> None:
    play = with_router(create_port(), allocated(), created(vlan=1), subnet())
    play.when(create_port("i2", network="new"))
    at = {"port": "i2-0", "az": AZ, "host": "h1", "instance": "i2"}
    reason = "the VLAN of the network stands for a VNI on the leaf pair"
    play.then(PortRefused(**at, reason=reason, field="vlan", value="1 on l1-l2"))


def test_a_request_decided_again_finishes_what_a_dead_process_began_and_no_more() -> None:
    whole = By("q", ask(), "q1")
    play = with_router().when_decided_again(whole, By("q", created()))
    play.then(subnet())
    with_router().when_decided_again(whole, By("q", created()), By("q", subnet())).then_nothing()
    no = By("q", ask(vlan=0), "q2")
    with_router().when_decided_again(no, By("q", refused("x", "vlan", "0"))).then_nothing()


@given_any(st.lists(st.tuples(st.sampled_from(["vlan", "evpn"]), st.one_of(st.none(), st.integers(0, 6))), max_size=12))
def test_whatever_is_asked_for_no_two_networks_share_a_number_or_an_address(
    asked: list[tuple[str, int | None]],
) -> None:
    play = with_router()
    granted: list[NetworkCreated] = []
    cidrs: list[ipaddress.IPv4Network] = []
    for index, (model, vlan) in enumerate(asked):
        number = {"vlan": vlan} if model == "vlan" else {"vni": vlan}
        play.when(q(ask(network=f"n{index}", model=model, cidr=f"10.8.{index % 5}.0/24", **number)))
        assert play.output is not None
        events = [envelope.event for envelope in play.output.envelopes]
        assert [type(event).__name__ for event in events] in (["NetworkRefused"], ["NetworkCreated", "SubnetCreated"])
        granted += [event for event in events if isinstance(event, NetworkCreated)]
        cidrs += [ipaddress.IPv4Network(event.cidr) for event in events if isinstance(event, SubnetCreated)]
    assert len({one.vlan for one in granted if one.vlan}) == sum(bool(one.vlan) for one in granted)
    assert len({one.vni for one in granted if one.vni}) == sum(bool(one.vni) for one in granted)
    assert not any(one.overlaps(other) for one in cidrs for other in cidrs if one is not other)


# --- gateways ---


def move(address: str = "10.7.0.254", network: str = "legacy") -> NetworkGatewayChangeRequested:
    return NetworkGatewayChangeRequested(network=network, address=address)


def moved(address: str, was: str, **hosts: int) -> NetworkGatewayChanged:
    count = sum(hosts.values())
    facts = {"network": "legacy", "subnet": "legacy-a", "address": address, "from_address": was}
    return NetworkGatewayChanged(**facts, ports=count, instances=count, hosts=hosts)


def with_ports() -> Playbook:
    """i1 and i2 on h1, i3 on h2, all of the provider network."""
    play = with_router(LEGACY, SUBNET)
    for instance, host in (("i1", "h1"), ("i2", "h1"), ("i3", "h2")):
        play.when(create_port(instance, host, network="legacy"))
        play.when_decisions_come_back()
    return play


def test_a_gateway_changes_with_its_blast_radius() -> None:
    play = with_ports()
    play.when(q(move())).then(moved("10.7.0.254", "10.7.0.1", h1=2, h2=1))
    play.when_decisions_come_back()
    play.when(q(move("10.7.0.1")))
    play.then(moved("10.7.0.1", "10.7.0.254"))  # back again: nobody was told the one in between


@pytest.mark.parametrize(
    ("address", "network", "reason", "field", "value"),
    [
        case("outside", "10.9.0.1", "legacy", "is no host address of 10.7.0.0/24", "address", "10.9.0.1"),
        case("no address", "bond", "legacy", "is no host address of 10.7.0.0/24", "address", "bond"),
        case("a port's", "10.7.0.2", "legacy", "is held by port i1-0", "address", "10.7.0.2"),
        case("the same", "10.7.0.1", "legacy", "is the gateway already", "address", "10.7.0.1"),
        case("no network", "10.7.0.9", "nowhere", "unknown network", "network", "nowhere"),
        case("on every leaf", "10.0.1.2", "net1", STAYS, "network", "net1 (evpn)"),
    ],
)  # fmt: skip
def test_a_gateway_that_cannot_be_is_refused(address: str, network: str, reason: str, field: str, value: str) -> None:
    with_ports().when(q(move(address, network))).then(refused(reason, field, value, network))


def test_a_gateway_of_now_or_of_before_is_given_to_nobody() -> None:
    net = created(vlan=9)
    play = with_router(net, subnet(cidr="10.8.0.0/29")).when(q(move("10.8.0.3", "new")))  # .1 to .6
    play.when_decisions_come_back()
    state = play.machine.state
    assert isinstance(state, IpamState)
    pool = state.addresses.pools["new-a"]
    assert (pool.row.size, pool.row.reserved, pool.row.free) == (8, 4, 4)
    assert list(pool.free()) == ["10.8.0.2", "10.8.0.4", "10.8.0.5", "10.8.0.6"]


def test_who_drifts_is_told_the_gateway_of_now() -> None:
    play = with_router(LEGACY, SUBNET, By("q-i1", spawn()), By("q-i1", scheduled()))
    play.when(create_port(network="legacy")).when_decisions_come_back()
    play.given(*usable(), By("q-i1", active()))
    play.when(q(move())).when_decisions_come_back()
    play.given(By("d", drift()), By("d", drift_scheduled())).when(By("d", claim_port()))
    assert play.output is not None
    claimed = play.output.envelopes[0].event
    assert isinstance(claimed, PortClaimed)
    assert (claimed.ip, claimed.vlan, claimed.gateway) == ("10.7.0.2", 100, "10.7.0.254")


def wanted(**wish: Any) -> NetworkCreateRequested:
    return NetworkCreateRequested(**{"network": "new", "vpc": "vpc1", "cidr": "10.70.0.0/24", **wish})


def refusal(reason: str, field: str, value: str) -> NetworkRefused:
    return NetworkRefused(network="new", reason=reason, field=field, value=value)


NO_AZ = "unknown availability zone; a subnet of this model is in one"


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"model": "eni"}, refusal(NO_AZ, "zone", "none")),
        ({"model": "eni", "zone": "az9"}, refusal(NO_AZ, "zone", "az9")),
        ({"zone": AZ}, refusal("a subnet of this model is in no single AZ", "zone", AZ)),
        ({"block_length": 24}, refusal("hosts have no blocks in this model", "block_length", "24")),
        (
            {"model": "host-local-bgp", "block_length": 23},
            refusal("a block is a /24 to a /29", "block_length", "23"),
        ),
        (
            {"model": "host-local-bgp", "block_length": 27, "cidr": "10.70.0.0/28"},
            refusal("a block, a /27, is larger than the subnet 10.70.0.0/28", "block_length", "27"),
        ),
        (
            {"model": "host-local-vxlan", "cidr": "10.70.0.0/25"},
            refusal("a block, a /24, is larger than the subnet 10.70.0.0/25", "block_length", "24"),
        ),
        (
            {"model": "eni", "zone": AZ, "cidr": "10.70.0.0/29"},
            refusal("a subnet of EC2 is a /16 to a /28", "cidr", "10.70.0.0/29"),
        ),
    ],
)
def test_a_zone_and_blocks_are_for_the_models_that_have_them(wish: dict[str, Any], why: NetworkRefused) -> None:
    given(ipam).when(wanted(**wish)).then(why)


def test_a_network_of_a_cloud_is_in_its_zone_and_one_of_blocks_has_their_length() -> None:
    subnet = SubnetCreated(subnet="new-a", network="new", cidr="10.70.0.0/24", gateway="10.70.0.1")
    given(ipam).when(wanted(model="eni", zone=AZ)).then(
        NetworkCreated(network="new", vpc="vpc1", model="eni"), msgspec.structs.replace(subnet, zone=AZ)
    )
    given(ipam).when(wanted(model="host-local-bgp", block_length=25, policy=True)).then(
        NetworkCreated(network="new", vpc="vpc1", model="host-local-bgp", block_length=25, policy=True), subnet
    )


OF_HOSTS = "the label is that of network blocks, whose addresses host-ipam gives out, and not ipam"


def test_a_label_is_of_networks_of_one_ipam() -> None:
    blocks = NetworkCreated(network="blocks", vpc="vpc1", model="host-local-bgp", labels=("pods",))
    given(ipam, blocks).when(wanted(labels=("pods",))).then(refusal(OF_HOSTS, "labels", "pods"))
    subnet = SubnetCreated(subnet="new-a", network="new", cidr="10.70.0.0/24", gateway="10.70.0.1")
    given(ipam, blocks).when(wanted(model="host-local-vxlan", labels=("pods",))).then(
        NetworkCreated(network="new", vpc="vpc1", model="host-local-vxlan", labels=("pods",)), subnet
    )
