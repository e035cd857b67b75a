"""Themes of the public cloud: drifts and dead nodes, an API that throttles and is slow, and its worker that dies."""

import random

import msgspec

from bus.events import (
    CLOUD,
    AnyEvent,
    AzAdded,
    CloudAuditRequested,
    HostAdded,
    LeafAdded,
    NetworkCreated,
    PortFloatingIpRequested,
    SubnetCreated,
)
from driftline.simulator.actions import SetDevices, SetHabit, SetHands, Tamper
from driftline.simulator.draft import SLOW, Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import AZ, Place
from workers.devices.simulated.faults import EffectFaults, FaultPlan

#: An attachment takes seconds, the other calls less.
CALM = {
    **SLOW,
    "AttachEni": EffectFaults(latency=2.0, jitter=1.0),
    "EnsureEni": EffectFaults(latency=0.5, jitter=1.0),
    "DeleteEni": EffectFaults(latency=0.5, jitter=1.0),
}
#: Nodes with two to seven ENIs for pods; what the scheduler takes for their capacity is more than that.
TYPES = ("t3.medium", "m5.xlarge", "m5.xlarge", "m5.4xlarge")


def world(chance: random.Random, place: Place) -> Place:
    """The same hosts as nodes, the same networks as networks of a cloud, with somewhat larger subnets.

    And another zone, with a node and a subnet of its own, that nothing of the first may get to.
    """
    events = tuple(_in_a_cloud(chance, event) for event in place.events)
    return msgspec.structs.replace(
        place,
        events=(*events, *_ELSEWHERE),
        hosts=(*place.hosts, "hz"),
        networks=(*place.networks, *place.networks, "nz"),
    )


_ELSEWHERE: tuple[AnyEvent, ...] = (
    AzAdded(az="az2", region="r1"),
    LeafAdded(leaf="l5", az="az2", vtep="10.255.0.5", asn=65005),
    LeafAdded(leaf="l6", az="az2", vtep="10.255.0.6", asn=65006),
    HostAdded(host="hz", az="az2", leaf_a="l5", leaf_b="l6", interface="e1", kind="node", instance_type="m5.xlarge"),
    NetworkCreated(network="nz", vpc="v1", model="eni"),
    SubnetCreated(subnet="sz", network="nz", cidr="10.0.9.0/28", gateway="10.0.9.1", zone="az2"),
)


def _in_a_cloud(chance: random.Random, event: AnyEvent) -> AnyEvent:
    match event:
        case HostAdded():
            return msgspec.structs.replace(event, kind="node", instance_type=chance.choice(TYPES))
        case NetworkCreated():
            return msgspec.structs.replace(event, model="eni", vni=0)
        case SubnetCreated():  # Amazon keeps some addresses for itself, and each pod gets two
            first = event.cidr.partition("/")[0]
            return msgspec.structs.replace(event, cidr=f"{first}/{chance.choice((28, 27, 27))}", zone=AZ)
        case _:
            return event


def _ask(draft: Draft) -> None:
    """Pods ask for floating IPs, and operators for audits."""
    for at_s in draft.moments(5):
        old = [instance for instance, since_s in draft.requests.spawned.items() if since_s < at_s]
        if old:
            draft.requests.ask(at_s, PortFloatingIpRequested(port=f"{draft.chance.choice(old)}-0"))
    draft.faults.append(Tamper(at_s=draft.moments(1)[0], trick="leak eni", pick=0.0))
    for at_s in draft.moments(2):
        draft.requests.ask(at_s, CloudAuditRequested(cloud=CLOUD), "operator")


def cloud(draft: Draft) -> None:
    """Nodes die and come back while calls are throttled, slow, lost, and done late."""
    draft.usual(24)
    _ask(draft)
    for at_s in (0.0, *draft.moments(3)):
        draft.faults.append(SetDevices(at_s=at_s, plan=_plan(draft)))
    at_s = draft.some(5.0, draft.end_s)
    throttled = EffectFaults(latency=0.2, jitter=1.0, fail=0.9)
    draft.faults += [
        SetDevices(
            at_s=at_s, plan=FaultPlan(effects=CALM | {"AttachEni": throttled, "AssociateFloatingIp": throttled})
        ),
        SetDevices(at_s=at_s + draft.some(5.0, 20.0), plan=FaultPlan(effects=CALM)),
    ]
    draft.requests.mixed(at_s, at_s + 5.0, 4, {"spawn": 1.0, "drift": 1.0})
    for at_s in draft.moments(3):
        host = draft.chance.choice(draft.place.hosts)
        draft.power(at_s, power_off=(host,))
        if draft.chance.random() < 0.5:
            draft.requests.fail_host(at_s + draft.some(0.0, 20.0), host)
        draft.power(at_s + draft.some(5.0, 100.0), power_on=(host,))


def worker(draft: Draft) -> None:
    """The worker dies right after it has made or attached an ENI, and forgets how far it was."""
    draft.usual(20)
    _ask(draft)
    draft.faults += [
        SetDevices(at_s=0.0, plan=_plan(draft)),
        SetHands(at_s=0.0, unavailable=0.05, leftovers=0.5),
        SetHabit(
            at_s=0.0,
            process="cloud",
            habit=Habit(on_append=draft.some(0.0, 0.3), on_effect=draft.some(0.1, 0.5), down_s=draft.some(0.1, 3.0)),
        ),
    ]
    draft.bus(0.0, "cloud", append_s=0.1, checkpoint_fails=draft.some(0.0, 1.0), held=draft.some(0.0, 0.2))


def _plan(draft: Draft) -> FaultPlan:
    """``fail`` is a call that is throttled to the end."""
    bad = EffectFaults(
        latency=draft.some(0.1, 3.0),
        jitter=1.0,
        fail=draft.some(0.0, 0.4),
        applied_fail=draft.some(0.0, 0.1),
        timeout=draft.some(0.0, 0.15),
        late=draft.some(0.0, 0.2),
        lateness=draft.some(0.5, 15.0),
    )
    wrong = draft.chance.choice((("AttachEni",), ("EnsureEni", "AttachEni"), ("AttachEni", "DeleteEni"), ()))
    effects = CALM | dict.fromkeys((*wrong, "AssociateFloatingIp"), bad)
    return FaultPlan(effects=effects, seed=draft.chance.randrange(1 << 30))


THEMES = {
    "cloud": Theme(cloud, (90.0, 180.0), world=world),
    "cloud worker": Theme(worker, world=world),
}
