"""One reader for all followers of a process: each message is fetched and decoded once, whoever wants it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import stamina

from bus.envelope import Envelope
from bus.errors import LogMismatch, LogUnavailable, first_error
from bus.log import Appended, Batch, Log

#: A follower that is this many batches behind leaves the others, catches up by itself and joins them again.
BEHIND_MAX = 64


class _Follower:
    """What one follower has still to take. ``left``: it fell behind and is not given any more."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Batch | BaseException] = asyncio.Queue()
        self.left = False


class SharedLog:
    """Implements ``bus.log.Log`` over another log. Unfiltered followers share one reader; all else goes straight to it.

    Made by ``shared``. Batches are shared too: nobody may change them.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._position = 0
        self._followers: set[_Follower] = set()
        self._joined = asyncio.Event()

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        return await self._log.append(envelopes)

    async def last_position(self) -> int:
        return await self._log.last_position()

    async def identity(self) -> str:
        return await self._log.identity()

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.read(after, until, subject)

    def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.follow(after, subject) if subject else self._follow(after)

    async def run(self) -> None:
        """Read for the followers, for ever. Its error is also what each of them gets."""
        await self._joined.wait()
        try:
            async for batch in self._log.follow(self._position):
                self._position = batch.last
                self._hand_out(batch)
        except Exception as error:
            self._hand_out(error)
            raise

    def _hand_out(self, item: Batch | BaseException) -> None:
        for follower in list(self._followers):
            follower.batches.put_nowait(item)
            if follower.batches.qsize() > BEHIND_MAX:
                follower.left = True
                self._followers.discard(follower)

    async def _follow(self, after: int) -> AsyncIterator[Batch]:
        if not self._joined.is_set():
            self._position = after
            self._joined.set()
        elif after > self._position and after > await self._log.last_position():
            raise LogMismatch(f"position {after} is beyond the end of the log")
        while True:
            while after < self._position:
                # As ``follow`` does, this outlives a restart of the server.
                async for attempt in stamina.retry_context(
                    on=LogUnavailable, attempts=None, timeout=None, wait_initial=0.1, wait_max=2.0
                ):
                    with attempt:
                        async for batch in self._log.read(after, self._position):
                            after = batch.last
                            yield batch
            # No await between the comparison above and this: what comes from now on is handed to us.
            follower = _Follower()
            self._followers.add(follower)
            try:
                while not (follower.left and follower.batches.empty()):
                    item = await follower.batches.get()
                    if isinstance(item, BaseException):
                        raise item
                    if item.last > after:
                        yield _beyond(item, after)
                        after = item.last
            finally:
                self._followers.discard(follower)


def _beyond(batch: Batch, after: int) -> Batch:
    """``batch`` without what is not above ``after``: a follower may have asked from further on than the others are."""
    if batch.last - after >= len(batch.records) + len(batch.rejects):
        return batch
    return Batch(
        [r for r in batch.records if r.position > after], [r for r in batch.rejects if r.position > after], batch.last
    )


@asynccontextmanager
async def shared(log: Log) -> AsyncIterator[SharedLog]:
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
