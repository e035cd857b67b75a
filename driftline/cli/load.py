"""``driftline load``: many requests at once or in time, by a profile, and what came of them."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from driftline.bench.limits import log_alone
from driftline.cli.common import print_json, progress_console, run, server_options
from driftline.cli.load_options import check_random, check_trace, check_use
from driftline.cli.load_plan import Load, asked, phases_of, places_of, total
from driftline.cli.load_report import finish, show_comparison, show_partial, show_report
from driftline.cli.numbers import POSITIVE, FiniteRange
from driftline.cli.panel import Panel
from driftline.cli.plane_options import faults_option
from driftline.discovery import find
from driftline.errors import NotDone, UsageError
from driftline.loadtest.chaos import Fault, drawn, parse_chaos
from driftline.loadtest.cluster import FABRIC_ROLES, cluster
from driftline.loadtest.compare import compare, read_document, read_run
from driftline.loadtest.disturbing import disturb
from driftline.loadtest.exercise import Exercise, Limits, check, exercising
from driftline.loadtest.leaves import BrokenLeaves
from driftline.loadtest.page import page
from driftline.loadtest.profile import SCOPES, LeavesFail, found, named
from driftline.loadtest.report import INTERRUPTED, TERMINATED, Partial, Report, partial
from driftline.observing.process import looked_at, observed_as
from driftline.observing.settings import Settings
from driftline.parts import all_workers
from driftline.plane import Setup, working_plane
from driftline.stack import Options, open_bus, open_stack
from driftline.trace import Target, TraceRow, read_trace
from driftline.world_setup import WorldChoice, describe_world, world_of_log, world_options
from projections.world import World
from workers.devices.simulated.faults import FaultPlan

#: What ends a run with a report of what was done, and how that is told; it exits with 128 + the signal's number.
ENDING = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_EXITS = {why: 128 + number for number, why in ENDING.items()}
#: Events that a spawn makes (Figure 10): as many per instance does the log alone get.
EVENTS_PER_SPAWN = 11
#: A burst of so many, on servers of its own, is told as a share of what the log alone does with at most so many events:
#: all of them are in memory at once.
LIMIT_FROM, LIMIT_EVENTS_MAX = 1000, 50_000


@click.group(invoke_without_command=True)
@click.option(
    "--profile", metavar="NAME", help=f"{', '.join(found())}, or a file of yours.  [default: burst, or trace]"
)
@click.option("--instances", type=click.IntRange(1, 1_000_000), help="How many, in each zone.")
@click.option("--rate", type=POSITIVE, default=100.0, show_default=True, help="How many a second, in all zones.")
@click.option("--lives", "lives_s", type=POSITIVE, default=10.0, show_default=True, help="churn: for so many seconds.")
@click.option("--size", type=click.IntRange(1, 1000), default=100, show_default=True, help="bulk: ports in a request.")
@click.option("--scope", type=click.Choice(SCOPES), default="rack", show_default=True, help="storm: what is hit.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the times at which requests come.")
@click.option("--trace", type=click.Path(path_type=Path), help="A CSV file with a row per pod.")
@click.option("--name-column", default="name", show_default=True)
@click.option("--created-column", default="creation_time", show_default=True, help="Seconds.")
@click.option("--deleted-column", default="deletion_time", show_default=True, help="Seconds; empty: never.")
@click.option("--host-column", help="Pin each pod to the host named in this column.")
@click.option("--speed", type=POSITIVE, help="Trace seconds per second. [default: flat out]")
@click.option("--network", help="Take ports from this network.")
@click.option(
    "--label", help="Take ports from networks with this label. [default: all labels, or all networks, in turn]"
)
@click.option(
    "--in-flight", type=click.IntRange(1), help="Requests under way at most.  [default: 2000 if they have no times]"
)
@click.option("--for", "for_s", type=POSITIVE, help="Leave out what is due later than that, seconds.")
@click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=3600.0, show_default=True, help="Seconds, for all of it."
)
@click.option(
    "--limit/--no-limit",
    "measure_limit",
    default=None,
    help=f"Measure first what the log alone can do here.  [default: for a burst of {LIMIT_FROM} or more]",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON of the run here as well.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots here.")
@click.option("--chaos", default="", metavar="FAULTS", help="kill:nova@10,restart:nats@20,… or random; see the how-to.")
@click.option(
    "--chaos-every", "chaos_every_s", type=FiniteRange(min=0.5), default=5.0, show_default=True, help="random: seconds."
)
@click.option("--apart/--together", default=None, help="Workers in a process of their own.  [default: if two cores]")
@world_options
@faults_option
@server_options()
@click.pass_context
def load(
    context: click.Context,
    options: Options,
    world: WorldChoice,
    profile: str | None,
    instances: int | None,
    rate: float,
    lives_s: float,
    size: int,
    scope: str,
    seed: int,
    trace: Path | None,
    name_column: str,
    created_column: str,
    deleted_column: str,
    host_column: str | None,
    speed: float | None,
    network: str | None,
    label: str | None,
    in_flight: int | None,
    for_s: float | None,
    timeout_s: float,
    measure_limit: bool | None,
    out: Path | None,
    html: Path | None,
    chaos: str,
    chaos_every_s: float,
    apart: bool | None,
    faults: FaultPlan,
    as_json: bool,
) -> None:
    """Publish a load, wait until every request has its outcome, and check everything that can be checked.

    Exit 0 only if every request ended once, nothing leaked, the fabric delivers as it should, the projections equal the
    log, all invariants hold and every event is accounted for. Ctrl-C ends it with a report of what was done (exit 130).
    """
    if context.invoked_subcommand is not None:
        return
    if profile is not None:
        named(profile)
    if (trace is None) == (instances is None):
        raise UsageError("exactly one of --trace and --instances must be given")
    if speed is not None and trace is None:
        raise UsageError("--speed: a load without a trace has no times to speed up")
    if trace is not None and profile not in (None, "trace"):
        raise UsageError(f"--profile {profile}: a trace is a profile of its own")
    profile = profile or ("trace" if trace else "burst")
    check_use(context, profile)
    check_trace(context, trace)
    for option, path in (("--out", out), ("--html", html)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    own_servers = not (options.nats or options.postgres or options.data)
    if chaos and not (own_servers and faults == FaultPlan()):
        raise UsageError("--chaos: it needs servers and devices of its own; no --nats, --postgres, --data or --faults")
    if apart is not None and (chaos or options.nats):
        raise UsageError("--apart, --together: the workers run elsewhere, or are parts that --chaos can hit")
    check_random(context, chaos, for_s)
    rows = read_trace(trace, name_column, created_column, deleted_column or None, host_column) if trace else []
    wanted = Load(
        profile=profile,
        instances=instances,
        rows=[_faster(row, speed) for row in rows] if speed else rows,
        trace=str(trace or ""),
        rate=rate,
        lives_s=lives_s,
        size=size,
        scope=scope,
        seed=seed,
        target=Target(network, label) if network or label else None,
        limits=Limits(in_flight=in_flight, for_s=for_s),
        speed=speed,
        measure_limit=measure_limit,
        out=out,
        html=html,
        chaos=chaos,
        chaos_every_s=chaos_every_s,
        timeout_s=timeout_s,
        apart=(os.cpu_count() or 1) > 1 if apart is None else apart,
    )
    run(_load(options, world, wanted, faults, as_json=as_json))


def _faster(row: TraceRow, speed: float) -> TraceRow:
    deleted_s = None if row.deleted_s is None else row.deleted_s / speed
    return msgspec.structs.replace(row, created_s=row.created_s / speed, deleted_s=deleted_s)


@load.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_runs(before: Path, after: Path, as_json: bool) -> None:
    """Hold the run in AFTER against the one in BEFORE: files that ``driftline load --json`` printed.

    Exit 1 if the later run was wrong.
    """
    later = read_run(after)
    comparison = compare(read_run(before), later)
    if as_json:
        print_json(comparison)
    else:
        show_comparison(comparison)
    if later.faults:
        raise NotDone("the later run was wrong: " + "; ".join(later.faults))


@load.command("page")
@click.argument("run_file", metavar="RUN.json", type=click.Path(path_type=Path))
@click.argument("html", metavar="FILE.html", type=click.Path(path_type=Path, dir_okay=False))
def page_of(run_file: Path, html: Path) -> None:
    """Make a page with plots of the run in RUN.json, which ``driftline load --json`` printed."""
    _write("FILE", html, page(read_document(run_file)).encode())


async def _load(options: Options, world: WorldChoice, wanted: Load, faults: FaultPlan, *, as_json: bool) -> None:
    limit = await _limit(wanted, world) if _measures_limit(options, world, wanted) else 0.0
    roles = FABRIC_ROLES if world.file is None else ("fabric", *all_workers(), "projector")  # it may have any models
    servers = "a folder's" if options.data else "own"
    async with AsyncExitStack() as exits:
        parts = await exits.enter_async_context(cluster(roles)) if wanted.chaos else None
        if parts is not None:
            options = Options(nats=parts.nats.url, postgres=parts.postgres.url)
        stack = await exits.enter_async_context(open_stack(options))
        if stack.servers.nats_found and parts is None:
            servers = "others'"
        room = len(wanted.rows) or (wanted.instances or 0) * world.azs
        if parts is not None:
            described = await describe_world(stack, world, room)
            await parts.at_work()
        observing = exits.enter_context(observed_as("load", Settings(), has_workers=False, has_projector=False))
        await exits.enter_async_context(looked_at(observing, Settings(), stack.connection, stack.log, stack.database))
        setup = Setup(faults=faults if parts is None else None, observer=observing)
        plane = await exits.enter_async_context(working_plane(stack, setup, apart=wanted.apart))
        if parts is None:
            described = await describe_world(stack, world, room)
        known = await world_of_log(stack)
        places, phases = places_of(known, wanted), phases_of(known, wanted)
        check(phases, places, known)
        if stack.servers.nats_found and parts is None and any(isinstance(phase, LeavesFail) for phase in phases):
            raise UsageError("--scope leaf-pair: needs devices of its own; those that run may have faults that it ends")
        chaos = _chaos(known, wanted, roles)
        panel = exits.enter_context(Panel(total(known, wanted)))
        leaves = BrokenLeaves(stack.connection, faults)
        exercise = await exits.enter_async_context(exercising(stack, plane, wanted.limits, panel, leaves))
        exercise.may_fail = any(fault.what == "break" for fault in chaos)
        disturbing = disturb(parts, leaves, chaos, exercise.marks.append) if parts is not None else None
        progress_console().print(f"[bold]driftline load[/]: {wanted.profile} on {described}")
        report = await _run(exercise, exercise.phases(phases, places, known), disturbing, wanted)
        report.asked = asked(known, wanted, phases, faults, world=str(world.file or ""), servers=servers)
    if isinstance(report, Report):
        report.profile = wanted.profile
        if limit:
            report.limit_events_per_second = round(limit, 1)
            report.share_of_limit = round(report.events_per_second / limit, 3)
    _tell(report, wanted, as_json=as_json)


def _chaos(known: World, wanted: Load, roles: Sequence[str]) -> list[Fault]:
    leaves = sorted({leaf for host in known.hosts.values() for leaf in (host.leaf_a, host.leaf_b)})
    if wanted.chaos == "random":
        return drawn(wanted.seed, wanted.chaos_every_s, wanted.limits.for_s or 0.0, roles, leaves)
    return parse_chaos(wanted.chaos, roles, leaves) if wanted.chaos else []


async def _run(
    exercise: Exercise, driving: Coroutine[Any, Any, None], disturbing: Coroutine[Any, Any, None] | None, wanted: Load
) -> Report | Partial:
    """Drive the phases, beside what disturbs them, and have them judged; what ends before that tells what there is."""
    loop = asyncio.get_running_loop()

    async def whole() -> Report:
        await asyncio.gather(driving, *([disturbing] if disturbing else []))
        return await exercise.report()

    work = asyncio.ensure_future(whole())
    ended_by: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        work.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end, number)
    try:
        async with asyncio.timeout(wanted.timeout_s):
            return await work
    except asyncio.CancelledError:
        if not ended_by or asyncio.current_task().cancelling():  # type: ignore[union-attr]  # the servers, or the plane
            raise
        why = ENDING[ended_by[0]]
    except TimeoutError:
        why = f"--timeout: not done within {wanted.timeout_s:g} s"
    except NotDone as error:
        why = str(error)
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
    return partial(exercise.tally, exercise.timing(), wanted.profile, why)


def _tell(report: Report | Partial, wanted: Load, *, as_json: bool) -> None:
    document = msgspec.json.encode(report)
    if wanted.out is not None:
        _write("--out", wanted.out, msgspec.json.format(document, indent=2) + b"\n")
    if wanted.html is not None:
        _write("--html", wanted.html, page(msgspec.json.decode(document)).encode())
    if as_json:
        print_json(report)
    elif isinstance(report, Partial):
        show_partial(report)
    else:
        show_report(report)
    if isinstance(report, Report):
        finish(report)
    elif report.why in _EXITS:
        sys.exit(_EXITS[report.why])
    else:
        raise NotDone(report.why)


def _write(option: str, path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error


def _measures_limit(options: Options, world: WorldChoice, wanted: Load) -> bool:
    """Whether the run is told as a share of the limit. Where others are at work there is no telling what that is."""
    if wanted.measure_limit is not None:
        return wanted.measure_limit
    alone = not (options.nats or options.postgres or wanted.chaos) and find(options.data) is None
    return alone and wanted.profile == "burst" and (wanted.instances or 0) * world.azs >= LIMIT_FROM


async def _limit(wanted: Load, world: WorldChoice) -> float:
    """Events a second of a log alone, on a server of its own: as many as the spawns of the run make, within reason."""
    spawns = len(wanted.rows) or (wanted.instances or 1) * world.azs
    async with open_bus(Options(), join_running=False) as bus:
        return await log_alone(bus.log, min(spawns * EVENTS_PER_SPAWN, LIMIT_EVENTS_MAX))
