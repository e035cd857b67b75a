"""``driftline reconcile``: compare what devices hold with what the log says; what differs is repaired."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias, cast

import click
import msgspec

from bus.envelope import Recorded
from bus.events import (
    BARE_METAL,
    DeviceAudited,
    DeviceAuditRequested,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    LeafAudited,
    LeafAuditRequested,
    LeafDifference,
    TableDifference,
)
from bus.events.device import DeviceTable
from bus.subjects import key_of
from driftline.cli.common import people, print_json, print_table, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.client import Client
from driftline.current import rows, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import world_of_log
from projections.borders import border_of
from projections.hosts import HostStateRow
from projections.world import World

_Request: TypeAlias = HostAuditRequested | LeafAuditRequested | DeviceAuditRequested
#: What was asked of a device, its table if it was that, and the device.
_Asked: TypeAlias = tuple[type[_Request], str, str]
#: States in which a host cannot be compared.
_SILENT = ("down", "returned")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a device lacks (``missing``) or holds without a right to."""

    device: str
    what: str
    missing: bool


class Reconciled(msgspec.Struct, kw_only=True):
    """The document of ``reconcile``. ``skipped``: hosts that are down; ``errors``: why a device was not compared."""

    compared: int
    differences: list[Difference]
    skipped: list[str]
    errors: dict[str, str]


@click.command()
@click.option("--host", help="Only this host.")
@click.option("--leaf", help="Only this leaf.")
@click.option(
    "--timeout",
    "timeout_s",
    type=POSITIVE,
    default=60.0,
    show_default=True,
    help="Seconds to wait.",
)
@server_options()
def reconcile(options: Options, host: str | None, leaf: str | None, timeout_s: float, as_json: bool) -> None:
    """Compare what devices hold with what the log says, and show what differs: that is repaired at once.

    All leaves and all hosts that are not down, but for bare metal, which has no agent; the core router and the borders,
    if they have anything to hold; or the one host or leaf that is named. It also happens by itself, now and then.
    """
    if host and leaf:
        raise UsageError("only one of --host and --leaf can be given")
    run(_reconcile(options, host, leaf, timeout_s, as_json=as_json))


