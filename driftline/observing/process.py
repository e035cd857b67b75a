"""A process that can be looked at: over NATS by ``driftline top``, and over HTTP if it was asked for."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bus.jetstream import Connection, rollcall
from bus.log import Log
from driftline.observing.health import Readiness, end_of, readiness
from driftline.observing.look import ProcessLook
from driftline.observing.observer import Observing
from driftline.observing.settings import Address, Settings
from projections.postgres import Database

if TYPE_CHECKING:
    from driftline.observing.tracing import Tracing

#: Where processes are asked how they stand. Not in the log: nobody replays it.
SUBJECT = "dlrpc.look"


class Looked:
    """A process that is asked. ``database``: None for one that needs none."""

    def __init__(self, observing: Observing, log: Log, database: Database | None) -> None:
        self._observing = observing
        self._log = log
        self._database = database

    async def look(self) -> ProcessLook:
        """How it stands now."""
        last, _ = await end_of(self._log)
        return self._observing.look(last)

    async def ready(self) -> Readiness:
        """Whether it is ready, or why not."""
        return await readiness(self._observing, self._log, self._database)

    async def told(self) -> bytes:
        """``look`` as it is answered over NATS."""
        return msgspec.json.encode(await self.look())


@asynccontextmanager
async def looked_at(
    observing: Observing, settings: Settings, connection: Connection, log: Log, database: Database | None = None
) -> AsyncIterator[Address | None]:
    """Have this process answer those who look at it; yields where it serves metrics, if it does.

    Raises UsageError when that address cannot be had.
    """
    looked = Looked(observing, log, database)
    async with rollcall.answering(connection, SUBJECT, looked.told):
        if settings.metrics is None:
            yield None
            return
        from driftline.observing.server import serving

        async with serving(looked, settings.metrics) as address:
            yield address


@contextmanager
def observed_as(what: str, settings: Settings, *, has_workers: bool, has_projector: bool) -> Iterator[Observing]:
    """The observer of this process, which is a ``what``; with traces if they were asked for. Raises UsageError."""
    with _tracing(settings) as tracing:
        timed = settings.metrics is not None
        yield Observing(what, has_workers=has_workers, has_projector=has_projector, timed=timed, tracing=tracing)


@contextmanager
def _tracing(settings: Settings) -> Iterator["Tracing | None"]:
    if settings.traces is None:
        yield None
        return
    from driftline.observing.exporting import tracing_to

    with tracing_to(settings.traces) as found:
        yield found


class Answers(NamedTuple):
    """What processes said. ``not_understood``: how many said what only another version understands."""

    looks: list[ProcessLook]
    not_understood: int


async def look_at_all(connection: Connection) -> Answers:
    """How all processes stand that work on the servers of ``connection``, in the order of what they are.

    Raises LogUnavailable.
    """
    looks, not_understood = [], 0
    for answer in await rollcall.ask_all(connection, SUBJECT):
        try:
            looks.append(msgspec.json.decode(answer, type=ProcessLook))
        except msgspec.DecodeError:
            not_understood += 1
    return Answers(sorted(looks, key=lambda look: (look.what, look.host, look.pid)), not_understood)
