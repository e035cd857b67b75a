"""``driftline verify``: are the projections what the log says? Does all hold that must (``--invariants``)?"""

from contextlib import AsyncExitStack

import click
import msgspec
from rich.progress import Progress

from driftline.channel import BusChannel
from driftline.cli.common import people, print_json, print_table, printable, progress_console, run, server_options
from driftline.errors import NotDone, UsageError
from driftline.invariants.live import Report, audit
from driftline.stack import Options, open_bus, open_stack
from driftline.state import current_projections
from projections.verify import Verdict
from projections.verify import verify as verify_projections
from workers.devices.simulated.remote import RemoteDevices


@click.command()
@click.option(
    "--rebuild", is_flag=True, help="First build all projections anew from the log; with --data, while nothing runs."
)
@click.option("--invariants", is_flag=True, help="Check the 23 invariants instead: in the log, and on the devices.")
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
    run(_verify(options, rebuild=rebuild, as_json=as_json))


async def _verify(options: Options, *, rebuild: bool, as_json: bool) -> None:
    async with AsyncExitStack() as exits:
        stack = await exits.enter_async_context(open_stack(options))
        if rebuild:
            if stack.servers.postgres_found:
                raise UsageError(
                    "--rebuild: only with --data, while nothing runs: a projector elsewhere would not notice"
                )
            await stack.database.rebuild()
        await exits.enter_async_context(current_projections(stack))
        last = await stack.log.last_position()
        with Progress(console=progress_console(), transient=True) as bars:
            bar = bars.add_task("rebuilding from the log")
            verdict = await verify_projections(
                stack.log, stack.database, lambda done, until: bars.update(bar, completed=done, total=until)
            )
    if as_json:
        print_json({**msgspec.structs.asdict(verdict), "log_last": last, "behind": max(last - verdict.position, 0)})
    else:
        show_verdict(verdict)
        if last > verdict.position:
            people().print(f"[yellow]the projections are {last - verdict.position} events behind the log[/]")
    if not verdict.equal:
        raise NotDone(f"the projections differ from the log: {verdict.difference}")


async def _check_invariants(options: Options, *, as_json: bool) -> None:
    async with open_bus(options) as stack:
        fabric = RemoteDevices(BusChannel(stack.connection))
        with Progress(console=progress_console(), transient=True) as bars:
            bar = bars.add_task("auditing the log")
            report = await audit(
                stack.log, fabric.dump, lambda done, until: bars.update(bar, completed=done, total=until)
            )
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
    print_table(f"verify at position {verdict.position}", ("table", "rows equal"), list(verdict.rows.items()))
    if verdict.equal:
        people().print(f"[green]equal[/]: {verdict.total} rows, {verdict.seconds:.2f} s")
