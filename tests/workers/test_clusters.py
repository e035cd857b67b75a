"""IPAM on requests for clusters; the worker of ingresses on theirs, and on the pods behind them."""

from typing import Any

import msgspec
import pytest

from bus.events import (
    ClusterCreated,
    ClusterCreateRequested,
    ClusterRefused,
    Event,
    IngressAdded,
    IngressConfigured,
    IngressCreated,
    IngressCreateRequested,
    IngressRefused,
    InstanceDeleteRequested,
    InstanceRefused,
    Listener,
    NetworkCreated,
    PortAllocated,
    SpawnRequested,
    SubnetCreated,
    VpcCreated,
)
from tests.workers.playbook import AZ, WORLD, By, Playbook, active, allocated, case, given, scheduled, spawn, usable
from workers import ingress, ipam
from workers.effects import ConfigureIngress, Endpoint, HeldListener, Result

CIDR = "172.16.0.0/24"
PLANE = (
    VpcCreated(vpc="k8s-plane", tenant="t1", vrf="k8s-plane", cidr=CIDR),
    NetworkCreated(network="k8s-pods", vpc="k8s-plane", vni=5003, labels=("k8s",), policy=True),
    SubnetCreated(subnet="k8s-pods-a", network="k8s-pods", cidr=CIDR, gateway="172.16.0.1"),
    ClusterCreated(cluster="k8s", vpc="vpc1", pod_cidr=CIDR, plane="k8s-plane", network="k8s-pods"),
)


def cluster(**says: Any) -> ClusterCreateRequested:
    return ClusterCreateRequested(**{"cluster": "k8s", "vpc": "vpc1", "pod_cidr": CIDR, **says})


def test_a_cluster_gets_a_plane_of_its_own() -> None:
    given(ipam).when(cluster()).then(*PLANE)


def test_one_that_was_made_in_part_is_made_whole() -> None:
    request = By("q1", cluster(), "q1")
    given(ipam).when_decided_again(request, *PLANE[:2]).then(*PLANE)
    given(ipam, request, By("q1", PLANE[0]), By("q1", PLANE[3], "d", "q1")).when_decided_again(request).then_nothing()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        case("vpc", {"vpc": "v9"}, ("unknown VPC", "vpc", "v9")),
        case("cidr", {"pod_cidr": "x"}, ("no IPv4 CIDR: Expected 4 octets in 'x'", "pod_cidr", "x")),
        case("room", {"pod_cidr": "172.16.0.0/31"}, ("no room for a gateway and a pod", "pod_cidr", "172.16.0.0/31")),
        case(
            "overlap",
            {"pod_cidr": "10.9.0.0/16"},
            ("the pod CIDR overlaps 10.0.0.0/8 of VPC vpc1", "pod_cidr", "10.9.0.0/16"),
        ),
        case("long", {"cluster": "k" * 51}, ("longer than 50 characters", "cluster", "k" * 51)),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(says: dict[str, Any], why: tuple[str, str, str]) -> None:
    request = cluster(**says)
    reason, field, value = why
    given(ipam).when(request).then(ClusterRefused(cluster=request.cluster, reason=reason, field=field, value=value))


