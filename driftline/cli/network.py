"""``driftline network create`` and ``set-gateway``: ask for a network or another gateway, and wait for the outcome."""

import asyncio
from typing import Any

import click
import msgspec

from bus.events import (
    LeafTrunkAdded,
    NetworkCreated,
    NetworkCreateRequested,
    NetworkGatewayChanged,
    NetworkGatewayChangeRequested,
    NetworkRefused,
    RouterGatewayConfigured,
    SubnetCreated,
)
from bus.subjects import PREFIX, history_filter
from driftline.answers import Awaited, answers
from driftline.cli.common import people, print_json, print_table, printable, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client, Published
from driftline.current import rows, wait_projected
from driftline.errors import NotDone
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import world_of_log

_TIMEOUT = click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait."
)
_CONFIGURED = Awaited(f"{PREFIX}.router.>", (RouterGatewayConfigured,))
_TRUNKED = Awaited(f"{PREFIX}.leaf.*.*.*.trunk_added", (LeafTrunkAdded,))
#: How many ports of a blast radius are named; the rest is counted.
SHOWN_MAX = 20


class Created(msgspec.Struct, kw_only=True):
    """The document of ``network create``. ``router`` and ``leaves``: who acknowledged a provider network."""

    network: str
    model: str
    vpc: str
    vlan: int
    vni: int
    subnet: str
    cidr: str
    gateway: str
    labels: list[str]
    router: str = ""
    leaves: int = 0


class Moved(msgspec.Struct, kw_only=True):
    """The document of ``network set-gateway``: the change, and the blast radius.

    ``unrouted``: the names of the ports that were told another gateway than the new one and are so still.
    """

    network: str
    gateway: str
    was: str
    router: str
    ports: int
    instances: int
    hosts: dict[str, int]
    unrouted: list[str]


@click.group()
def network() -> None:
    """Create networks, and change their gateways."""


