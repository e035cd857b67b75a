"""A process that can be looked at: over NATS by ``driftline top``, and over HTTP if it was asked for."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import msgspec

from bus.jetstream import Connection, rollcall
from bus.log import Log
from driftline.observing.health import Readiness, end_of, readiness
from driftline.observing.look import ProcessLook
from driftline.observing.observer import Observing
from driftline.observing.settings import Address, Settings
from driftline.stack import Bus
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
    observing: Observing, settings: Settings, bus: Bus, database: Database | None = None
) -> AsyncIterator[Address | None]:
    """Have this process answer those who look at it; yields where it serves metrics, if it does.

    Raises UsageError when that address cannot be had.
    """
    looked = Looked(observing, bus.log, database)
    async with rollcall.answering(bus.connection, SUBJECT, looked.told):
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


async def look_at_all(connection: Connection) -> list[ProcessLook]:
    """How all processes stand that work on the servers of ``connection``, in the order of what they are.

    One of another version may say what is not understood here: it is left out. Raises LogUnavailable.
    """
    looks = []
    for answer in await rollcall.ask_all(connection, SUBJECT):
        try:
            looks.append(msgspec.json.decode(answer, type=ProcessLook))
        except msgspec.DecodeError:
            continue
    return sorted(looks, key=lambda look: (look.what, look.host, look.pid))
