"""``driftline up`` (everything in one process) and ``worker`` (one role in a process of its own)."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path

import click
import structlog

from bus.events import CLOUD
from driftline.cli.common import people, print_json, progress_console, run, server_options
from driftline.cli.observing_options import observing_options
from driftline.cli.plane_options import aws_options, duplicates_option, faults_option
from driftline.discovery import Running, announced, find
from driftline.errors import UsageError
from driftline.observing.process import looked_at, observed_as
from driftline.observing.settings import Settings
from driftline.parts import all_workers
from driftline.plane import ALL, Plane, Setup, all_but_projector, all_in_one, one_worker, only_fabric
from driftline.projecting import only_projector
from driftline.stack import Bus, Options, open_bus, open_stack
from driftline.world_setup import WorldChoice, describe_world, world_options
from workers.devices.aws.settings import AwsSettings
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.mobility import DuplicateRule

log = structlog.get_logger("driftline")

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
#: What runs a role, or all of them, on a bus.
StartOnBus = Callable[[Bus, Setup], AbstractAsyncContextManager[Plane]]
#: The roles that can run as a process of their own.
ROLES = (*all_workers(), "fabric", "projector", ALL)
#: Those of them that are no single worker and need no database.
_ON_BUS: dict[str, StartOnBus] = {"fabric": only_fabric, ALL: all_but_projector}


@click.command()
@world_options
@faults_option
@duplicates_option
@aws_options
@observing_options
@server_options("info")
def up(
    options: Options,
    observed: Settings,
    world: WorldChoice,
    faults: FaultPlan,
    duplicates: DuplicateRule,
    aws: AwsSettings | None,
    as_json: bool,
) -> None:
    """Run the control plane until interrupted: all workers, the modelled fabric and the projections."""
    run(_up(options, world, Setup(faults, duplicates, aws=aws), observed))


async def _up(options: Options, world: WorldChoice, setup: Setup, observed: Settings) -> None:
    async with open_stack(options, join_running=False) as stack, AsyncExitStack() as exits:
        observing = exits.enter_context(observed_as("up", observed, has_workers=True, has_projector=True))
        address = await exits.enter_async_context(
            looked_at(observing, observed, stack.connection, stack.log, stack.database)
        )
        described = await describe_world(stack, world)
        async with all_in_one(stack, setup._replace(observer=observing)):
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
                if address is not None:
                    console.print(f"  http://{address}/metrics")
                await _until_interrupted()


@click.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--host", "hosts", multiple=True, help="compute, ovs-agent, host-ipam: serve this host alone (repeatable)."
)
@faults_option
@duplicates_option
@click.option(
    "--journal", type=click.Path(path_type=Path, dir_okay=False), help="fabric: keep the devices' state here."
)
@click.option(
    "--snapshots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Workers: keep what they have folded in this folder, for a quick restart.",
)
@click.option("--leashed", is_flag=True, hidden=True, help="End when the standard input does.")
@aws_options
@observing_options
@server_options("info")
def worker(
    options: Options,
    observed: Settings,
    role: str,
    hosts: tuple[str, ...],
    faults: FaultPlan,
    duplicates: DuplicateRule,
    journal: Path | None,
    snapshots: Path | None,
    leashed: bool,
    aws: AwsSettings | None,
    as_json: bool,
) -> None:
    """Run one ROLE as a process of its own, until interrupted; all: every worker and the fabric, in one."""
    if hosts and not (role in all_workers() and all_workers()[role].per_host):
        raise UsageError(f"--host: {role} serves no single host")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise UsageError(f"--host: {host!r} cannot be the name of a host")
    if aws is not None and role not in (CLOUD, ALL):
        raise UsageError(f"--aws-region: {role} speaks to no cloud, only {CLOUD} does")
    _need_servers(options, f"worker {role}")
    start = _ON_BUS.get(role) or partial(one_worker, name=role, hosts=hosts)
    setup = Setup(faults=faults, duplicates=duplicates, journal=journal, snapshots=snapshots, aws=aws)
    run(_worker(options, role, hosts, start, setup, observed, leashed=leashed))


async def _worker(
    options: Options,
    role: str,
    hosts: tuple[str, ...],
    start: StartOnBus,
    setup: Setup,
    observed: Settings,
    *,
    leashed: bool,
) -> None:
    projecting, working = role == "projector", role not in ("projector", "fabric")
    async with AsyncExitStack() as exits:
        observing = exits.enter_context(
            observed_as(f"worker {role}", observed, has_workers=working, has_projector=projecting)
        )
        if projecting:
            stack = await exits.enter_async_context(open_stack(options))
            address = await exits.enter_async_context(
                looked_at(observing, observed, stack.connection, stack.log, stack.database)
            )
            await exits.enter_async_context(only_projector(stack, observing))
        else:
            bus = await exits.enter_async_context(open_bus(options))
            address = await exits.enter_async_context(looked_at(observing, observed, bus.connection, bus.log))
            await exits.enter_async_context(start(bus, setup._replace(observer=observing)))
        log.info("worker runs", role=role, hosts=list(hosts) or "all", metrics=str(address or ""))
        await _until_interrupted(leashed=leashed)


@click.command()
@world_options
@server_options()
def world(options: Options, world: WorldChoice, as_json: bool) -> None:
    """Describe the world to the log, where it is not there already. For workers that run as processes of their own."""
    _need_servers(options, "world")
    run(_world(options, world, as_json=as_json))


def _need_servers(options: Options, command: str) -> None:
    """What only makes sense together with other processes is not given servers of its own, which would end with it."""
    if not options.nats and options.data is None and find() is None:
        raise UsageError(f"{command}: give --nats and --postgres (or start `driftline up`, or give --data)")


async def _world(options: Options, choice: WorldChoice, *, as_json: bool) -> None:
    async with open_bus(options) as bus:
        described = await describe_world(bus, choice)
    if as_json:
        print_json({"world": described})
    else:
        people().print(described)


async def _until_interrupted(*, leashed: bool = False) -> None:
    """Return at SIGINT or SIGTERM, so that everything is stopped in order; ``leashed``: at the end of input as well."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    if leashed:
        loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1024) else interrupted.set())
    await interrupted.wait()
    if leashed:
        loop.remove_reader(sys.stdin.fileno())
