"""The worker of ingresses: the way into a cluster's plane, and the pods behind it (Figure 12).

An ingress is a proxy with two legs, which are instances like any other: one in the VPC, whose address is the VIP, and
one in the plane of the pods. So IPAM gives the VIP, nova moves a leg away from a dead host, and policy knows the inner
leg by its label ``ingress``. The proxy is configured again whenever a pod behind it comes, drifts or goes.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    ClusterCreated,
    ClusterCreateRequested,
    Event,
    IngressAdded,
    IngressConfigured,
    IngressCreated,
    IngressCreateRequested,
    IngressRefused,
    InstanceActive,
    InstanceDeleteRequested,
    InstanceFailed,
    InstanceRefused,
    Listener,
    SpawnRequested,
)
from projections.clusters import Clusters, IngressRow, legs_of, sibling
from projections.instances import ENDED, Instances
from projections.pod_labels import PodLabels
from projections.ports import Ports
from projections.world import World
from workers.effects import INGRESS, AnyEffect, ConfigureIngress, Result
from workers.ingress_plan import HOST_EVENTS, PORT_EVENTS, Endpoints
from workers.models.model import Refusal
from workers.policy_rules import PORT_MAX
from workers.worker import STORIES, Decision, Emit, Folds, Perform, State, Worker

#: Suffixes are added to the name, and the whole is the id of an instance.
NAME_MAX = 36
#: The label of the inner leg.
LABEL = "ingress"


class IngressState(State):
    """The clusters and ingresses, the instances and ports, and which pods are behind what."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.clusters, self.instances = self.fold(World), self.fold(Clusters), self.fold(Instances)
        self.ports, self.pods = self.fold(Ports), self.fold(PodLabels)
        self.endpoints = self.own(Endpoints(self.clusters, self.ports, self.pods))


