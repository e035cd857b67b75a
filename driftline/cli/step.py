"""``driftline step``: the debugger that goes through a log, event by event."""

import sys

import click

from bus.envelope import Recorded
from driftline.book import Book
from driftline.cli.common import people, print_json, reading_options, run
from driftline.errors import UsageError
from driftline.reading import Past, Reading, open_past
from driftline.stepping import panes, run_to, start
from driftline.tui import pictures


@click.command()
@click.option(
    "--at", default="", metavar="SEQ|ID|TIME", help="Where to begin. Default: the end, with --break the beginning."
)
@click.option("--break", "breakpoint_at", default="", metavar="PREDICATE", help="What `r` runs to, as for bisect.")
@reading_options
def step(reading: Reading, at: str, breakpoint_at: str, as_json: bool) -> None:
    """Go through the log event by event: forward, back, along one port or story, on to a breakpoint.

    Shows the event with what led to it, the rows before and after it, and Figure 10 or 11 as far as it had got. The
    keys are below the panes. Without a terminal, or with --json, it prints the panes of one event: the one at --at, or
    with --break the first one after that (without --at, of all) at which PREDICATE becomes true.
    """
    if reading.as_of:
        raise UsageError("--as-of: step has --at")
    run(_step(reading, at, breakpoint_at, as_json=as_json))


async def _step(reading: Reading, at: str, breakpoint_at: str, *, as_json: bool) -> None:
    async with open_past(reading) as past:
        r = start(past.book, at, past.now_us, oldest=bool(breakpoint_at))
        if not as_json and sys.stdout.isatty() and sys.stdin.isatty():
            await _interactive(past, r, breakpoint_at)
            return
        if breakpoint_at:
            r = await run_to(past.book, breakpoint_at, r.position if at else 0)  # the first event counts
        if as_json:
            print_json(panes(past.book, r))
        else:
            _print(past.book, r)


async def _interactive(past: Past, r: Recorded, breakpoint_at: str) -> None:
    from driftline.tui.stepper import Stepper  # noqa: PLC0415  # Textual takes longer to load than a print to be done

    await Stepper(past.book, r, breakpoint_at, past.now_us).run_async()


def _print(book: Book, r: Recorded) -> None:
    seen, console = panes(book, r), people()
    for title, draw in (
        ("events", pictures.events),
        ("event", pictures.event),
        ("state: before → after", pictures.state),
        ("sequence so far", pictures.figure),
    ):
        console.print(f"── {title}", style="bold")
        console.print(draw(seen), soft_wrap=True)
        console.print()
