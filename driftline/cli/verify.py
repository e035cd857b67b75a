"""``driftline verify``: are the projections what the log says?"""

from contextlib import AsyncExitStack

import click
import msgspec
from rich.progress import Progress

from driftline.cli.common import people, print_json, print_table, progress_console, run, server_options
from driftline.errors import NotDone, UsageError
from driftline.stack import Options, open_stack
from driftline.state import current_projections
from projections.verify import Verdict
from projections.verify import verify as verify_projections


@click.command()
@click.option(
    "--rebuild", is_flag=True, help="First build all projections anew from the log; with --data, while nothing runs."
)
@server_options()
def verify(options: Options, rebuild: bool, as_json: bool) -> None:
    """Rebuild every projection from the log in memory and compare it row by row with PostgreSQL.

    Exit 0 if they are equal; else 1, and the first difference is named.
    """
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


def show_verdict(verdict: Verdict) -> None:
    """Print what ``verify`` found."""
    print_table(f"verify at position {verdict.position}", ("table", "rows equal"), list(verdict.rows.items()))
    if verdict.equal:
        people().print(f"[green]equal[/]: {verdict.total} rows, {verdict.seconds:.2f} s")
