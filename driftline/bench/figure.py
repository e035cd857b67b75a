"""One figure: how many of something were done in what time."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. ``name`` is for programs, ``what`` for people. ``median_ms``: of one, where each was timed."""

    name: str
    what: str
    unit: str
    count: int
    seconds: float
    per_second: float
    median_ms: float | None = None


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much each figure is measured with: so many events or rows, and no longer than ``seconds`` (and one step).

    ``batches``: sizes of the atomic batches.
    """

    events: int = 20_000
    rows: int = 20_000
    seconds: float = 3.0
    batches: tuple[int, ...] = (100, 500, 1000)


async def measured(
    name: str, what: str, steps: AsyncGenerator[int, None], bounds: Bounds, unit: str = "events"
) -> Figure:
    """Take ``steps``, each of which says how many it did, until they end or the time is up."""
    count, seconds = 0, 0.0
    started = time.perf_counter()
    async with aclosing(steps):
        async for done in steps:
            count += done
            seconds = time.perf_counter() - started
            if seconds >= bounds.seconds:
                break
    return figure(name, what, count, seconds, unit=unit)


def figure(
    name: str, what: str, count: int, seconds: float, *, unit: str = "events", median_s: float | None = None
) -> Figure:
    """A figure with its rate."""
    return Figure(
        name=name,
        what=what,
        unit=unit,
        count=count,
        seconds=round(seconds, 6),
        per_second=round(count / seconds, 1) if seconds > 0 else 0.0,
        median_ms=None if median_s is None else round(median_s * 1000, 3),
    )