def test_names_of_others_are_not_taken() -> None:
    other = VpcCreated(vpc="k8s-plane", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8")
    refused = ClusterRefused(cluster="k8s", reason="there is a VPC k8s-plane already", field="cluster", value="k8s")
    given(ipam, other).when(cluster()).then(refused)
    in_use = msgspec.structs.replace(refused, reason="the name is in use")
    given(ipam, *PLANE).when(cluster()).then(in_use)


#: The position of the request in ``wanted``, which its legs are named after.
AT = len(WORLD) + len(PLANE) + 1
OUT, IN = f"shop-{AT}-out", f"shop-{AT}-in"
LISTENERS = (Listener(port=80, selects={"app": "web"}, target_port=8080),)


def request(**says: Any) -> IngressCreateRequested:
    fields = {"ingress": "shop", "cluster": "k8s", "network": "net1", "az": AZ, "listeners": LISTENERS}
    return IngressCreateRequested(**{**fields, **says})


def leg(name: str, network: str, labels: dict[str, str]) -> SpawnRequested:
    return spawn(name, name=name, network=network, labels=labels)


LEGS = (leg(OUT, "net1", {}), leg(IN, "k8s-pods", {"ingress": "shop"}))


def wanted(*history: Event | By) -> Playbook:
    """An ingress was asked for in story q1."""
    return given(ingress, *PLANE, By("q1", request(), "q1"), *(By("q1", one) for one in LEGS), *history)


def pod(instance: str, ip: str, network: str = "k8s-pods", **labels: str) -> tuple[Event, ...]:
    port: PortAllocated = msgspec.structs.replace(
        allocated(instance, ip="10.0.1.2"), ip=ip, network=network, name=instance, vpc="k8s-plane", vrf="k8s-plane"
    )
    return spawn(instance), scheduled(instance, labels=labels), port, *usable(instance)


BOTH: tuple[Event | By, ...] = (
    *pod(OUT, "10.0.1.2", "net1"),
    *pod(IN, "172.16.0.2", ingress="shop"),
    By("q1", active(OUT)),
)


def test_an_ingress_is_two_legs() -> None:
    given(ingress, *PLANE).when(By("q1", request(), "q1")).then(*LEGS)


def test_a_request_again_yields_nothing_and_another_for_the_name_is_refused() -> None:
    wanted().when(By("q1", request(), "q1")).then_nothing()
    in_use = IngressRefused(ingress="shop", reason="the name is in use", field="ingress", value="shop")
    wanted().when(By("q2", request(), "q2")).then(in_use)


def configured(*pods: Endpoint, revision: int) -> ConfigureIngress:
    listeners = (HeldListener(80, pods),)
    return ConfigureIngress(
        device="shop", az=AZ, epoch=revision, outside=f"{OUT}-0", inside=f"{IN}-0", listeners=listeners
    )


def test_it_is_added_with_both_legs_and_created_once_it_listens() -> None:
    book = wanted(*BOTH)
    at = book.machine.position + 1
    added = IngressAdded(ingress="shop", az=AZ, outside=f"{OUT}-0", inside=f"{IN}-0", vip="10.0.1.2")
    book.when(By("q1", active(IN))).then(added, configured(revision=at))
    listens = IngressConfigured(ingress="shop", az=AZ, revision=at, endpoints=0)
    book.when_decisions_come_back()
    book.when(listens).then(IngressCreated(ingress="shop", az=AZ, cluster="k8s", vip="10.0.1.2"))


def test_a_pod_is_behind_it_once_it_is_usable() -> None:
    book = wanted(*BOTH, By("q1", active(IN)))
    *before, last = pod("web", "172.16.0.9", app="web")
    book.given(*before)
    at = book.machine.position + 1
    book.when(last).then(configured(Endpoint("web-0", "172.16.0.9", 8080), revision=at))
    book.given(IngressConfigured(ingress="shop", az=AZ, revision=at, endpoints=1))
    book.when(last).then_nothing()
    *before, last = pod("db", "172.16.0.10", app="db")
    book.given(*before).when(last).then_nothing()


def test_pods_that_were_there_before_the_cluster_are_behind_it_too() -> None:
    """A cluster may adopt a plane that was made for it by hand, with pods in it."""
    book = Playbook(ingress)
    book.given(*WORLD, *PLANE[:3], *pod("web", "172.16.0.9", app="web"), cluster(), PLANE[3])
    legs = [f"shop-{book.machine.position + 1}-{side}" for side in ("out", "in")]
    book.given(By("q1", request(), "q1"), By("q1", leg(legs[0], "net1", {})))
    book.given(By("q1", leg(legs[1], "k8s-pods", {"ingress": "shop"})), *pod(legs[0], "10.0.1.2", "net1"))
    book.given(*pod(legs[1], "172.16.0.2", ingress="shop"), By("q1", active(legs[0])))
    book.when(By("q1", active(legs[1])))
    assert book.output is not None
    [planned] = book.output.effects
    assert isinstance(planned.effect, ConfigureIngress)
    assert planned.effect.listeners == (HeldListener(80, (Endpoint("web-0", "172.16.0.9", 8080),)),)


def test_an_ingress_that_gets_no_vip_is_refused_and_its_other_leg_goes() -> None:
    why = {"reason": "no address is left in the network", "field": "network", "value": "net1"}
    lost = InstanceRefused(instance=OUT, az=AZ, **why)
    refused, goes = IngressRefused(ingress="shop", **why), InstanceDeleteRequested(instance=IN)
    book = wanted().when(By("q1", lost)).then(refused, goes)
    book.when_decisions_come_back()
    wanted(By("q1", refused)).when(By("q1", lost)).then(goes)  # it was said, and then this process died
    wanted(By("q1", refused), By("q1", goes)).when(By("q1", active(IN))).then_nothing()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        case("cluster", {"cluster": "c9"}, ("unknown cluster", "cluster", "c9")),
        case("network", {"network": "n9"}, ("unknown network", "network", "n9")),
        case(
            "plane",
            {"network": "k8s-pods"},
            ("the VIP is to be in VPC vpc1, not in k8s-plane", "network", "k8s-pods"),
        ),
        case("none", {"listeners": ()}, ("the ingress listens to nothing", "listeners", "none")),
        case(
            "port",
            {"listeners": (Listener(port=0, selects="all"),)},
            ("no port from 1 to 65535", "listeners[1].port", "0"),
        ),
        case(
            "target",
            {"listeners": (Listener(port=1, selects="all", target_port=70000),)},
            ("no port up to 65535", "listeners[1].target_port", "70000"),
        ),
        case(
            "twice",
            {"listeners": (Listener(port=1, selects="all"), Listener(port=1, selects="all"))},
            ("two listeners on one port", "listeners[2].port", "1"),
        ),
        case(
            "nobody",
            {"listeners": (Listener(port=1),)},
            ('the selector names no label; to select every pod say "all"', "listeners[1].selects", "{}"),
        ),
        case("host", {"ingress": "h1"}, ("another device has this name", "ingress", "h1")),
        case("long", {"ingress": "i" * 37}, ("longer than 36 characters", "ingress", "i" * 37)),
    ],
)
def test_an_ingress_that_cannot_be_is_refused(says: dict[str, Any], why: tuple[str, str, str]) -> None:
    asked = request(**says)
    reason, field, value = why
    refused = IngressRefused(ingress=asked.ingress, reason=reason, field=field, value=value)
    book = given(ingress, *PLANE).when(asked).then(refused)
    book.when_decisions_come_back()
    if field != "ingress":  # the name is free again
        again = By("q2", request(cluster="c9"), "q2")
        book.when(again).then(IngressRefused(ingress="shop", reason="unknown cluster", field="cluster", value="c9"))


def test_what_a_proxy_says() -> None:
    effect = configured(Endpoint("web-0", "172.16.0.9", 8080), revision=7)
    assert ingress.settle(effect, Result()) == (IngressConfigured(ingress="shop", az=AZ, revision=7, endpoints=1),)
