"""The log as a JetStream stream: appending, and where it ends. Reading is in ``reader``.

What nats-server 2.15.1 does (tried out; tests/bus/test_jetstream.py holds the part that we rely on):

- The messages of one committed batch have contiguous sequences, also among concurrent writers of single messages and
  of other batches, so the acknowledgement's last sequence and count give each one's position.
- One known id in a batch rejects it whole (10201), as does the same id twice in it; one failed expectation does too
  (10071). Too many open batches (50 a stream): 10210.
- An expectation is not checked against earlier messages of the same batch: two messages of one subject that both
  expect "none yet" are both stored. ``chunks`` keeps them apart.
- For a single message the expectation is checked before the id: a repeated ``once`` event is answered 10071, not
  ``duplicate``. So on 10071 we look at what is stored.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from nats.aio.msg import Msg

from bus.decoding import Raw, RawBatch, Sent, decode_batch
from bus.envelope import Envelope, encode
from bus.errors import Conflict, LogMismatch, LogUnavailable
from bus.jetstream import feed
from bus.jetstream.acks import Ack, AckError, Acks
from bus.jetstream.chunks import chunks, place, segments
from bus.jetstream.connection import ANSWER_S, Connection, Outgoing
from bus.jetstream.reader import Reader
from bus.jetstream.streams import LOG
from bus.log import Appended, Batch
from bus.subjects import once_filter, subject_of

#: From this many on an atomic batch is cheaper than single messages, which are synced one by one, 0.6 ms each. A batch
#: costs 2 ms where the server stages in memory, as an embedded one does (docs/adr/0013), 5 ms where it does so on disk.
BATCH_MIN = 6
#: Open batches of one log; the server takes 50 a stream.
BATCHES_MAX = 8
BUSY_PAUSE_S = 0.05
BUSY_TRIES = 300

DUPLICATE_IN_BATCH = 10201
WRONG_LAST_SEQUENCE = (10071, 10164)
TOO_MANY_BATCHES = 10210
REJECTED_FOR_CONTENT = (DUPLICATE_IN_BATCH, *WRONG_LAST_SEQUENCE)


#: What a header carries unchanged; other ids are percent-encoded.
_PLAIN_ID = re.compile(r"[!-$&-~]+")


class JetStreamLog:
    """Implements ``bus.log.Log``. ``timeout_s``: how long an answer of the server is waited for."""

    def __init__(self, connection: Connection, *, timeout_s: float = ANSWER_S) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._acks = Acks(connection)
        self._sent = Sent()
        self._batches = asyncio.Semaphore(BATCHES_MAX)
        self._batch_prefix = uuid4().hex[:16]
        self._batch_numbers = count(1)

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        await self._connection.ready(self._timeout_s)
        await self._acks.open()
        known: dict[str, Appended] = {}
        result: list[Appended] = []
        for chunk in chunks(envelopes):
            fresh = list({e.id: e for e in chunk if e.id not in known}.values())
            stored = await self._append_chunk(fresh)
            known.update(zip((e.id for e in fresh), stored, strict=True))
            result.extend(self._first_or_duplicate(chunk, fresh, known))
        return result

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int:
        """Append a message that may be no event at all, as an outside publisher could. Returns its position.

        ``stored_us`` is ignored: the server's clock says when. Raises LogUnavailable.
        """
        await self._connection.ready(self._timeout_s)
        await self._acks.open()
        async with self._acks.expect(1) as replies:
            await self._connection.publish(subject, data, replies[0][0])
            (ack,) = await self._acks.collect(replies, self._timeout_s)
        if ack.error is not None:
            raise _rejected(ack.error)
        return ack.seq

    async def last_position(self) -> int:
        info = await self._connection.api(f"STREAM.INFO.{LOG}", None, self._timeout_s)
        return int(_checked(info)["state"]["last_seq"])

    async def identity(self) -> str:
        info = await self._connection.api(f"STREAM.INFO.{LOG}", None, self._timeout_s)
        return f"{LOG} {_checked(info)['created']}"

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        async with aclosing(self._raw(after, until, subject)) as batches:
            async for batch in batches:
                yield self._decoded(batch)

    def read_raw(self, after: int, until: int) -> AsyncIterator[RawBatch]:
        return self._raw(after, until, "")

    async def _raw(self, after: int, until: int, subject: str) -> AsyncGenerator[RawBatch, None]:
        if not subject and until - after >= feed.FEED_MIN:
            until = min(until, await self.last_position())
            if until - after >= feed.FEED_MIN:
                async with aclosing(feed.fed(self._connection.url, after, until)) as fed:
                    async for batch in fed:
                        yield batch
                        after = batch.last
        async with aclosing(self._reader(subject).read(after, until)) as batches:
            async for batch in batches:
                yield batch

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        async with aclosing(self._reader(subject).follow(after)) as batches:
            async for batch in batches:
                yield self._decoded(batch)

    def _decoded(self, batch: RawBatch) -> Batch:
        records, rejects = decode_batch(batch.raws, self._sent)
        return Batch(records, rejects, batch.last)

    def _message(self, envelope: Envelope, reply: str, headers: str) -> Outgoing:
        subject, data = subject_of(envelope.event), encode(envelope)
        self._sent.note(subject, data, envelope)
        return Outgoing(subject, data, reply, headers)

    def _reader(self, subject: str) -> Reader:
        return Reader(self._connection, subject, self._timeout_s)

    @staticmethod
    def _first_or_duplicate(chunk: list[Envelope], fresh: list[Envelope], known: dict[str, Appended]) -> list[Appended]:
        new = {e.id for e in fresh}
        result = []
        for envelope in chunk:
            appended = known[envelope.id]
            if envelope.id in new:
                new.remove(envelope.id)
            else:  # the same envelope again
                appended = Appended(appended.position, True)
            result.append(appended)
        return result

    async def _append_chunk(self, envelopes: list[Envelope]) -> list[Appended]:
        if len(envelopes) >= BATCH_MIN:
            appended = await self._append_batch(envelopes)
            if appended is not None:
                return appended
        return await self._append_singles(envelopes)

    async def _append_batch(self, envelopes: list[Envelope]) -> list[Appended] | None:
        """Append all or none of them; None when one of them is in the log already, or conflicts."""
        ack = await self._send_batch_when_free(envelopes)
        if ack.error is None:
            first = ack.seq - ack.count + 1
            return [Appended(first + index, False) for index in range(ack.count)]
        if ack.error.err_code in REJECTED_FOR_CONTENT:
            return None
        raise _rejected(ack.error)

    async def _send_batch_when_free(self, envelopes: list[Envelope]) -> Ack:
        async with self._batches:
            for _ in range(BUSY_TRIES):
                ack = await self._send_batch(envelopes)
                if ack.error is None or ack.error.err_code != TOO_MANY_BATCHES:
                    break
                # Other processes' batches. The server drops abandoned ones after 10 s.
                await asyncio.sleep(BUSY_PAUSE_S)
            return ack

    async def _send_batch(self, envelopes: list[Envelope]) -> Ack:
        batch_id = f"{self._batch_prefix}-{next(self._batch_numbers)}"
        async with self._acks.expect(1) as replies:
            reply = replies[0][0]
            last = len(envelopes)
            messages = []
            for number, envelope in enumerate(envelopes, 1):
                # The first asks for an answer as well: "too many batches" comes there.
                answered = reply if number in (1, last) else ""
                headers = _headers(envelope) + place(batch_id, number, last)
                messages.append(self._message(envelope, answered, headers))
            await self._connection.publish_all(messages)
            return (await self._acks.collect(replies, self._timeout_s))[0]

    async def _append_singles(self, envelopes: list[Envelope]) -> list[Appended]:
        appended: list[Appended] = []
        for segment in segments(envelopes):
            async with self._acks.expect(len(segment)) as replies:
                await self._connection.publish_all(
                    [self._message(one, reply, _headers(one)) for one, (reply, _) in zip(segment, replies, strict=True)]
                )
                acks = await self._acks.collect(replies, self._timeout_s)
            for envelope, ack in zip(segment, acks, strict=True):
                appended.append(await self._classify(envelope, ack))
        return appended

    async def _classify(self, envelope: Envelope, ack: Ack) -> Appended:
        if ack.error is None:
            return Appended(ack.seq, ack.duplicate)
        if ack.error.err_code not in WRONG_LAST_SEQUENCE:
            raise _rejected(ack.error)
        key = once_filter(envelope.event)
        stored = await self._connection.ask(f"$JS.API.DIRECT.GET.{LOG}", {"last_by_subj": key}, self._timeout_s)
        headers = stored.headers or {}
        position = int(headers.get("Nats-Sequence", 0))
        if not position:
            # A replica that has not caught up answers "none".
            raise LogUnavailable(f"{key}: taken, and not readable yet")
        found = _found(stored, position)
        if found is None:
            return await self._append_after_garbage(envelope, position)
        if found != envelope.id:
            raise Conflict(f"{key} is at position {position}, {envelope.id} came too late")
        return Appended(position, True)

    async def _append_after_garbage(self, envelope: Envelope, position: int) -> Appended:
        """Append an ``once`` event where the last message on its subject, at ``position``, is no event and no rival."""
        headers = _headers(envelope, after=position)
        async with self._acks.expect(1) as replies:
            await self._connection.publish_all([self._message(envelope, replies[0][0], headers)])
            (ack,) = await self._acks.collect(replies, self._timeout_s)
        return await self._classify(envelope, ack)


def _rejected(error: AckError) -> LogUnavailable:
    return LogUnavailable(f"append rejected: {error.description} (error {error.err_code})")


def _headers(envelope: Envelope, after: int = 0) -> str:
    """The lines that every message has. ``after``: the last position at which an event of a ``once`` type may stand."""
    message_id = envelope.id if _PLAIN_ID.fullmatch(envelope.id) else quote(envelope.id, safe="")
    if not envelope.event.once:
        return f"Nats-Msg-Id: {message_id}\r\n"
    expected = "Nats-Expected-Last-Subject-Sequence"
    return f"Nats-Msg-Id: {message_id}\r\n{expected}: {after}\r\n{expected}-Subject: {once_filter(envelope.event)}\r\n"


def _found(stored: Msg, position: int) -> str | None:
    """The id of the event in a stored message, "" for one of a newer type, None when it is no event."""
    subject = (stored.headers or {}).get("Nats-Subject", "")
    records, rejects = decode_batch([Raw(position, subject, stored.data, 0)])
    if records:
        return records[0].id
    return None if rejects[0].malformed else ""


def _checked(info: Any) -> Any:
    if "error" in info:
        raise LogMismatch(f"stream {LOG}: {info['error']['description']}")
    return info
