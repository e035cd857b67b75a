"""``driftline verify``: are the projections what the log says?"""

import click
from rich.progress import Progress

from driftline.cli.common import people, print_json, print_table, progress_console, run, server_options
from driftline.errors import NotDone
from driftline.plane import current_projections
from driftline.stack import Options, open_stack
from projections.verify import Verdict
from projections.verify import verify as verify_projections


@click.command()
@server_options()
def verify(options: Options, as_json: bool) -> None:
    """Rebuild every projection from the log in memory and compare it row by row with PostgreSQL.

    Exit 0 if they are equal; else 1, and the first difference is named.
    """
    run(_verify(options, as_json=as_json))


async def _verify(options: Options, *, as_json: bool) -> None:
    async with open_stack(options) as stack, current_projections(stack):
        with Progress(console=progress_console(), transient=True) as bars:
            bar = bars.add_task("rebuilding from the log")
            verdict = await verify_projections(
                stack.log, stack.database, lambda done, until: bars.update(bar, completed=done, total=until)
            )
    if as_json:
        print_json(verdict)
    else:
        show_verdict(verdict)
    if not verdict.equal:
        raise NotDone(f"the projections differ from the log: {verdict.difference}")


def show_verdict(verdict: Verdict) -> None:
    """Print what ``verify`` found."""
    print_table(f"verify at position {verdict.position}", ("table", "rows equal"), list(verdict.rows.items()))
    if verdict.equal:
        people().print(f"[green]equal[/]: {verdict.total} rows, {verdict.seconds:.2f} s")
