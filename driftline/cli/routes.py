"""``driftline routes``: the EVPN routes of the fabric; and ``clear-mac``, for one that was frozen."""

import asyncio

import click

from bus.events import LeafMacCleared, LeafMacClearRequested
from driftline.channel import BusChannel
from driftline.cli.common import device_options, people, print_json, print_table, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client
from driftline.current import wait_projected
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import world_of_log
from workers.devices.simulated.evpn import Route
from workers.devices.simulated.remote import RemoteDevices

VNI = click.IntRange(1, (1 << 24) - 1)
_COLUMNS = ("type", "leaf", "RD", "VNI", "VRF", "MAC", "IP/prefix", "next hop", "seq", "flags", "port")


@click.command()
@click.argument("leaf", default="")
@click.option("--type", "route_type", type=click.Choice(["2", "3", "5"]), help="MAC/IP, multicast, or IP prefix alone.")
@click.option("--vni", type=VNI, default=None, help="Only the routes of this VNI.")
@device_options
def routes(options: Options, leaf: str, route_type: str | None, vni: int | None, as_json: bool) -> None:
    """List the EVPN routes that LEAF originates, or all leaves, as the fabric has them (RFC 7432, RFC 9136).

    Type 2: a MAC with its IP and its mobility sequence number. Type 3: who is sent what is flooded in a VNI. Type 5: a
    prefix of a VRF. Flags: gateway, superseded (another leaf pair has a higher number), duplicate (frozen).
    """
    run(_routes(options, leaf, int(route_type or 0), vni or 0, as_json=as_json))


async def _routes(options: Options, leaf: str, route_type: int, vni: int, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        try:
            found = await RemoteDevices(BusChannel(stack.connection)).routes(leaf, route_type, vni)
        except ValueError as error:
            raise UsageError(str(error)) from error
    if as_json:
        print_json(found)
    else:
        print_table(f"{len(found)} EVPN routes", _COLUMNS, [_row(route) for route in found])


def _row(route: Route) -> tuple[object, ...]:
    of_port = route.type == 2 and "gateway" not in route.flags
    return (
        *(route.type, route.leaf, route.rd, route.vni or "-", route.vrf, route.mac or "-", route.ip or "-"),
        *(route.next_hop, route.sequence if of_port else "-", " ".join(route.flags) or "-", route.port or "-"),
    )


@click.command("clear-mac")
@click.argument("vni", type=VNI)
@click.argument("mac")
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def clear_mac(options: Options, vni: int, mac: str, timeout_s: float, as_json: bool) -> None:
    """Say that MAC in VNI is no duplicate (any more): its routes are not frozen any longer (RFC 7432, section 15.1)."""
    run(_clear_mac(options, vni, mac, timeout_s, as_json=as_json))


async def _clear_mac(options: Options, vni: int, mac: str, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack):
        frozen = await RemoteDevices(BusChannel(stack.connection)).routes("", 2, vni)
        leaf = next((route.leaf for route in frozen if route.mac == mac and "duplicate" in route.flags), "")
        if not leaf:
            raise UsageError(f"mac: {mac} is not frozen in VNI {vni}")
        world = await world_of_log(stack)
        az = next(row.az for row in world.hosts.values() if leaf in (row.leaf_a, row.leaf_b))
        event = parse(LeafMacClearRequested, {"leaf": leaf, "az": az, "vni": vni, "mac": mac})
        answer = await _answer(stack, event, timeout_s)
    if answer.error:
        raise NotDone(f"{mac} in VNI {vni} is not cleared: {answer.error}")
    if as_json:
        print_json(answer)
    else:
        people().print(f"{mac} in VNI {vni} is cleared")


async def _answer(stack: Stack, event: LeafMacClearRequested, timeout_s: float) -> LeafMacCleared:
    after = await stack.log.last_position()
    published = await Client(stack.log, actor="cli").publish(event)
    try:
        async with asyncio.timeout(timeout_s):
            async for batch in stack.log.follow(after):
                for r in batch.records:
                    if isinstance(r.event, LeafMacCleared) and r.correlation == published.request:
                        return r.event
    except TimeoutError as error:
        raise NotDone(f"no answer within {timeout_s:g} s from {event.leaf} (does cnc run?)") from error
    raise NotDone("the log ended")
