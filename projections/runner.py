"""The projector: follows the log, folds, and keeps the rows in PostgreSQL.

Folding and writing run side by side: while one transaction is under way, what arrives meanwhile is folded and collected
for the next. So a lone event is written at once, and under load the batches grow by themselves: a row that changed ten
times meanwhile is written once.
"""

import asyncio
import contextlib
from typing import NamedTuple

import stamina
import structlog

from bus.envelope import Rejected
from bus.errors import LogMismatch, LogUnavailable
from bus.log import Batch, Log, Quarantine
from projections.errors import CommitsLost, DatabaseUnavailable, FoldError, ProjectorStopped
from projections.fold import Touched
from projections.postgres import Database
from projections.refold import Progress, fold_batch, no_progress, refold
from projections.views import TableChanges
from projections.watch import UNWATCHED, ProjectionWatch
from projections.writer import Writer

#: How many events are folded at most ahead of the transaction that is under way.
AHEAD_EVENTS = 10_000
#: How far apart transactions begin at least, seconds: at 1,000 events/s this saves half of our work and two thirds of
#: PostgreSQL's. The first change after a quiet time is written at once.
WRITE_EVERY_S = 0.05
#: After a commit there is a rest of so many times what it took, seconds at most: what changes again is written once.
REST_TIMES, REST_MAX_S = 3, 1.0
#: Pauses between tries while PostgreSQL or the log is away, seconds; they double from the first to the longest.
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 2.0
_RETRYING = stamina.AsyncRetryingCaller(
    attempts=None, timeout=None, wait_initial=RETRY_FIRST_S, wait_max=RETRY_MAX_S, wait_jitter=RETRY_FIRST_S
)

log = structlog.get_logger("projector")


class Cut(NamedTuple):
    """What one transaction writes: the rows as they were at ``position``, over those at ``expected``."""

    changes: list[TableChanges]
    expected: int
    position: int


