"""Provider networks on the modelled devices: who hears whom, by which hops, and what a broken piece does to it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.devices.simulated.device import CableDevice, DeviceState
from workers.devices.simulated.fabric import Fabric, SetHosts
from workers.devices.simulated.hops import Route, route
from workers.devices.simulated.journal import Journal
from workers.devices.simulated.kinds.router import RouterDevice
from workers.devices.simulated.leaf import LeafDevice
from workers.devices.simulated.reachability import ping, trace
from workers.effects import (
    AnyEffect,
    InstallFlows,
    LeafVlan,
    PlugVnic,
    RouterGateway,
    ShutInterface,
    TrunkVlan,
    UnplugVnic,
)

AZ = "az1"


def trunk(leaf: str, vlan: int, epoch: int = 1) -> TrunkVlan:
    return TrunkVlan(device=leaf, az=AZ, vlan=vlan, epoch=epoch)


def shut(leaf: str, interface: str, epoch: int = 5, *, back: bool = False) -> ShutInterface:
    return ShutInterface(device=leaf, az=AZ, interface=interface, shut=not back, epoch=epoch)


def gateway(vlan: int, address: str = "", vrf: str = "prod", epoch: int = 1) -> RouterGateway:
    address = address or f"10.{vlan}.0.1/24"
    return RouterGateway(device="core1", network=f"net{vlan}", vlan=vlan, vrf=vrf, address=address, epoch=epoch)


def plug(port: str, host: str, ip: str, router: str = "", generation: int = 1) -> PlugVnic:
    router = router or ".".join([*ip.split(".")[:3], "1"])
    common = {"device": host, "port": port, "az": AZ, "generation": generation}
    return PlugVnic(**common, mac=f"fa:16:{ip}", ip=ip, prefix_length=24, gateway=router)  # type: ignore[arg-type]


def wire(fabric: Fabric, port: str, host: str, ip: str, vlan: int = 0, generation: int = 1) -> None:
    vlan = vlan or int(ip.split(".")[1])
    common = {"device": host, "port": port, "az": AZ, "generation": generation}
    done(fabric, plug(port, host, ip, generation=generation))
    done(fabric, InstallFlows(**common, mac=f"fa:16:{ip}", vlan=vlan))  # type: ignore[arg-type]


def done(fabric: Fabric, *effects: AnyEffect) -> None:
    for effect in effects:
        assert fabric.apply(effect) == ""


def cabled(layout: str = "driftline") -> Fabric:
    """h1 and h2 below leaf1 and leaf2, h3 below leaf3 and leaf4, and the core router on VLANs 100, 200 and 30."""
    fabric = Fabric()
    for number in range(1, 5):
        fabric.add_leaf(f"leaf{number}", f"10.255.0.{number}")
    for host, a, b, interface in (("h1", 1, 2, "e1"), ("h2", 1, 2, "e2"), ("h3", 3, 4, "e1")):
        fabric.add_host(host, f"leaf{a}", f"leaf{b}", interface, layout)
    fabric.add_device(CableDevice("core1", "router"))
    for vlan, vrf in ((100, "prod"), (200, "prod"), (30, "lab")):
        done(fabric, *(trunk(f"leaf{number}", vlan) for number in range(1, 5)), gateway(vlan, vrf=vrf))
    return fabric


def inhabited(layout: str = "driftline") -> Fabric:
    fabric = cabled(layout)
    for port, host, ip in (
        ("a1", "h1", "10.100.0.11"), ("a3", "h3", "10.100.0.13"), ("b1", "h1", "10.200.0.21"),
        ("b2", "h2", "10.200.0.22"), ("c1", "h1", "10.30.0.31"), ("a4", "h1", "10.100.0.14"),
    ):  # fmt: skip
        wire(fabric, port, host, ip)
    return fabric


def with_evpn() -> Fabric:
    """And e3 on h3 in an EVPN network of the same VRF: VLAN 1 of its leaf pair, VNI 5000."""
    fabric = inhabited()
    wire(fabric, "e3", "h3", "10.1.0.3")
    for leaf in ("leaf3", "leaf4"):
        entry = LeafVlan(
            device=leaf,
            az=AZ,
            interface="e1",
            vlan=1,
            vni=5000,
            vrf="prod",
            gateway="10.1.0.1/24",
            epoch=1,
            present=True,
        )
        done(fabric, entry)
    return fabric


def kinds(path: Route) -> list[str]:
    return [hop.kind for hop in path.hops]


@pytest.mark.parametrize(
    ("source", "target"), [("a1", "a4"), ("a1", "a3"), ("a1", "b1"), ("a1", "b2"), ("a3", "b1"), ("e3", "b2")]
)
def test_who_is_in_the_vlan_or_in_the_vrf_is_reached(source: str, target: str) -> None:
    assert ping(with_evpn(), source, target).reason == ""


def test_another_vrf_is_not_reached_whatever_vlan_it_has() -> None:
    assert trace(inhabited(), "a1", "c1").reason == "router core1: no route to 10.30.0.31 in VRF prod"
    assert "no route" in trace(inhabited(), "c1", "a1").reason


# --- hops: Figures 5 and 6 ---


def test_two_networks_on_one_host_are_18_hops_apart_and_24_in_the_stock_layout() -> None:
    assert len(route(inhabited(), "a1", "b1").hops) == 18
    assert len(route(inhabited("openstack"), "a1", "b1").hops) == 24
    assert route(inhabited(), "a1", "b1", "openstack") == route(inhabited("openstack"), "a1", "b1")


def test_the_hops_are_those_of_figure_5_there_and_back() -> None:
    up = ["instance", "bridge", "patch", "patch", "bridge", "bond", "NIC", "switch", "router"]
    path = route(inhabited(), "a1", "b1")
    assert kinds(path) == up + up[::-1]
    assert [hop.part for hop in path.hops[:7]] == [
        "a1", "br-int", "int-br-bond", "phy-br-bond", "br-bond", "bond0", "eth0",
    ]  # fmt: skip


def test_the_stock_layout_adds_a_linux_bridge_and_a_veth_pair_beside_each_instance_and_nothing_else() -> None:
    mine, stock = route(inhabited(), "a1", "b1"), route(inhabited("openstack"), "a1", "b1")
    assert [hop for hop in stock.hops if hop in mine.hops] == list(mine.hops)
    assert [hop.part for hop in stock.hops if hop not in mine.hops] == [
        "qbr-a1", "qvb-a1", "qvo-a1", "qvo-b1", "qvb-b1", "qbr-b1",
    ]  # fmt: skip


def test_a_host_that_alone_has_the_stock_layout_shows_it_alone() -> None:
    fabric = inhabited()
    fabric.host("h3").layout = "openstack"
    assert len(route(fabric, "b1", "a3").hops) == 18 + 3


def test_hosts_of_different_leaf_pairs_are_three_switches_apart_and_those_of_one_pair_one() -> None:
    far, near = route(inhabited(), "a1", "a3"), route(inhabited(), "b1", "b2")
    assert [hop.device for hop in far.hops if hop.kind == "switch"] == ["leaf1", "spine", "leaf3"]
    assert (far.switch_hops, near.switch_hops) == (3, 1)
    assert kinds(route(inhabited(), "a1", "a4")) == ["instance", "bridge", "instance"]


def test_a_way_that_is_stopped_ends_there_and_says_why() -> None:
    fabric = inhabited()
    done(fabric, UnplugVnic(device="h1", port="b1", az=AZ, generation=1))
    assert route(fabric, "a1", "b1") == Route((), "host h1: br-int has flows of port b1, and no vNIC")
    done(fabric, shut("leaf1", "e1"))
    stopped = route(fabric, "a1", "a3")
    assert (stopped.hops[-1].part, stopped.reason) == ("br-int", "leaf leaf1: e1 is shut")
    with pytest.raises(ValueError, match="layout: round is none of driftline, openstack"):
        route(fabric, "a1", "a3", "round")


# --- what a broken piece does ---


def test_a_gateway_that_the_instance_was_not_told_routes_nothing_and_bridges_all_the_same() -> None:
    fabric = inhabited()
    done(fabric, gateway(100, "10.100.0.254/24", epoch=9))
    told = "router core1: the gateway of VLAN 100 is 10.100.0.254, port a1 was told 10.100.0.1"
    assert trace(fabric, "a1", "b1").reason == told
    assert trace(fabric, "b1", "a1").reachable  # the way there is routed, the way back is not
    assert not ping(fabric, "b1", "a1").reachable
    assert ping(fabric, "a1", "a3").reachable
    done(fabric, plug("a1", "h1", "10.100.0.11", "10.100.0.254"))  # told anew
    assert ping(fabric, "a1", "b1").reachable


def test_a_trunk_that_is_missing_on_one_leaf_of_the_bond_is_found() -> None:
    fabric = cabled()
    done(fabric, *(trunk(leaf, 300) for leaf in ("leaf1", "leaf3", "leaf4")))
    wire(fabric, "d1", "h1", "10.44.0.1", 300)
    wire(fabric, "d3", "h3", "10.44.0.3", 300)
    assert trace(fabric, "d1", "d3").reason == "leaf leaf2: the trunk does not carry VLAN 300"


def test_a_vlan_that_no_leaf_trunks_reaches_nobody_else() -> None:
    fabric = cabled()
    wire(fabric, "d1", "h1", "10.44.0.1", 300)
    wire(fabric, "d3", "h3", "10.44.0.3", 300)
    assert trace(fabric, "d1", "d3").reason == "leaf leaf1: e1 does not carry VLAN 300"


def test_a_shut_interface_lets_nothing_in_and_nothing_out_of_any_network() -> None:
    fabric = with_evpn()
    done(fabric, shut("leaf3", "e1"), shut("leaf4", "e1"))
    for port in ("a3", "e3"):
        assert trace(fabric, port, "b1").reason == "leaf leaf3: e1 is shut"
        assert not trace(fabric, "b1", port).reachable
    done(fabric, shut("leaf3", "e1", 6, back=True), shut("leaf4", "e1", 6, back=True))
    assert ping(fabric, "a3", "b1").reachable
    done(fabric, shut("leaf3", "e1", 5))  # an old wish that comes late
    assert ping(fabric, "a3", "b1").reachable


def test_an_address_at_two_hosts_is_ambiguous_until_the_dead_one_is_shut_off() -> None:
    fabric = inhabited()
    fabric.set_hosts(SetHosts(cut_off=["h3"]))  # it forwards still, and nobody can tell it that a3 has gone
    wire(fabric, "a3", "h2", "10.100.0.13", generation=2)
    assert "is ambiguous: attached at h2 (port a3) and h3 (port a3)" in trace(fabric, "a1", dst_ip="10.100.0.13").reason
    done(fabric, shut("leaf3", "e1"), shut("leaf4", "e1"))
    assert trace(fabric, "a1", dst_ip="10.100.0.13").hops[-1] == "a3@h2 vnic"
    assert ping(fabric, "b1", "a3").reachable


# --- devices ---


def test_a_vlan_is_a_trunks_or_a_vnis_never_both() -> None:
    leaf = LeafDevice("leaf1", "10.255.0.1")
    entry = LeafVlan(device="leaf1", az=AZ, interface="e1", vlan=7, vni=70, vrf="v", gateway="g", epoch=1, present=True)
    assert leaf.apply(entry) == ""
    assert leaf.apply(trunk("leaf1", 7)) == "leaf leaf1: VLAN 7 is VNI 70 on e1, it cannot be a provider network's"
    assert leaf.apply(trunk("leaf1", 8)) == ""
    other = msgspec.structs.replace(entry, vlan=8)
    assert leaf.apply(other) == "leaf leaf1: VLAN 8 is a provider network's, it cannot be VNI 70"
    again = LeafDevice("leaf1", "10.255.0.1")
    again.restore(leaf.state())
    assert again.state() == leaf.state()


def test_a_router_refuses_what_it_could_not_route_and_keeps_what_it_has() -> None:
    router = RouterDevice("core1")
    assert router.perform(gateway(1, "10.0.0.1/24")) == ""
    overlap = "router core1: 10.0.0.128/25 of VLAN 2 overlaps 10.0.0.1/24 of VLAN 1"
    assert router.perform(gateway(2, "10.0.0.129/25")) == overlap
    assert router.perform(gateway(3, "10.0.0.129/25", vrf="lab")) == ""  # another VRF has its own addresses
    assert router.perform(gateway(1, "ten")).startswith("router core1: VLAN 1: address: ")
    assert router.perform(trunk("core1", 5)) == "router core1: a router cannot perform TrunkVlan"
    assert sorted(router.gateways) == [1, 3]
    assert router.perform(gateway(1, "10.0.0.2/24", epoch=7)) == ""
    assert router.perform(gateway(1, "10.0.0.1/24", epoch=6)) == ""  # an old wish that comes late
    assert router.gateways[1].ip == "10.0.0.2"
    again = RouterDevice("core1")
    again.restore(router.state())
    assert again.state() == router.state()
    with pytest.raises(ValueError, match="options: colour"):
        Fabric().add_device(CableDevice("core1", "router", {"colour": "red"}))


def test_a_journal_remembers_trunks_interfaces_and_gateways(tmp_path) -> None:  # type: ignore[no-untyped-def]
    fabric = inhabited()
    done(fabric, shut("leaf3", "e1"))
    with Journal(tmp_path / "fabric.jsonl") as journal:
        journal.write([*fabric.cables(), *fabric.states()])
    with Journal(tmp_path / "fabric.jsonl", compact_above_lines=0) as journal:
        assert journal.fabric.dump() == fabric.dump()
    with Journal(tmp_path / "fabric.jsonl") as journal:
        assert list(journal.fabric.states()) == list(fabric.states())
        assert any(isinstance(state, DeviceState) for state in journal.fabric.states())
        assert journal.fabric.dump()["trunks"]["leaf3"] == {"vlans": [30, 100, 200], "shut": ["e1"]}


def test_the_same_addresses_in_another_vrf_are_somebody_elses() -> None:
    fabric = inhabited()
    done(fabric, *(trunk(f"leaf{number}", 40) for number in range(1, 5)), gateway(40, "10.100.0.1/24", vrf="lab"))
    wire(fabric, "x1", "h2", "10.100.0.11", 40)
    wire(fabric, "x3", "h3", "10.100.0.13", 40)
    assert [trace(fabric, port, dst_ip="10.100.0.11").hops[-1] for port in ("a3", "b2", "x3", "c1")] == [
        "a1@h1 vnic", "a1@h1 vnic", "x1@h2 vnic", "x1@h2 vnic",
    ]  # fmt: skip
    assert trace(fabric, "b2", "x1").reason == "IP 10.100.0.11 leads to port a1 at host h1, not to port x1"


# --- any wiring at all ---

LEAVES = {"h1": ("leaf1", "leaf2"), "h2": ("leaf1", "leaf2"), "h3": ("leaf3", "leaf4")}
INTERFACES = [("leaf1", "e1"), ("leaf2", "e1"), ("leaf1", "e2"), ("leaf2", "e2"), ("leaf3", "e1"), ("leaf4", "e1")]
relaxed = settings(deadline=None, max_examples=150)  # a busy machine is no failure


@relaxed
@given(
    st.sets(st.sampled_from(INTERFACES)),
    st.sets(st.sampled_from([f"leaf{number}" for number in range(1, 5)])),
    st.sampled_from([("d1", "d2"), ("d1", "d3"), ("d3", "d2"), ("d1", "a3"), ("d3", "a1")]),
)
def test_a_packet_arrives_if_every_way_out_is_open_and_one_way_in(
    closed: set[tuple[str, str]], bare: set[str], pair: tuple[str, str]
) -> None:
    """Against a plain model: the bond may hash to either leaf; the network has whoever still hears the other end."""
    fabric = inhabited()
    done(fabric, *(trunk(leaf, 300) for leaf in sorted({*LEAVES["h1"], *LEAVES["h3"]} - bare)))
    done(fabric, gateway(300, "10.44.0.1/24"))
    for port, host, ip in (("d1", "h1", "10.44.0.11"), ("d2", "h2", "10.44.0.12"), ("d3", "h3", "10.44.0.13")):
        wire(fabric, port, host, ip, 300)
    done(fabric, *(shut(leaf, interface) for leaf, interface in sorted(closed)))

    def ways(port: str) -> list[bool]:
        host = fabric.places_of_port(port)[0].host.host
        interface = "e2" if host == "h2" else "e1"
        carries = {leaf: port.startswith("a") or leaf not in bare for leaf in LEAVES[host]}
        return [carries[leaf] and (leaf, interface) not in closed for leaf in LEAVES[host]]

    source, target = pair
    path = trace(fabric, source, target)
    assert path.reachable == (all(ways(source)) and any(ways(target))), path.reason
    listed = route(fabric, source, target).hops
    if path.reachable:
        assert (listed[0].part, listed[-1].part) == pair
        assert len({(hop.device, hop.part, hop.kind) for hop in listed}) == len(listed)
