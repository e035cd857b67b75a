"""What an ingress makes of connections to its VIP."""

import pytest

from tests.workers.devices.world import BLUE, RED_1, Port, plug, wired
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.reachability import trace
from workers.effects import INGRESS, ConfigureIngress, Endpoint, HeldListener
from workers.policy_rules import Flow

#: A client and the outer leg in one VRF; the inner leg and two pods in another, with addresses of the same range.
CLIENT, OUTSIDE = Port("client", "h1", RED_1, 5), Port("out", "h2", RED_1, 6)
INSIDE, POD_1, POD_2 = Port("in", "h3", BLUE, 5), Port("p1", "h1", BLUE, 7), Port("p2", "h4", BLUE, 8)
WEB = Flow("tcp", 80)


def configure(*pods: Port, epoch: int = 1) -> ConfigureIngress:
    endpoints = tuple(Endpoint(pod.port, pod.ip, 8080) for pod in pods)
    listeners = (HeldListener(80, endpoints),)
    return ConfigureIngress(device="shop", az="az1", epoch=epoch, outside="out", inside="in", listeners=listeners)


def shop(*pods: Port) -> Fabric:
    fabric = wired(CLIENT, OUTSIDE, INSIDE, POD_1, POD_2)
    fabric.cable(CableDevice("shop", INGRESS))
    assert fabric.apply(configure(*pods)) == ""
    return fabric


def test_every_pod_behind_the_port_is_a_way() -> None:
    path = trace(shop(POD_1, POD_2), "client", dst_ip=OUTSIDE.ip, flow=WEB)
    assert path.reachable
    assert {way[-1] for way in path.ways} == {"p1@h1 vnic", "p2@h4 vnic"}
    for way in path.ways:
        assert way[0] == "client@h1 vnic"
        assert "out@h2 vnic" in way
        assert {"ingress shop tcp/80 to 10.0.1.7:8080", "ingress shop tcp/80 to 10.0.1.8:8080"} & {*way}


def test_one_pod_that_is_not_reached_is_told_with_the_way_to_it() -> None:
    fabric = shop(POD_1, POD_2)
    fabric.host("h4").drop_flow("p2")
    path = trace(fabric, "client", "out", flow=WEB)
    assert not path.reachable
    assert "port p2" in path.reason
    assert "ingress shop tcp/80 to 10.0.1.8:8080" in path.hops


@pytest.mark.parametrize(
    ("flow", "why"),
    [
        (Flow("tcp", 81), "ingress shop: nothing listens on tcp/81"),
        (Flow("udp", 80), "ingress shop: nothing listens on udp/80"),
        (WEB, "ingress shop: no pod is behind tcp/80"),
    ],
)
def test_what_leads_nowhere_is_told(flow: Flow, why: str) -> None:
    assert trace(shop(), "client", "out", flow=flow).reason == why


def test_a_ping_is_answered_by_the_proxy_itself() -> None:
    assert trace(shop(), "client", "out").reachable


def test_an_older_wish_changes_nothing_and_what_it_holds_comes_back() -> None:
    fabric, other = shop(POD_1), wired(CLIENT)
    assert fabric.apply(configure(POD_2, epoch=1)) == ""
    assert fabric.leftovers().others == 1
    for cable in fabric.cables():
        other.cable(cable)
    for state in fabric.states():
        other.restore(state)
    assert trace(other, "client", "out", flow=WEB).hops[-1] == "p1@h1 vnic"
    assert fabric.device("shop").perform(plug(POD_1)) == "ingress shop: an ingress cannot perform PlugVnic"
