"""Performs effects: one at a time per slot of a device, the newest wish first, with retries.

An effect that gives something is tried a few times and then reported as failed. One that takes something away
(``withdraws``) is tried until it succeeds or is superseded, because giving up would leave something behind.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import stamina
import structlog

from workers.appender import Appender
from workers.devices.protocol import Devices, DevicesUnavailable
from workers.effects import Result, Slot
from workers.machine import Machine, Planned

#: How often an effect that gives something is tried.
ATTEMPTS = 4

log = structlog.get_logger("performer")


class _Job(NamedTuple):
    machine: Machine
    planned: Planned
    started_us: int

    @property
    def key(self) -> tuple[str, Slot]:
        return self.machine.worker.name, self.planned.effect.slot


class _SomeFailedError(Exception):
    """Some effects of a group are to be tried again."""


class Performer:
    """Brings devices to what machines wish and hands the outcomes to the appender."""

    def __init__(
        self, devices: Devices, appender: Appender, tasks: asyncio.TaskGroup, clock: Callable[[], int]
    ) -> None:
        self._devices = devices
        self._appender = appender
        self._tasks = tasks
        self._clock = clock
        self._current: dict[tuple[str, Slot], _Job] = {}
        self._next: dict[tuple[str, Slot], _Job] = {}

    def submit(self, machine: Machine, effects: list[Planned]) -> None:
        """Perform ``effects``, now or after what is being done to the same slot."""
        started_us = self._clock()
        self._start([job for job in (_Job(machine, p, started_us) for p in effects) if self._admit(job)])

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
        tries = 0
        async for attempt in stamina.retry_context(
            on=(_SomeFailedError, DevicesUnavailable), attempts=None, timeout=None, wait_initial=0.05, wait_max=2.0
        ):
            with attempt:
                errors = await self._attempt(jobs)
                tries += 1
                jobs = self._keep_trying(jobs, errors, tries)
                if jobs:
                    raise _SomeFailedError(next(iter(errors.values())))

    async def _attempt(self, jobs: list[_Job]) -> dict[int, str]:
        """Try ``jobs`` once and settle those that succeed; returns the errors of the others by index."""
        open_jobs = dict(enumerate(jobs))
        errors: dict[int, str] = {}
        async for outcomes in self._devices.apply([job.planned.effect for job in jobs]):
            done = []
            for index, error in outcomes:
                if error:
                    errors[index] = error
                else:
                    done.append(open_jobs.pop(index))
            self._settle(done, "")
        for index in open_jobs:
            errors.setdefault(index, "timed out: it may have been applied")
        return errors

    def _keep_trying(self, jobs: list[_Job], errors: dict[int, str], tries: int) -> list[_Job]:
        """Those of ``jobs`` that failed and are to be tried again; the others are settled."""
        again = []
        for index, error in errors.items():
            job = jobs[index]
            effect = job.planned.effect
            log.warning("effect failed", effect=type(effect).__name__, slot=effect.slot, error=error, tries=tries)
            if job.key in self._next:
                job.machine.done(job.planned.position)
                self._free([job])
            elif tries >= ATTEMPTS and not effect.withdraws:
                self._settle([job], error)
            else:
                again.append(job)
        return again

    def _settle(self, jobs: list[_Job], error: str) -> None:
        now_us = self._clock()
        for job in jobs:
            envelopes = job.machine.settle(job.planned, Result(error, job.started_us), now_us)
            self._appender.put(job.machine, job.planned.position, envelopes)
        self._free(jobs)

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
