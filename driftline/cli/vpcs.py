"""``driftline vpc``, ``vpcs`` and ``direct-connect``: VPCs, their connections, and the lines between regions."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from rich.tree import Tree

from bus.events import (
    AnyEvent,
    DirectConnectFailRequested,
    DirectConnectRefused,
    DirectConnectRequested,
    DirectConnectRestoreRequested,
    DirectConnectSettled,
    Event,
    VpcConnectionFailed,
    VpcConnectionReady,
    VpcConnectRefused,
    VpcConnectRequested,
    VpcCreated,
    VpcCreateRequested,
    VpcDisconnected,
    VpcDisconnectRefused,
    VpcDisconnectRequested,
    VpcRefused,
)
from bus.subjects import history_filter, name_of
from driftline.answers import Awaited, answers
from driftline.cli.common import people, print_json, printable, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client
from driftline.errors import NotDone
from driftline.plane import working_plane
from driftline.reading import Reading, open_state
from driftline.stack import Options, open_stack
from projections.vpcs import ConnectionRow, LineRow
from projections.world import AzRow, NetworkRow, VpcRow

_TIMEOUT = click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait."
)
#: What ends a request well.
_DONE = (VpcCreated, VpcConnectionReady, VpcDisconnected, DirectConnectSettled)
_REFUSED = (VpcRefused, VpcConnectRefused, VpcConnectionFailed, VpcDisconnectRefused, DirectConnectRefused)


@click.group()
def vpc() -> None:
    """Create VPCs, connect them, take them apart."""


@vpc.command("create")
@click.argument("name")
@click.option("--tenant", required=True, help="Whose it is.")
@click.option("--cidr", required=True, help="Its addresses, e.g. 10.1.0.0/16.")
@click.option("--vrf", help="Where it is routed. [default: a VRF of its own]")
@click.option("--region", help="The only region that its instances may be in.")
@click.option(
    "--global", "global_vpc", help="The global VPC that it is part of: disjoint, and connected with the others."
)
@_TIMEOUT
@server_options()
def create(
    options: Options,
    name: str,
    tenant: str,
    cidr: str,
    vrf: str | None,
    region: str | None,
    global_vpc: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Create VPC NAME, or say why it cannot be."""
    document = {
        "vpc": name,
        "tenant": tenant,
        "cidr": cidr,
        "vrf": vrf,
        "region": region,
        "global_vpc": global_vpc,
    }
    run(_ask(options, parse(VpcCreateRequested, document), ("vpc", name), timeout_s, as_json=as_json))


@vpc.command("connect")
@click.argument("name")
@click.argument("peer")
@_TIMEOUT
@server_options()
def connect(options: Options, name: str, peer: str, timeout_s: float, as_json: bool) -> None:
    """Have VPCs NAME and PEER routed in each other, and wait until their borders have it."""
    request = parse(VpcConnectRequested, {"vpc": name, "peer": peer})
    run(_ask(options, request, ("vpc", "*"), timeout_s, as_json=as_json))


@vpc.command("disconnect")
@click.argument("name")
@click.argument("peer")
@_TIMEOUT
@server_options()
def disconnect(options: Options, name: str, peer: str, timeout_s: float, as_json: bool) -> None:
    """Have VPCs NAME and PEER routed in each other no more, and wait until no border does it."""
    request = parse(VpcDisconnectRequested, {"vpc": name, "peer": peer})
    run(_ask(options, request, ("vpc", "*"), timeout_s, as_json=as_json))


@click.group("direct-connect")
def direct_connect() -> None:
    """Lines that join regions to private ones (Figure 14)."""


@direct_connect.command("create")
@click.argument("name")
@click.option("--spoke", required=True, help="The region that hangs on the hub.")
@click.option("--hub", required=True, help="A private region.")
@_TIMEOUT
@server_options()
def create_line(options: Options, name: str, spoke: str, hub: str, timeout_s: float, as_json: bool) -> None:
    """Create line NAME, and wait until its borders use it."""
    request = parse(DirectConnectRequested, {"direct_connect": name, "spoke": spoke, "hub": hub})
    run(_ask(options, request, ("direct_connect", name), timeout_s, as_json=as_json))


@direct_connect.command("fail")
@click.argument("name")
@_TIMEOUT
@server_options()
def fail_line(options: Options, name: str, timeout_s: float, as_json: bool) -> None:
    """Take line NAME out of use."""
    request = parse(DirectConnectFailRequested, {"direct_connect": name})
    run(_ask(options, request, ("direct_connect", name), timeout_s, as_json=as_json))


@direct_connect.command("restore")
@click.argument("name")
@_TIMEOUT
@server_options()
def restore_line(options: Options, name: str, timeout_s: float, as_json: bool) -> None:
    """Give line NAME back."""
    request = parse(DirectConnectRestoreRequested, {"direct_connect": name})
    run(_ask(options, request, ("direct_connect", name), timeout_s, as_json=as_json))


