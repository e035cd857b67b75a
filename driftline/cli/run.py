"""``driftline up`` (everything in one process) and ``worker`` (one role in a process of its own)."""

import asyncio
import os
import signal
from pathlib import Path

import click
import structlog

from driftline.cli.common import people, print_json, progress_console, run, server_options
from driftline.discovery import Running, announced
from driftline.errors import UsageError
from driftline.plane import WORKERS, all_in_one, one_worker, only_fabric, only_projector
from driftline.stack import Options, open_stack
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
@click.option(
    "--journal", type=click.Path(path_type=Path, dir_okay=False), help="fabric: keep the devices' state here."
)
@server_options("info")
def worker(
    options: Options, role: str, hosts: tuple[str, ...], faults: str, journal: Path | None, as_json: bool
) -> None:
    """Run one ROLE as a process of its own, until interrupted."""
    if hosts and not (role in WORKERS and WORKERS[role].per_host):
        raise UsageError(f"--host: {role} serves no single host")
    run(_worker(options, role, hosts, faults_of(faults), journal))


async def _worker(options: Options, role: str, hosts: tuple[str, ...], faults: FaultPlan, journal: Path | None) -> None:
    async with open_stack(options) as stack:
        match role:
            case "fabric":
                plane = only_fabric(stack, faults, journal)
            case "projector":
                plane = only_projector(stack)
            case _:
                plane = one_worker(stack, role, hosts)
        async with plane:
            log.info("worker runs", role=role, hosts=list(hosts) or "all")
            await _until_interrupted()


@click.command()
@world_options
@server_options()
def world(options: Options, world: WorldChoice, as_json: bool) -> None:
    """Describe the world to the log, where it is not there already. For workers that run as processes of their own."""
    run(_world(options, world, as_json=as_json))


async def _world(options: Options, choice: WorldChoice, *, as_json: bool) -> None:
    async with open_stack(options) as stack:
        described = await describe_world(stack, choice)
    if as_json:
        print_json({"world": described})
    else:
        people().print(described)


async def _until_interrupted() -> None:
    """Return at SIGINT or SIGTERM, so that everything is stopped in order."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    await interrupted.wait()
