"""``driftline record`` and ``replay``: a log in a file, and what today's code makes of it."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec

from bus.envelope import Recorded
from bus.events import tag_of
from bus.log import RawLog
from bus.recording import RecordedLog, open_recording
from driftline.cli.common import force_option, people, print_json, print_table, printable, reading_options, run
from driftline.errors import NotDone, UsageError
from driftline.masking import FIELDS, masked
from driftline.parts import all_workers
from driftline.questions import moment
from driftline.reading import Reading, open_log, open_past
from driftline.recording import Destination, Selection, recorded
from driftline.replaying import load, replayed_by, workers_of
from workers.replayed import Divergence, Replay, Verdict


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--correlation", default="", metavar="ID", help="Only this story, and the world it stands on.")
@click.option("--about", default="", metavar="NAME", help="Only the stories that concern this port, host, …")
@click.option("--mask", multiple=True, type=click.Choice([*FIELDS, "all"]), help="Replace these (repeatable).")
@force_option
@reading_options
def record(
    reading: Reading, file: Path, correlation: str, about: str, mask: tuple[str, ...], force: bool, as_json: bool
) -> None:
    """Write the log, or a part of it, to FILE (packed if it ends in .gz): a bug report that can be replayed anywhere.

    Every command that reads takes it by --log FILE.
    """
    if correlation and about:
        raise UsageError("--about: not together with --correlation")
    if reading.as_of:
        raise UsageError("--as-of: a recording has the whole log; give --as-of when you read it")
    kinds = [*FIELDS] if "all" in mask else [*dict.fromkeys(mask)]
    destination = Destination(file, "FILE", force=force)
    selection = Selection(correlation=correlation, about=about)
    run(_record(reading, file, destination, selection, kinds, as_json=as_json))


async def _record(
    reading: Reading, file: Path, destination: Destination, selection: Selection, kinds: list[str], *, as_json: bool
) -> None:
    if selection.document():
        async with open_past(reading) as past:
            header, raws = await recorded(past.log, selection, past.book, reading.progress)
    else:
        async with open_log(reading) as log:
            header, raws = await recorded(log, selection, None, reading.progress)
    if kinds:
        said = dict.fromkeys(header.selection, "masked")
        header, raws = msgspec.structs.replace(header, masked=kinds, selection=said), masked(raws, kinds)
    size = destination.write(header, raws)
    if as_json:
        print_json({"file": str(file), "messages": len(raws), "bytes": size, "header": header})
    else:
        people().print(f"{len(raws)} messages of {header.log_last}, {size:,} bytes, in", printable(file))


@click.command()
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--check", is_flag=True, help="Run today's decisions over the recorded inputs, and compare.")
@click.option("--worker", default="all", show_default=True, metavar="NAME", help="With --check: which worker.")
@click.option(
    "--patched", metavar="FILE.py:NAME|FOLDER", help="With --check: another version of the worker, or of the program."
)
@click.option("--most", type=click.IntRange(1), default=1, show_default=True, help="Stop after so many divergences.")
@reading_options
def replay(
    reading: Reading,
    recording: Path | None,
    check: bool,
    worker: str,
    patched: str | None,
    most: int,
    as_json: bool,
) -> None:
    """Load RECORDING into the empty log of --data or --nats, tell what is in it, or --check it (or a live log).

    With --check nothing is published and no device is touched. Exit 0 if today's workers decide what they decided
    then, 1 if not: the first diverging event is shown in both versions, with the state that led to it.
    """
    if recording is not None and reading.file is not None:
        raise UsageError("--log: RECORDING says already what to replay")
    if reading.as_of:
        raise UsageError("--as-of: a replay is of the whole log")
    if not check and (patched or worker != "all"):
        raise UsageError("--worker and --patched: only with --check")
    if check:
        reading = msgspec.structs.replace(reading, file=recording or reading.file)
        if patched is not None and Path(patched).is_dir():
            sys.exit(replayed_by(Path(patched), reading, worker, most, as_json=as_json))
        run(_check(reading, worker, patched, most, as_json))
    elif recording is None:
        raise UsageError("RECORDING: which file?")
    else:
        run(_load(reading, recording, as_json=as_json))


async def _load(reading: Reading, file: Path, *, as_json: bool) -> None:
    log = open_recording(file)
    loaded = 0
    options = reading.options
    if options.nats or options.data:
        loaded = await load(log, options, reading.progress)
    kinds, newer, garbage = await _contents(log)
    if as_json:
        print_json(
            {"header": log.header, "loaded": loaded, "events": kinds, "newer_types": newer, "quarantined": garbage}
        )
        return
    header = log.header
    print_table(f"{header.messages} messages", ("event", "how many"), sorted(kinds.items()))
    if newer:
        print_table("events of newer types, which this version skips", ("type", "events"), sorted(newer.items()))
    if garbage:
        people().print(f"[yellow]{garbage} messages are no events[/]: they are passed over")
    of = " ".join(f"{name} {value}" for name, value in header.selection.items()) or "the whole log"
    people().print(printable(f"recorded {moment(header.recorded_us)} of {header.identity}: {of}"))
    if header.masked:
        people().print(f"masked: {', '.join(header.masked)}")
    if loaded:
        people().print(f"[green]loaded[/] {loaded} messages")


async def _contents(log: RawLog) -> tuple[Counter[str], Counter[str], int]:
    """How many there are of each event, of each newer type, and of what is no event."""
    kinds, newer, garbage = Counter[str](), Counter[str](), 0
    async for batch in log.read(0, await log.last_position()):
        kinds.update(tag_of(type(r.event)) for r in batch.records)
        newer.update(reject.tag for reject in batch.rejects if not reject.malformed)
        garbage += sum(reject.malformed for reject in batch.rejects)
    return kinds, newer, garbage


async def _check(reading: Reading, worker: str, patch: str | None, most: int, as_json: bool) -> None:
    chosen = workers_of(worker, all_workers(), patch)
    async with open_log(reading) as log:
        records = await _records(log)
        caveats = _caveats(log)
    if not records:
        raise UsageError("the log is empty: there is nothing to compare")
    for caveat in caveats:
        click.echo(f"driftline: {caveat}", err=True)
    verdicts = [Replay(one, records, most=most, progress=reading.progress).run() for one in chosen]
    if as_json:
        print_json([_document(verdict) for verdict in verdicts])
    else:
        _show(verdicts)
    diverging = [verdict for verdict in verdicts if not verdict.equal]
    if diverging:
        first = min((one for verdict in diverging for one in verdict.divergences), key=lambda one: one.position)
        raise NotDone(
            f"{len(diverging)} of {len(verdicts)} workers diverge, first at position {first.position}: {first.id}"
        )


def _caveats(log: RawLog) -> list[str]:
    """Why a recording may diverge although no worker decides otherwise; nothing for one that is whole and open."""
    if not isinstance(log, RecordedLog):
        return []
    header, caveats = log.header, list[str]()
    if header.selection:
        of = " ".join(f"{name} {value}" for name, value in header.selection.items())
        caveats.append(
            f"the recording holds a part of the log: {of}; what lies outside of it is missing here, and may be why a "
            "worker diverges"
        )
    if header.masked:
        caveats.append(
            f"the recording is masked ({', '.join(header.masked)}): what is chosen by its order, as the lowest address "
            "that is free, may be why a worker diverges"
        )
    return caveats


async def _records(log: RawLog) -> list[Recorded]:
    records: list[Recorded] = []
    async for batch in log.read(0, await log.last_position()):
        records += batch.records
    return records


def _document(verdict: Verdict) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(verdict)
    for told, one in zip(document["divergences"], verdict.divergences, strict=True):
        told["fields"] = {name: {"then": then, "now": now} for name, (then, now) in one.fields.items()}
    return document


def _show(verdicts: list[Verdict]) -> None:
    columns = ("worker", "equal", "matched", "outcomes", "by the clock", "starts", "open at the end")
    rows = [
        (v.worker, "yes" if v.equal else "NO", v.matched, v.outcomes, v.by_clock, v.starts, v.open) for v in verdicts
    ]
    print_table(f"today's decisions against {verdicts[0].events} events", columns, rows)
    for verdict in verdicts:
        for one in verdict.divergences:
            _show_divergence(verdict.worker, one)


def _show_divergence(worker: str, one: Divergence) -> None:
    console = people()
    console.print(f"\n[bold red]{worker} diverges[/] at position {one.position}: {one.kind}")
    console.print(printable(one.id))
    if one.cause is not None:
        console.print("on   ", printable(f"{one.cause.position} {tag_of(type(one.cause.event))} {one.cause.event}"))
    console.print("then ", printable(one.then or "nothing"), style="red")
    console.print("now  ", printable(one.now or "nothing"), style="green")
    for name, (then, now) in one.fields.items():
        console.print("     ", printable(f"{name}: {then} → {now}"), style="bold")
    for table, rows in one.state.items():
        for row in rows:
            console.print(f"  [dim]{table}[/]", printable(row))
