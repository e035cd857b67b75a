"""``driftline tail`` (the log as it grows) and ``quarantine`` (what is in it that is no event)."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import click
import msgspec

from bus.envelope import Recorded
from bus.events import tag_of
from bus.log import Batch
from driftline.cli.common import people, print_json, print_table, printable, run, server_options
from driftline.errors import UsageError
from driftline.stack import Bus, Options, existing, open_bus

#: Tokens between dots, without white space; ``>`` only at the end.
_FILTER = re.compile(r"([^\s.>]+\.)*([^\s.>]+|>)")


@click.command()
@click.option("--last", type=click.IntRange(min=0), default=20, show_default=True, help="Begin this many events back.")
@click.option("--after", type=click.IntRange(min=0), help="Begin after this position instead.")
@click.option("--subject", default="", help="Only what this NATS filter matches, e.g. 'dl.port.web-1-0.>'.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Go on as the log grows.")
@server_options()
def tail(options: Options, last: int, after: int | None, subject: str, follow: bool, as_json: bool) -> None:
    """Show the events of the log. With --json and --follow: one JSON document a line, for as long as it runs."""
    if subject and not _FILTER.fullmatch(subject):
        raise UsageError(f"--subject: {subject!r} is no NATS filter, e.g. 'dl.port.web-1-0.>'")
    run(_tail(options, last, after, subject, follow=follow, as_json=as_json))


async def _tail(options: Options, last: int, after: int | None, subject: str, *, follow: bool, as_json: bool) -> None:
    async with open_bus(existing(options)) as stack:
        end = await stack.log.last_position()
        start = max(end - last, 0) if after is None else after
        if start > end:
            raise UsageError(f"--after: {start} is beyond the end of the log ({end})")
        if not follow:
            events = [r async for batch in stack.log.read(start, end, subject) for r in batch.records]
            _show_all(events, as_json=as_json)
            return
        async for batch in _batches(stack, start, subject):
            for r in batch.records:
                _show(r, as_json=as_json)


def _batches(stack: Bus, start: int, subject: str) -> AsyncIterator[Batch]:
    return stack.log.follow(start, subject)


def _show_all(events: list[Recorded], *, as_json: bool) -> None:
    if as_json:
        print_json(events)
        return
    for r in events:
        _show(r, as_json=False)


def _show(r: Recorded, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(r))
        return
    tag, fields = tag_of(type(r.event)), msgspec.structs.asdict(r.event)
    time = datetime.fromtimestamp(r.time_us / 1e6, UTC).strftime("%H:%M:%S.%f")
    text = " ".join(f"{name}={value}" for name, value in fields.items() if value not in (None, "", 0))
    line = f"{r.position:>8} {time} {r.actor:<9.20} {tag.rpartition('.')[0]:<26} {text}"
    people().print(printable(line), soft_wrap=True)


@click.command()
@server_options()
def quarantine(options: Options, as_json: bool) -> None:
    """List the messages of the log that are no events, with the reason. They hold up nobody."""
    run(_quarantine(options, as_json=as_json))


async def _quarantine(options: Options, *, as_json: bool) -> None:
    async with open_bus(existing(options)) as stack:
        kept = await stack.quarantine.list()
    if as_json:
        print_json([{**msgspec.structs.asdict(one), "data": one.data.decode(errors="replace")} for one in kept])
        return
    table = [[one.position, one.subject, one.reason, one.data[:60].decode(errors="replace")] for one in kept]
    print_table(f"{len(kept)} messages in quarantine", ("position", "subject", "reason", "data"), table)
