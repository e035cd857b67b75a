"""What runs are about: each theme writes requests and faults into a draft."""

import importlib
import pkgutil

from driftline.simulator import systems
from driftline.simulator.actions import Copy, Crash, Forge, RunTwin, SetDevices, SetHabit, SetHands, Tamper
from driftline.simulator.draft import DRIFTING, SLOW, USUAL, Draft, central
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from workers.devices.simulated.faults import EffectFaults, FaultPlan


def _calm(draft: Draft) -> None:
    draft.devices(0.0)
    draft.usual(24)


def _victim(draft: Draft) -> None:
    """One process dies all the time, right after it has done something, and forgets how far it was."""
    draft.usual(14, USUAL | DRIFTING)
    victim = draft.chance.choice((*draft.processes, "cnc", "ipam"))
    habit = Habit(on_append=draft.some(0.0, 0.4), on_effect=draft.some(0.0, 0.3), down_s=draft.some(0.05, 3.0))
    draft.faults += [
        SetHands(at_s=0.0, unavailable=0.0, leftovers=0.5),
        SetHabit(at_s=draft.some(0.0, 5.0), process=victim, habit=habit),
    ]
    draft.bus(0.0, victim, append_s=0.1, checkpoint_fails=draft.some(0.0, 1.0), held=draft.some(0.0, 0.2))
    draft.devices(0.0, EffectFaults(latency=0.1, jitter=1.0, timeout=0.1, late=0.1, lateness=8.0))


def _crashes(draft: Draft) -> None:
    draft.usual()
    draft.crashes(25)
    draft.faults.append(SetHands(at_s=0.0, unavailable=0.05, leftovers=0.5))
    draft.bus(0.0, append_s=0.2, follow_s=0.3, checkpoint_fails=0.3)
    draft.devices(0.0)


#: Who has several answers to a request, which may have one: a second process may give another (README, Limits).
SINGLE = ("nova", "ipam")


def _twins(draft: Draft) -> None:
    """Two processes of one worker, which do not know of each other, and die now and then."""
    draft.usual(18, USUAL | DRIFTING)
    draft.devices(0.0, EffectFaults(latency=0.1, jitter=1.0, late=0.1, lateness=5.0))
    draft.bus(0.0, append_s=draft.some(0.01, 0.3), follow_s=draft.some(0.01, 0.5), held=0.1)
    draft.crashes(8)
    for at_s in draft.moments(6):
        process = draft.chance.choice([name for name in draft.processes if name not in SINGLE])
        draft.faults.append(RunTwin(at_s=at_s, process=process, for_s=draft.some(0.5, 10.0)))


def _bus(draft: Draft) -> None:
    """Only the bus: what is sent is lost, comes late, comes twice; at times nothing gets through."""
    draft.usual()
    draft.devices(0.0)
    for at_s in (0.0, *draft.moments(3)):
        draft.bus(
            at_s,
            append_s=draft.some(0.01, 0.5),
            follow_s=draft.some(0.01, 1.0),
            batch_max=draft.chance.choice((1, 3, 50)),
            lost=draft.some(0.0, 0.3),
            unacknowledged=draft.some(0.0, 0.3),
            held=draft.some(0.0, 0.2),
            doubled=draft.some(0.0, 0.1),
            checkpoint_fails=draft.some(0.0, 0.5),
            beat_fails=draft.some(0.0, 0.3),
        )
    for at_s in draft.moments(2):
        process = draft.chance.choice(draft.processes)
        draft.bus(at_s, process, down=True)
        draft.faults.append(Crash(at_s=at_s + 0.1, process=process, down_s=draft.some(0.1, 3.0)))
        draft.bus(at_s + draft.some(1.0, 12.0), process)


def _devices(draft: Draft) -> None:
    """Only devices: they refuse, lie, fall silent, and do late what they were told."""
    draft.usual(18, USUAL | {"delete": 6.0})
    for at_s in (0.0, *draft.moments(4)):
        faults = EffectFaults(
            latency=draft.some(0.0, 0.5),
            jitter=1.0,
            fail=draft.some(0.0, 0.3),
            applied_fail=draft.some(0.0, 0.1),
            timeout=draft.some(0.0, 0.2),
            partial=draft.some(0.0, 0.1),
            late=draft.some(0.0, 0.3),
            lateness=draft.some(0.5, 20.0),
        )
        draft.devices(at_s, faults)


