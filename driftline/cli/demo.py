"""``driftline demo``: instances spawned through all thirteen steps of Figure 10, watched, proved and verified."""

from typing import cast

import click

from driftline.cli.common import people, print_json, run, server_options
from driftline.cli.load_plan import new_prefix
from driftline.cli.load_report import finish, show_report
from driftline.cli.panel import Panel
from driftline.cli.plane_options import faults_option
from driftline.cli.ports import show_timeline
from driftline.current import rows
from driftline.loadtest.exercise import exercising
from driftline.plane import Setup, all_in_one
from driftline.stack import Options, open_stack
from driftline.trace import Target, burst
from driftline.world_setup import WorldChoice, describe_world, labels_of_log, world_options
from projections.spawns import SpawnRow
from workers.devices.simulated.faults import FaultPlan


@click.command()
@click.option("--instances", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Spawn this many.")
@world_options
@faults_option
@server_options()
def demo(options: Options, world: WorldChoice, instances: int, faults: FaultPlan, as_json: bool) -> None:
    """Spawn instances on a generated world, show Figures 8 and 10, prove reachability and verify the projections."""
    run(_demo(options, world, instances, faults, as_json=as_json))


async def _demo(options: Options, world: WorldChoice, instances: int, faults: FaultPlan, *, as_json: bool) -> None:
    async with open_stack(options, join_running=False) as stack, all_in_one(stack, Setup(faults)) as plane:
        described = await describe_world(stack, world, instances)
        azs, labels = await labels_of_log(stack)
        requests = burst(instances, azs, [Target(label=label) for label in labels], prefix=new_prefix())
        if not as_json:
            people().print(f"[bold]driftline[/]: {instances} instances on {described}")
        with Panel(len(requests)) as panel:
            async with exercising(stack, plane, watcher=panel) as exercise:
                await exercise.requests(requests, timed=False)
                report = await exercise.report()
        if as_json:
            print_json(report)
        else:
            spawns = cast(list[SpawnRow], await rows(stack.database, "spawns", {"outcome": "active"}))
            if spawns:
                show_timeline(min(spawns, key=lambda row: (not row.step_11_us, row.step_01_us)))
            show_report(report)
    finish(report)
