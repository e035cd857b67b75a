"""``driftline tail`` (the log as it grows) and ``quarantine`` (what is in it that is no event)."""

import re
from datetime import UTC, datetime

import click
import msgspec

from bus.envelope import Recorded, Rejected
from bus.events import tag_of
from bus.log import RawLog
from driftline.cli.common import people, print_json, print_table, printable, reading_options, run
from driftline.errors import UsageError
from driftline.reading import Reading, open_past
from driftline.stack import Options, existing, open_bus

#: Tokens between dots, without white space; ``>`` only at the end.
_FILTER = re.compile(r"([^\s.>]+\.)*([^\s.>]+|>)")


@click.command()
@click.option("--last", type=click.IntRange(min=0), default=20, show_default=True, help="Begin this many events back.")
@click.option("--after", type=click.IntRange(min=0), help="Begin after this position instead.")
@click.option("--subject", default="", help="Only what this NATS filter matches, e.g. 'dl.port.web-1-0.>'.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Go on as the log grows.")
@reading_options
def tail(reading: Reading, last: int, after: int | None, subject: str, follow: bool, as_json: bool) -> None:
    """Show the events of the log. With --json and --follow: one JSON document a line, for as long as it runs.

    With --as-of or --log it ends where the log ended then.
    """
    if subject and not _FILTER.fullmatch(subject):
        raise UsageError(f"--subject: {subject!r} is no NATS filter, e.g. 'dl.port.web-1-0.>'")
    if reading.as_of or reading.file is not None:
        run(_tail_then(reading, last, after, subject, as_json=as_json))
    else:
        run(_tail(reading.options, last, after, subject, follow=follow, as_json=as_json))


async def _tail_then(reading: Reading, last: int, after: int | None, subject: str, *, as_json: bool) -> None:
    async with open_past(reading) as past:
        start = _start(past.position, last, after)
        _show_all(await _events(past.log, start, past.position, subject), as_json=as_json)


async def _tail(options: Options, last: int, after: int | None, subject: str, *, follow: bool, as_json: bool) -> None:
    async with open_bus(existing(options)) as stack:
        end = await stack.log.last_position()
        start = _start(end, last, after)
        if not follow:
            _show_all(await _events(stack.log, start, end, subject), as_json=as_json)
            return
        async for batch in stack.log.follow(start, subject):
            for r in batch.records:
                _show(r, as_json=as_json)


def _start(end: int, last: int, after: int | None) -> int:
    start = max(end - last, 0) if after is None else after
    if start > end:
        raise UsageError(f"--after: {start} is beyond the end of the log ({end})")
    return start


async def _events(log: RawLog, start: int, end: int, subject: str) -> list[Recorded]:
    return [r async for batch in log.read(start, end, subject) for r in batch.records]


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


async def _quarantined(reading: Reading) -> list[Rejected]:
    """What workers have put there; of the past, which knows no workers, what is no event in the log itself."""
    if reading.as_of or reading.file is not None:
        async with open_past(reading) as past:
            return [one for one in past.book.rejects(0, past.position) if one.malformed]
    async with open_bus(existing(reading.options)) as stack:
        return await stack.quarantine.list()


@click.command()
@reading_options
def quarantine(reading: Reading, as_json: bool) -> None:
    """List the messages of the log that are no events, with the reason. They hold up nobody."""
    run(_quarantine(reading, as_json=as_json))


async def _quarantine(reading: Reading, *, as_json: bool) -> None:
    kept = await _quarantined(reading)
    if as_json:
        print_json([{**msgspec.structs.asdict(one), "data": one.data.decode(errors="replace")} for one in kept])
        return
    table = [[one.position, one.subject, one.reason, one.data[:60].decode(errors="replace")] for one in kept]
    print_table(f"{len(kept)} messages in quarantine", ("position", "subject", "reason", "data"), table)