def _leaf(draft: Draft) -> None:
    """A leaf is broken for a while; then its twin, or both."""
    draft.usual(18, USUAL | DRIFTING)
    draft.devices(0.0)
    pair = draft.chance.choice((("l1", "l2"), ("l1", "l2"), ("l3", "l4")))
    at_s = draft.some(0.5, 4.0)
    for broken in (pair[:1], pair[1:], pair if draft.chance.random() < 0.5 else ()):
        draft.devices(at_s, broken=dict.fromkeys(broken, "no power"))
        at_s += draft.some(1.0, draft.end_s / 3)
    draft.devices(at_s)


#: How often what a churn is about is needed and let go.
CHURNS = 14


def _churn(draft: Draft) -> None:
    """One host, one network: the same two leaf interfaces are needed and not needed again and again."""
    draft.devices(0.0, EffectFaults(latency=0.1, jitter=1.0, fail=0.2, timeout=0.1, late=0.2, lateness=6.0))
    draft.bus(0.0, doubled=0.4)
    host = draft.place.hosts[0]
    apart_s = draft.end_s / CHURNS
    for number in range(CHURNS):
        at_s = 0.5 + number * apart_s
        draft.requests.spawn(at_s, network="n1", host=host)
        draft.requests.delete(at_s + draft.some(0.3, 1.0) * apart_s)
    draft.requests.mixed(5.0, draft.end_s, 8, {"delete": 3.0, "drift": 2.0, "drift_and_delete": 1.0})
    victim = Habit(on_append=draft.some(0.0, 0.3), on_effect=draft.some(0.0, 0.3), down_s=1.0)
    draft.faults.append(SetHabit(at_s=0.0, process="cnc", habit=victim))


def _tight(draft: Draft) -> None:
    """Pools and hosts run full in the middle of a burst."""
    draft.devices(0.0)
    draft.bus(0.0, append_s=draft.some(0.01, 0.3), follow_s=draft.some(0.01, 0.5))
    draft.usual(20, USUAL | {"burst": 6.0, "delete": 10.0, "drift": 3.0})
    draft.crashes(4)


def _drifts(draft: Draft) -> None:
    """Drifts of drifts, there and back, deletes in between; slow devices, so that they meet."""
    faults = EffectFaults(latency=draft.some(0.05, 0.6), jitter=1.0, late=draft.some(0.0, 0.2), lateness=5.0)
    draft.devices(0.0, faults)
    draft.bus(0.0, append_s=draft.some(0.01, 0.2), follow_s=draft.some(0.01, 0.4))
    draft.usual(20, DRIFTING)
    draft.crashes(draft.chance.choice((0, 6)))


def _dead_hosts(draft: Draft) -> None:
    """Hosts lose power and get it back, some of them much later, some in the middle of a drift."""
    draft.devices(0.0)
    draft.usual(18)
    for at_s in draft.moments(3):
        host = draft.chance.choice(draft.place.hosts)
        draft.power(at_s, power_off=(host,))
        if draft.chance.random() < 0.4:
            draft.requests.fail_host(at_s + draft.some(0.0, 20.0), host)
        if draft.chance.random() < 0.7:
            back_s = at_s + draft.some(5.0, 140.0)
            draft.power(back_s, power_on=(host,))
            draft.requests.return_host(back_s + draft.some(0.0, 30.0), host)
        for after_s in (draft.some(0.0, 5.0), draft.some(50.0, 90.0)):
            draft.requests.drift(at_s + after_s)


def _cut_off(draft: Draft) -> None:
    """Hosts cannot be spoken to, and forward still."""
    draft.devices(0.0)
    draft.usual(18)
    for at_s in draft.moments(3):
        host = draft.chance.choice(draft.place.hosts)
        draft.power(at_s, cut_off=(host,))
        draft.power(at_s + draft.some(5.0, 140.0), reconnect=(host,))
        draft.requests.mixed(at_s, at_s + 80.0, 3, {"drift": 2.0, "delete": 1.0, "drift_twice": 1.0})
    if draft.chance.random() < 0.5:
        draft.bus(0.0, beat_fails=0.3, follow_s=0.5)


def _operators(draft: Draft) -> None:
    """Hosts are drained, failed and returned by hand, while everything works."""
    draft.devices(0.0)
    draft.usual(18)
    weights = {"fail_host": 2.0, "drain_host": 3.0, "return_host": 4.0}
    draft.requests.mixed(5.0, draft.end_s, 9, weights)
    draft.crashes(draft.chance.choice((0, 5)))


def _tampering(draft: Draft) -> None:
    """Somebody works on the devices by hand."""
    draft.devices(0.0)
    draft.usual(18)
    tricks = ("drop vnic", "drop flow", "drop entry", "add vnic", "add flow", "add entry")
    for at_s in draft.moments(6):
        draft.faults.append(Tamper(at_s=at_s, trick=draft.chance.choice(tricks), pick=draft.chance.random()))  # type: ignore[arg-type]
    draft.requests.mixed(3.0, draft.end_s, 6, {"audit": 1.0})


