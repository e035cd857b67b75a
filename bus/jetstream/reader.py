"""Reading the stream: consumers are replaced as they break, so that each message is seen once and in order."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from bus.decoding import RawBatch
from bus.errors import BusClosed, LogMismatch, LogUnavailable
from bus.jetstream.connection import Connection
from bus.jetstream.consumer import Arrived, Broken, Consumer, open_consumer
from bus.jetstream.streams import LOG

#: Pause before the next try when the server could not make a consumer, seconds.
RETRY_S = 0.2

log = structlog.get_logger("bus")


class Reader:
    """One run over the stream. ``position``: up to where it has been read."""

    def __init__(self, connection: Connection, subject: str, timeout_s: float) -> None:
        self._connection = connection
        self._subject = subject
        self._timeout_s = timeout_s
        self._identity = ""
        self.position = 0

    async def read(self, after: int, until: int) -> AsyncGenerator[RawBatch, None]:
        """As ``bus.log.Log.read_raw``. Raises LogUnavailable at its start, and LogMismatch."""
        self.position = after
        until = min(until, await self._last_position())
        async with aclosing(self._batches(until)) as batches:
            async for batch in batches:
                yield batch

    async def follow(self, after: int) -> AsyncGenerator[RawBatch, None]:
        """As ``bus.log.Log.follow``, not decoded. Raises LogUnavailable at its start, and LogMismatch."""
        self.position = after
        await self._last_position()
        async with aclosing(self._batches(None)) as batches:
            async for batch in batches:
                yield batch

    async def _batches(self, until: int | None) -> AsyncGenerator[RawBatch, None]:
        while until is None or self.position < until:
            try:
                await self._connection.ready(None)
                await self._last_position()
                limit = None if until is None else until - self.position
                async with (
                    open_consumer(self._connection, self.position + 1, self._subject, limit) as consumer,
                    aclosing(self._from(consumer, until)) as batches,
                ):
                    async for batch in batches:
                        yield batch
            except (Broken, LogUnavailable) as error:
                if self._connection.is_closed:
                    raise BusClosed(f"{self._connection.url}: the connection has ended") from error
                log.warning("reading on with a new consumer", after=self.position, reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _from(self, consumer: Consumer, until: int | None) -> AsyncGenerator[RawBatch, None]:
        number = 0
        while until is None or self.position < until:
            if until is not None and consumer.idle and await consumer.pending() == 0:
                # Nothing more matches; or the stream has holes where it should have had something.
                self.position = until
                yield RawBatch([], until)
                return
            arrived = await consumer.take()
            if arrived is None:
                continue
            self._check_gaps(arrived, number)
            number = arrived.last
            yield self._batch(arrived, until)

    def _batch(self, arrived: Arrived, until: int | None) -> RawBatch:
        raws = arrived.raws
        self.position = raws[-1].position
        if until is not None and (self.position > until or arrived.pending == 0):
            raws = [raw for raw in raws if raw.position <= until]
            self.position = until
        return RawBatch(raws, self.position)

    def _check_gaps(self, arrived: Arrived, number: int) -> None:
        """Raise Broken if a message was lost on its way here. ``number``: the delivery before."""
        count, end = len(arrived.raws), arrived.raws[-1].position
        if arrived.first != number + 1 or arrived.last != number + count:
            raise Broken(f"lost {arrived.last - number - count} of the deliveries {number + 1} to {arrived.last}")
        if self._subject or end == self.position + count:
            return
        if number:
            raise Broken(f"a gap after position {self.position}")
        # A new consumer shows it too, so it is in the stream itself.
        log.error("the log has a hole", after=self.position, before=end)

    async def _last_position(self) -> int:
        """The stream's end, after a look at whether it still is the stream that was read so far."""
        info = await self._connection.api(f"STREAM.INFO.{LOG}", None, self._timeout_s)
        if "error" in info:
            error = info["error"]
            fault = LogUnavailable if error["code"] == 503 else LogMismatch
            raise fault(f"stream {LOG}: {error['description']}")
        if self._identity not in ("", info["created"]):
            raise LogMismatch(f"stream {LOG} was made anew at {info['created']}")
        self._identity = info["created"]
        last = int(info["state"]["last_seq"])
        if self.position > last:
            raise LogMismatch(
                f"stream {LOG} ends at {last}, before position {self.position}: another log, or truncated"
            )
        return last
