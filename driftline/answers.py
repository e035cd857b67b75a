"""Waiting for what came of a request, by its correlation: whatever it was about."""

from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import Event
from bus.log import Log


class Awaited(NamedTuple):
    """Events of these types, of one subject filter."""

    subject: str
    kinds: tuple[type[Event], ...]


async def answers(log: Log, after: int, request: str, awaited: Awaited, count: int = 1) -> list[Recorded]:
    """The first ``count`` of the awaited events after position ``after`` that the request has led to.

    It waits for ever: the caller says how long. Raises LogUnavailable.
    """
    found: list[Recorded] = []
    if not count:
        return found
    async for batch in log.follow(after, awaited.subject):
        for r in batch.records:
            if r.correlation == request and isinstance(r.event, awaited.kinds):
                found.append(r)
                if len(found) == count:
                    return found
    return found  # the log never ends: not reached