async def _reconcile(options: Options, host: str | None, leaf: str | None, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        world = await world_of_log(stack)
        skipped = [] if host or leaf else await _silent(stack)
        requests = [*_requests(world, host, leaf), *await _tables(stack, world, host, leaf)]
        requests = [one for one in requests if key_of(one) not in skipped]
        found = await _compare(stack, requests, timeout_s)
        found.skipped = skipped
        if plane.projector is not None:
            await plane.projector.wait_for(await stack.log.last_position())
    if as_json:
        print_json(found)
    elif found.compared:
        _show(found)
    if found.errors:
        device, error = next(iter(found.errors.items()))
        raise NotDone(f"{len(found.errors)} of {len(requests)} devices could not be compared: {device}: {error}")


def _requests(world: World, host: str | None, leaf: str | None) -> list[_Request]:
    """What to ask for. Raises UsageError for what the world has not."""
    leaves = {leaf: row.az for row in world.hosts.values() for leaf in (row.leaf_a, row.leaf_b)}
    if host is not None:
        if host not in world.hosts:
            raise UsageError(f"--host: {host} is no host of the world")
        if world.hosts[host].kind == BARE_METAL:
            raise UsageError(f"--host: {host} is bare metal: it has no agent that could compare it")
        return [HostAuditRequested(host=host, az=world.hosts[host].az)]
    if leaf is not None:
        if leaf not in leaves:
            raise UsageError(f"--leaf: {leaf} is no leaf that a host hangs on")
        return [LeafAuditRequested(leaf=leaf, az=leaves[leaf])]
    servers = [row for row in world.hosts.values() if row.kind != BARE_METAL]
    of_hosts = [HostAuditRequested(host=row.host, az=row.az) for row in servers]
    return [*of_hosts, *(LeafAuditRequested(leaf=name, az=az) for name, az in leaves.items())]


async def _tables(stack: Stack, world: World, host: str | None, leaf: str | None) -> list[DeviceAuditRequested]:
    """The tables of which something is wished somewhere: only then is their worker sure to run."""
    servers = [row for row in world.hosts.values() if row.kind == "server"]
    leaves = list(dict.fromkeys(leaf for row in servers for leaf in (row.leaf_a, row.leaf_b)))
    devices: dict[DeviceTable, tuple[str, list[str]]] = {
        "trunk": ("leaf_trunks", leaves),
        "blocks": ("block_routes", [*(row.host for row in servers), *leaves]),
        "gateways": ("gateways", [world.router] if world.router else []),
        "border": ("border_entries", [border_of(az) for az in world.region_of]),
    }
    asked: list[DeviceAuditRequested] = []
    for table, (rows_of, names) in devices.items():
        wanted = [name for name in names if name in (host, leaf) or not (host or leaf)]
        if wanted and await rows(stack.database, rows_of):
            asked += [DeviceAuditRequested(device=name, table=table) for name in wanted]
    return asked


async def _silent(stack: Stack) -> list[str]:
    states = cast(list[HostStateRow], await rows(stack.database, "host_states"))
    return [row.host for row in states if row.state in _SILENT]


async def _compare(stack: Stack, requests: Sequence[_Request], timeout_s: float) -> Reconciled:
    """Ask, and wait for every answer. Raises NotDone, naming devices, when some do not come."""
    after = await stack.log.last_position()
    published = await Client(stack.log, actor="cli").publish_all(requests)
    waiting: dict[_Asked, int] = {
        (type(request), getattr(request, "table", ""), one.instance): one.position
        for request, one in zip(requests, published, strict=True)
    }
    found = Reconciled(compared=0, differences=[], skipped=[], errors={})
    try:
        async with asyncio.timeout(timeout_s):
            async for batch in stack.log.follow(after):
                for r in batch.records:
                    _take(found, r, waiting)
                if not waiting:
                    break
    except TimeoutError as error:
        silent = ", ".join(sorted({device for _, _, device in waiting}))
        workers = "ovs-agent, cnc, core-router, border and block-routes"
        raise NotDone(f"no answer within {timeout_s:g} s from {silent} (do {workers} run?)") from error
    found.differences.sort(key=lambda one: (one.device, one.what))
    found.compared = len({key_of(one) for one in requests} - found.errors.keys())
    return found


def _take(found: Reconciled, r: Recorded, waiting: dict[_Asked, int]) -> None:
    """Take in an answer to our request, or to a later one: a device answers the newest."""
    match r.event:
        case HostAudited() as answer:
            asked: _Asked = (HostAuditRequested, "", answer.host)
        case LeafAudited() as answer:
            asked = (LeafAuditRequested, "", answer.leaf)
        case DeviceAudited() as answer:
            asked = (DeviceAuditRequested, answer.table, answer.device)
        case _:
            return
    if answer.epoch < waiting.get(asked, answer.epoch + 1):
        return
    del waiting[asked]
    device = asked[2]
    if answer.error:
        found.errors[device] = answer.error
        return
    differences: Sequence[HostDifference | LeafDifference | TableDifference] = answer.differences
    found.differences += [Difference(device=device, what=_in_words(d), missing=d.missing) for d in differences]


def _in_words(one: HostDifference | LeafDifference | TableDifference) -> str:
    match one:
        case TableDifference(key=key, held=held, wished=wished):
            return f"{key}: {wished or held}"
        case HostDifference(part=part, port=port, generation=generation):
            return f"{part} of port {port}, generation {generation}"
        case LeafDifference(interface=interface, vlan=vlan, vni=vni):
            return f"{interface} VLAN {vlan} to VNI {vni}"


def _show(found: Reconciled) -> None:
    if found.differences:
        table = [[one.device, one.what, "missing" if one.missing else "not wanted"] for one in found.differences]
        print_table(f"{len(table)} differences, under repair", ("device", "what", "how"), table)
    else:
        people().print(f"[green]no differences[/]: {found.compared} devices are as the log says")
    if found.skipped:
        people().print(f"not compared, because they are down: {', '.join(found.skipped)}")
