"""How long it takes to list ports: by SQL, and by ``driftline ports`` from the shell to the last line.

    .venv/bin/python benchmarks/listing.py --ports 5000 --rounds 5

On servers of its own, on which as many instances run. The control plane works on meanwhile, with nothing to do.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import click
import uvloop

from driftline.cli.common import configure_logging
from driftline.current import rows
from driftline.loadtest.exercise import exercising
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.trace import Target, burst
from driftline.world_setup import WorldChoice, describe_world, labels_of_log

DRIFTLINE = Path(sysconfig.get_path("scripts")) / "driftline"
#: Where it is used, Python compiles a program once.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def measure(ports: int, rounds: int) -> dict[str, dict[str, float]]:
    """Make so many ports, then list them ``rounds`` times in each way. Milliseconds."""
    async with open_stack(Options(), join_running=False) as stack, working_plane(stack) as plane:
        await describe_world(stack, WorldChoice(hosts=max(ports // 50, 2)), ports)
        azs, labels = await labels_of_log(stack)
        async with exercising(stack, plane) as exercise:
            await exercise.requests(burst(ports, azs, [Target(label=label) for label in labels]), timed=False)
            await exercise.report()
        by_sql = [await timed_sql(stack, ports) for _ in range(rounds)]
        as_rows = [await timed_rows(stack, ports) for _ in range(rounds)]
        servers = ("--nats", stack.servers.nats, "--postgres", stack.servers.postgres)
        command = [str(DRIFTLINE), "ports", "--json", *servers]
        by_command = [await asyncio.to_thread(timed_command, command, ports) for _ in range(rounds + 1)][1:]
    return {
        "SELECT * FROM driftline.ports": figures(by_sql),
        "the same, as typed rows": figures(as_rows),
        "driftline ports --json": figures(by_command),
    }


async def timed_sql(stack: Stack, ports: int) -> float:
    """What PostgreSQL and asyncpg take, milliseconds."""
    async with stack.database.connection() as connection:
        began = time.perf_counter()
        found = await connection.fetch("SELECT * FROM driftline.ports")
        return checked(began, len(found), ports)


async def timed_rows(stack: Stack, ports: int) -> float:
    """What a reader in Python takes, milliseconds."""
    began = time.perf_counter()
    return checked(began, len(await rows(stack.database, "ports")), ports)


def timed_command(command: list[str], ports: int) -> float:
    """What a whole command takes, milliseconds."""
    began = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT).stdout
    took = checked(began, ports, ports)
    if len(json.loads(said)) != ports:
        raise SystemExit(f"{' '.join(command[:3])} told of {len(json.loads(said))} ports, not {ports}")
    return took


def checked(began: float, found: int, ports: int) -> float:
    """Milliseconds since ``began``, if all ports were found."""
    took = (time.perf_counter() - began) * 1000
    if found != ports:
        raise SystemExit(f"found {found} ports, not {ports}")
    return took


def figures(found: list[float]) -> dict[str, float]:
    """What is told of the rounds."""
    named: dict[str, Callable[[list[float]], float]] = {"median_ms": statistics.median, "slowest_ms": max}
    return {name: round(of(found), 1) for name, of in named.items()}


@click.command()
@click.option("--ports", type=click.IntRange(1), default=5000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(ports: int, rounds: int) -> None:
    """Print one JSON document."""
    configure_logging("error")
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    document = {"machine": machine, "ports": ports, **uvloop.run(measure(ports, rounds))}
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
