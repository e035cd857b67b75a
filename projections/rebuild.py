"""Building a generation anew from the log, beside the live one, which goes on.

In order: fold the log, write whole tables at once, follow the live generation, compare, and hand over: in one
transaction, while the live generation's writer waits, the rest is written up to exactly where that stands. From then
on the projector keeps both. Killed anywhere, this leaves the live generation as it was, and one that is ``building``,
which the next rebuild or ``drop`` removes.
"""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import structlog

from bus.errors import LogMismatch
from bus.log import Log
from projections import catalogue
from projections.errors import NoGeneration, RebuildBusy, ShadowDiffers
from projections.filling import copy_chunks
from projections.fold import Touched
from projections.generations import changing_places, clean_up, list_generations, make_live, patiently, set_state
from projections.postgres import LONG_S, Connection, Database, Generation, TableGone, Unstorable, snapshot
from projections.refold import Progress, fold_batch, in_bulk, no_progress
from projections.verify import Compared, Differing, compare
from projections.writer import add_generation, add_keys, create_tables, ensure_catalogue, write_tables

#: From so few events behind the live generation on, the rest is done while its writer waits.
CLOSE_EVENTS = 2000

log = structlog.get_logger("rebuild")


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What ``rebuild`` did. ``events`` of the log were folded and written as ``rows`` in ``seconds``.

    ``seconds`` ends when the tables are complete; ``compare_s`` is for comparing them with the fold and, where it is of
    the same version, for comparing the live generation as well: ``live_differs`` lists what is wrong there.
    """

    generation: str
    state: str
    version: str
    position: int
    events: int
    rows: int
    seconds: float
    events_per_second: int
    compare_s: float
    live_differs: list[Differing]


async def rebuild(log: Log, database: Database, progress: Progress = no_progress, *, swap: bool = False) -> Rebuilt:
    """Build a generation of this program's version; ``swap``: and make it live, else it is ``ready`` to be.

    Raises RebuildBusy, LogMismatch (the live generation is another log's, or of more of it than there is), NoGeneration
    (what was being built was dropped), ShadowDiffers (it is left as it is, to be looked at), NotSwapped (the handover
    found no room), FoldError, DatabaseUnavailable and LogUnavailable.
    """
    async with _sole_builder(database) as token:
        shadow = await _begin(log, database, token)
        builder = _Builder(log, database, shadow, token, progress)
        started = time.perf_counter()
        await builder.fill()
        seconds, events = time.perf_counter() - started, builder.folded
        started = time.perf_counter()
        live = await builder.compare()
        compare_s = time.perf_counter() - started
        position = await builder.hand_over("live" if swap else "ready")
        await clean_up(database)
    return Rebuilt(
        generation=shadow.name,
        state="live" if swap else "ready",
        version=shadow.version,
        position=position,
        events=events,
        rows=builder.rows,
        seconds=seconds,
        events_per_second=int(events / seconds),
        compare_s=compare_s,
        live_differs=live.differing if live is not None else [],
    )


class _Builder:
    """The fold of one shadow generation. ``folded``: up to where; ``_written``: up to where its tables show it."""

    def __init__(self, bus: Log, database: Database, shadow: Generation, token: str, progress: Progress) -> None:
        self._bus, self._database, self._shadow, self._token = bus, database, shadow, token
        self._progress = progress
        self._views = database.edition.views()
        self._touched: set[Touched] | None = None  # as long as whole tables are still to be written
        self.folded = self._written = 0

    @property
    def rows(self) -> int:
        """How many rows there are in all tables."""
        return sum(len(self._views.rows(table.name)) for table in self._views.tables())

    async def fill(self) -> None:
        """Fold what there is, and write whole tables."""
        with in_bulk():
            await self._fold(await self._target())
            try:
                await self._copy(careful=False)
            except Unstorable:
                await self._copy(careful=True)
        self._is_written()

    async def compare(self) -> Compared | None:
        """Compare the shadow with the fold, and so the live tables if these are of the same version."""
        live = await self._live()
        if live is None or live.version != self._shadow.version:
            await self._catch_up()
            await self._compare_shadow()
            return None
        await self._catch_up()
        async with snapshot(self._database, live.number) as seen:  # goes on meanwhile; here it stands still
            await self._advance(seen.position)
            await self._compare_shadow()
            return await compare(self._views, seen)

    async def hand_over(self, state: str) -> int:
        """Go on up to the live generation, and become ``ready`` or ``live`` there. Returns the position."""
        await self._catch_up()
        await patiently(self._database, lambda: self._hand_over(state))
        return self._written

    async def _hand_over(self, state: str) -> None:
        if await self._target() - self.folded > CLOSE_EVENTS:
            await self._catch_up()
        async with changing_places(self._database) as (connection, live):
            target = self._target_of(live, await self._bus.last_position())
            await self._fold(target)
            if self.folded > target:  # a projector has begun from nothing meanwhile: it will come to where we are
                raise TimeoutError(f"the live generation is at {target}, {self._shadow.name} at {self.folded}")
            await self._write(connection)
            if state == "live":
                await make_live(connection, self._shadow, live)
            else:
                await set_state(connection, self._shadow, state)
        self._is_written()

    async def _catch_up(self) -> None:
        """Follow the live generation until it is close."""
        while (target := await self._target()) - self._written > CLOSE_EVENTS:
            await self._advance(target)

    async def _advance(self, position: int) -> None:
        await self._fold(position)
        async with self._database.connection() as connection, connection.transaction():
            await self._write(connection)
        self._is_written()

    async def _target(self) -> int:
        """How far to go: never beyond a live generation of the same version, for both are to stand at one position."""
        return self._target_of(await self._live(), await self._bus.last_position())

    def _target_of(self, live: Generation | None, last: int) -> int:
        return live.position if live is not None and live.version == self._shadow.version else last

    async def _fold(self, until: int) -> None:
        """Fold up to exactly ``until``."""
        if until <= self.folded:
            return
        async for batch in self._bus.read(self.folded, until):
            fold_batch(self._views, batch, self._touched)
            self.folded = batch.last
            self._progress(batch.last, until)

    async def _copy(self, *, careful: bool) -> None:
        """Make the tables, with all rows, in one transaction: cheaper, and there is no half of it."""
        schema = self._shadow.name
        async with self._database.connection() as connection, connection.transaction():
            await create_tables(connection, self._database, schema)
            for table in self._views.tables():
                chunks = copy_chunks(table, self._views.rows(table.name), careful=careful)
                await connection.copy_to_table(
                    table.name, schema_name=schema, source=_source(chunks), freeze=True, timeout=LONG_S
                )
            await add_keys(connection, self._database, schema)
            await self._move(connection)

    def _is_written(self) -> None:
        self._touched, self._written = set(), self.folded

    async def _write(self, connection: Connection) -> None:
        if self.folded > self._written:
            await self._move(connection)  # first: it tells whether there are tables still
            await write_tables(connection, self._shadow.name, self._views.cut(self._touched or ()))

    async def _move(self, connection: Connection) -> None:
        moved = await connection.fetchval(
            catalogue.MOVE_SHADOW, self._shadow.number, self._written, self.folded, self._token
        )
        if moved is None:
            raise NoGeneration(f"{self._database.place}: {self._shadow.name} was dropped, or taken over, meanwhile")

    async def _live(self) -> Generation | None:
        return next((one for one in await list_generations(self._database) if one.state == "live"), None)

    async def _compare_shadow(self) -> None:
        async with snapshot(self._database, self._shadow.number) as seen:
            compared = await compare(self._views, seen)
        if compared.differing:
            raise ShadowDiffers(f"{self._shadow.name} is not what the log says: {compared.differing[0].first}")


async def _source(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@asynccontextmanager
async def _sole_builder(database: Database) -> AsyncIterator[str]:
    """Be the only builder, for as long as the connection lasts. Raises RebuildBusy."""
    async with database.connection() as connection:
        if not await connection.fetchval(catalogue.TRY_BUILD):
            raise RebuildBusy(f"{database.place}: another rebuild is under way")
        try:
            yield uuid.uuid4().hex
        except TableGone as error:
            raise NoGeneration(f"{database.place}: the projections were dropped meanwhile ({error})") from error
        finally:
            if not connection.is_closed():
                await connection.execute(catalogue.END_BUILD)


async def _begin(bus: Log, database: Database, token: str) -> Generation:
    """A new generation in the catalogue, in place of one that was not finished or not swapped in."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute(catalogue.LOCK_META)
        await ensure_catalogue(connection)
    log_identity = await bus.identity()
    every = await list_generations(database)
    last = await bus.last_position()  # after the others: the log goes on meanwhile
    for one in every:
        if one.state == "live" and one.log_identity != log_identity:
            raise LogMismatch(
                f"{database.place} was projected from the log {one.log_identity}, not from {log_identity}: "
                "use its own log, or drop them (driftline projections drop --all)"
            )
        if one.state == "live" and one.position > last:
            raise LogMismatch(
                f"{one.name} is live and shows position {one.position}, the log {log_identity} ends at {last}: "
                "events were lost (see driftline audit); to have the projections as the log is now, drop them "
                "(driftline projections drop --all)"
            )
        if one.state in ("building", "ready"):
            log.info("dropped, to be built anew", generation=one.name, state=one.state, position=one.position)
            async with database.connection() as connection:
                await connection.execute(catalogue.REMOVE, one.number, ["building", "ready"])
    await clean_up(database)
    async with database.connection() as connection, connection.transaction():
        return await add_generation(connection, database, "building", log_identity, token)
