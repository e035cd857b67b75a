"""``driftline scenario``: play a scenario file and explain what happened, step by step."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table
from rich.tree import Tree

from bus.envelope import Recorded
from bus.events import HostAdded
from bus.subjects import key_of, name_of
from driftline.cli.common import configure_logging, force_option, people, print_json, printable, run
from driftline.errors import NotDone
from driftline.invariants import Violation
from driftline.recording import Destination, simulated
from driftline.scenario import Played, ScenarioFile, load
from driftline.scenario.play import Check, Told
from driftline.scenario.real import play_really
from driftline.scenario.virtual import play_virtually

#: A step's story is cut after so many events, unless all are asked for.
EVENTS_MAX = 40
#: A matrix wider than this is no picture any more.
MATRIX_MAX = 24
#: What a line says by itself already, or nobody needs.
_LEFT_OUT = frozenset({"az", "port", "instance", "name", "received_us", "detected_us", "configured_us", "epoch"})


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--on",
    type=click.Choice(["memory", "embedded"]),
    default="memory",
    show_default=True,
    help="memory: virtual time, no servers. embedded: NATS and PostgreSQL of its own, in real time.",
)
@click.option("--all", "whole", is_flag=True, help=f"Tell every event of a step, not only the first {EVENTS_MAX}.")
@click.option(
    "--record",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the log to this file, for --log of the commands that ask questions.",
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="error")
def scenario(
    file: Path, on: str, log_level: str, recording: Path | None, *, force: bool, whole: bool, as_json: bool
) -> None:
    """Play FILE (examples/*.toml): its world, its steps and what is to come of each; who reaches whom at the end.

    Exit 0 only if all of it came.
    """
    configure_logging(log_level)
    loaded = load(file)
    destination = None if recording is None else Destination(recording, "--record", force=force)
    if not as_json:
        _announce(loaded)
    try:
        played = _play(loaded, on, quiet=as_json, whole=whole)
    except Violation as violation:
        raise NotDone(str(violation)) from violation
    if destination is not None:
        destination.write(*simulated(played.records, f"scenario, {played.title}"))
    if as_json:
        print_json(_document(played))
    else:
        _show_end(played)
    if played.failed is not None:
        raise NotDone(f"{file}: {played.failed.what}: {played.failed.why}")


def _play(file: ScenarioFile, on: str, *, quiet: bool, whole: bool) -> Played:
    def told(step: Told) -> None:
        if not quiet:
            _show(step, whole=whole)

    if on == "memory":
        return play_virtually(file, told)
    answer: list[Played] = []

    async def really() -> None:
        answer.append(await play_really(file, told))

    run(really())
    return answer[0]


def _announce(file: ScenarioFile) -> None:
    hosts = sum(isinstance(event, HostAdded) for event in file.world)
    people().print(f"[bold]{file.title}[/]" + (f"  ({file.about})" if file.about else ""))
    people().print(f"{hosts} hosts, {len(file.world)} events describe the world, {len(file.steps)} steps\n")


def _show(step: Told, *, whole: bool) -> None:
    console = people()
    tree = Tree(f"[bold]Step {step.number}[/]  {step.say}  [dim]{step.lasted_s:g} s[/]")
    shown = step.records if whole else step.records[:EVENTS_MAX]
    nodes: dict[str, Tree] = {}
    start_us = step.records[0].time_us if step.records else 0
    for r in shown:
        parent = nodes.get(r.cause, tree)
        nodes[r.id] = parent.add(_line(r, start_us))
    if len(shown) < len(step.records):
        tree.add(f"[dim]… and {len(step.records) - len(shown)} more events (--all tells them)[/]")
    console.print(tree)
    for check in step.checks:
        _show_check(check)
    console.print()


def _line(r: Recorded, start_us: int) -> Any:
    name, about = name_of(type(r.event)), key_of(r.event)
    after_ms = (r.time_us - start_us) / 1000
    return printable(f"{name} {about}  [{r.actor} +{after_ms:.0f} ms]  {_said(r)}".rstrip())


def _said(r: Recorded) -> str:
    fields = [field for field in r.event.__struct_fields__ if field not in _LEFT_OUT]
    values = {field: getattr(r.event, field) for field in fields}
    return " ".join(f"{field}={value}" for field, value in values.items() if value not in (None, "", (), {}, 0))


def _show_check(check: Check) -> None:
    mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
    people().print(f"  {mark}", printable(check.what + (f": {check.why}" if check.why else "")))


def _show_end(played: Played) -> None:
    console = people()
    if played.instances:
        table = Table(title="Instances at the end", title_justify="left", header_style="bold")
        columns = ("instance", "state", "host", "address", "why")
        for column in columns:
            table.add_column(column)
        for row in played.instances:
            cells = (row.instance, row.state, row.host, played.addresses.get(row.instance, ""), row.reason)
            table.add_row(*map(printable, cells))
        console.print(table)
    names = [row.instance for row in played.instances if row.instance in played.reach]
    if 1 < len(names) <= MATRIX_MAX:
        console.print(_matrix(names, played))
    for line in _why_not(names, played):
        console.print(printable(line))
    for check in played.cleanup:
        _show_check(check)


def _matrix(names: Sequence[str], played: Played) -> Table:
    table = Table(title="Who reaches whom (from ↓ to →)", title_justify="left", header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="center")
    for source in names:
        cells = ["–" if source == other else _mark(played.reach[source][other]) for other in names]
        table.add_row(source, *cells)
    return table


def _mark(reason: str) -> str:
    return "[red]✗[/]" if reason else "[green]✓[/]"


def _why_not(names: Sequence[str], played: Played) -> Iterable[str]:
    """Each reason once, with the first pair that it stops."""
    seen: set[str] = set()
    for source in names:
        for target in names:
            reason = played.reach[source].get(target, "")
            if reason and reason not in seen:
                seen.add(reason)
                yield f"  ✗ {source} → {target}: {reason}"


def _document(played: Played) -> dict[str, Any]:
    steps = [
        {
            "step": step.number,
            "say": step.say,
            "lasted_s": step.lasted_s,
            "checks": [{"what": check.what, "holds": check.holds, "why": check.why} for check in step.checks],
            "events": step.records,
        }
        for step in played.steps
    ]
    return {
        "title": played.title,
        "about": played.about,
        "passed": played.failed is None,
        "steps": steps,
        "instances": [
            msgspec.to_builtins(row) | {"ip": played.addresses.get(row.instance, "")} for row in played.instances
        ],
        "reach": {a: {b: not why for b, why in row.items()} for a, row in played.reach.items()},
        "why_not": {a: {b: why for b, why in row.items() if why} for a, row in played.reach.items()},
        "cleanup": [{"what": check.what, "holds": check.holds, "why": check.why} for check in played.cleanup],
    }
