"""Devices and a log that misbehave on request, for tests of the asyncio runner. They wait for nothing but orders."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import msgspec

from bus.envelope import Envelope
from bus.errors import LogUnavailable
from bus.events import HostAdded
from bus.log import Appended
from bus.memory import MemoryLog
from workers.devices.protocol import Outcome
from workers.devices.simulated.fabric import Fabric
from workers.effects import AnyEffect, DeviceEffect, InstallPolicy, PlugVnic
from workers.errors import DevicesUnavailable

#: What a device answers to an effect that it is asked for the n-th time: an error, "" for done, None for no answer.
Answer = Callable[[AnyEffect, int], str | None]


def done(effect: AnyEffect, tries: int) -> str | None:
    """Everything works."""
    return ""


def anywhere(effect: AnyEffect) -> AnyEffect:
    """The effect, wherever in the log the claim is that it is for."""
    return msgspec.structs.replace(effect, claimed_at=0) if isinstance(effect, PlugVnic | InstallPolicy) else effect


class FakeDevices:
    """Implements ``Devices``. ``asked`` counts each effect; an effect on a slot in ``held`` waits for its release."""

    def __init__(self, answer: Answer = done) -> None:
        self.fabric = Fabric()
        self.asked: Counter[AnyEffect] = Counter()
        self.down: set[str] = set()
        self.applied: list[AnyEffect] = []
        self.held: dict[tuple[str, ...], asyncio.Event] = {}
        self.started = asyncio.Condition()
        #: How often ``apply`` still fails whole, after so many effects of its first group were done.
        self.unavailable_times = 0
        self.done_before_unavailable = 0
        self._answer = answer

    def cable(self, hosts: Iterable[HostAdded]) -> None:
        """Put up these hosts and the leaves that they hang on."""
        for host in hosts:
            for leaf in (host.leaf_a, host.leaf_b):
                self.fabric.add_leaf(leaf, vtep="10.255.0.1")
            self.fabric.add_host(host.host, host.leaf_a, host.leaf_b, host.interface)

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncIterator[Sequence[Outcome]]:
        fails = self.unavailable_times > 0
        self.unavailable_times -= fails
        for index, effect in enumerate(effects):
            if fails and index == self.done_before_unavailable:
                raise DevicesUnavailable
            outcome = await self._try(effect)
            if outcome is not None:
                yield [Outcome(index, outcome)]

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        return set(hosts) - self.down

    async def until_asked(self, effect: AnyEffect) -> None:
        """Wait until ``effect`` is under way."""
        async with self.started:
            await self.started.wait_for(lambda: self.asked[effect] > 0)

    async def _try(self, effect: AnyEffect) -> str | None:
        if isinstance(effect, DeviceEffect):  # what wakes and clocks ask for
            return ""
        effect = anywhere(effect)
        self.asked[effect] += 1
        async with self.started:
            self.started.notify_all()
        await asyncio.sleep(0)  # a cancellation may hit before or after the device has taken it
        outcome = self._answer(effect, self.asked[effect])
        if not outcome:
            error = self.fabric.apply(effect)
            self.applied.append(effect)
            outcome = None if outcome is None else error
        if effect.slot in self.held:
            await self.held[effect.slot].wait()
        await asyncio.sleep(0)
        return outcome


class FlakyLog(MemoryLog):
    """A log that is out of reach now and then; what was sent may have been appended in part, or whole."""

    def __init__(self) -> None:
        super().__init__()
        self.unavailable_times = 0

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        if self.unavailable_times:
            self.unavailable_times -= 1
            await super().append(envelopes[: self.unavailable_times % (len(envelopes) + 1)])
            await asyncio.sleep(0)
            raise LogUnavailable("no answer")
        return await super().append(envelopes)
