"""``driftline cloud``: ENIs, floating IPs, what leaked, and an emulator of EC2 furnished as the world says."""

import asyncio
import importlib
from typing import Any, cast

import click

from bus.envelope import Recorded
from bus.events import (
    CLOUD,
    AnyEvent,
    CloudAudited,
    CloudAuditRequested,
    PortFloatingIpAssociated,
    PortFloatingIpRefused,
    PortFloatingIpRequested,
)
from bus.subjects import history_filter
from driftline.cli.common import people, print_json, print_table, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.plane_options import aws_options
from driftline.client import Client, Published
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.reading import Reading, open_state
from driftline.stack import Bus, Options, Stack, open_bus, open_stack
from driftline.world_setup import world_of_log
from projections.enis import EniRow
from projections.world import World
from workers.devices.aws.errors import ApiError
from workers.devices.aws.settings import AwsSettings
from workers.models.eni import MODEL, NODE

_Answer = PortFloatingIpAssociated | PortFloatingIpRefused


def _timeout(command: Any) -> Any:
    option = click.option(
        "--timeout", "timeout_s", type=POSITIVE, default=60.0, show_default=True, help="Seconds to wait."
    )
    return option(command)


@click.group()
def cloud() -> None:
    """The public cloud: the ENIs of pods, floating IPs, leaks."""


@cloud.command()
@reading_options
def enis(reading: Reading, as_json: bool) -> None:
    """List the ENIs: of which port, with which addresses, attached to which node."""
    run(_enis(reading, as_json=as_json))


async def _enis(reading: Reading, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = cast(list[EniRow], await state.rows("enis"))
    if as_json:
        print_json(found)
        return
    table = [[r.port, r.eni, r.state, r.attached_to, r.ip, *r.secondary_ips, r.floating_ip, r.reason] for r in found]
    columns = ("port", "ENI", "state", "node", "IP", "sub IP", "floating IP", "reason")
    print_table(f"{len(table)} ENIs", columns, table)


@cloud.command("floating-ip")
@click.argument("port")
@_timeout
@server_options()
def floating_ip(options: Options, port: str, timeout_s: float, as_json: bool) -> None:
    """Give PORT a floating (elastic) IP. It keeps it across drifts, until it is deleted."""
    run(_floating_ip(options, port, timeout_s, as_json=as_json))


async def _floating_ip(options: Options, port: str, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack):
        answer = await _asked(stack, PortFloatingIpRequested(port=port), _of_floating_ip, timeout_s)
    if isinstance(answer, PortFloatingIpRefused):
        raise NotDone(f"refused: {answer.reason} ({answer.field}: {answer.value})")
    if as_json:
        print_json({"port": port, "address": answer.address})
    else:
        people().print(f"port {port} is reached by {answer.address}")


def _of_floating_ip(r: Recorded, request: Published) -> _Answer | None:
    is_answer = isinstance(r.event, _Answer) and r.correlation == request.request
    return r.event if is_answer else None  # type: ignore[return-value]  # it is an answer


@cloud.command()
@_timeout
@server_options()
def audit(options: Options, timeout_s: float, as_json: bool) -> None:
    """Compare the cloud with the log and show what differs. What is missing is mended at once.

    What leaked (an ENI or an address under our tag that belongs to no port) is collected when it is found a second
    time, at least five minutes after the first. An audit also happens by itself, now and then.
    """
    run(_audit(options, timeout_s, as_json=as_json))


async def _audit(options: Options, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack):
        answer = await _asked(stack, CloudAuditRequested(cloud=CLOUD), _of_audit, timeout_s)
    if answer.error:
        raise NotDone(f"the cloud could not be compared: {answer.error}")
    if as_json:
        print_json(answer)
        return
    table = [[one.kind, one.resource, one.port, "missing" if one.missing else "leaked"] for one in answer.found]
    print_table(f"{len(table)} differences", ("kind", "resource", "port", "how"), table)


def _of_audit(r: Recorded, request: Published) -> CloudAudited | None:
    return r.event if isinstance(r.event, CloudAudited) and r.event.epoch >= request.position else None


async def _asked(stack: Stack, event: AnyEvent, answers: Any, timeout_s: float) -> Any:
    """Publish a request and wait for what ``answers`` says is its answer. Raises NotDone when none comes."""
    request = await Client(stack.log, actor="cli").publish(event)
    aggregate = "cloud" if isinstance(event, CloudAuditRequested) else "port"
    try:
        async with asyncio.timeout(timeout_s):
            async for batch in stack.log.follow(request.position, history_filter(aggregate, request.instance)):
                for r in batch.records:
                    answer = answers(r, request)
                    if answer is not None:
                        return answer
    except TimeoutError as error:
        raise NotDone(f"no answer within {timeout_s:g} s (does the worker {CLOUD} run?)") from error
    raise NotDone("the log ended")


@cloud.command()
@click.option("--vpc", default="", help="The VPC of the nodes, where the world's clouds have several.")
@aws_options
@server_options()
def bootstrap(options: Options, vpc: str, aws: AwsSettings | None, as_json: bool) -> None:
    """Furnish an emulator of EC2 (moto) with the VPC, the subnets and the instances that the log's world describes."""
    if aws is None or not aws.endpoint:
        raise UsageError("--aws-region and --aws-endpoint: give both: only an emulator of EC2 is furnished")
    run(_bootstrap(options, vpc, aws, as_json=as_json))


async def _bootstrap(options: Options, vpc: str, aws: AwsSettings, *, as_json: bool) -> None:
    async with open_bus(options) as bus:
        made = await _furnish(bus, vpc, aws)
    if as_json:
        print_json(made)
    else:
        people().print(f"{made.vpc}: {len(made.subnets)} subnets, {len(made.instances)} instances")


async def _furnish(bus: Bus, wanted: str, aws: AwsSettings) -> Any:
    """Furnish the emulator at ``aws``; returns EC2's ids. Raises UsageError if the world has no network for it."""
    world = await world_of_log(bus)
    module = importlib.import_module("workers.devices.aws.bootstrap")  # as in driftline.clouds
    vpc, cidr = _vpc(world, wanted)
    subnets = [
        module.WantedSubnet(row.subnet, row.cidr, row.zone)
        for row in world.subnet_of.values()
        if world.networks[row.network].model == MODEL.name and world.networks[row.network].vpc == vpc
    ]
    nodes = [module.WantedNode(row.host, row.az, row.instance_type) for row in world.hosts.values() if row.kind == NODE]
    try:
        return await module.bootstrap(aws, vpc, cidr, subnets, nodes)
    except (ValueError, ApiError) as error:
        raise NotDone(f"--aws-endpoint {aws.endpoint}: {error}") from error


def _vpc(world: World, wanted: str) -> tuple[str, str]:
    """The VPC of the nodes and its CIDR: an instance of EC2, and whatever is attached to it, is in one."""
    names = sorted({row.vpc for row in world.networks.values() if row.model == MODEL.name})
    if wanted and wanted not in names:
        raise UsageError(f"--vpc: {wanted} has no network of model {MODEL.name}")
    if not wanted and len(names) != 1:
        found = ", ".join(names) or "none"
        raise UsageError(f"--vpc: say which, there are networks of model {MODEL.name} in: {found}")
    vpc = wanted or names[0]
    return vpc, world.tables["vpcs"][vpc,].cidr
