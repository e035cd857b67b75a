"""``driftline load``: many requests at once, from a trace or by number, and what came of them."""

import uuid
from pathlib import Path

import click

from driftline.cli.common import people, print_json, print_table, run, server_options
from driftline.cli.panel import Panel
from driftline.cli.plane_options import faults_option
from driftline.cli.ports import figure_8
from driftline.cli.verify import show_verdict
from driftline.errors import NotDone, UsageError
from driftline.exercise import exercise
from driftline.loadtest.compare import compare, read_run
from driftline.plane import working_plane
from driftline.report import Report
from driftline.stack import Options, open_stack
from driftline.trace import Target, TraceRow, burst, plan, read_trace
from driftline.world_setup import WorldChoice, describe_world, world_of_log, world_options
from projections.world import World
from workers.devices.simulated.faults import FaultPlan


@click.group(invoke_without_command=True)
@click.option("--trace", type=click.Path(path_type=Path), help="A CSV file with a row per pod.")
@click.option("--instances", type=click.IntRange(1, 1_000_000), help="Without a trace: spawn this many at once.")
@click.option("--name-column", default="name", show_default=True)
@click.option("--created-column", default="creation_time", show_default=True, help="Seconds.")
@click.option("--deleted-column", default="deletion_time", show_default=True, help="Seconds; empty: never.")
@click.option("--host-column", help="Pin each pod to the host named in this column.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Trace seconds per second. [default: flat out]"
)
@click.option("--network", help="Take ports from this network.")
@click.option("--label", help="Take ports from networks with this label. [default: all labels in turn]")
@click.option(
    "--in-flight", type=click.IntRange(1), default=2000, show_default=True, help="Requests under way at most."
)
@world_options
@faults_option
@server_options()
@click.pass_context
def load(
    context: click.Context,
    options: Options,
    world: WorldChoice,
    trace: Path | None,
    instances: int | None,
    name_column: str,
    created_column: str,
    deleted_column: str,
    host_column: str | None,
    speed: float | None,
    network: str | None,
    label: str | None,
    in_flight: int,
    faults: FaultPlan,
    as_json: bool,
) -> None:
    """Publish a load, wait until every request has its outcome, and check everything that can be checked.

    Exit 0 only if every request ended once, nothing leaked, the fabric delivers as it should and the projections equal
    the log.
    """
    if context.invoked_subcommand is not None:
        return
    if (trace is None) == (instances is None):
        raise UsageError("exactly one of --trace and --instances must be given")
    if speed is not None and trace is None:
        raise UsageError("--speed: a load without a trace has no times to speed up")
    rows = read_trace(trace, name_column, created_column, deleted_column or None, host_column) if trace else []
    given = Target(network, label) if network or label else None
    run(_load(options, world, rows, instances, given, speed, in_flight, faults, as_json=as_json))


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
        rows = [(x.what, x.before, x.after, "-" if x.ratio is None else x.ratio) for x in comparison.lines]
        print_table(f"Runs: {comparison.verdict}", ("what", "before", "after", "ratio"), rows)
    if later.faults:
        raise NotDone("the later run was wrong: " + "; ".join(later.faults))


async def _load(
    options: Options,
    world: WorldChoice,
    rows: list[TraceRow],
    instances: int | None,
    given: Target | None,
    speed: float | None,
    in_flight: int,
    faults: FaultPlan,
    *,
    as_json: bool,
) -> None:
    async with open_stack(options) as stack, working_plane(stack, faults) as plane:
        described = await describe_world(stack, world, instances or len(rows))
        known = await world_of_log(stack)
        azs, targets = sorted({host.az for host in known.hosts.values()}), _targets(known, given)
        prefix = new_prefix()
        if instances:
            requests = burst(instances, azs, targets, prefix=prefix)
        else:
            host_azs = {name: host.az for name, host in known.hosts.items()}
            requests = plan(rows, azs, targets, host_azs=host_azs, prefix=prefix, speed=speed or 1.0)
        if not as_json:
            people().print(f"[bold]driftline load[/]: {len(requests)} requests on {described}")
        with Panel(len(requests), plane) as panel:
            report = await exercise(
                stack, plane, requests, panel.update, in_flight_max=in_flight, timed=speed is not None
            )
    if as_json:
        print_json(report)
    else:
        show_report(report)
    finish(report)


def new_prefix() -> str:
    """A prefix for the names of one run: ids of instances are unique for ever, so each run needs its own."""
    return f"r{uuid.uuid4().hex[:6]}-"


def _targets(world: World, given: Target | None) -> list[Target]:
    """Where ports come from: what was given, if the world has it, else every label in turn."""
    if given is None:
        return [Target(label=label) for label in sorted(world.by_label)]
    if given.network and given.label:
        raise UsageError("only one of --network and --label can be given")
    if given.network and given.network not in world.networks:
        raise UsageError(f"--network: {given.network} is no network of the world")
    if given.label and given.label not in world.by_label:
        raise UsageError(f"--label: no network carries {given.label}")
    return [given]


def show_report(report: Report) -> None:
    """Print what a run came to."""
    people().print(figure_8(report.port_states))
    pairs = f"{report.reachable_pairs_ok} of {report.reachable_pairs_checked} pairs reach each other"
    apart = f"{report.isolated_pairs_ok} of {report.isolated_pairs_checked} pairs of different VRFs do not"
    rows = [
        ("requested", report.requested),
        ("active", report.active),
        ("refused", report.refused),
        ("failed", report.failed),
        ("deleted", report.deleted),
        ("live", report.live),
        ("addresses held", report.addresses_held),
        ("events", report.events),
        ("spawns per second", report.spawns_per_second),
        ("fabric", f"{pairs}; {apart}; {report.leftovers} left over"),
    ]
    print_table("Run", ("what", "value"), rows)
    show_verdict(report.verify)
    for problem in report.problems:
        people().print(f"[yellow]{problem}[/]")


def finish(report: Report) -> None:
    """Raise NotDone if anything was wrong with the run."""
    if report.faults:
        raise NotDone("; ".join(report.faults))
