"""``driftline blocks``: the blocks of hosts with a local IPAM and the routes to them; and ``release-block``."""

import asyncio
from typing import Any

import click

from bus.events import HostBlockReleased, HostBlockReleaseRefused, HostBlockReleaseRequested
from bus.subjects import history_filter
from driftline.answers import Awaited, answers
from driftline.cli.common import people, print_json, print_table, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.reading import Reading, open_state
from driftline.stack import Options, open_stack
from driftline.world_setup import world_of_log


@click.command()
@click.option("--routes", "with_routes", is_flag=True, help="Which device knows the way to which block instead.")
@reading_options
def blocks(reading: Reading, with_routes: bool, as_json: bool) -> None:
    """List the blocks of hosts with a local IPAM: host, CIDR, used and free addresses; or the routes to them."""
    run(_blocks(reading, "block_routes" if with_routes else "blocks", as_json=as_json))


async def _blocks(reading: Reading, table: str, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found: list[Any] = list(await state.rows(table))
    if as_json:
        print_json(found)
    elif table == "blocks":
        lines = [
            (row.host, row.cidr, row.network, row.gateway, row.used, row.free, "yes" if row.announced else "no")
            for row in found
        ]
        print_table(f"{len(found)} blocks", ("host", "block", "network", "gateway", "used", "free", "announced"), lines)
    else:
        routes = [(row.router, row.cidr, row.kind, row.host, "yes" if row.done else "not yet") for row in found]
        print_table(f"{len(found)} routes to blocks", ("device", "block", "kind", "host", "as wished"), routes)


@click.command("release-block")
@click.argument("host")
@click.argument("cidr")
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def release_block(options: Options, host: str, cidr: str, timeout_s: float, as_json: bool) -> None:
    """Have HOST give the block CIDR back, if none of its addresses is held. A dead host answers once it is back."""
    run(_release(options, host, cidr, timeout_s, as_json=as_json))


async def _release(options: Options, host: str, cidr: str, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        row = (await world_of_log(stack)).hosts.get(host)
        if row is None:
            raise UsageError(f"HOST: {host} is no host of the world")
        request = parse(HostBlockReleaseRequested, {"host": host, "az": row.az, "cidr": cidr})
        published = await Client(stack.log, actor="cli").publish(request)
        awaited = Awaited(history_filter("host", host), (HostBlockReleased, HostBlockReleaseRefused))
        try:
            async with asyncio.timeout(timeout_s):
                (answer,) = await answers(stack.log, published.position, published.request, awaited)
        except TimeoutError as error:
            raise NotDone(f"no answer within {timeout_s:g} s: does host-ipam of {host} run?") from error
        if plane.projector is not None:
            await plane.projector.wait_for(answer.position)
    if isinstance(answer.event, HostBlockReleaseRefused):
        raise NotDone(f"{answer.event.field}: {answer.event.value}: {answer.event.reason}")
    if as_json:
        print_json(answer.event)
    else:
        people().print(f"{host} has given {cidr} back")