async def _ask(options: Options, request: AnyEvent, about: tuple[str, str], timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        published = await Client(stack.log, actor="cli").publish(request)
        awaited = Awaited(history_filter(*about), (*_DONE, *_REFUSED))
        try:
            async with asyncio.timeout(timeout_s):
                (answer,) = await answers(stack.log, published.position, published.request, awaited)
        except TimeoutError as error:
            raise NotDone(
                f"no outcome within {timeout_s:g} s; the request is on the log at position {published.position}"
            ) from error
        if plane.projector is not None:
            await plane.projector.wait_for(answer.position)
    if as_json:
        print_json(answer)
    failed = isinstance(answer.event, DirectConnectSettled) and answer.event.reason
    if failed or isinstance(answer.event, _REFUSED):
        raise NotDone(_why(answer.event))
    if not as_json:
        people().print("[green]done[/]", printable(_in_words(answer.event)))


def _why(event: Event) -> str:
    said = {field: getattr(event, field) for field in event.__struct_fields__}
    reason, field = said["reason"], said.get("field")
    named = f" ({field}: {said['value']})" if field else ""
    return f"{name_of(type(event)).replace('_', ' ')}: {reason}{named}"


def _in_words(event: Event) -> str:
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    return " ".join([name_of(type(event)), *(f"{name}={value}" for name, value in fields.items() if value is not None)])


@click.command()
@reading_options
def vpcs(reading: Reading, as_json: bool) -> None:
    """Draw the VPCs: regions and the lines between them, tenants, VPCs, what they are connected with, networks."""
    run(_vpcs(reading, as_json=as_json))


async def _vpcs(reading: Reading, *, as_json: bool) -> None:
    tables = ("availability_zones", "vpcs", "networks", "vpc_connections", "direct_connects")
    async with open_state(reading) as state:
        found: dict[str, Any] = {table: await state.rows(table) for table in tables}
    if as_json:
        print_json(found)
        return
    console = people()
    if found["direct_connects"] or len({zone.region for zone in found["availability_zones"]}) > 1:
        console.print(_map(found["availability_zones"], found["vpcs"], found["direct_connects"]))
    console.print(_tree(found["vpcs"], found["networks"], found["vpc_connections"]))


def _map(zones: Sequence[AzRow], vpcs: Sequence[VpcRow], lines: Sequence[LineRow]) -> Tree:
    """The private regions, and what hangs on each."""
    kinds = {zone.region: zone.kind for zone in zones if not zone.az}
    tree = Tree("[bold]Regions[/] and Direct Connect lines")
    for region in sorted(kinds, key=lambda name: (kinds[name], name)):
        on_it = [line for line in lines if line.hub == region]
        if kinds[region] == "private" or not any(line.spoke == region for line in lines):
            node = tree.add(_region(region, kinds[region], vpcs))
            for line in sorted(on_it, key=lambda line: line.spoke):
                state = "" if line.up else "  [red]down[/]"
                text = _region(line.spoke, kinds.get(line.spoke, "?"), vpcs)
                node.add(f"── {line.direct_connect} ── {text}{state}")
    return tree


def _region(name: str, kind: str, vpcs: Sequence[VpcRow]) -> str:
    inside = [f"{row.vpc} {row.cidr}" for row in vpcs if row.region == name]
    return f"[bold]{name}[/] ({kind})" + (f": {', '.join(inside)}" if inside else "")


def _tree(vpcs: Sequence[VpcRow], networks: Sequence[NetworkRow], connections: Sequence[ConnectionRow]) -> Tree:
    tree = Tree(f"[bold]{len(vpcs)} VPCs[/], {len(connections)} connections")
    tenants: dict[str, Tree] = {}
    for row in sorted(vpcs, key=lambda row: (row.tenant, row.vpc)):
        tenant = tenants.get(row.tenant) or tenants.setdefault(row.tenant, tree.add(f"tenant {row.tenant}"))
        part = f", part of {row.global_vpc}" if row.global_vpc else ""
        where = f", in {row.region}" if row.region else ""
        node = tenant.add(f"[bold]{row.vpc}[/] {row.cidr}, VRF {row.vrf}{where}{part}")
        for network in (one for one in networks if one.vpc == row.vpc):
            number = f"VNI {network.vni}" if network.vni else f"VLAN {network.vlan}" if network.vlan else "no segment"
            node.add(f"network {network.network} ({network.model}, {number})")
        for connection in (one for one in connections if row.vpc in (one.vpc, one.peer)):
            peer = connection.peer if connection.vpc == row.vpc else connection.vpc
            why = f": {connection.reason}" if connection.reason else ""
            node.add(f"↔ {peer} [{'green' if connection.state == 'ready' else 'yellow'}]{connection.state}[/]{why}")
    return tree
