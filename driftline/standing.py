"""How the projections stand: each generation, and in it each projection."""

import asyncio
import contextlib
import hashlib
import time

import msgspec

from bus.log import Log
from projections.errors import NoGeneration, NotProjected
from projections.generations import list_generations
from projections.hashes import RANGE_ROWS, combined
from projections.postgres import Database, Generation, Snapshot, fetch_table, snapshot, stream_hashes
from projections.views import SKIPPED, SkippedRow

#: Over how long a generation's rate is measured at least, seconds.
RATE_S = 0.5


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """One projection in one generation. ``rows``, ``hash``: of all its tables; None and "" where not looked at."""

    projection: str
    version: str
    tables: list[str]
    rows: int | None
    hash: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One generation. ``lag``: events of the log that it does not show; ``rate``: events/s that it takes in now.

    ``position`` is where it was looked at. ``ours``: it is of this program's version, the only ones it can read.
    """

    generation: str
    state: str
    version: str
    ours: bool
    position: int
    lag: int
    rate: float
    log_identity: str
    projections: list[Projected]


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """All generations, and the events of newer types that the live one has skipped, by type."""

    log_last: int
    generations: list[Standing]
    skipped: list[SkippedRow]


async def standings(log: Log, database: Database, *, quick: bool = False) -> Standings:
    """Look at all generations. ``quick``: without rows, hashes and rates. Writes nothing.

    Raises SchemaMismatch where there are only tables from before there were generations.
    """
    started, before = time.monotonic(), await list_generations(database)
    if not before:
        with contextlib.suppress(NotProjected):  # but tables from before there were generations are to be told
            async with snapshot(database):
                pass
    last = await log.last_position()
    looked = [await _look(database, one, quick=quick) for one in before]
    if not quick and before:
        await asyncio.sleep(max(0.0, RATE_S - (time.monotonic() - started)))
    after = {one.number: one.position for one in await list_generations(database)}
    took_s = time.monotonic() - started
    return Standings(
        log_last=last,
        generations=[
            Standing(
                generation=one.name,
                state=one.state,
                version=one.version,
                ours=one.version == database.edition.version,
                position=position,
                lag=max(0, last - position),
                rate=0.0 if quick else max(0, after.get(one.number, one.position) - one.position) / took_s,
                log_identity=one.log_identity,
                projections=projections,
            )
            for one, (position, projections) in zip(before, looked, strict=True)
        ],
        skipped=await _skipped(database, before),
    )


async def _look(database: Database, one: Generation, *, quick: bool) -> tuple[int, list[Projected]]:
    unread = [
        Projected(
            projection=name,
            version=version,
            tables=[table.name for table in database.edition.tables_of.get(name, ())],
            rows=None,
            hash="",
        )
        for name, version in one.versions.items()
    ]
    if quick or one.version != database.edition.version or one.state == "building":
        return one.position, unread
    try:
        async with snapshot(database, one.number) as seen:
            return seen.position, [await _hashed(seen, projected) for projected in unread]
    except NoGeneration:  # dropped meanwhile
        return one.position, unread


async def _hashed(seen: Snapshot, projected: Projected) -> Projected:
    rows, hashes = 0, []
    for table in projected.tables:
        digest = hashlib.sha256()
        async for count, digests in stream_hashes(seen, table, RANGE_ROWS):
            rows += count
            digest.update(digests)
        hashes.append(digest.hexdigest())
    return msgspec.structs.replace(projected, rows=rows, hash=combined(hashes))


async def _skipped(database: Database, generations: list[Generation]) -> list[SkippedRow]:
    ours = [one for one in generations if one.state == "live" and one.version == database.edition.version]
    if not ours:
        return []
    async with snapshot(database) as seen:
        rows = await fetch_table(seen, SKIPPED.name)
    return [row for row in rows if isinstance(row, SkippedRow)]
