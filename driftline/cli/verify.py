"""``driftline verify``: are the projections what the log says? Does all hold that must (``--invariants``)?"""

from contextlib import AsyncExitStack

import click
import msgspec

from driftline.channel import BusChannel
from driftline.cli.common import late_progress, people, print_json, print_table, printable, run, server_options
from driftline.current import current_projections
from driftline.errors import NotDone, UsageError
from driftline.invariants.live import Report, audit
from driftline.stack import Options, existing, open_bus, open_stack
from projections.rebuild import rebuild as rebuild_projections
from projections.verify import Verdict
from projections.verify import verify as verify_projections
from workers.devices.simulated.remote import RemoteDevices


@click.command()
@click.option("--rebuild", is_flag=True, help="First build all projections anew from the log, and swap them in.")
@click.option("--invariants", is_flag=True, help="Check the 24 invariants instead: in the log, and on the devices.")
@server_options()
def verify(options: Options, rebuild: bool, invariants: bool, as_json: bool) -> None:
    """Rebuild every projection from the log in memory and compare it row by row with PostgreSQL.

    Exit 0 if they are equal; else 1, and the first difference is named. With --invariants: 0 if all hold; else 1, and
    the first violation is named.
    """
    if invariants and rebuild:
        raise UsageError("--invariants: not together with --rebuild")
    if invariants:
        run(_check_invariants(options, as_json=as_json))
        return
    run(check_projections(options, rebuild=rebuild, as_json=as_json))


async def check_projections(options: Options, *, rebuild: bool = False, number: int = 0, as_json: bool) -> None:
    """Verify generation ``number``, the live one if 0, and print the verdict. Raises NotDone if it is not equal."""
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(open_stack(existing(options)))
        if rebuild:
            with late_progress("building from the log") as told:
                await rebuild_projections(stack.log, stack.database, told, swap=True)
        await exits.enter_async_context(current_projections(stack))
        last = await stack.log.last_position()
        with late_progress("rebuilding from the log") as told:
            verdict = await verify_projections(stack.log, stack.database, told, number=number)
    if as_json:
        print_json({**msgspec.structs.asdict(verdict), "log_last": last, "behind": max(last - verdict.position, 0)})
    else:
        show_verdict(verdict)
        if last > verdict.position:
            people().print(f"[yellow]the projections are {last - verdict.position} events behind the log[/]")
    if not verdict.equal:
        raise NotDone(f"the projections differ from the log: {verdict.difference}")


async def _check_invariants(options: Options, *, as_json: bool) -> None:
    async with open_bus(existing(options)) as stack:
        fabric = RemoteDevices(BusChannel(stack.connection))
        with late_progress("auditing the log") as told:
            report = await audit(stack.log, fabric.dump, told)
    if as_json:
        print_json(report)
    else:
        show_report(report)
    if report.violation is not None:
        found = report.violation
        port = f", port {found.port}" if found.port else ""
        raise NotDone(f"invariant {found.invariant} does not hold at position {found.position}{port}: {found.text}")


def show_report(report: Report) -> None:
    """Print what ``verify --invariants`` found."""
    said = {True: "yes", False: "NO", None: "not exercised"}
    rows = [
        (i.number, i.title, i.exercised, said[i.ok] if i.applies else "not applicable yet", i.gap)
        for i in report.invariants
    ]
    title = f"invariants at position {report.position} ({report.scope})"
    print_table(title, ("", "invariant", "exercised", "holds", "not covered"), rows)
    if report.note:
        people().print(printable(report.note), style="yellow")


def show_verdict(verdict: Verdict) -> None:
    """Print what ``verify`` found."""
    rows = [(table, count, verdict.hashes[table][:16]) for table, count in verdict.rows.items()]
    print_table(f"verify {verdict.generation} at position {verdict.position}", ("table", "rows equal", "hash"), rows)
    if verdict.equal:
        people().print(f"[green]equal[/]: {verdict.total} rows, {verdict.seconds:.2f} s")
        return
    for one in verdict.differing:
        start, end = (" ".join(map(str, key)) for key in (one.range_from, one.range_to))
        people().print(printable(f"{one.first} (in the range {start} to {end})"), style="red")
    for when, touch in (("first", verdict.first_touched), ("last", verdict.last_touched)):
        if touch is not None:
            text = f"{when} touched by {touch.type} at position {touch.position}, {touch.id}"
            people().print(printable(text))
    if verdict.first_touched is None:
        people().print("no event of the log touched that row")
