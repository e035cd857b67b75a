"""What a run looked like while it went on: a sample a second of what was done, what was behind, and Figure 8."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import psutil

from bus.envelope import now_us
from bus.errors import LogUnavailable

#: How often a sample is taken, seconds.
EVERY_S = 1.0
#: What the names of Python's processes begin with.
PYTHON = "python"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One moment, ``at_s`` after the run began. ``lags``: events behind, by who reads; the other counts: so far.

    ``ended``: spawns that have their outcome. ``memory_mib``: what this process and the Python processes that it
    started hold. ``cpu_s``: what these and the servers that it started have used of the cores so far, by program.
    """

    at_s: float
    requested: int
    active: int
    ended: int
    deleted: int = 0
    drifted: int = 0
    bulk_done: int = 0
    in_flight: int
    events: int
    lags: dict[str, int]
    states: dict[str, int]
    memory_mib: int = 0
    cpu_s: dict[str, float] = {}


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to the system at a moment: a phase began, or a fault was let in."""

    at_us: int
    what: str


class Use(NamedTuple):
    """What this process and those that it started use: see ``Sample``."""

    memory_mib: int
    cpu_s: dict[str, float]


def use() -> Use:
    """What is used now. What has ended is not counted any more."""
    me = psutil.Process()
    held, cpu_s = 0, defaultdict[str, float](float)
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            program = PYTHON if process == me or process.name().startswith(PYTHON) else process.name()
            times = process.cpu_times()
            cpu_s[program] += times.user + times.system
            if program == PYTHON:
                held += process.memory_info().rss
    return Use(held >> 20, {program: round(taken, 2) for program, taken in cpu_s.items()})


#: Takes one sample, given how long the run has been going on, seconds. Raises LogUnavailable when it cannot.
Look = Callable[[float], Awaitable[Sample]]


class Sampler:
    """Takes samples until it is cancelled. ``missed``: how often it could not, because the log was away."""

    def __init__(self, look: Look, on_sample: Callable[[Sample], None]) -> None:
        self._look = look
        self._on_sample = on_sample
        self.samples: list[Sample] = []
        self.started_us = now_us()
        self.missed = 0
        self._taking = asyncio.Lock()

    async def take(self) -> None:
        """Take one now, after the one that is being taken: they stay in the order of their times."""
        async with self._taking:
            try:
                sample = await self._look((now_us() - self.started_us) / 1e6)
            except LogUnavailable:
                self.missed += 1
            else:
                self.samples.append(sample)
                self._on_sample(sample)

    async def run(self) -> None:
        """Take samples for ever."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            await self.take()
            passed_s = loop.time() - start
            await asyncio.sleep(EVERY_S - passed_s % EVERY_S)  # what was missed is not made up for
