"""Whether a process is ready: what it needs answers, and it has taken in what the log held when it was asked."""

import asyncio
from collections.abc import Mapping

import msgspec

from bus.errors import BusError
from bus.log import Log
from driftline.observing.observer import Observing
from projections.errors import ProjectionError
from projections.postgres import Database

#: How long a server may take to answer, and a part to take in the end of the log, seconds: together less than the
#: second that Kubernetes waits for a probe.
ANSWER_S, CATCH_UP_S = 0.4, 0.4
POLL_S = 0.02
OK = "ok"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """``reasons`` says what is wrong: nothing when it is ``ready``. ``checks``: what was looked at, "ok" or why not."""

    what: str
    ready: bool
    reasons: list[str]
    checks: dict[str, str]


async def readiness(observing: Observing, log: Log, database: Database | None) -> Readiness:
    """Look at all that a process needs, in less than a second. ``database``: None for one that needs none."""
    (last, nats), postgres = await asyncio.gather(end_of(log), _answer_of(database))
    checks = {"NATS": nats, "PostgreSQL": postgres, **await _standing(observing, last or 0)}
    if database is None:
        del checks["PostgreSQL"]
    reasons = [f"{name}: {said}" for name, said in checks.items() if said != OK]
    return Readiness(what=observing.what, ready=not reasons, reasons=reasons, checks=checks)


async def end_of(log: Log) -> tuple[int | None, str]:
    """The position of the newest event, and "ok"; or None, and why it is not known."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await log.last_position(), OK
    except TimeoutError:
        return None, f"no answer within {ANSWER_S:g} s"
    except BusError as error:
        return None, str(error)


async def _answer_of(database: Database | None) -> str:
    if database is None:
        return OK
    try:
        async with asyncio.timeout(ANSWER_S), database.connection() as connection:
            await connection.execute("SELECT 1")
    except TimeoutError:
        return f"{database.place}: no answer within {ANSWER_S:g} s"
    except ProjectionError as error:
        return str(error)
    return OK


async def _standing(observing: Observing, last: int) -> dict[str, str]:
    """Whether each part has taken in what the log held up to ``last``; it has a moment to do so."""
    until = asyncio.get_running_loop().time() + CATCH_UP_S
    while True:
        positions = observing.positions()
        late = any(position is None or position < last for position in positions.values())
        if not late or asyncio.get_running_loop().time() >= until:
            return _told(positions, last)
        await asyncio.sleep(POLL_S)  # what is taken in wakes nobody here


def _told(positions: Mapping[str, int | None], last: int) -> dict[str, str]:
    told = {}
    for part, position in positions.items():
        if position is None:
            told[part] = "still folding the log from its beginning"
        else:
            told[part] = OK if position >= last else f"{last - position} events behind the log"
    return told