@network.command()
@click.argument("name")
@click.option("--vpc", required=True, help="The VPC that it belongs to.")
@click.option("--cidr", required=True, help="Its addresses, e.g. 10.200.0.0/24.")
@click.option("--gateway", default="", help="[default: the first host address]")
@click.option("--model", default="evpn", show_default=True, help="How it is realised: evpn, vlan …")
@click.option("--vlan", type=int, help="Its VLAN, where the model has one. [default: the lowest that is free]")
@click.option("--vni", type=int, help="Its VNI, where the model has one. [default: the lowest that is free from 4096]")
@click.option("--label", "labels", multiple=True, help="Ports can be asked for by it (repeatable).")
@click.option("--zone", default="", help="The AZ of its subnet, for eni.")
@click.option("--policy", is_flag=True, help="Its ports are under enforcement (docs/howto/policy.md).")
@click.option("--block-length", type=int, default=0, help="Of a host's block, for host-local models.  [default: 24]")
@click.option("--subnet", default="", help="The name of its subnet. [default: NAME-a]")
@_TIMEOUT
@server_options()
def create(
    options: Options,
    name: str,
    vpc: str,
    cidr: str,
    gateway: str,
    model: str,
    vlan: int | None,
    vni: int | None,
    labels: tuple[str, ...],
    zone: str,
    policy: bool,
    block_length: int,
    subnet: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Create network NAME with its subnet, and wait until it can be used, or is refused."""
    document = {
        "network": name,
        "vpc": vpc,
        "cidr": cidr,
        "gateway": gateway,
        "model": model,
        "vlan": vlan,
        "vni": vni,
        "labels": labels,
        "subnet": subnet or f"{name}-a",
        "zone": zone,
        "policy": policy,
        "block_length": block_length,
    }
    run(_create(options, parse(NetworkCreateRequested, document), timeout_s, as_json=as_json))


@network.command("set-gateway")
@click.argument("name")
@click.argument("address")
@_TIMEOUT
@server_options()
def set_gateway(options: Options, name: str, address: str, timeout_s: float, as_json: bool) -> None:
    """Make ADDRESS the gateway of network NAME on the core router.

    Nobody tells a running instance: it keeps sending to the gateway it was told, and is not routed until it drifts or
    is spawned again. This prints which instances that concerns.
    """
    request = parse(NetworkGatewayChangeRequested, {"network": name, "address": address})
    run(_set_gateway(options, request, timeout_s, as_json=as_json))


async def _create(options: Options, request: NetworkCreateRequested, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack):
        published = await Client(stack.log, actor="cli").publish(request)
        said: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                created = await _created(stack, request, published, said)
        except TimeoutError as error:
            raise NotDone(f"{request.network}: not done within {timeout_s:g} s{''.join(said)}") from error
    if as_json:
        print_json(created)
        return
    number = f"VLAN {created.vlan}" if created.vlan else f"VNI {created.vni}" if created.vni else "no number"
    article = "an" if created.model[0] in "aeiou" else "a"
    text = f"{created.network} is {article} {created.model} network of {created.vpc}: {number}, {created.cidr}"
    people().print(printable(f"{text}, gateway {created.gateway}"))
    if created.router:
        people().print(printable(f"{created.router} holds the gateway, {created.leaves} leaves trunk the VLAN"))


async def _created(stack: Stack, request: NetworkCreateRequested, published: Published, said: list[str]) -> Created:
    """The network once it can be used; ``said`` is how far it got."""
    ask = (stack.log, published.position, published.request)
    story = Awaited(history_filter("network", request.network), (NetworkCreated, NetworkRefused))
    (first,) = await answers(*ask, story)
    network = first.event
    if isinstance(network, NetworkRefused):
        raise _refused(network)
    assert isinstance(network, NetworkCreated)
    said.append("; the network is created")
    (second,) = await answers(*ask, Awaited(history_filter("subnet", request.subnet), (SubnetCreated,)))
    subnet = second.event
    assert isinstance(subnet, SubnetCreated)
    created = Created(
        network=network.network,
        model=network.model,
        vpc=network.vpc,
        vlan=network.vlan,
        vni=network.vni,
        subnet=subnet.subnet,
        cidr=subnet.cidr,
        gateway=subnet.gateway,
        labels=list(network.labels),
    )
    if network.vlan:
        said.append(", its gateway or its trunks are not configured yet")
        created.router = await _router(stack, published)
        leaves = [row for row in (await world_of_log(stack)).tables["switches"].values() if row.role == "leaf"]
        created.leaves = len(await answers(*ask, _TRUNKED, len(leaves)))
    return created


async def _router(stack: Stack, published: Published) -> str:
    """The core router, once it has acknowledged the gateway."""
    (answer,) = await answers(stack.log, published.position, published.request, _CONFIGURED)
    assert isinstance(answer.event, RouterGatewayConfigured)
    return answer.event.router


async def _set_gateway(
    options: Options, request: NetworkGatewayChangeRequested, timeout_s: float, *, as_json: bool
) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        published = await Client(stack.log, actor="cli").publish(request)
        story = Awaited(history_filter("network", request.network), (NetworkGatewayChanged, NetworkRefused))
        try:
            async with asyncio.timeout(timeout_s):
                (answer,) = await answers(stack.log, published.position, published.request, story)
                if isinstance(answer.event, NetworkRefused):
                    raise _refused(answer.event)
                router = await _router(stack, published)
        except TimeoutError as error:
            raise NotDone(
                f"{request.network}: no core router has acknowledged the gateway within {timeout_s:g} s"
            ) from error
        changed = answer.event
        assert isinstance(changed, NetworkGatewayChanged)
        await wait_projected(stack, plane.projector, answer.position)
        ports: list[Any] = await rows(stack.database, "ports", {"network": changed.network})
    moved = Moved(
        network=changed.network,
        gateway=changed.address,
        was=changed.from_address,
        router=router,
        ports=changed.ports,
        instances=changed.instances,
        hosts=changed.hosts,
        unrouted=sorted(port.name for port in ports if port.gateway != changed.address),
    )
    if as_json:
        print_json(moved)
    else:
        _show(moved)


def _show(moved: Moved) -> None:
    people().print(printable(f"{moved.router}: the gateway of {moved.network} is {moved.gateway}, was {moved.was}"))
    if not moved.ports:
        people().print("no instance was told another: nothing loses its routes")
        return
    people().print(f"blast radius: {moved.instances} instances, {moved.ports} ports, on {len(moved.hosts)} hosts")
    print_table("ports on each host", ("host", "ports"), list(moved.hosts.items()))
    names, more = moved.unrouted[:SHOWN_MAX], len(moved.unrouted) - SHOWN_MAX
    rest = f" and {more} more" if more > 0 else ""
    people().print(printable(f"not routed until they drift or are spawned again: {', '.join(names)}{rest}"))


def _refused(event: NetworkRefused) -> NotDone:
    return NotDone(f"{event.network}: refused: {event.reason} ({event.field}: {event.value})")