class Projector:
    """Keeps the tables of ``database`` up with ``bus``. One at a time for a database: a second one raises.

    ``position`` is the last position whose rows are committed. ``progress`` is told of the refold at the start.
    """

    def __init__(
        self,
        bus: Log,
        database: Database,
        quarantine: Quarantine,
        *,
        progress: Progress = no_progress,
        ahead_events: int = AHEAD_EVENTS,
        watch: ProjectionWatch = UNWATCHED,
    ) -> None:
        self._bus = bus
        self._database = database
        self._quarantine = quarantine
        self._progress = progress
        self._ahead_events = ahead_events
        self._watch = watch
        self.views = database.edition.views()
        self.position = 0
        self._folded = 0  # what ``views`` shows
        self._cut = 0  # what is written, or on its way
        self._touched: set[Touched] = set()
        self._changed = asyncio.Condition()
        self._away = False
        self._follower: asyncio.Task[None] | None = None
        self._stopping = False
        self._ended = False

    async def run(self) -> None:
        """Project until ``stop`` is called. Survives restarts of PostgreSQL and of the log once it runs.

        Raises:
            LogMismatch: the tables were made from another log, or from more of it than there is now.
            SchemaMismatch: the tables are those of another version.
            CheckpointMoved: another projector works on the same database.
            FoldError: a bug in a fold; nothing from its event on has been written.
            DatabaseUnavailable: at the start, or when stopped while it is away. LogUnavailable: at the start.
        """
        try:
            writer = await self._start()
            while not await self._run(writer):
                writer = await _RETRYING(self._may_retry, self._start)
        finally:
            self._ended = True
            await self._notify()
            log.info("projector stopped", position=self.position)

    async def stop(self) -> None:
        """Make ``run`` return once all that has been folded is written, or raise DatabaseUnavailable if it cannot be.

        Nothing is lost in either case: the next projector goes on at the checkpoint.
        """
        self._stopping = True
        if self._follower is not None:
            self._follower.cancel()
        await self._notify()

    async def wait_for(self, position: int) -> None:
        """Return when the rows of ``position`` are committed. Raises ProjectorStopped if that will not happen."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.position >= position or self._ended)
        if self.position < position:
            raise ProjectorStopped(f"the projector stopped at position {self.position}, before {position}")

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL or the log was away when it was last asked."""
        return self._away

    async def _start(self) -> Writer:
        identity = await self._bus.identity()
        writer = Writer(self._database, identity)
        checkpoint = await writer.start()
        last = await self._bus.last_position()
        if checkpoint > last:
            raise LogMismatch(f"the tables show position {checkpoint}, the log {identity} ends at {last}")
        self.views = await refold(self._bus, checkpoint, self._progress, self._database.edition)
        self._touched = set()
        self._folded = self._cut = self.position = checkpoint
        self._watch.began(self)
        await self._notify()
        log.info("projector started", position=checkpoint, log_last=last)
        return writer

    async def _run(self, writer: Writer) -> bool:
        """Fold beside writing until stopped (True), or until PostgreSQL has lost commits (False).

        Whichever of the two fails ends the other, and its error is what the caller sees.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(writer), name="write rows")
                if not self._stopping:
                    self._follower = tasks.create_task(self._follow(), name="fold")
        except ExceptionGroup as errors:
            error = errors.exceptions[0]
            if not isinstance(error, CommitsLost):
                raise error from errors
            log.warning("commits were lost, folding anew from the log", reason=str(error))
            return False
        finally:
            self._follower = None
        return True

    async def _follow(self) -> None:
        async for batch in self._bus.follow(self._folded):
            await self._put_away([rejected for rejected in batch.rejects if rejected.malformed])
            self._fold(batch)
            await self._notify()
            await asyncio.sleep(0)  # a log in memory never waits: let the writer run
            async with self._changed:
                await self._changed.wait_for(self._may_fold)

    def _fold(self, batch: Batch) -> None:
        """Fold and note the position. No await in here: a cut sees both or neither."""
        try:
            fold_batch(self.views, batch, self._touched)
        except FoldError:
            self._folded = self._cut  # the rows are those of no position now: nothing may be cut from them
            raise
        self._folded = batch.last
        self._watch.folded(batch)

    async def _put_away(self, malformed: list[Rejected]) -> None:
        """Quarantine what is no event, before any checkpoint passes it."""
        if not malformed:
            return
        await _RETRYING(LogUnavailable, self._quarantine.put, malformed)
        log.warning("quarantined", messages=len(malformed), position=malformed[-1].position)

    async def _write(self, writer: Writer) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._folded > self._cut or self._stopping)
            if self._folded == self._cut:
                return
            began = loop.time()
            cut = self._take()
            await self._notify()
            await self._commit(writer, cut)
            ended = loop.time()
            await self._rest(max(began + WRITE_EVERY_S, ended + min(REST_TIMES * (ended - began), REST_MAX_S)))

    async def _rest(self, until: float) -> None:
        """Let changes pile up until then (loop time), unless the folding waits for us or we are to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until), self._changed:
                await self._changed.wait_for(lambda: self._stopping or not self._may_fold())

    def _may_fold(self) -> bool:
        return self._folded - self._cut < self._ahead_events

    def _take(self) -> Cut:
        """Copy the touched rows as they are now. No await in here: the rows are those of exactly one position."""
        touched, self._touched = self._touched, set()
        self._cut = self._folded
        self._watch.cut(touched)
        return Cut(self.views.cut(touched), self.position, self._folded)

    async def _commit(self, writer: Writer, cut: Cut) -> None:
        """Write ``cut`` until it is there: the same rows each time, so a commit whose answer was lost does no harm."""
        with self._watch.committing():
            await _RETRYING(self._may_retry, writer.write, *cut)
        if self._away:
            self._away = False
            log.info("database is back", place=self._database.place, position=cut.position)
        self.position = cut.position
        await self._notify()

    def _may_retry(self, error: Exception) -> bool:
        if not isinstance(error, DatabaseUnavailable | LogUnavailable) or self._stopping:
            return False
        self._away = True
        log.warning("trying again", reason=str(error), position=self.position)
        return True

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
