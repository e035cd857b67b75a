"""``driftline up`` (everything in one process) and ``worker`` (one role in a process of its own)."""

import asyncio
import os
import signal
from pathlib import Path

import click
import structlog

from driftline.cli.common import progress_console, run, server_options
from driftline.discovery import Running, announced
from driftline.errors import UsageError
from driftline.plane import WORKERS, all_in_one, one_worker, only_fabric, only_projector
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import WorldChoice, describe_world, world_options
from workers.devices.simulated.faults import FaultPlan, parse_faults

log = structlog.get_logger("driftline")

#: The roles that can run as a process of their own.
ROLES = (*WORKERS, "fabric", "projector")


def faults_of(text: str) -> FaultPlan:
    """The fault plan of a ``--faults`` option. Raises UsageError."""
    try:
        return parse_faults(text)
    except ValueError as error:
        raise UsageError(f"--{error}") from error


@click.command()
@world_options
@click.option("--faults", default="", help="Device latency and failures, e.g. 'LeafVlan:latency=0.05,fail=0.1'.")
@server_options("info")
def up(options: Options, world: WorldChoice, faults: str, as_json: bool) -> None:
    """Run the control plane until interrupted: all workers, the modelled fabric and the projections."""
    run(_up(options, world, faults_of(faults)))


async def _up(options: Options, world: WorldChoice, faults: FaultPlan) -> None:
    async with open_stack(options, join_running=False) as stack:
        described = await describe_world(stack, world)
        async with all_in_one(stack, faults):
            servers = stack.servers
            note = Running(
                pid=os.getpid(),
                nats=servers.nats,
                postgres=servers.postgres,
                data=str(servers.data.resolve()) if servers.data else "",
            )
            with announced(note):
                console = progress_console()
                console.print(f"driftline is up: {described}")
                console.print(f"  --nats {servers.nats} --postgres '{servers.postgres}'", soft_wrap=True)
                await _until_interrupted()


@click.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--host", "hosts", multiple=True, help="compute, ovs-agent: serve only this host (repeatable).")
@click.option("--faults", default="", help="fabric: device latency and failures.")
@click.option("--journal", type=click.Path(path_type=Path, dir_okay=False), help="fabric: keep the devices' state here.")
@server_options("info")
def worker(
    options: Options, role: str, hosts: tuple[str, ...], faults: str, journal: Path | None, as_json: bool
) -> None:
    """Run one ROLE as a process of its own, until interrupted."""
    if hosts and not (role in WORKERS and WORKERS[role].per_host):
        raise UsageError(f"--host: {role} serves no single host")
    run(_worker(options, role, hosts, faults_of(faults), journal))


async def _worker(
    options: Options, role: str, hosts: tuple[str, ...], faults: FaultPlan, journal: Path | None
) -> None:
    async with open_stack(options, needs_database=role == "projector") as stack, _plane(stack, role, hosts, faults, journal):
        log.info("worker runs", role=role, hosts=list(hosts) or "all")
        await _until_interrupted()


def _plane(stack: Stack, role: str, hosts: tuple[str, ...], faults: FaultPlan, journal: Path | None):  # type: ignore[no-untyped-def]
    match role:
        case "fabric":
            return only_fabric(stack, faults, journal)
        case "projector":
            return only_projector(stack)
        case _:
            return one_worker(stack, role, hosts)


async def _until_interrupted() -> None:
    """Return at SIGINT or SIGTERM, so that everything is stopped in order."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    await interrupted.wait()
