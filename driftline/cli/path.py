"""``driftline trace-path``: every device between two instances, one by one."""

import click
import msgspec

from driftline.channel import BusChannel
from driftline.cli.common import device_options, people, print_json, printable, run
from driftline.current import Now, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.stack import Options, open_stack
from driftline.state import find_instance
from workers.devices.simulated.hops import Route
from workers.devices.simulated.layouts import LAYOUTS
from workers.devices.simulated.remote import RemoteDevices


class NumberedHop(msgspec.Struct, frozen=True):
    """One hop of the document."""

    number: int
    device: str
    part: str
    kind: str


class TracedPath(msgspec.Struct, kw_only=True):
    """The document of ``trace-path``. ``layout`` is empty where each host is taken as it is."""

    source: str
    target: str
    layout: str
    reachable: bool
    reason: str
    hops: list[NumberedHop]
    switch_hops: int
    note: str


@click.command("trace-path")
@click.argument("source")
@click.argument("target")
@click.option("--layout", type=click.Choice(list(LAYOUTS)), default=None, help="As if all hosts were laid out so.")
@device_options
def trace_path(options: Options, source: str, target: str, layout: str | None, as_json: bool) -> None:
    """List each hop of a packet from instance SOURCE to instance TARGET, as the modelled devices forward it.

    A hop is a bridge, an end of a patch or veth pair, the bond, a NIC, a switch, or an interface of the router.
    """
    run(_trace_path(options, source, target, layout or "", as_json=as_json))


async def _trace_path(options: Options, source: str, target: str, layout: str, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        ports = []
        for name in (source, target):
            row = await find_instance(Now(stack.database), name)
            if not row.port:
                raise UsageError(f"instance: {row.name} has no port, it is {row.state}")
            ports.append(row.port)
        route = await RemoteDevices(BusChannel(stack.connection)).route(ports[0], ports[1], layout)
    traced = TracedPath(
        source=source,
        target=target,
        layout=layout,
        reachable=not route.reason,
        reason=route.reason,
        hops=[NumberedHop(number, hop.device, hop.part, hop.kind) for number, hop in enumerate(route.hops, 1)],
        switch_hops=route.switch_hops,
        note=_note(route),
    )
    if as_json:
        print_json(traced)
    else:
        _show(traced)
    if route.reason:
        raise NotDone(f"{source} does not reach {target}: {route.reason}")


def _show(traced: TracedPath) -> None:
    for hop in traced.hops:
        people().print(printable(f"{hop.number:4}  {hop.kind:8}  {hop.device} {hop.part}"))
    people().print(f"{len(traced.hops)} hops, {traced.switch_hops} of them switches")
    if traced.note:
        people().print(printable(traced.note))


def _note(route: Route) -> str:
    """Why there are not the three switch hops that a spine-leaf fabric has between two hosts."""
    switches = [hop.device for hop in route.hops if hop.kind == "switch"]
    routers = {hop.device for hop in route.hops if hop.kind == "router"}
    if route.reason or len(switches) == 3:
        return ""
    if routers:
        return f"routed by {', '.join(sorted(routers))}, which hangs on every leaf: no spine lies between"
    if not switches:
        return "both are on one bridge of one host: no switch is needed"
    return f"both hosts hang on {switches[0]}: hosts of different leaf pairs are 3 switches apart (leaf, spine, leaf)"
