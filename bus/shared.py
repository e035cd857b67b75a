"""One reader for all followers of a process: each message is fetched and decoded once, whoever wants it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import stamina

from bus.decoding import RawBatch
from bus.envelope import Envelope
from bus.errors import LogMismatch, LogUnavailable, first_error
from bus.log import Appended, Batch, RawLog

#: How many events at least are kept for those who have not taken them yet. Who is further behind reads by itself.
RECENT_MIN = 20_000


class SharedLog:
    """Implements ``bus.log.Log`` over another log. Unfiltered followers share one reader; all else goes straight to it.

    Made by ``shared``. Batches are shared too: nobody may change them.
    """

    def __init__(self, log: RawLog) -> None:
        self._log = log
        self._recent: deque[Batch] = deque()
        self._first = 0  # the number of the oldest batch that is kept; they are numbered as they come
        self._start = 0  # the position before it
        self._position = 0  # the position of the newest event that was read
        self._joined = asyncio.Event()
        self._grown = asyncio.Event()  # another one each time
        self._error: Exception | None = None

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        return await self._log.append(envelopes)

    async def last_position(self) -> int:
        return await self._log.last_position()

    async def identity(self) -> str:
        return await self._log.identity()

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.read(after, until, subject)

    def read_raw(self, after: int, until: int) -> AsyncIterator[RawBatch]:
        return self._log.read_raw(after, until)

    def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.follow(after, subject) if subject else self._follow(after)

    async def run(self) -> None:
        """Read for the followers, for ever. Its error is also what each of them gets."""
        await self._joined.wait()
        try:
            async for batch in self._log.follow(self._position):
                self._keep(batch)
        except Exception as error:
            self._error = error
            self._wake()
            raise

    def _keep(self, batch: Batch) -> None:
        self._recent.append(batch)
        self._position = batch.last
        while self._position - self._recent[0].last >= RECENT_MIN:
            self._start = self._recent.popleft().last
            self._first += 1
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    async def _follow(self, after: int) -> AsyncIterator[Batch]:
        if not self._joined.is_set():
            self._start = self._position = after
            self._joined.set()
        elif after > self._position and after > await self._log.last_position():
            raise LogMismatch(f"position {after} is beyond the end of the log")
        while True:
            async for batch in self._read_alone(after):
                after = batch.last
                yield batch
            number = self._number_after(after)
            while number >= self._first:
                if number < self._first + len(self._recent):
                    batch = self._recent[number - self._first]
                    number += 1
                    if batch.last > after:
                        yield _beyond(batch, after)
                        after = batch.last
                elif self._error is not None:
                    raise self._error
                else:
                    await self._grown.wait()

    async def _read_alone(self, after: int) -> AsyncIterator[Batch]:
        """What is not kept any more. As ``follow`` does, this outlives a restart of the server."""
        while after < self._start:
            async for attempt in stamina.retry_context(
                on=LogUnavailable, attempts=None, timeout=None, wait_initial=0.1, wait_max=2.0
            ):
                with attempt:
                    async for batch in self._log.read(after, self._start):
                        after = batch.last
                        yield batch

    def _number_after(self, after: int) -> int:
        """The number of the first batch with anything above ``after``, kept or still to come."""
        number = self._first + len(self._recent)
        for batch in reversed(self._recent):
            if batch.last <= after:
                break
            number -= 1
        return number


def _beyond(batch: Batch, after: int) -> Batch:
    """``batch`` without what is not above ``after``: a follower may have asked from further on than the others are."""
    if batch.last - after >= len(batch.records) + len(batch.rejects):
        return batch
    return Batch(
        [r for r in batch.records if r.position > after], [r for r in batch.rejects if r.position > after], batch.last
    )


@asynccontextmanager
async def shared(log: RawLog) -> AsyncIterator[SharedLog]:
    """``log``, read once for all who follow it within the block."""
    one = SharedLog(log)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(one.run(), name="read the log for all")
            try:
                yield one
            finally:
                reading.cancel()
    except BaseExceptionGroup as group:  # the caller catches errors by their type
        raise first_error(group) from group
