"""For publishers outside: put requests on the bus and learn how they end.

In short::

    async with driftline.connect("nats://127.0.0.1:4222") as bus:
        spawn = await bus.publish(driftline.SpawnRequested(instance="i1", name="web-1", az="az1", label="prod-env"))
        print(await bus.outcome(spawn))
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from bus import jetstream
from bus.envelope import Envelope, request
from bus.errors import MalformedEvent
from bus.events import AnyEvent, Event, OperationCompleted, OperationRefused
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

    async def publish(self, event: AnyEvent, *, id: str | None = None, traceparent: str = "") -> Published:
        """Append one request; once this returns it is on disk.

        ``id`` makes a retry harmless: the same id is accepted once. ``traceparent``: the caller's span, as W3C Trace
        Context writes it; workers that trace go on with it. Without one the request begins a trace of its own.
        Raises MalformedEvent, which names the field and the value, and LogUnavailable.
        """
        return (await self.publish_all([event], ids=[id], traceparent=traceparent))[0]

    async def publish_all(
        self, events: Sequence[AnyEvent], *, ids: Sequence[str | None] | None = None, traceparent: str = ""
    ) -> list[Published]:
        """Append many requests, much faster than one by one. Raises as ``publish`` does, before anything is sent."""
        told_in = _checked_traceparent(traceparent)
        envelopes = [
            request(_checked(event), actor=self._actor, id=own_id, traceparent=told_in)
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


#: Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header; ids of zeros are none.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def _checked_traceparent(text: str) -> str | msgspec.UnsetType:
    if text and not _TRACEPARENT.fullmatch(text):
        raise MalformedEvent(f"traceparent: {text!r} is not as W3C Trace Context has it, version 00")
    return text or msgspec.UNSET


def _checked(event: AnyEvent) -> AnyEvent:
    """``event`` if a reader will take it: structs made in Python are not checked by themselves."""
    if not isinstance(event, Event):
        raise MalformedEvent(f"event: {event!r:.80} is none of bus.events, which say what can be published")
    fields = msgspec.to_builtins(event)
    try:
        msgspec.convert(fields, type(event))
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`")
        raise MalformedEvent(f"{field}: {fields.get(field)!r} does not fit: {error}") from error
    return event


@asynccontextmanager
async def connect(
    url: str = "nats://127.0.0.1:4222", *, actor: str = "external", ledger: Ledger | None = None, metrics: str = ""
) -> AsyncIterator[Client]:
    """A client of the bus at ``url``.

    ``metrics`` (``HOST:PORT``): serve what it publishes there for Prometheus, and its health; ``driftline top`` then
    shows it as well. Raises LogUnavailable, naming the URL, when nothing answers there, and UsageError for ``metrics``.
    """
    async with jetstream.connect(url) as connection:
        log = jetstream.JetStreamLog(connection)
        if not metrics:
            yield Client(log, actor, ledger)
            return
        async with _counted(connection, log, f"publisher {actor}", metrics) as counted:
            yield Client(counted, actor, ledger)


@asynccontextmanager
async def _counted(connection: jetstream.Connection, log: Log, what: str, metrics: str) -> AsyncIterator[Log]:
    """``log``, and what is done with it can be looked at. Loads what a client that is not watched does without."""
    from driftline.observing.observer import Observing
    from driftline.observing.process import looked_at
    from driftline.observing.settings import Settings, parse_address

    observing = Observing(what, has_workers=False, has_projector=False)
    async with looked_at(observing, Settings(metrics=parse_address(metrics)), connection, log):
        yield observing.publisher(log)
