"""All accounts of a running system: what publishers wrote down, against the log and all who have read it."""

from collections.abc import Sequence

from bus.jetstream.inspection import checkpoints, stream_state
from driftline.accounts import Accounts, Audit
from driftline.book.shelf import known_last
from driftline.ledger import Entry
from driftline.stack import Bus
from projections.generations import list_generations
from projections.postgres import Database
from projections.refold import Progress

#: The name of the projections among those who have read the log.
PROJECTIONS = "the projections"


async def account(bus: Bus, database: Database | None, entries: Sequence[Entry], progress: Progress) -> Accounts:
    """Account for every event of the log and every entry. Raises LogUnavailable, LogMismatch, DatabaseUnavailable.

    Checkpoints are read before the log: what they speak of must be in it.
    """
    found = Audit(entries)
    saved = await checkpoints(bus.connection)
    shown, made_from = await _shown(database) if database is not None else ({}, "")
    identity = await bus.log.identity()
    others = {PROJECTIONS: made_from} if made_from not in ("", identity) else {}
    in_book = known_last(identity)
    state = await stream_state(bus.connection)
    async for batch in bus.log.read(0, state.last):
        found.take(batch)
        progress(batch.last, state.last)
    return found.accounts(state, saved, shown | ({"the book on this machine": in_book} if in_book else {}), others)


async def _shown(database: Database) -> tuple[dict[str, int], str]:
    """How far the live projections go, of whatever version they are, and which log they were made from."""
    live = next((one for one in await list_generations(database) if one.state == "live"), None)
    return ({PROJECTIONS: live.position}, live.log_identity) if live is not None else ({}, "")