def _orphans(draft: Draft) -> None:
    """Ports that nobody owns."""
    draft.devices(0.0)
    draft.usual(10)
    draft.requests.mixed(2.0, draft.end_s, 3, {"orphan": 1.0})
    draft.crashes(3)


def _forgers(draft: Draft) -> None:
    """What was said is said again, and reports come of hosts and generations that are not the port's."""
    draft.devices(0.0)
    draft.usual(18, USUAL | DRIFTING)
    for at_s in draft.moments(14):
        draft.faults.append(Copy(at_s=at_s, pick=draft.chance.random(), anew=draft.chance.random() < 0.5))
    for at_s in draft.moments(6):
        draft.faults.append(Copy(at_s=at_s, pick=draft.chance.random(), of="port.claimed"))
    for at_s in draft.moments(14):
        kind, host = draft.chance.randrange(100), draft.chance.choice(draft.place.hosts)
        draft.faults.append(Forge(at_s=at_s, pick=draft.chance.random(), kind=kind, host=host))


def _storm(draft: Draft) -> None:
    """Everything at once."""
    draft.usual(18, USUAL | {"fail_host": 0.3, "drain_host": 0.3, "return_host": 0.6, "audit": 0.5})
    _faulty = EffectFaults(
        latency=0.2, jitter=1.0, fail=0.1, applied_fail=0.05, timeout=0.1, partial=0.05, late=0.1, lateness=10.0
    )
    draft.devices(0.0, _faulty)
    draft.faults.append(SetHands(at_s=0.0, unavailable=0.1, leftovers=0.5))
    draft.bus(
        0.0,
        append_s=0.2,
        follow_s=0.4,
        lost=0.1,
        unacknowledged=0.1,
        held=0.1,
        doubled=0.02,
        checkpoint_fails=0.3,
        beat_fails=0.2,
    )
    draft.crashes(12)
    host = draft.chance.choice(draft.place.hosts)
    at_s = draft.some(5.0, draft.end_s / 2)
    kind = draft.chance.choice((("power_off", "power_on"), ("cut_off", "reconnect")))
    draft.power(at_s, **{kind[0]: (host,)})
    draft.power(at_s + draft.some(5.0, 100.0), **{kind[1]: (host,)})


def _ruin(draft: Draft) -> None:
    """Hosts are declared dead amid spawns and drifts whose flows and leaves fail more often than not; audits mend."""
    draft.devices(0.0)
    draft.requests.mixed(0.5, 3.0, 6, {"spawn": 1.0})
    draft.requests.mixed(4.0, draft.end_s, 20, {"drift": 8.0, "spawn": 4.0, "drift_twice": 1.0, "delete": 1.0})
    draft.requests.mixed(4.0, draft.end_s, 14, {"audit": 1.0})
    draft.requests.mixed(5.0, draft.end_s, 8, {"fail_host": 3.0, "return_host": 2.0})
    for at_s in draft.moments(12):
        draft.faults.append(Tamper(at_s=at_s, trick="drop flow", pick=draft.chance.random()))
    bad, late = EffectFaults(latency=0.05, jitter=1.0, fail=0.8), EffectFaults(latency=4.0, jitter=0.5)
    flows, leaves = {"InstallFlows": bad}, {"LeafVlan": bad}
    slow_flows, slow_leaves = {"InstallFlows": late}, {"LeafVlan": late}
    at_s = 4.0
    while at_s < draft.end_s:
        effects = draft.chance.choice(
            ({}, flows, leaves, flows | leaves, flows | slow_leaves, slow_flows | leaves, slow_flows)
        )
        plan = FaultPlan(effects=SLOW | effects, seed=draft.chance.randrange(1 << 30))
        draft.faults.append(SetDevices(at_s=at_s, plan=plan))
        at_s += draft.some(0.5, 3.0)


def _planes(draft: Draft) -> None:
    """Both planes fail, the one after the other, or the one while the other is still under way."""
    draft.devices(0.0)
    draft.requests.mixed(0.5, 3.0, 6, {"spawn": 1.0})
    draft.chance.choice((_both_planes, _planes_apart))(draft)
    for _ in range(3):  # allocated to a host that has died meanwhile
        at_s, host = draft.some(16.0, draft.end_s), draft.chance.choice(draft.place.hosts)
        draft.requests.spawn(at_s, host=host)
        draft.requests.fail_host(at_s + draft.some(0.0, 0.3), host)
    draft.bus(15.5, "ipam", follow_s=0.6)


