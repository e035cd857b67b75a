"""``driftline load``: many requests at once, from a trace or by number, and what came of them."""

from collections.abc import Sequence
from pathlib import Path

import click

from driftline.cli.common import people, print_json, print_table, run, server_options
from driftline.cli.panel import Panel
from driftline.cli.ports import figure_8
from driftline.cli.verify import show_verdict
from driftline.errors import NotDone, UsageError
from driftline.exercise import exercise
from driftline.plane import working_plane
from driftline.report import Report
from driftline.stack import Options, Stack, open_stack
from driftline.trace import TimedRequest, TraceColumns, burst, plan, read_trace
from driftline.world_setup import WorldChoice, check_target, describe_world, labels_of_log, world_of_log, world_options


@click.command()
@click.option("--trace", type=click.Path(path_type=Path), help="A CSV file with a row per pod.")
@click.option("--instances", type=click.IntRange(1, 1_000_000), help="Without a trace: spawn this many at once.")
@click.option("--name-column", default="name", show_default=True)
@click.option("--created-column", default="creation_time", show_default=True, help="Seconds.")
@click.option("--deleted-column", default="deletion_time", show_default=True, help="Seconds; empty: never.")
@click.option("--host-column", help="Pin each pod to the host named in this column.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Trace seconds per second. [default: flat out]")
@click.option("--network", help="Take ports from this network.")
@click.option("--label", help="Take ports from networks with this label. [default: all labels in turn]")
@click.option("--in-flight", type=click.IntRange(1), default=2000, show_default=True, help="Requests under way at most.")
@world_options
@server_options()
def load(
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
    as_json: bool,
) -> None:
    """Publish a load, wait until every request has its outcome, and check everything that can be checked.

    Exit 0 only if every request ended once, nothing leaked, the fabric delivers as it should and the projections equal
    the log.
    """
    if (trace is None) == (instances is None):
        raise UsageError("exactly one of --trace and --instances must be given")
    columns = TraceColumns(name=name_column, created=created_column, deleted=deleted_column, host=host_column)
    rows = read_trace(trace, columns) if trace else None
