"""The theme of policies: they change while pods come, drift and go, and while those die who are to install them."""

import random
from typing import Any

import msgspec

from bus.events import HttpRule, NetworkCreated, PolicyCreateRequested, PolicyDeleteRequested, PolicyRule
from bus.events.policy import Rules, Selector
from driftline.simulator.actions import Ask, Crash, SetHabit, Tamper
from driftline.simulator.draft import Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import Place
from workers.devices.simulated.faults import EffectFaults

APPS = ("web", "db", "batch")
#: How often which request is wrong.
WRONG = 0.1


def _policies(draft: Draft) -> None:
    """Policies change all the time; hosts refuse rules, are slow with them or die; so does the worker of policy."""
    chance = draft.chance
    draft.devices(0.0, EffectFaults(latency=0.1, jitter=1.0, fail=draft.some(0.0, 0.4), late=0.1, timeout=0.1))
    draft.bus(0.0, append_s=draft.some(0.0, 0.3), follow_s=draft.some(0.0, 0.4), doubled=0.05)
    for at_s in (0.5, 0.7, 0.9, 1.1, 1.3, *draft.moments(6), draft.end_s, draft.end_s):
        draft.requests.spawn(at_s, network=chance.choice(("n1", "n1", "n2", "n3")), app=chance.choice(APPS))
    for number, at_s in enumerate((0.6, 1.0, *draft.moments(10))):
        draft.faults.append(_request(draft, at_s, f"policy-{number}"))
    draft.requests.mixed(3.0, draft.end_s, 10, {"drift": 4.0, "delete": 2.0, "drift_twice": 1.0, "audit": 1.0})
    for at_s in draft.moments(3):
        draft.faults.append(Crash(at_s=at_s, process="policy", down_s=draft.some(0.1, 6.0)))
    habit = Habit(on_append=draft.some(0.0, 0.2), on_effect=draft.some(0.0, 0.2), down_s=1.0)
    draft.faults.append(SetHabit(at_s=draft.some(0.0, 8.0), process="policy", habit=habit))
    chance.choice((_faulty_host, _dead_host, _dead_host, _hands))(draft)


def _faulty_host(draft: Draft) -> None:
    """One host refuses whatever it is told, for a while."""
    at_s, host = draft.some(1.0, draft.end_s), draft.chance.choice(draft.place.hosts)
    draft.devices(at_s, broken={host: "its agent is stuck"})
    draft.devices(at_s + draft.some(2.0, 10.0))


def _dead_host(draft: Draft) -> None:
    """One host dies and comes back: all on it was moved meanwhile, or is still there and is to be wired anew."""
    at_s, host = draft.some(1.0, draft.end_s), draft.chance.choice(draft.place.hosts)
    draft.power(at_s, power_off=(host,))
    if draft.chance.random() < 0.4:
        draft.requests.fail_host(at_s + draft.some(0.0, 3.0), host)
        draft.power(at_s + draft.some(4.0, 12.0), power_on=(host,))
    else:
        draft.power(at_s + draft.some(100.0, 130.0), power_on=(host,))


def _hands(draft: Draft) -> None:
    """Somebody takes rules off hosts."""
    for at_s in draft.moments(3):
        draft.faults.append(Tamper(at_s=at_s, trick="drop policy", pick=draft.chance.random()))


def _request(draft: Draft, at_s: float, number: str) -> Ask:
    chance = draft.chance
    policy = f"p{chance.randint(1, 3)}"
    event: PolicyCreateRequested | PolicyDeleteRequested = PolicyDeleteRequested(policy=policy)
    if chance.random() < 0.75:
        event = PolicyCreateRequested(
            policy=policy,
            vpc=chance.choice(("v1", "v1", "v1", "v2")),
            selects=_selector(draft),
            ingress=_rules(draft),
            egress=_rules(draft),
        )
    return Ask(at_s=at_s, event=event, request=number, actor="operator")


def _selector(draft: Draft) -> Selector:
    if draft.chance.random() < WRONG:
        return {}
    return draft.chance.choice(("all", *({"app": app} for app in APPS)))


def _rules(draft: Draft) -> Rules:
    if draft.chance.random() < 0.3:
        return None
    return tuple(_rule(draft) for _ in range(draft.chance.randint(0, 2)))


def _rule(draft: Draft) -> PolicyRule:
    chance = draft.chance
    peer: dict[str, Any] = chance.choice(
        ({}, {"labels": "all"}, {"cidr": "10.0.1.0/29"}, *({"labels": {"app": app}} for app in APPS * 2))
    )
    protocol, ports = chance.choice(
        (("any", ()), ("any", ()), ("tcp", (80,)), ("udp", (53,)), ("icmp", ()), ("tcp", (80, 443)))
    )
    http = (HttpRule("GET", "/a"),) if protocol == "tcp" and chance.random() < 0.3 else ()
    return PolicyRule(**peer, protocol=protocol, ports=ports, http=http)


def _enforced(chance: random.Random, place: Place) -> Place:
    """The networks of the first VPC are under enforcement."""
    events = tuple(
        msgspec.structs.replace(event, policy=event.vpc == "v1") if isinstance(event, NetworkCreated) else event
        for event in place.events
    )
    return msgspec.structs.replace(place, events=events)


THEMES = {"policies": Theme(_policies, (15.0, 40.0), world=_enforced)}
