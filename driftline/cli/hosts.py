"""``driftline host fail|drain|return`` and ``hosts``: which hosts live, and what becomes of what is on the others."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import click
import msgspec
from rich.progress import Progress, TaskID

from bus.events import HostDrainRequested, HostFailRequested, HostRefused, HostResynced, HostReturnRequested, HostUp
from driftline.channel import BusChannel
from driftline.cli.common import people, print_json, print_table, progress_console, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.client import Client
from driftline.current import rows, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.evacuation import Evacuation, Move, evacuate
from driftline.plane import Plane, working_plane
from driftline.proof import DriftProof, prove_drifts
from driftline.reading import Reading, open_state
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import world_of_log
from projections.hosts import HostStateRow
from projections.port_rows import PortRow
from projections.world import HostRow, World
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.remote import RemoteDevices

F = TypeVar("F", bound=Callable[..., Any])
#: How many instances a table names; the rest is counted.
SHOWN_MAX = 40


class Evacuated(msgspec.Struct, kw_only=True):
    """The document of ``host fail`` and ``host drain``: how each instance fared, and where the fabric delivers now."""

    hosts: list[str]
    refused_hosts: list[HostRefused]
    instances: int
    drifted: int
    failed: int
    refused: int
    seconds: float
    moves: list[Move]
    fabric: DriftProof


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """A host that is up again, and how many vNICs and flows that were not its own any more it was freed from."""

    host: str
    removed: int
    ms: float


@click.group()
def host() -> None:
    """Declare hosts dead, empty them, or give them back."""


def host_options(command: F) -> F:
    """Which hosts: their names, or a rack of them."""
    timeout = click.option(
        "--timeout", "timeout_s", type=POSITIVE, default=120.0, show_default=True, help="Seconds to wait."
    )
    rack = click.option("--rack", metavar="LEAF_A-LEAF_B", help="All hosts below this pair of leaves.")
    return click.argument("hosts", nargs=-1, metavar="[HOST]...")(rack(timeout(command)))


@host.command()
@host_options
@click.option("--reason", default="", help="Why, for those who read the log.")
@click.option("--cut-off", is_flag=True, help="The modelled hosts go on forwarding, they only do not answer any more.")
@server_options()
def fail(
    options: Options,
    hosts: tuple[str, ...],
    rack: str | None,
    timeout_s: float,
    reason: str,
    cut_off: bool,
    as_json: bool,
) -> None:
    """Declare each HOST dead: all that is on it drifts at once. In the modelled fabric its power is cut as well.

    It stays down, whatever its agent says, until it is given back (`driftline host return`).
    """
    _some(hosts, rack)

    async def work() -> None:
        async with open_stack(options) as stack, working_plane(stack) as plane:
            names = _named(await world_of_log(stack), hosts, rack)
            await _fabric(stack).set_hosts(SetHosts(cut_off=names) if cut_off else SetHosts(power_off=names))
            requests = [HostFailRequested(host=name, reason=reason) for name in names]
            await _evacuate(stack, plane, requests, timeout_s, as_json=as_json)

    run(work())


@host.command()
@host_options
@server_options()
def drain(options: Options, hosts: tuple[str, ...], rack: str | None, timeout_s: float, as_json: bool) -> None:
    """Empty each HOST: it takes nothing new, and all that is on it drifts away. Also for one that is down already."""
    _some(hosts, rack)

    async def work() -> None:
        async with open_stack(options) as stack, working_plane(stack) as plane:
            names = _named(await world_of_log(stack), hosts, rack)
            requests = [HostDrainRequested(host=name) for name in names]
            await _evacuate(stack, plane, requests, timeout_s, as_json=as_json)

    run(work())


@host.command("return")
@host_options
@server_options()
def give_back(options: Options, hosts: tuple[str, ...], rack: str | None, timeout_s: float, as_json: bool) -> None:
    """Give each HOST back that failed or was drained. One that failed gets power, and is cleaned before it is used."""
    _some(hosts, rack)

    async def work() -> None:
        async with open_stack(options) as stack, working_plane(stack) as plane:
            names = _named(await world_of_log(stack), hosts, rack)
            await _fabric(stack).set_hosts(SetHosts(power_on=names, reconnect=names))
            await _return(stack, plane, names, timeout_s, as_json=as_json)

    run(work())


@click.command()
@reading_options
def hosts(reading: Reading, as_json: bool) -> None:
    """List the hosts: which are up, and what is on the others still."""
    run(_hosts(reading, as_json=as_json))


def _some(hosts: Sequence[str], rack: str | None) -> None:
    if not hosts and not rack:
        raise UsageError("HOST: give at least one, or --rack")


def _named(world: World, hosts: Sequence[str], rack: str | None) -> list[str]:
    """The hosts that were named, each once. Raises UsageError for what the world has not."""
    for name in hosts:
        if name not in world.hosts:
            raise UsageError(f"HOST: {name} is no host of the world")
    below = [row.host for row in world.hosts.values() if rack in _racks(row)]
    if rack and not below:
        known = ", ".join(sorted({row.physical_network for row in world.hosts.values()}))
        raise UsageError(f"--rack: {rack} is no pair of leaves with hosts; there are {known}")
    return list(dict.fromkeys([*hosts, *below]))


def _racks(row: HostRow) -> tuple[str, str]:
    """The names of a leaf pair: whichever way round."""
    return f"{row.leaf_a}-{row.leaf_b}", f"{row.leaf_b}-{row.leaf_a}"


def _fabric(stack: Stack) -> RemoteDevices:
    return RemoteDevices(BusChannel(stack.connection))


async def _evacuate(
    stack: Stack,
    plane: Plane,
    requests: Sequence[HostFailRequested | HostDrainRequested],
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    console = progress_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("waiting for the hosts", total=None)
        evacuation = await evacuate(stack, plane, requests, timeout_s, lambda e: _advance(bars, bar, e))
    seconds = loop.time() - start
    ports = cast(list[PortRow], await rows(stack.database, "ports"))
    report = Evacuated(
        hosts=[request.host for request in requests],
        refused_hosts=evacuation.refusals,
        instances=evacuation.total,
        drifted=evacuation.count("drifted"),
        failed=evacuation.count("failed"),
        refused=evacuation.count("refused"),
        seconds=round(seconds, 3),
        moves=evacuation.moves(),
        fabric=await prove_drifts(stack, ports, evacuation.rows()),
    )
    if as_json:
        print_json(report)
    elif report.instances or not report.refused_hosts:
        _show(report)
    _judge(report)


def _advance(bars: Progress, bar: TaskID, evacuation: Evacuation) -> None:
    ended = {name: evacuation.count(name) for name in ("drifted", "failed", "refused")}
    text = ", ".join(f"{count} {name}" for name, count in ended.items())
    bars.update(bar, completed=sum(ended.values()), total=evacuation.total or None, description=text)


def _show(report: Evacuated) -> None:
    table = [[m.name or m.instance, m.from_host, m.to_host, m.outcome, m.reason, m.ms] for m in report.moves]
    table.sort(key=lambda row: (row[3] == "drifted", row[0]))  # what went wrong first
    title = f"{report.drifted} drifted, {report.failed} failed, {report.refused} refused in {report.seconds:.2f} s"
    print_table(title, ("instance", "from", "to", "outcome", "reason", "ms"), table[:SHOWN_MAX])
    if len(table) > SHOWN_MAX:
        people().print(f"… and {len(table) - SHOWN_MAX} more (--json has all of them)")
    proof = report.fabric
    people().print(
        f"fabric: {proof.at_new_host} of {proof.checked} are reached at their new host, {proof.at_old_host} at the old"
    )


def _judge(report: Evacuated) -> None:
    """Raise NotDone if not all that was to move has moved."""
    problems = [f"{r.host} refused: {r.reason}" for r in report.refused_hosts]
    if report.drifted < report.instances:
        worst = next((m for m in report.moves if m.outcome != "drifted"), None)
        why = f": {worst.name or worst.instance}: {worst.reason}" if worst else ""
        problems.append(f"{report.instances - report.drifted} of {report.instances} instances did not drift{why}")
    proof = report.fabric
    if proof.at_old_host or proof.at_new_host < proof.checked:
        problems.append(f"the fabric does not deliver to all that drifted: {proof.first_problem}")
    if problems:
        raise NotDone("; ".join(problems))


async def _return(stack: Stack, plane: Plane, names: Sequence[str], timeout_s: float, *, as_json: bool) -> None:
    after = await stack.log.last_position()
    published = await Client(stack.log, actor="cli").publish_all([HostReturnRequested(host=name) for name in names])
    waiting = {one.request: one.instance for one in published}
    returned: list[Returned] = []
    refusals: list[HostRefused] = []
    try:
        async with asyncio.timeout(timeout_s):
            position = await _follow_return(stack, after, waiting, returned, refusals)
    except TimeoutError as error:
        raise NotDone(f"not up within {timeout_s:g} s: {', '.join(sorted(waiting.values()))}") from error
    await wait_projected(stack, plane.projector, position)
    if as_json:
        print_json(returned)
    elif returned:
        print_table(
            f"{len(returned)} up again", Returned.__struct_fields__, [msgspec.structs.astuple(r) for r in returned]
        )
    if refusals:
        raise NotDone("; ".join(f"{r.host} refused: {r.reason}" for r in refusals))


async def _follow_return(
    stack: Stack, after: int, waiting: dict[str, str], returned: list[Returned], refusals: list[HostRefused]
) -> int:
    """Read on until each request of ``waiting`` (host by id) is done or refused; returns the position of the last."""
    removed: Counter[str] = Counter()
    started_us = 0
    async for batch in stack.log.follow(after):
        for r in batch.records:
            started_us = started_us or r.time_us
            match r.event:
                case HostResynced() as resynced:
                    removed[resynced.host] += resynced.removed
                case HostRefused() as refusal if waiting.pop(r.correlation, None):
                    refusals.append(refusal)
                case HostUp(host=up) if waiting.pop(r.correlation, None):
                    ms = round((r.time_us - started_us) / 1000, 2)
                    returned.append(Returned(host=up, removed=removed[up], ms=ms))
            if not waiting:
                return r.position
    raise TimeoutError  # the log never ends: not reached


async def _hosts(reading: Reading, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        known = cast(list[HostRow], await state.rows("hosts"))
        states = cast(list[HostStateRow], await state.rows("host_states"))
        instances = Counter(_host_of(row) for row in await state.rows("ports"))
        stale = Counter(_host_of(row) for row in await state.rows("stale_claims"))
    said = {row.host: row for row in states}
    documents = [_document(row, said.get(row.host), instances, stale) for row in known]
    if as_json:
        print_json(documents)
        return
    columns = ("host", "rack", "state", "since", "reason", "instances", "stale claims")
    print_table(f"{len(documents)} hosts", columns, [list(document.values()) for document in documents])


def _host_of(row: Any) -> str:
    """The host that a port, or a claim that is over, is on."""
    return str(row.host)


def _document(
    row: HostRow, said: HostStateRow | None, instances: Counter[str], stale: Counter[str]
) -> dict[str, str | int]:
    return {
        "host": row.host,
        "rack": row.physical_network,
        "state": _state(said),
        "since": _time(said.since_us) if said and said.since_us else "",
        "reason": said.reason if said else "",
        "instances": instances[row.host],
        "stale_claims": stale[row.host],
    }


def _state(said: HostStateRow | None) -> str:
    """up, suspect, down, returned; draining if it is up so far."""
    if said is None:
        return "up"
    return "draining" if said.draining and said.state == "up" else said.state


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")
