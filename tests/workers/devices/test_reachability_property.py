"""Healthy ports reach each other within their VRF and nobody else, and every piece of configuration is needed."""

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.workers.devices.world import BLUE, HOSTS, RED_1, RED_2, Net, Port, leaf_vlan, no_flows, unplug, wired
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.reachability import ping, trace
from workers.effects import AnyEffect

hosts = st.sampled_from(sorted(HOSTS))
red = st.sampled_from([RED_1, RED_2])
relaxed = settings(deadline=None)  # a busy machine is no failure


class Piece(NamedTuple):
    """One piece of configuration: on which device, and how to take it away."""

    device: str
    take_away: Callable[[Fabric], object]


def pieces(port: Port) -> list[Piece]:
    """All that ``port`` needs to talk to another host or VLAN."""
    host, interface, net = port.host, HOSTS[port.host].interface, port.net
    return [
        Piece(host, lambda fabric: fabric.apply(unplug(port))),
        Piece(host, lambda fabric: fabric.apply(no_flows(port))),
        Piece(host, lambda fabric: fabric.host(host).trunk.discard(net.vlan)),
        *(Piece(leaf, _without(leaf, interface, port)) for leaf in port.leaves),
    ]


def _without(leaf: str, interface: str, port: Port) -> Callable[[Fabric], object]:
    return lambda fabric: fabric.apply(leaf_vlan(leaf, interface, port.net, 2, present=False))


@st.composite
def red_pairs(draw: st.DrawFn) -> tuple[Port, Port]:
    """Two ports of one VRF, in one network or two, anywhere."""
    return Port("a", draw(hosts), draw(red), draw(st.integers(2, 100))), Port(
        "b", draw(hosts), draw(red), draw(st.integers(101, 254))
    )


@relaxed
@given(red_pairs())
def test_two_healthy_ports_of_a_vrf_reach_each_other(pair: tuple[Port, Port]) -> None:
    fabric = wired(*pair)

    there, back = trace(fabric, "a", "b"), trace(fabric, "b", "a")

    assert (there.reachable, there.reason) == (True, "")
    assert (back.reachable, back.reason) == (True, "")
    assert {way[-1] for way in there.ways} == {f"b@{pair[1].host} vnic"}
    assert trace(fabric, "a", dst_ip=pair[1].ip) == there


@relaxed
@given(red_pairs(), st.integers(0, 9))
def test_every_piece_is_needed_and_the_reason_names_its_device(pair: tuple[Port, Port], number: int) -> None:
    a, b = pair
    assume((a.host, a.net) != (b.host, b.net))  # those two talk within br-int
    fabric = wired(a, b)
    assert ping(fabric, "a", "b").reachable
    piece = (pieces(a) + pieces(b))[number]

    piece.take_away(fabric)

    for path in (ping(fabric, "a", "b"), ping(fabric, "b", "a")):
        assert not path.reachable
        assert piece.device in path.reason


@relaxed
@given(hosts, red, st.sampled_from(["a", "b"]), st.sampled_from([unplug, no_flows]))
def test_within_br_int_vnics_and_flows_are_needed(
    host: str, net: Net, port: str, removal: Callable[[Port], AnyEffect]
) -> None:
    ports = {"a": Port("a", host, net, 5), "b": Port("b", host, net, 6)}
    fabric = wired(*ports.values())
    assert ping(fabric, "a", "b").reachable

    fabric.apply(removal(ports[port]))

    path = ping(fabric, "a", "b")
    assert not path.reachable
    assert f"host {host}: " in path.reason
    assert f"port {port}" in path.reason


@relaxed
@given(red_pairs(), hosts, hosts, st.integers(2, 254))
def test_different_vrfs_never_reach_each_other(pair: tuple[Port, Port], host: str, other: str, last: int) -> None:
    a, b = pair
    c, d = Port("c", host, BLUE, last), Port("d", other, BLUE, 256 - last)
    assume(last != 256 - last)
    fabric = wired(a, b, c, d)

    for port in (a, b):
        for stranger in (c, d):
            assert not trace(fabric, port.port, stranger.port).reachable
            assert not trace(fabric, stranger.port, port.port).reachable
            assert stranger.port not in _reached(fabric, port.port, stranger.ip)
            assert port.port not in _reached(fabric, stranger.port, port.ip)
    assert ping(fabric, "a", "b").reachable
    assert ping(fabric, "c", "d").reachable


@relaxed
@given(st.permutations(sorted(HOSTS)), st.integers(2, 254))
def test_equal_addresses_in_two_vrfs_lead_to_two_instances(order: list[str], last: int) -> None:
    assume(last != 254)
    a, twin_of_a = Port("a", order[0], RED_1, last), Port("c", order[0], BLUE, last)
    b, twin_of_b = Port("b", order[1], RED_1, 254), Port("d", order[2], BLUE, 254)
    fabric = wired(a, b, twin_of_a, twin_of_b)

    assert _reached(fabric, "a", b.ip) == ["b"]
    assert _reached(fabric, "c", b.ip) == ["d"]
    assert "port b at host" in trace(fabric, "a", "d").reason


def _reached(fabric: Fabric, port: str, ip: str) -> list[str]:
    """The ports whose vNICs the packet ends in; none if it is stopped."""
    path = trace(fabric, port, dst_ip=ip)
    return sorted({way[-1].partition("@")[0] for way in path.ways}) if path.reachable else []
