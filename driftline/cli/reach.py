"""``driftline reach``: does a packet get from here to there? The fabric is asked, not the projections."""

from typing import cast

import click

from driftline.channel import BusChannel
from driftline.cli.common import device_options, people, print_json, run
from driftline.cli.policy import flow_of, flow_options
from driftline.current import Now, rows, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.state import find_instance
from projections.clusters import IngressRow
from workers.devices.simulated.remote import RemoteDevices
from workers.devices.simulated.wire import Ask
from workers.policy_rules import Flow


@click.command()
@click.argument("source")
@click.argument("target")
@flow_options
@device_options
def reach(options: Options, source: str, target: str, proto: str, port: int, http: str, as_json: bool) -> None:
    """Ask the fabric whether a packet from instance SOURCE reaches TARGET, from device state alone.

    TARGET is an instance, or an ingress: then what is behind it is to be reached as well.

    The hops name the rules of policy that let it pass; what stops it names the device and the reason.
    """
    run(_reach(options, source, target, flow_of(proto, port, http), as_json=as_json))


async def _port_of(stack: Stack, name: str) -> str:
    """The port of an instance, or of the VIP of an ingress. Raises UsageError if there is none."""
    ingresses = cast(list[IngressRow], await rows(stack.database, "ingresses", {"ingress": name}))
    if ingresses and ingresses[0].outside:
        return ingresses[0].outside
    row = await find_instance(Now(stack.database), name)
    if not row.port:
        raise UsageError(f"instance: {row.name} has no port, it is {row.state}")
    return row.port


async def _reach(options: Options, source: str, target: str, flow: Flow, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        ports_of = [await _port_of(stack, name) for name in (source, target)]
        fabric = RemoteDevices(BusChannel(stack.connection))
        (path,) = await fabric.trace([Ask(ports_of[0], ports_of[1], flow=flow)])
    if as_json:
        print_json(path)
    else:
        for hop in path.hops:
            people().print(f"  {hop}", markup=False)
    if not path.reachable:
        raise NotDone(f"{source} does not reach {target}: {path.reason}")
    if not as_json:
        people().print(f"[green]{source} reaches {target}[/]")
