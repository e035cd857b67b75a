"""The modelled devices as a driver: ``workers.devices.protocol.Devices`` over a fabric, with faults and a journal."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from workers.devices.simulated.fabric import Cable, Fabric
from workers.devices.simulated.faults import Dice, Fate, FaultPlan
from workers.devices.simulated.journal import Journal
from workers.effects import AnyEffect

#: (index into the effects, error), as in ``Devices.apply``.
Outcome = tuple[int, str]


class SimulatedDevices:
    """Devices in this process. ``fabric`` may be looked at and traced at any time.

    With a journal, ``fabric`` is the journal's, so that the devices go on where they were.
    """

    def __init__(self, fabric: Fabric | None = None, plan: FaultPlan | None = None, journal: Journal | None = None):
        """Raises ValueError when both a fabric and a journal, which brings its own, are given."""
        if fabric is not None and journal is not None:
            raise ValueError("fabric: the journal brings its own")
        self.fabric = journal.fabric if journal is not None else fabric or Fabric()
        self._journal = journal
        self._dice = Dice(plan or FaultPlan())

    def cable(self, cables: Iterable[Cable]) -> None:
        """Put up leaves and hosts; what is known already may be told again.

        Raises ValueError for a cable that cannot be; those before it are in place.
        """
        new: list[Cable] = []
        try:
            for cable in cables:
                if self.fabric.cable(cable):
                    new.append(cable)  # noqa: PERF401  # an error must not lose those before it
        finally:
            self._write(new)

    def set_faults(self, plan: FaultPlan) -> None:
        """From now on, effects fare as ``plan`` says."""
        self._dice = Dice(plan)

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """See ``Devices.apply``. Without latency all outcomes come in one group, before anything else can happen.

        An effect is performed when it falls due, so a caller that leaves early leaves the rest undone.
        """
        decide = self._dice.decide
        fates = [decide(effect) for effect in effects]
        pending = sorted(range(len(fates)), key=lambda index: fates[index].delay_s)
        loop = asyncio.get_running_loop()
        start = loop.time()
        done = 0
        while done < len(pending):
            due = start + fates[pending[done]].delay_s
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            now = max(due, loop.time())  # a timer may fire within the clock's resolution before it is due
            first = done
            while done < len(pending) and start + fates[pending[done]].delay_s <= now:
                done += 1
            outcomes = self._perform(effects, fates, pending[first:done])
            if outcomes:
                yield outcomes

    def _perform(self, effects: Sequence[AnyEffect], fates: Sequence[Fate], indices: Sequence[int]) -> list[Outcome]:
        """Do what has fallen due; returns what is answered."""
        outcomes: list[Outcome] = []
        reached: list[AnyEffect] = []
        for index in indices:
            fate = fates[index]
            error = fate.error
            if fate.apply:
                error = self.fabric.apply(effects[index]) or error
                reached.append(effects[index])
            if fate.answer:
                outcomes.append((index, error))
        self._write(reached)
        return outcomes

    def _write(self, records: Sequence[AnyEffect | Cable]) -> None:
        if self._journal is not None:
            self._journal.write(records)