def decide(state: IngressState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the ingress that ``r`` concerns, and which proxies are behind."""
    match r.event:
        case IngressCreateRequested() as request:
            yield from _requested(state, r, request)
        case InstanceActive(instance=instance):
            yield from _leg_active(state, instance)
        case InstanceRefused(instance=leg, reason=reason, field=field, value=value):
            yield from _leg_lost(state, leg, Refusal(reason, field, value))
        case InstanceFailed(instance=leg, reason=reason):
            yield from _leg_lost(state, leg, Refusal(reason, "ingress", leg))
        case IngressConfigured(ingress=name):
            yield from _configured(state, name)
        case _:
            pass
    if not isinstance(r.event, IngressConfigured):
        yield from _configure(state)


def _requested(state: IngressState, r: Recorded, request: IngressCreateRequested) -> Iterable[Decision]:
    row = state.clusters.ingress(request.ingress)
    if r.correlation in state.clusters.answered:
        return
    if row is None or row.request != r.correlation:
        yield _refuse(request.ingress, Refusal("the name is in use", "ingress", request.ingress))
        return
    refusal = check(state, request)
    if refusal is not None:
        yield _refuse(request.ingress, refusal)
        return
    outside, inside = legs_of(row)
    networks = (request.network, state.clusters.by_name[request.cluster].network)
    for leg, network, labels in zip((outside, inside), networks, ({}, {LABEL: request.ingress}), strict=True):
        if state.instances.get(leg) is None:
            yield Emit(SpawnRequested(instance=leg, name=leg, az=request.az, network=network, labels=labels))


def check(state: IngressState, request: IngressCreateRequested) -> Refusal | None:
    """Why the ingress cannot be; None if it can, as far as that can be told before it has its legs."""
    if len(request.ingress) > NAME_MAX:
        return Refusal(f"longer than {NAME_MAX} characters", "ingress", request.ingress)
    tables, name = state.world.tables, (request.ingress,)
    device = tables["devices"].get(name)
    if name in tables["hosts"] or name in tables["switches"] or (device is not None and device.kind != INGRESS):
        return Refusal("another device has this name", "ingress", request.ingress)
    cluster, network = state.clusters.by_name.get(request.cluster), state.world.networks.get(request.network)
    if cluster is None:
        return Refusal("unknown cluster", "cluster", request.cluster)
    if network is None:
        return Refusal("unknown network", "network", request.network)
    if network.vpc != cluster.vpc:
        return Refusal(f"the VIP is to be in VPC {cluster.vpc}, not in {network.vpc}", "network", request.network)
    return _listeners(request.listeners)


def _listeners(listeners: tuple[Listener, ...]) -> Refusal | None:
    if not listeners:
        return Refusal("the ingress listens to nothing", "listeners", "none")
    seen: set[int] = set()
    for number, one in enumerate(listeners, start=1):
        field = f"listeners[{number}]"
        if not 1 <= one.port <= PORT_MAX:
            return Refusal(f"no port from 1 to {PORT_MAX}", f"{field}.port", str(one.port))
        if not 0 <= one.target_port <= PORT_MAX:
            return Refusal(f"no port up to {PORT_MAX}", f"{field}.target_port", str(one.target_port))
        if one.port in seen:
            return Refusal("two listeners on one port", f"{field}.port", str(one.port))
        if not one.selects:
            return Refusal('the selector names no label; to select every pod say "all"', f"{field}.selects", "{}")
        seen.add(one.port)
    return None


def _leg_active(state: IngressState, leg: str) -> Iterable[Decision]:
    name = state.clusters.legs.get(leg, "")
    row = state.clusters.ingress(name)
    if name and (row is None or leg not in legs_of(row)):  # it was refused meanwhile
        yield from _take_down(state, leg)
    elif row is not None and row.state == "requested" and row.outside and row.inside:
        vip = state.ports.get(row.outside)
        ip = vip.ip if vip is not None else ""
        added = IngressAdded(ingress=name, az=row.az, outside=row.outside, inside=row.inside, vip=ip)
        yield Emit(added, row.request)


def _leg_lost(state: IngressState, leg: str, why: Refusal) -> Iterable[Decision]:
    """An ingress that lacks a leg from the beginning is refused, and the other leg goes."""
    if leg not in state.clusters.legs:
        return
    row = state.clusters.ingress(state.clusters.legs[leg])
    if row is not None and leg in legs_of(row) and row.state == "requested":
        yield Emit(_refuse(row.ingress, why).event, row.request)
    yield from _take_down(state, sibling(leg))


def _take_down(state: IngressState, leg: str) -> Iterable[Decision]:
    instance = state.instances.get(leg)
    if instance is not None and instance.state not in (*ENDED, "failed") and not instance.delete_request:
        yield Emit(InstanceDeleteRequested(instance=leg))


def _configured(state: IngressState, name: str) -> Iterable[Decision]:
    row = state.clusters.ingress(name)
    if row is not None and row.state == "added" and row.revision:
        yield Emit(IngressCreated(ingress=name, az=row.az, cluster=row.cluster, vip=row.vip), row.request)


def _configure(state: IngressState) -> Iterable[Decision]:
    """The proxies that are not known to listen as they are to."""
    for name, wish in state.endpoints.wishes.items():
        if state.endpoints.acknowledged.get(name, 0) < wish.revision:
            effect = ConfigureIngress(
                device=name,
                az=wish.az,
                epoch=wish.revision,
                outside=wish.outside,
                inside=wish.inside,
                listeners=wish.listeners,
            )
            row: IngressRow | None = state.clusters.ingress(name)
            yield Perform(effect, row.request if row is not None else "")


def _refuse(ingress: str, why: Refusal) -> Emit:
    return Emit(IngressRefused(ingress=ingress, reason=why.reason, field=why.field, value=why.value))


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What the proxy listens to now."""
    if not isinstance(effect, ConfigureIngress):
        raise TypeError(f"ingress did not ask for {effect}")
    pods = sum(len(one.endpoints) for one in effect.listeners)
    return (IngressConfigured(ingress=effect.device, az=effect.az, revision=effect.epoch, endpoints=pods),)


WORKER = Worker(
    name="ingress",
    state=IngressState,
    inputs=frozenset(
        {
            *(IngressCreateRequested, InstanceActive, InstanceRefused, InstanceFailed, IngressConfigured),
            *PORT_EVENTS,
            *HOST_EVENTS,
        }
    ),
    says=frozenset({IngressAdded, IngressCreated, IngressRefused, InstanceDeleteRequested, SpawnRequested}),
    decide=decide,
    settle=settle,
    sleeps_through=STORIES,
    wakes=dict.fromkeys((ClusterCreateRequested, ClusterCreated), lambda event: True),
)
