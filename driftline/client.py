"""For publishers outside: put requests on the bus and learn how they end.

In short::

    async with driftline.connect("nats://127.0.0.1:4222") as bus:
        spawn = await bus.publish(driftline.SpawnRequested(instance="i1", name="web-1", az="az1", label="prod-env"))
        print(await bus.outcome(spawn))
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from bus import jetstream
from bus.envelope import Envelope, request
from bus.errors import MalformedEvent
from bus.events import AnyEvent, OperationCompleted, OperationRefused
from bus.log import Appended, Log
from bus.subjects import history_filter, key_of
from driftline.ledger import Ledger
from driftline.outcomes import Outcome, outcome_of


class Published(msgspec.Struct, frozen=True):
    """A request on disk. ``request`` is its id: the correlation of everything it leads to.

    ``instance`` is what it is about: for a request about a host or a leaf, that one's name.
    """

    request: str
    instance: str
    position: int
    duplicate: bool


class Client:
    """Publishes requests and waits for outcomes. Safe to use from many tasks.

    ``ledger``: where what is published is written down before, for ``driftline audit``; by default the file that
    ``$DRIFTLINE_LEDGER`` names, if it names one.
    """

    def __init__(self, log: Log, actor: str = "external", ledger: Ledger | None = None) -> None:
        self._log = log
        self._actor = actor
        self._ledger = ledger or Ledger.of_environment()

    async def publish(self, event: AnyEvent, *, id: str | None = None) -> Published:
        """Append one request; once this returns it is on disk.

        ``id`` makes a retry harmless: the same id is accepted once.
        Raises MalformedEvent, which names the field and the value, and LogUnavailable.
        """
        return (await self.publish_all([event], ids=[id]))[0]

    async def publish_all(
        self, events: Sequence[AnyEvent], *, ids: Sequence[str | None] | None = None
    ) -> list[Published]:
        """Append many requests, much faster than one by one. Raises as ``publish`` does, before anything is sent."""
        envelopes = [
            request(_checked(event), actor=self._actor, id=own_id)
            for event, own_id in zip(events, ids or [None] * len(events), strict=True)
        ]
        appended = await self._append(envelopes)
        return [
            Published(envelope.id, key_of(envelope.event), one.position, one.duplicate)
            for envelope, one in zip(envelopes, appended, strict=True)
        ]

    async def _append(self, envelopes: list[Envelope]) -> list[Appended]:
        if self._ledger is None:
            return await self._log.append(envelopes)
        await asyncio.to_thread(self._ledger.intend, envelopes)
        appended = await self._log.append(envelopes)
        await asyncio.to_thread(self._ledger.acknowledge, envelopes, appended)
        return appended

    async def outcome(self, published: Published, timeout_s: float = 30.0) -> Outcome:
        """How the request (to spawn, delete or drift an instance) ended.

        Raises TimeoutError when it has not within ``timeout_s``.
        """
        async with asyncio.timeout(timeout_s):
            story = history_filter("instance", published.instance)
            async for batch in self._log.follow(published.position, story):
                for r in batch.records:
                    if r.correlation == published.request:
                        outcome = outcome_of(r)
                        if outcome is not None:
                            return outcome
        raise TimeoutError  # the log never ends: not reached

    async def completed(self, published: Published, timeout_s: float = 30.0) -> OperationCompleted | OperationRefused:
        """How a request for many ports (``OperationPortsRequested``) ended. Raises TimeoutError as ``outcome`` does."""
        async with asyncio.timeout(timeout_s):
            story = history_filter("operation", published.instance)
            async for batch in self._log.follow(published.position, story):
                for r in batch.records:
                    if r.correlation == published.request and isinstance(r.event, _COMPLETIONS):
                        return r.event
        raise TimeoutError  # the log never ends: not reached


_COMPLETIONS = (OperationCompleted, OperationRefused)


def _checked(event: AnyEvent) -> AnyEvent:
    """``event`` if a reader will take it: structs made in Python are not checked by themselves."""
    fields = msgspec.to_builtins(event)
    try:
        msgspec.convert(fields, type(event))
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`")
        raise MalformedEvent(f"{field}: {fields.get(field)!r} does not fit: {error}") from error
    return event


@asynccontextmanager
async def connect(
    url: str = "nats://127.0.0.1:4222", *, actor: str = "external", ledger: Ledger | None = None
) -> AsyncIterator[Client]:
    """A client of the bus at ``url``. Raises LogUnavailable, naming the URL, when nothing answers there."""
    async with jetstream.connect(url) as connection:
        yield Client(jetstream.JetStreamLog(connection), actor, ledger)
