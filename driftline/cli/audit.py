"""``driftline audit``: is every event that was published still there, and is every hole explained?"""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from driftline.accounts import Accounts
from driftline.auditing import account
from driftline.cli.common import late_progress, people, print_json, print_table, run, server_options
from driftline.errors import NotDone
from driftline.ledger import VARIABLE, Entry, merged, read_ledger
from driftline.stack import Bus, Options, existing, open_bus, open_stack
from projections.postgres import Database


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
    if options.nats and not options.postgres:
        async with open_bus(existing(options)) as bus:
            accounts = await _told(bus, None, entries)
    else:
        async with open_stack(existing(options)) as stack:
            accounts = await _told(stack, stack.database, entries)
    if as_json:
        print_json({**msgspec.structs.asdict(accounts), "complete": accounts.complete})
    else:
        _show(accounts, len(entries))
    if accounts.findings:
        first = accounts.findings[0]
        raise NotDone(f"{len(accounts.findings)} findings, the first: {first.what}: {first.text}")


async def _told(bus: Bus, database: Database | None, entries: Sequence[Entry]) -> Accounts:
    with late_progress("reading the log") as progress:
        return await account(bus, database, entries, progress)


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
