"""The devices as simulated processes see them: every effect that reaches one is told, also those of dead senders."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence

from driftline.simulator.loop import now_us
from workers.devices.protocol import Outcome
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import Fabric, Performed
from workers.devices.simulated.faults import Fate, FaultPlan
from workers.effects import AnyEffect
from workers.errors import DevicesUnavailable


class WatchedFabric(Fabric):
    """A fabric that says what has reached its devices."""

    def __init__(self, reached: Callable[[AnyEffect, Performed], None]) -> None:
        super().__init__()
        self._reached = reached

    def perform(self, effect: AnyEffect, part: float = 1.0) -> Performed:
        came = super().perform(effect, part)
        self._reached(effect, came)
        return came


class Machinery(SimulatedDevices):
    """The devices; ``counts`` is how often what became of an effect."""

    def __init__(self, fabric: Fabric, counts: Counter[str]) -> None:
        super().__init__(fabric, clock=now_us)
        self.counts = counts
        self.busy = 0
        self.set_faults(FaultPlan())

    def set_faults(self, plan: FaultPlan) -> None:
        super().set_faults(plan)
        decide = self._dice.decide

        def counted(effect: AnyEffect) -> Fate:
            fate = decide(effect)
            name = _name_of(fate)
            if name:
                self.counts[name] += 1
            return fate

        self._dice.decide = counted  # type: ignore[method-assign]  # the same dice, overheard


def _name_of(fate: Fate) -> str:
    if fate.late_s:
        return "effect late"
    if fate.part < 1:
        return "effect partial"
    if not fate.answer:
        return "effect timed out" if fate.apply else "effect lost"
    if fate.error:
        return "effect applied and failed" if fate.apply else "effect failed"
    return ""


class Hands:
    """Implements ``Devices`` for one process. What it had under way when it died may still land."""

    def __init__(self, devices: Machinery, chance: random.Random, done: Callable[[], None]) -> None:
        self.cut = False
        self.unavailable = 0.0
        self.leftovers = 0.0
        self._devices = devices
        self._chance = chance
        self._done = done

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        if self.cut:
            raise DevicesUnavailable
        return await self._devices.alive(hosts)

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        chance = self._chance
        if self.cut or (self.unavailable and chance.random() < self.unavailable):
            self._devices.counts["devices out of reach"] += 1
            await asyncio.sleep(chance.uniform(0, 0.5))
            raise DevicesUnavailable
        lands_s = [chance.uniform(0, 10) for _ in effects] if chance.random() < self.leftovers else []
        left = set(range(len(effects)))
        self._devices.busy += 1
        try:
            async for outcomes in self._devices.apply(effects):
                left.difference_update(outcome.index for outcome in outcomes)
                self._done()
                yield outcomes
        except (asyncio.CancelledError, GeneratorExit):
            for index in sorted(left) if lands_s else ():
                self._land(effects[index], lands_s[index])
            raise
        finally:
            self._devices.busy -= 1

    def _land(self, effect: AnyEffect, delay_s: float) -> None:
        """The sender is dead; what it sent is on its way."""
        devices = self._devices
        devices.counts["effect of a dead sender"] += 1
        devices.on_their_way += 1

        def land() -> None:
            devices.on_their_way -= 1
            devices.fabric.mobility.now_us = now_us()
            devices.fabric.perform(effect)

        asyncio.get_running_loop().call_later(delay_s, land)
