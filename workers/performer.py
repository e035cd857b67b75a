"""Performs effects: one at a time per slot of a device, the newest wish first, with retries.

An effect that gives something is tried a few times and then reported as failed. One that takes something away
(``withdraws``) is tried until it succeeds or is superseded, because giving up would leave something behind.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import stamina
import structlog

from workers.appender import Appender
from workers.devices.protocol import Devices, Outcome
from workers.effect import Slot
from workers.effects import Result
from workers.errors import DevicesUnavailable
from workers.machine import Machine, Planned
from workers.watch import UNWATCHED, Watch

#: How often an effect that gives something is tried.
ATTEMPTS = 4

#: (worker, slot): what at most one effect is under way for.
_Key = tuple[str, Slot]

log = structlog.get_logger("performer")


class _Job(msgspec.Struct, frozen=True, gc=False):
    machine: Machine
    planned: Planned
    started_us: int
    key: _Key


class _SomeFailedError(Exception):
    """Some effects of a group are to be tried again."""


class Performer:
    """Brings devices to what machines wish and hands the outcomes to the appender."""

    def __init__(
        self,
        devices: Devices,
        appender: Appender,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], int],
        watch: Watch = UNWATCHED,
    ) -> None:
        self._devices = devices
        self._appender = appender
        self._tasks = tasks
        self._clock = clock
        self._watch = watch
        self._current: dict[_Key, _Job] = {}
        self._next: dict[_Key, _Job] = {}

    def under_way(self) -> Counter[str]:
        """How many effects are being performed or wait for their slot, by worker."""
        return Counter(worker for worker, _ in (*self._current, *self._next))

    def submit(self, machine: Machine, effects: list[Planned]) -> None:
        """Perform ``effects``, now or after what is being done to the same slot."""
        started_us = self._clock()
        name = machine.worker.name
        jobs = [_Job(machine, planned, started_us, (name, planned.effect.slot)) for planned in effects]
        self._start([job for job in jobs if self._admit(job)])

    def _admit(self, job: _Job) -> bool:
        """Whether ``job`` can start now. If not, it waits, or what is under way will do for it as well."""
        current = self._current.get(job.key)
        if current is None:
            self._current[job.key] = job
            return True
        waiting = self._next.pop(job.key, None)
        if waiting is not None:
            waiting.machine.done(waiting.planned.position)
        if current.planned.effect == job.planned.effect:
            job.machine.done(job.planned.position)
        else:
            self._next[job.key] = job
        return False

    def _start(self, jobs: list[_Job]) -> None:
        if jobs:
            self._tasks.create_task(self._perform(jobs), name="perform effects")

    async def _perform(self, jobs: list[_Job]) -> None:
        left = {job.key: job for job in jobs}
        tries = 0
        async for attempt in stamina.retry_context(
            on=(_SomeFailedError, DevicesUnavailable), attempts=None, timeout=None, wait_initial=0.05, wait_max=2.0
        ):
            with attempt:
                errors = await self._attempt(left)
                tries += 1
                self._give_up(left, errors, tries)
                if left:
                    raise _SomeFailedError(next(iter(errors.values())))

    async def _attempt(self, left: dict[_Key, _Job]) -> dict[_Key, str]:
        """Try the jobs ``left`` once, settle those that succeed and drop them from it; returns the others' errors."""
        jobs = list(left.values())
        errors: dict[_Key, str] = {}
        async for outcomes in self._devices.apply([job.planned.effect for job in jobs]):
            done: list[tuple[_Job, Outcome]] = []
            for outcome in outcomes:
                key = jobs[outcome.index].key
                if outcome.error:
                    errors[key] = outcome.error
                else:
                    done.append((left.pop(key), outcome))
            self._settle(done)
        return {key: errors.get(key, "timed out: it may have been applied") for key in left}

    def _give_up(self, left: dict[_Key, _Job], errors: dict[_Key, str], tries: int) -> None:
        """Drop from ``left`` what is not to be tried again: superseded, or tried often enough."""
        for key, error in errors.items():
            job = left[key]
            effect = job.planned.effect
            log.warning("effect failed", effect=type(effect).__name__, slot=effect.slot, error=error, tries=tries)
            if key in self._next:
                job.machine.done(job.planned.position)
                self._free([left.pop(key)])
            elif tries >= ATTEMPTS and not effect.withdraws:
                self._settle([(left.pop(key), Outcome(0, error))])
        self._watch.retrying((job.machine, job.planned) for job in left.values())

    def _settle(self, settled: list[tuple[_Job, Outcome]]) -> None:
        now_us = self._clock()
        for job, outcome in settled:
            result = Result(outcome.error, job.started_us, outcome.found)
            settled_as = job.machine.settle(job.planned, result, now_us)
            envelopes = self._watch.settled(job.machine, job.planned, result, settled_as, now_us)
            self._appender.put(job.machine, job.planned.position, envelopes)
        self._free([job for job, _ in settled])

    def _free(self, jobs: list[_Job]) -> None:
        """The slots of ``jobs`` are free: start what waited for them."""
        starting = []
        for job in jobs:
            del self._current[job.key]
            following = self._next.pop(job.key, None)
            if following is not None:
                self._current[following.key] = following
                starting.append(following)
        self._start(starting)
