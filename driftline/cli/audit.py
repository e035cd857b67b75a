"""``driftline audit``: is every event that was published still there, and is every hole explained?"""

from pathlib import Path

import click
import msgspec

from bus.jetstream.inspection import checkpoints, stream_state
from driftline.accounts import Accounts, Audit
from driftline.book.sheets import known_last
from driftline.cli.common import late_progress, people, print_json, print_table, run, server_options
from driftline.errors import NotDone
from driftline.ledger import VARIABLE, merged, read_ledger
from driftline.stack import Bus, Options, open_bus, open_stack
from projections.errors import NotProjected
from projections.postgres import Database, snapshot

PROJECTIONS = "the projections"


@click.command()
@click.option(
    "--ledger",
    "ledgers",
    multiple=True,
    envvar=VARIABLE,
    type=click.Path(path_type=Path, dir_okay=False),
    help="What a publisher wrote down (repeatable).",
)
@server_options()
def audit(options: Options, ledgers: tuple[Path, ...], as_json: bool) -> None:
    """Account for every event: the publishers' ledgers, the log, the workers' outputs and checkpoints, the projections.

    Exit 0 if nothing is lost; else 1, and each loss is named with who still knows of it.
    """
    run(_audit(options, ledgers, as_json=as_json))


async def _audit(options: Options, ledgers: tuple[Path, ...], *, as_json: bool) -> None:
    entries = merged([read_ledger(path) for path in ledgers])
    found = Audit(entries)
    if options.nats and not options.postgres:
        async with open_bus(options) as bus:
            accounts = await _accounts(bus, None, found)
    else:
        async with open_stack(options) as stack:
            accounts = await _accounts(stack, stack.database, found)
    if as_json:
        print_json({**msgspec.structs.asdict(accounts), "complete": accounts.complete})
    else:
        _show(accounts, len(entries))
    if accounts.findings:
        first = accounts.findings[0]
        raise NotDone(f"{len(accounts.findings)} findings, the first: {first.what}: {first.text}")


async def _accounts(bus: Bus, database: Database | None, found: Audit) -> Accounts:
    """Checkpoints are read before the log: what they speak of must be in it."""
    saved = await checkpoints(bus.connection)
    shown, made_from = await _shown(database) if database is not None else ({}, "")
    identity = await bus.log.identity()
    others = {PROJECTIONS: made_from} if made_from not in ("", identity) else {}
    in_book = known_last(identity)
    state = await stream_state(bus.connection)
    with late_progress("reading the log") as progress:
        async for batch in bus.log.read(0, state.last):
            found.take(batch)
            progress(batch.last, state.last)
    return found.accounts(state, saved, shown | ({"the book on this machine": in_book} if in_book else {}), others)


async def _shown(database: Database) -> tuple[dict[str, int], str]:
    """How far the projections go, and which log they were made from."""
    try:
        async with snapshot(database) as seen:
            return {PROJECTIONS: seen.position}, seen.log_identity
    except NotProjected:
        return {}, ""


def _show(accounts: Accounts, entries: int) -> None:
    columns = ("actor", "events", "requests", "done", "refused", "failed", "pending")
    print_table(
        f"{accounts.events} events at positions {accounts.first} to {accounts.last} of {accounts.identity}",
        columns,
        [msgspec.structs.astuple(account) for account in accounts.actors],
    )
    others = [("in quarantine", accounts.quarantined), *((f"newer: {t}", n) for t, n in accounts.newer_types.items())]
    print_table("no events that this version knows", ("what", "messages"), others)
    if entries:
        fates = [(fate, count) for fate, count in accounts.ledger.items() if count]
        print_table(f"{entries} entries of ledgers", ("what became of them", "entries"), fates)
    readers = [(reader.name, reader.position, reader.lag) for reader in accounts.readers]
    print_table("who has read how far", ("who", "position", "lag"), readers)
    holes = [(hole.first, hole.last, hole.gap, "; ".join(hole.known_by)) for hole in accounts.holes]
    print_table(f"{len(holes)} holes", ("from", "to", "why", "known by"), holes)
    if accounts.complete:
        people().print("[green]complete[/]: every event is accounted for")
    else:
        found = [(one.what, one.position or "", one.text) for one in accounts.findings]
        print_table(f"{len(found)} findings", ("what", "position", ""), found)
