"""A scenario in the making: what themes write requests and faults into."""

import random

from driftline.parts import all_workers
from driftline.simulator.actions import AnyAction, Crash, SetBus, SetDevices, SetPower
from driftline.simulator.bus import BusFaults
from driftline.simulator.requests import Requests
from driftline.simulator.worlds import Place
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.faults import CLASSES, EffectFaults, FaultPlan

#: How devices fare when nothing is wrong with them: they are slow, that is all.
SLOW = {kind: EffectFaults(latency=0.05, jitter=1.0) for kind in CLASSES}
HEALTHY = FaultPlan(effects=SLOW)

#: How often users ask for what, unless a theme says otherwise.
USUAL = {
    **{"spawn": 10.0, "pinned": 3.0, "burst": 1.0, "wrong": 1.0, "delete": 4.0, "spawn_and_delete": 1.0},
    **{"drift": 5.0, "drift_twice": 1.0, "drift_back": 0.5, "drift_and_delete": 1.0},
}
DRIFTING = {"spawn": 6.0, "drift": 6.0, "drift_twice": 4.0, "drift_back": 3.0, "drift_and_delete": 3.0, "delete": 2.0}


def central() -> tuple[str, ...]:
    """The workers of which there is one."""
    return tuple(name for name, worker in all_workers().items() if not worker.per_host)


def _local() -> tuple[str, ...]:
    return tuple(name for name, worker in all_workers().items() if worker.per_host)


class Draft:
    """A scenario in the making. It lasts from 0 to ``end_s``."""

    def __init__(self, chance: random.Random, place: Place, layout: str, end_s: float, requests: Requests) -> None:
        self.chance = chance
        self.place = place
        self.end_s = end_s
        self.requests = requests
        self.faults: list[AnyAction] = []
        local = _local()
        apart = tuple(f"{name}@{host}" for name in local for host in place.hosts if place.runs(name, host))
        hosted = local if layout == "shared" else apart
        self.processes = (*central(), *hosted)

    def usual(self, count: int = 18, weights: dict[str, float] | None = None, **more: float) -> None:
        """Some instances early, then a mix of requests until shortly before the end."""
        self.requests.mixed(0.5, 2.0, 4, {"spawn": 1.0})
        self.requests.mixed(3.0, self.end_s - 1.0, count, (weights or USUAL) | more)

    def moments(self, count: int) -> list[float]:
        """``count`` times at which something goes wrong."""
        return sorted(self.chance.uniform(1.0, self.end_s) for _ in range(count))

    def some(self, low: float, high: float) -> float:
        """Something between."""
        return self.chance.uniform(low, high)

    def devices(self, at_s: float, faults: EffectFaults | None = None, broken: dict[str, str] | None = None) -> None:
        """From then on devices are slow, fail like this (all kinds alike), and these are broken."""
        effects = SLOW if faults is None else dict.fromkeys(CLASSES, faults)
        plan = FaultPlan(effects=effects, broken=broken or {}, seed=self.chance.randrange(1 << 30))
        self.faults.append(SetDevices(at_s=at_s, plan=plan))

    def bus(self, at_s: float, process: str = "", **faults: float) -> None:
        """From then on a process, or all, fare like this with the log."""
        self.faults.append(SetBus(at_s=at_s, process=process, faults=BusFaults(**faults)))  # type: ignore[arg-type]

    def power(self, at_s: float, **change: tuple[str, ...]) -> None:
        """Hosts die, are cut off, or come back."""
        self.faults.append(SetPower(at_s=at_s, change=SetHosts(**change)))

    def crashes(self, count: int) -> None:
        """Anybody dies at any time."""
        for at_s in self.moments(count):
            process = self.chance.choice(self.processes)
            self.faults.append(Crash(at_s=at_s, process=process, down_s=self.some(0.01, 5.0)))