def _both_planes(draft: Draft) -> None:
    """What drifts finds leaves that fail; flows are lost and cannot be put back; then hosts die, or leaves mend."""
    refused = EffectFaults(latency=0.05, jitter=1.0, fail=1.0)
    leaves, flows = {"LeafVlan": refused}, {"InstallFlows": refused}
    for at_s, effects in ((4.0, leaves), (10.0, leaves | flows), (15.0, draft.chance.choice((flows, leaves, {})))):
        draft.faults.append(SetDevices(at_s=at_s, plan=FaultPlan(effects=SLOW | effects)))
    draft.requests.mixed(4.5, 6.0, 5, {"drift": 1.0})
    for at_s in (10.5, 11.0, 11.5, 12.0):
        draft.faults.append(Tamper(at_s=at_s, trick="drop flow", pick=draft.chance.random()))
    draft.requests.mixed(12.5, 13.0, 10, {"audit": 1.0})
    draft.requests.mixed(15.5, draft.end_s, 8, {"fail_host": 1.0, "drift": 1.0, "audit": 2.0})


def _planes_apart(draft: Draft) -> None:
    """What drifts finds one plane refused and the other very slow; then hosts die, or it is mended and tried again."""
    refused = EffectFaults(latency=0.05, jitter=1.0, fail=1.0)
    fails = draft.chance.choice((0.0, 1.0))
    slow = EffectFaults(latency=1.2 if fails else 5.0, jitter=0.3, fail=fails)
    first, second = draft.chance.choice((("InstallFlows", "LeafVlan"), ("LeafVlan", "InstallFlows")))
    draft.faults += [
        SetDevices(at_s=4.0, plan=FaultPlan(effects=SLOW | {first: refused, second: slow})),
        SetDevices(at_s=7.5, plan=FaultPlan(effects=SLOW | {second: slow})),
        SetDevices(at_s=15.0, plan=FaultPlan(effects=SLOW)),
    ]
    draft.requests.mixed(4.2, 5.0, 7, {"drift": 1.0})
    then = draft.chance.choice(({"audit": 1.0}, {"fail_host": 1.0}, {"fail_host": 1.0, "audit": 3.0, "delete": 1.0}))
    draft.requests.mixed(8.0, 10.0, 9, then)
    draft.requests.mixed(12.5, 15.0, 5, {"delete": 2.0, "fail_host": 1.0})


def _stuck(draft: Draft) -> None:
    """One worker is away for longer than anything may take: what waits for it must end by itself."""
    draft.devices(0.0)
    draft.usual(12)
    away = draft.chance.choice(("ipam", "cnc", *draft.processes[len(central()) :]))
    draft.faults.append(Crash(at_s=draft.some(2.0, 6.0), process=away, down_s=draft.some(320.0, 400.0)))


def _rivals(draft: Draft) -> None:
    """Two schedulers and two IPAMs: the log takes the word of the first. Spawns alone, which nothing makes fail."""
    draft.devices(0.0)
    draft.requests.mixed(0.5, draft.end_s, 16, {"spawn": 8.0, "pinned": 2.0, "burst": 1.0})
    draft.bus(0.0, append_s=draft.some(0.05, 0.3), follow_s=draft.some(0.05, 0.5))
    for at_s in draft.moments(4):
        draft.faults.append(RunTwin(at_s=at_s, process=draft.chance.choice(SINGLE), for_s=draft.some(1.0, 8.0)))


_LONG = (90.0, 180.0)
THEMES: dict[str, Theme] = {
    "calm": Theme(_calm),
    "victim": Theme(_victim),
    "leaf": Theme(_leaf),
    "drifts": Theme(_drifts),
    "dead hosts": Theme(_dead_hosts, _LONG),
    "churn": Theme(_churn),
    "bus": Theme(_bus),
    "forgers": Theme(_forgers),
    "devices": Theme(_devices),
    "cut off": Theme(_cut_off, _LONG),
    "tight": Theme(_tight, tight=True),
    "crashes": Theme(_crashes),
    "twins": Theme(_twins),
    "operators": Theme(_operators, _LONG),
    "tampering": Theme(_tampering),
    "storm": Theme(_storm, _LONG),
    "ruin": Theme(_ruin),
    "stuck": Theme(_stuck),
    "rivals": Theme(_rivals),
    "planes": Theme(_planes, (20.0, 30.0)),
    "orphans": Theme(_orphans),
}
THEMES = {name: theme._replace(of_fabric=True) for name, theme in THEMES.items()}

for _module in pkgutil.iter_modules(systems.__path__):
    THEMES.update(importlib.import_module(f"{systems.__name__}.{_module.name}").THEMES)
