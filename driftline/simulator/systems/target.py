"""The target architecture: clusters and ingresses come while pods drift and the worker of ingresses dies."""

from bus.events import ClusterCreateRequested, IngressCreateRequested, Listener
from driftline.simulator.actions import Crash, SetHabit
from driftline.simulator.draft import Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import AZ
from workers.devices.simulated.faults import EffectFaults

APPS = ("web", "db")


def _target(draft: Draft) -> None:
    """One cluster and another that cannot be; ingresses that fit, that are wrong, and that ask for one name twice."""
    chance, ask = draft.chance, draft.requests.ask
    draft.devices(0.0, EffectFaults(latency=0.1, jitter=1.0, fail=draft.some(0.0, 0.2), late=0.1, timeout=0.1))
    draft.bus(0.0, append_s=draft.some(0.0, 0.3), follow_s=draft.some(0.0, 0.4), doubled=0.05)
    ask(0.3, ClusterCreateRequested(cluster="k8s", vpc="v1", pod_cidr="172.16.0.0/28"), "operator")
    ask(0.5, ClusterCreateRequested(cluster="k8s", vpc="v1", pod_cidr="172.17.0.0/28"), "operator")
    ask(0.6, ClusterCreateRequested(cluster="bad", vpc="v1", pod_cidr="10.0.0.0/28"), "operator")
    for at_s in (2.0, 2.2, 2.4, *draft.moments(6), draft.end_s):
        draft.requests.spawn(max(at_s, 2.0), network="k8s-pods", app=chance.choice(APPS))
    for at_s in (2.5, *draft.moments(5)):
        listener = Listener(port=chance.choice((80, 80, 70000)), selects={"app": chance.choice(APPS)}, target_port=8080)
        request = IngressCreateRequested(
            ingress=f"ing{chance.randint(1, 3)}",
            cluster="k8s",
            network=chance.choice(("n1", "n1", "n2", "n3")),
            az=AZ,
            listeners=(listener,),
        )
        ask(max(at_s, 2.5), request, "operator")
    draft.requests.mixed(3.0, draft.end_s, 10, {"drift": 5.0, "delete": 2.0, "spawn": 2.0, "audit": 1.0})
    for process in ("ingress", "ingress", "ipam"):
        draft.faults.append(Crash(at_s=draft.some(0.2, draft.end_s), process=process, down_s=draft.some(0.1, 6.0)))
    habit = Habit(on_append=draft.some(0.0, 0.2), on_effect=draft.some(0.0, 0.2), down_s=1.0)
    draft.faults.append(SetHabit(at_s=draft.some(0.0, 8.0), process="ingress", habit=habit))


THEMES = {"target": Theme(_target, (15.0, 40.0))}
