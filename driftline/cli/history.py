"""Commands that ask the log: ``history``, ``causes``, ``diff``."""

from collections.abc import Iterable
from typing import Any

import click
from rich.tree import Tree

from driftline.book.terms import KINDS
from driftline.cli.common import people, print_json, print_table, printable, reading_options, run
from driftline.errors import UsageError
from driftline.questions import (
    Branch,
    Causes,
    FieldChange,
    RowChange,
    Told,
    causes,
    differences,
    find_event,
    history,
    moment,
    told,
)
from driftline.reading import Reading, open_past, position_of
from projections.edition import CURRENT

#: Columns that say when and where a row was written, which an event's own line says already.
_BOOKKEEPING = frozenset({"changed_us", "claimed_at"})
#: An effect that came so much later than its cause is where the time went, microseconds.
SLOW_US = 100_000


@click.command("history")
@click.argument("name")
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Which, if things of several kinds have this name.")
@click.option("--events", "events_only", is_flag=True, help="Without what each event changed.")
@reading_options
def history_of(reading: Reading, name: str, kind: str | None, events_only: bool, as_json: bool) -> None:
    """List every event that concerns NAME: the id or name of a port, instance, host, leaf, network, VPC or the like."""
    run(_history(reading, name, kind or "", with_changes=not events_only, as_json=as_json))


async def _history(reading: Reading, name: str, kind: str, *, with_changes: bool, as_json: bool) -> None:
    async with open_past(reading) as past:
        found = history(past.book, name, past.position, kind)
        events = [told(past.book, r, with_changes=with_changes) for r in found]
    if as_json:
        print_json(events)
        return
    columns = ("position", "time", "actor", "event", "about", "caused by", "what changed")
    rows = [
        (e.position, moment(e.time_us), e.actor, e.type, _about(e, name), e.caused_by or e.cause, _changes(e.changes))
        for e in events
    ]
    print_table(f"{len(events)} events concern {name}", columns, rows)


@click.command("causes")
@click.argument("event")
@click.option("--branches", type=click.IntRange(1), default=50, show_default=True, help="Effects shown of each event.")
@reading_options
def causes_of(reading: Reading, event: str, branches: int, as_json: bool) -> None:
    """Draw what led to EVENT (a position or an id), from the first request on, and all that came of it."""
    run(_causes(reading, event, branches, as_json=as_json))


async def _causes(reading: Reading, event: str, branches: int, *, as_json: bool) -> None:
    async with open_past(reading) as past:
        asked = find_event(past.book, event, past.position)
        found = causes(past.book, asked, branches, past.position)
    if as_json:
        print_json(found)
    else:
        people().print(_drawn(found))


@click.command()
@click.argument("start", metavar="FROM")
@click.argument("end", metavar="TO")
@click.option("--table", help="Only of this table, e.g. ports.")
@click.option("--about", multiple=True, metavar="NAME", help="Only rows that name it: a port, host, … (repeatable).")
@reading_options
def diff(reading: Reading, start: str, end: str, table: str | None, about: tuple[str, ...], as_json: bool) -> None:
    """Show what changed between FROM and TO (positions or times, as for --as-of): each row, before and after."""
    if table and table not in {known.name for known in CURRENT.tables}:
        raise UsageError(f"--table {table}: there is no such table (see `driftline schema`)")
    if reading.as_of:
        raise UsageError("--as-of: diff has its own FROM and TO")
    run(_diff(reading, start, end, table or "", about, as_json=as_json))


async def _diff(reading: Reading, start: str, end: str, table: str, about: tuple[str, ...], *, as_json: bool) -> None:
    async with open_past(reading) as past:
        after, until = (
            position_of(past.book, text, name, now_us=past.now_us) for text, name in ((start, "FROM"), (end, "TO"))
        )
        if after > until:
            raise UsageError(f"FROM {start}: position {after} comes after TO, {until}")
        changes = list(differences(past.book, after, until, table, about))
    if as_json:
        print_json({"from": after, "to": until, "changes": changes})
        return
    rows = [
        (change.table, " ".join(map(str, change.key)), change.what, _fields(change), _positions(change.events))
        for change in changes
    ]
    columns = ("table", "key", "", "before → after", "events")
    print_table(f"{len(rows)} rows differ between {after} and {until}", columns, rows)


def _about(event: Told, name: str) -> str:
    """What else the event names: enough to tell it from its neighbours."""
    named = (str(event.event.get(field) or "") for field in ("port", "instance", "host", "leaf", "network"))
    return " ".join(dict.fromkeys(one for one in named if one and one != name))


def _changes(changes: Iterable[RowChange]) -> str:
    return "; ".join(f"{change.table}: {_fields(change) or change.what}" for change in changes)


def _fields(change: RowChange) -> str:
    if change.what != "changed":
        return change.what
    return ", ".join(str(one) for one in change.fields if one.field not in _BOOKKEEPING) or _bookkeeping(change.fields)


def _bookkeeping(fields: Iterable[FieldChange]) -> str:
    return ", ".join(map(str, fields))


def _positions(events: list[int]) -> str:
    shown = " ".join(map(str, events[:5]))
    return shown if len(events) <= 5 else f"{shown} … {events[-1]} ({len(events)})"


def _drawn(found: Causes) -> Tree:
    tree: Tree | None = None
    if found.lost:
        tree = Tree(printable(f"{found.lost}: a cause that is not in the log"))
    node: Any = tree
    before_us = 0
    for event in found.led_to:
        text = printable(_line(event, event.time_us - before_us if before_us else 0))
        node = node.add(text) if node is not None else Tree(text)
        tree, before_us = tree or node, event.time_us
    return _grow(tree, node, found.tree, asked=True)


def _grow(tree: Tree | None, node: Tree | None, branch: Branch, *, asked: bool = False) -> Tree:
    text = printable(_line(branch.told, branch.after_us))
    text.stylize("bold" if asked else "yellow" if branch.after_us >= SLOW_US else "")
    grown = node.add(text) if node is not None else Tree(text)
    tree = tree or grown
    for one in branch.branches:
        _grow(tree, grown, one)
    if branch.left_out:
        grown.add(f"… and {branch.left_out} more")
    return tree


def _line(event: Told, after_us: int) -> str:
    after = f"  +{after_us / 1000:.1f} ms" if after_us else f"  {moment(event.time_us)}"
    return f"{event.position} {event.type} {_about(event, '')} ({event.actor}){after}"
