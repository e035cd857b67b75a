"""The modelled devices as a driver: ``workers.devices.protocol.Devices`` over a fabric, with faults and a journal."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from workers.devices.protocol import Outcome
from workers.devices.simulated.fabric import Cable, Fabric, Performed, SetHosts
from workers.devices.simulated.faults import Dice, Fate, FaultPlan
from workers.devices.simulated.journal import Journal, Partly, Record
from workers.devices.simulated.mobility import DuplicateRule, Station
from workers.devices.simulated.tamper import Act, check
from workers.effects import AnyEffect


def wall_clock() -> int:
    """Microseconds since the Unix epoch."""
    return time.time_ns() // 1000


class SimulatedDevices:
    """Devices in this process. ``fabric`` may be looked at and traced at any time.

    With a journal, ``fabric`` is the journal's, so that the devices go on where they were. ``on_their_way`` counts the
    late effects that nobody waits for and that have not reached their device yet. ``clock`` is the devices' own,
    microseconds; ``duplicates`` says when a MAC that moves is a duplicate.
    """

    def __init__(
        self,
        fabric: Fabric | None = None,
        plan: FaultPlan | None = None,
        journal: Journal | None = None,
        *,
        clock: Callable[[], int] = wall_clock,
        duplicates: DuplicateRule | None = None,
    ) -> None:
        """Raises ValueError when both a fabric and a journal, which brings its own, are given."""
        if fabric is not None and journal is not None:
            raise ValueError("fabric: the journal brings its own")
        self.fabric = journal.fabric if journal is not None else fabric or Fabric()
        self.fabric.mobility.rule = duplicates or self.fabric.mobility.rule
        self.on_their_way = 0
        self._clock = clock
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

    def set_hosts(self, change: SetHosts) -> None:
        """See ``Fabric.set_hosts``. Raises ValueError."""
        self._look_at_clock()
        self.fabric.set_hosts(change)
        self._write([change, *self._moves()])

    def tamper(self, acts: Iterable[Act]) -> None:
        """Do something to devices by hand. Raises ValueError for an act that cannot be; those before it are done."""
        done: list[Record] = []
        self._look_at_clock()
        try:
            for act in acts:
                check(act)
                self.fabric.tamper(act)
                done += [act, *self._moves()]
        finally:
            self._write(done)

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        """See ``Devices.alive``."""
        return {host for host in hosts if self.fabric.answers(host)}

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """See ``Devices.apply``. Without latency all outcomes come in one group, before anything else can happen.

        An effect is performed when it falls due, so a caller that leaves early leaves the rest undone. Late ones that
        were due by then still come.
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
        noted: list[Record] = []
        for index in indices:
            fate = fates[index]
            came = Performed()
            if fate.late_s:
                self._send_late(effects[index], fate)
            elif fate.apply:
                came = self._do(effects[index], fate, noted)
            if fate.answer:
                error = came.error or fate.error
                outcomes.append(Outcome(index, error, () if error else came.found))
        self._write(noted)
        return outcomes

    def _do(self, effect: AnyEffect, fate: Fate, noted: list[Record]) -> Performed:
        self._look_at_clock()
        came = self.fabric.perform(effect, fate.part)
        if came.noted:
            noted.append(effect if fate.part >= 1 else Partly(effect, fate.part))
        noted += self._moves()
        return came

    def _look_at_clock(self) -> None:
        self.fabric.mobility.now_us = self._clock()

    def _moves(self) -> list[Station]:
        """What has become of MACs that moved, which no effect tells."""
        return self.fabric.mobility.take_changed()

    def _send_late(self, effect: AnyEffect, fate: Fate) -> None:
        """Perform ``effect`` when nobody waits for it any more, unless the devices themselves have ended by then."""

        def land() -> None:
            self.on_their_way -= 1
            if self._journal is None or not self._journal.closed:
                noted: list[Record] = []
                self._do(effect, fate, noted)
                self._write(noted)

        self.on_their_way += 1
        asyncio.get_running_loop().call_later(fate.late_s, land)

    def _write(self, records: Sequence[Record]) -> None:
        if self._journal is not None:
            self._journal.write(records)
