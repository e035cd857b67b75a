"""Answers of JetStream to what was published: many at a time, over one inbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import structlog

from bus.errors import LogUnavailable
from bus.jetstream.connection import ANSWER_S, Connection

log = structlog.get_logger("bus")


class AckError(msgspec.Struct, frozen=True):
    """Why a message was not stored (https://github.com/nats-io/nats-server/blob/main/server/errors.json)."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class Ack(msgspec.Struct, frozen=True):
    """JetStream's answer. ``seq``: the position of the message, of the last one for a batch; 0 with an error."""

    seq: int = 0
    duplicate: bool = False
    count: int = 1
    error: AckError | None = None


#: What the server says when nobody listens on a subject.
_NOBODY = b"NATS/1.0 503"
_DECODER = msgspec.json.Decoder(Ack)


class Acks:
    """The inbox for acknowledgements of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = connection.client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Ack]] = {}
        self._numbers = count(1)
        self._subscribed = False
        self._subscribing = asyncio.Lock()

    async def open(self) -> None:
        """Listen, from the first call on. The subscription lives as long as the connection."""
        async with self._subscribing:
            if not self._subscribed:
                self._connection.on_lost(self._fail_all)
                await self._connection.tap(f"{self._prefix}.*", self._take)
                self._subscribed = True

    @asynccontextmanager
    async def expect(self, n: int) -> AsyncIterator[list[tuple[str, asyncio.Future[Ack]]]]:
        """``n`` reply subjects, each with the future of its answer; forgotten at the end."""
        loop = asyncio.get_running_loop()
        replies = [(f"{self._prefix}.{next(self._numbers)}", loop.create_future()) for _ in range(n)]
        self._waiting.update(replies)
        try:
            yield replies
        finally:
            for reply, answer in replies:
                del self._waiting[reply]
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # looked at: of several failures only the first is raised

    async def collect(self, replies: list[tuple[str, asyncio.Future[Ack]]], timeout_s: float = ANSWER_S) -> list[Ack]:
        """All answers, in order. Raises LogUnavailable when one is missing after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                return [await answer for _, answer in replies]
        except TimeoutError as error:
            raise LogUnavailable(f"{self._connection.url}: no acknowledgement within {timeout_s:g} s") from error

    def _take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        answer = self._waiting.get(subject.decode())
        if answer is None or answer.done():
            return
        if headers.startswith(_NOBODY):
            answer.set_exception(LogUnavailable(f"{self._connection.url}: no stream takes what was published"))
        elif payload and (ack := _ack(payload)) is not None:  # an empty one says that a batch has begun
            answer.set_result(ack)

    def _fail_all(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LogUnavailable(f"{self._connection.url}: connection lost before the answer"))


def _ack(payload: bytes) -> Ack | None:
    """What the stream answered; None if it was not the stream: whoever listens on the log's subjects may answer too."""
    try:
        ack = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        log.warning("an answer that is no acknowledgement", reason=str(error))
        return None
    return ack if ack.seq or ack.error is not None else None
