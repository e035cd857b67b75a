"""``driftline top``: what runs on a bus and how it fares, as it changes."""

import asyncio
import sys
from collections import deque
from collections.abc import Sequence

import click
import msgspec
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bus.errors import LogUnavailable
from driftline.cli.common import people, print_json, printable, run, server_options
from driftline.cli.numbers import FiniteRange
from driftline.discovery import find
from driftline.errors import NotDone, UsageError
from driftline.observing.look import ProcessLook
from driftline.observing.overview import Overview, overview
from driftline.observing.process import look_at_all
from driftline.stack import Bus, Options, open_bus

#: Rates and percentiles are those of about this time, seconds: of one interval alone they would leap.
WINDOW_S = 5.0
EVERY_S = 1.0
UNKNOWN = "-"


@click.command()
@click.option("--once", is_flag=True, help="One table, with the rates of one interval, and exit.")
@click.option(
    "--every",
    "every_s",
    type=FiniteRange(min=0.5, max=3600),
    help=f"Seconds between two looks. [default: {EVERY_S:g}] With --json: a document a line, for as long as it runs.",
)
@server_options()
def top(options: Options, once: bool, every_s: float | None, as_json: bool) -> None:
    """Show live what runs: processes, workers, projections, spawns, Figure 8 and device work.

    Without a terminal, or with --json and no --every: once.
    """
    if not options.nats and find(options.data) is None:
        raise UsageError("top: no driftline runs here; give --nats (or start `driftline up`)")
    once = once or (every_s is None if as_json else not sys.stdout.isatty())
    run(_top(Options(nats=options.nats, data=options.data), every_s or EVERY_S, once=once, as_json=as_json))


async def _top(options: Options, every_s: float, *, once: bool, as_json: bool) -> None:
    async with open_bus(options) as bus:
        watched = Watched(bus)
        await watched.look()
        found = await watched.look_after(every_s)  # rates need two looks
        if once:
            print_json(found) if as_json else people().print(picture(found, bus.servers.nats))
        elif as_json:
            await _tell(watched, found, every_s)
        else:
            await _show(watched, found, every_s, bus.servers.nats)


async def _tell(watched: "Watched", found: Overview, every_s: float) -> None:
    while True:
        click.echo(msgspec.json.encode(found))
        found = await watched.look_after(every_s)


async def _show(watched: "Watched", found: Overview, every_s: float, place: str) -> None:
    """A live picture; while nothing answers the last one stays, and says so."""
    with Live(picture(found, place), console=people(), screen=True, auto_refresh=False) as live:
        while True:
            silent = ""
            try:
                found = await watched.look_after(every_s)
            except (NotDone, LogUnavailable) as error:
                silent = str(error)
            live.update(picture(found, place, silent), refresh=True)


class Watched:
    """All processes on one bus, and what they said in the last ``WINDOW_S`` seconds."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._past: deque[tuple[float, list[ProcessLook]]] = deque()
        self._looked_at = 0.0

    async def look(self) -> Overview:
        """How all stand now. Raises NotDone when nobody answers, LogUnavailable when there is no bus."""
        now = self._looked_at = asyncio.get_running_loop().time()
        looks, not_understood = await look_at_all(self._bus.connection)
        if not looks:
            others = f" ({not_understood} of another version)" if not_understood else ""
            raise NotDone(
                f"no process that is understood answers at {self._bus.servers.nats}{others}: "
                "does the control plane run? (driftline up, or worker)"
            )
        while len(self._past) > 1 and now - self._past[0][0] > WINDOW_S:
            self._past.popleft()
        earlier = self._past[0][1] if self._past else []
        self._past.append((now, looks))
        return overview(looks, earlier, not_understood=not_understood)

    async def look_after(self, seconds: float) -> Overview:
        """As ``look``, so many seconds after the last one began."""
        await asyncio.sleep(self._looked_at + seconds - asyncio.get_running_loop().time())
        return await self.look()


def picture(found: Overview, place: str, silent: str = "") -> RenderableType:
    """``found`` for people. ``place``: where it was asked for; ``silent``: why this is not of now."""
    parts: list[RenderableType] = [_head(found, place)]
    if silent:
        parts.append(Text(silent, style="bold red"))
    parts += [_processes(found), _workers(found)]
    if found.spawns is not None:
        parts.append(_spawns(found))
    if any(found.states.values()):
        parts.append(_states(found.states))
    if found.devices:
        parts.append(_devices(found))
    return Group(*parts)


def _head(found: Overview, place: str) -> Text:
    said = [f"{place}", f"log at {_number(found.log_last)}", f"processes: {len(found.processes)}"]
    if found.over_s is not None:
        said.append(f"rates over {found.over_s:.1f} s")
    if found.not_understood:
        said.append(f"{found.not_understood} of another version, not understood")
    return Text("   ".join(said), style="bold")


def _processes(found: Overview) -> Table:
    rows = [
        (one.process, one.host, one.pid, _percent(one.cpu), _mib(one.resident_bytes), _rate(one.published_per_s))
        for one in found.processes
    ]
    return _table("Processes", ("process", "host", "pid", "CPU", "MiB", "published/s"), rows, text=2)


def _workers(found: Overview) -> Table:
    columns = (
        *("part", "hosts", "pid", "position", "behind", "events/s", "written/s"),
        *("effects in flight", "effects/s", "retried", "failed"),
    )
    rows = [
        (
            f"{one.part} (its server is away)" if one.away else one.part,
            _few(one.hosts),
            one.pid,
            _number(one.position),
            _number(one.lag),
            _rate(one.events_per_s),
            _rate(one.written_per_s),
            one.effects_in_flight,
            _rate(one.effects_per_s),
            one.effects_retried,
            one.effects_failed,
        )
        for one in found.parts
    ]
    return _table("Workers and projections", columns, rows, text=2)


def _spawns(found: Overview) -> Table:
    one = found.spawns
    assert one is not None, "asked for only where there is one"
    over = f"last {one.over_s:.1f} s" if one.over_s is not None else "since the projector began"
    columns = ("in flight", "active", "refused", "failed", "ended/s", "p50 ms", "p99 ms")
    row = (one.in_flight, one.active, one.refused, one.failed, _rate(one.ended_per_s), _ms(one.p50_s), _ms(one.p99_s))
    return _table(f"Spawns (percentiles: {over})", columns, [row], text=0)


def _states(states: dict[str, int]) -> Table:
    pairs = {tuple(pair.split("_")): count for pair, count in states.items()}
    names = sorted({name for pair in pairs for name in pair})
    rows = [(under, *(_number(pairs.get((under, over), 0)) for over in names)) for under in names]
    return _table("Live ports (Figure 8)", ("underlay \\ overlay", *names), rows, text=1)


def _devices(found: Overview) -> Table:
    columns = ("process", "effect", "pid", "asked", "asked/s", "unanswered", "failed")
    rows = [
        (one.process, one.effect, one.pid, _number(one.asked), _rate(one.asked_per_s), one.unanswered, one.failed)
        for one in found.devices
    ]
    return _table("Device work", columns, rows, text=2)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, text: int) -> Table:
    """The first ``text`` columns hold words, the others numbers."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text else "right")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    return table


def _few(hosts: Sequence[str]) -> str:
    return "all" if not hosts else hosts[0] if len(hosts) == 1 else f"{hosts[0]} and {len(hosts) - 1} more"


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _rate(per_s: float | None) -> str:
    return UNKNOWN if per_s is None else f"{per_s:,.1f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.0%}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f}" if size else UNKNOWN


def _ms(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1e3:.1f}"
