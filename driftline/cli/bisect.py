"""``driftline bisect``: the first event at which something became true."""

import click

from driftline.bisecting import Found, first, key_in
from driftline.cli.common import late_progress, people, print_json, printable, reading_options, run
from driftline.errors import NotDone, UsageError
from driftline.predicates import parse
from driftline.questions import Told, moment
from driftline.reading import Reading, open_past, position_of


@click.command()
@click.argument("predicate", nargs=-1, required=True)
@click.option("--after", default="", metavar="SEQ|TIME", help="Only events after this.")
@click.option("--before", default="", metavar="SEQ|TIME", help="Only events up to this.")
@reading_options
def bisect(reading: Reading, predicate: tuple[str, ...], after: str, before: str, *, as_json: bool) -> None:
    r"""Find the first event at which PREDICATE became true; exit 1 if there is none.

    \b
    port web-0 leaves ACTIVE_ACTIVE          (or enters; instance, host, request, operation, policy)
    invariant 10 breaks                      (or: any invariant breaks)
    event.type == port.refused and event.field == leaf
    ports[web-0].host == h2 and not ports[web-0].bound
    leaf_interfaces[leaf1, e1, 7] changes    (or exists; before.TABLE[…] is the row before the event)
    """
    run(_bisect(reading, " ".join(predicate), after, before, as_json=as_json))


async def _bisect(reading: Reading, text: str, after: str, before: str, *, as_json: bool) -> None:
    async with open_past(reading) as past:
        book = past.book
        start = position_of(book, after, "--after", now_us=past.now_us) if after else 0
        until = position_of(book, before, "--before", now_us=past.now_us) if before else past.position
        if start >= until:
            raise UsageError(f"--after {after}: position {start} is not before the end, {until}")
        asked = parse(text, lambda table, key: key_in(book, until, table, key))
        with late_progress("looking through the log") as progress:
            found = first(book, text, asked, start, until, progress)
    if found is None:
        raise NotDone(f"predicate {text}: it did not become true between {start} and {until}")
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: Found) -> None:
    console, event = people(), found.event
    console.print(printable(f"{found.predicate}: first at position {event.position}"), style="bold")
    if found.violation:
        console.print(printable(f"  {found.violation}"), style="red")
    console.print()
    console.print(printable(line(event)), style="bold")
    said = {name: value for name, value in event.event.items() if name != "type" and value not in (None, "")}
    console.print(printable("  " + " ".join(f"{name}={value}" for name, value in said.items())))
    console.print()
    console.print("what it changed", style="bold")
    for change in event.changes:
        console.print(printable(f"  {change}"))
    if not event.changes:
        console.print("  nothing")
    console.print()
    console.print("what led to it", style="bold")
    for cause in found.led_to:
        console.print(printable(f"  {line(cause)}"))
    if not found.led_to:
        console.print("  nothing: somebody outside asked for it")


def line(event: Told) -> str:
    """One event on one line."""
    names = (str(event.event.get(field) or "") for field in ("port", "instance", "host", "leaf", "network"))
    about = " ".join(dict.fromkeys(name for name in names if name))
    return f"{event.position} {event.type} {about} ({event.actor}) {moment(event.time_us)}"
