"""What devices may hold while hosts are dead and claims are over, and what is asked about what has drifted."""

from typing import Any

import pytest

from bus.events import CNC, OVS_AGENT
from driftline.proof import Rights, asked
from projections.drifts import DriftRow
from projections.hosts import HostStateRow
from projections.port_rows import PortRow, StaleClaimRow
from projections.world import HostRow

HOSTS = [
    HostRow(
        host=f"h{n}",
        az="az1",
        leaf_a="l1",
        leaf_b="l2",
        interface=f"e{n}",
        capacity=9,
        physical_network="l1-l2",
    )
    for n in (1, 2, 3)
]


def port(name: str, host: str, generation: int = 1, *, vrf: str = "prod", bound: bool = True) -> PortRow:
    status = "ACTIVE" if bound else "DOWN"
    return PortRow(
        port=name,
        name=name,
        instance=name,
        az="az1",
        host=host,
        generation=generation,
        network="net1",
        subnet="s1",
        vpc="prod",
        vrf=vrf,
        ip="10.0.0.2",
        prefix_length=24,
        mac="fa:16:0a:00:00:02",
        gateway="10.0.0.1",
        physical_network="l1-l2",
        vlan=100,
        vni=5001,
        model="evpn",
        underlay_by=OVS_AGENT,
        overlay_by=CNC,
        policy_by="",
        correlation="c",
        underlay=status,
        overlay=status,
        bound=bound,
    )


def stale(name: str, host: str, generation: int = 1, **gone: bool) -> StaleClaimRow:
    return StaleClaimRow(
        port=name,
        generation=generation,
        az="az1",
        host=host,
        instance=name,
        physical_network="l1-l2",
        vlan=100,
        vni=5001,
        underlay_by=OVS_AGENT,
        overlay_by=CNC,
        correlation="c",
        position=9,
        **gone,
    )


def state(host: str, word: str, *, fenced: bool = False) -> HostStateRow:
    return HostStateRow(host=host, az="az1", state=word, fenced=fenced)


def held(*claims: tuple[str, str, int], interfaces: tuple[str, ...] = ()) -> dict[str, Any]:
    """A dump: vNICs and flows of these (host, port, generation), and VLAN 100 on these interfaces of l1."""
    hosts: dict[str, Any] = {}
    for host, name, generation in claims:
        one = hosts.setdefault(host, {"vnics": {}, "flows": {}, "trunk": [100]})
        one["vnics"][name] = one["flows"][name] = {"generation": generation}
    return {"hosts": hosts, "leaves": {"l1": {interface: {100: {"vni": 5001}} for interface in interfaces}}}


def rights(
    ports: list[PortRow], claims: list[StaleClaimRow] | None = None, states: list[HostStateRow] | None = None
) -> Rights:
    return Rights(ports, claims or [], states or [], HOSTS)


def test_what_live_ports_need_is_right_and_all_else_is_left_over() -> None:
    of = rights([port("p1", "h1"), port("p2", "h2", bound=False)])
    assert of.beyond(held(("h1", "p1", 1), ("h2", "p2", 1), interfaces=("e1",))) == []
    assert of.beyond(held(("h2", "p1", 1))) == ["host h2: vnics of port p1", "host h2: flows of port p1"]
    assert of.beyond(held(("h1", "p1", 2))) == ["host h1: vnics of port p1", "host h1: flows of port p1"]
    assert of.beyond(held(interfaces=("e1", "e2", "e9"))) == ["leaf l1: e2 VLAN 100", "leaf l1: e9 VLAN 100"]


def test_a_claim_that_is_over_may_leave_what_its_host_and_leaves_have_not_confirmed() -> None:
    now = [port("p1", "h3", 2)]
    everything = held(("h1", "p1", 1), ("h3", "p1", 2), interfaces=("e1", "e3"))
    assert rights(now, [stale("p1", "h1")]).beyond(everything) == []
    assert rights(now, [stale("p1", "h1", unplugged=True)]).beyond(everything) == ["host h1: vnics of port p1"]
    gone = stale("p1", "h1", unplugged=True, underlay_removed=True)
    assert len(rights(now, [gone]).beyond(everything)) == 2
    assert rights(now, [stale("p1", "h1", overlay_removed=True)]).beyond(everything) == ["leaf l1: e1 VLAN 100"]
    assert len(rights(now).beyond(everything)) == 3


@pytest.mark.parametrize("word", ["down", "returned"])
def test_a_dead_host_keeps_what_it_has_and_its_leaves_carry_nothing_once_it_is_fenced(word: str) -> None:
    now, everything = [port("p1", "h3", 2)], held(("h1", "p1", 1), ("h3", "p1", 2), interfaces=("e1", "e3"))
    assert rights(now, states=[state("h1", word)]).beyond(everything) == []
    fenced = rights(now, states=[state("h1", word, fenced=True)])
    assert fenced.beyond(everything) == ["leaf l1: e1 VLAN 100"]
    assert len(rights(now, states=[state("h1", "up")]).beyond(everything)) == 3


def drift(name: str, origin: str, to: str, outcome: str = "drifted") -> DriftRow:
    return DriftRow(instance=name, request=f"{origin}-{to}", port=name, from_host=origin, host=to, outcome=outcome)


def test_what_drifted_is_asked_about_from_another_host_of_its_vrf() -> None:
    ports = [port("p1", "h2", 3), port("p2", "h2"), port("p3", "h3"), port("p4", "h3", vrf="lab")]
    (one,) = asked(ports, [drift("p1", "h1", "h3"), drift("p1", "h3", "h2")])
    assert (one.port.port, one.peer.host, one.peer.vrf) == ("p1", "h3", "prod")
    assert one.left == {"h1", "h3"}


def test_a_host_that_it_came_back_to_is_not_one_that_it_left() -> None:
    (one,) = asked([port("p1", "h1", 3), port("p2", "h2")], [drift("p1", "h1", "h3"), drift("p1", "h3", "h1")])
    assert one.left == {"h3"}


def test_what_is_alone_in_its_vrf_or_unusable_or_has_not_drifted_is_not_asked_about() -> None:
    ports = [port("p1", "h2", 2), port("p2", "h2", 2, vrf="lab"), port("p3", "h1", 2, bound=False), port("p4", "h1")]
    drifts = [drift("p2", "h1", "h2"), drift("p3", "h2", "h1"), drift("p4", "h1", "h2", "failed")]
    assert asked(ports, drifts) == []
