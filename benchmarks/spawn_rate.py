"""Spawns per second, all thirteen steps durable and projected, beside what the log alone can do in the same run.

    .venv/bin/python benchmarks/spawn_rate.py --instances 3000 --rounds 3

Each round starts servers of its own. The limit (``driftline.bench.limits.log_alone``): as many events of the same sort
as the spawns make, appended in atomic batches and read once, nothing else. The share of that limit is comparable
between machines; the rates are not.
"""

import json
import os
import platform
import statistics
import sys
from pathlib import Path

import click
import uvloop

from driftline.bench.limits import log_alone
from driftline.cli.common import configure_logging
from driftline.loadtest.exercise import exercising
from driftline.plane import working_plane
from driftline.stack import Options, open_stack
from driftline.trace import Target, burst
from driftline.world_setup import WorldChoice, describe_world, labels_of_log


async def round_of(instances: int, hosts: int) -> dict[str, float]:
    """One round: the limit, then a burst through the whole control plane."""
    async with open_stack(Options(), join_running=False) as stack:
        bare = await log_alone(stack.log, instances * 11)
    async with open_stack(Options(), join_running=False) as stack, working_plane(stack) as plane:
        await describe_world(stack, WorldChoice(hosts=hosts), instances)
        azs, labels = await labels_of_log(stack)
        requests = burst(instances, azs, [Target(label=label) for label in labels])
        async with exercising(stack, plane) as exercise:
            await exercise.requests(requests, timed=False)
            report = await exercise.report()
    if report.faults:
        raise SystemExit(f"the run was wrong: {report.faults}")
    events_per_second = report.events / report.projected_seconds
    return {
        "spawns_per_second": round(instances / report.projected_seconds, 1),
        "events_per_second": round(events_per_second),
        "limit_events_per_second": round(bare),
        "share_of_limit": round(events_per_second / bare, 3),
    }


@click.command()
@click.option("--instances", default=3000, show_default=True)
@click.option("--hosts", default=50, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(instances: int, hosts: int, rounds: int) -> None:
    """Measure and print one JSON document."""
    configure_logging("error")
    results = [uvloop.run(round_of(instances, hosts)) for _ in range(rounds)]
    document = {
        "command": " ".join(["python", str(Path(sys.argv[0])), *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "instances": instances,
        "rounds": results,
        "median": {key: statistics.median(r[key] for r in results) for key in results[0]},
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
