"""``driftline cluster create``, ``ingress create`` and ``clusters``: a K8s cluster inside a VPC (Figure 12)."""

from collections.abc import Sequence
from typing import cast

import click

from bus.events import (
    ClusterCreated,
    ClusterCreateRequested,
    ClusterRefused,
    Event,
    IngressCreated,
    IngressCreateRequested,
    IngressRefused,
)
from bus.events.policy import Selector
from driftline.answers import answer
from driftline.cli.common import people, print_json, print_table, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.reading import Reading, open_state
from driftline.stack import Options, open_stack
from projections.clusters import ClusterRow, IngressRow

_TIMEOUT = click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait."
)


@click.group()
def cluster() -> None:
    """K8s clusters, each inside one VPC with a plane of its own."""


@cluster.command("create")
@click.argument("name")
@click.option("--vpc", required=True, help="The VPC that it is in.")
@click.option("--pod-cidr", required=True, metavar="CIDR", help="The addresses of its pods; not within the VPC's.")
@click.option("--policy/--no-policy", default=True, show_default=True, help="Whether its plane enforces policy.")
@_TIMEOUT
@server_options()
def create_cluster(
    options: Options, name: str, vpc: str, pod_cidr: str, policy: bool, timeout_s: float, as_json: bool
) -> None:
    """Create cluster NAME: its pods are spawned in network NAME-pods, and nothing leads there but an ingress."""
    document = {"cluster": name, "vpc": vpc, "pod_cidr": pod_cidr, "policy": policy}
    request = parse(ClusterCreateRequested, document)
    run(_ask(options, request, "cluster", name, (ClusterCreated, ClusterRefused), timeout_s, as_json=as_json))


@click.group()
def ingress() -> None:
    """The ways into a cluster."""


@ingress.command("create")
@click.argument("name")
@click.option("--cluster", "to_cluster", required=True, help="The cluster that it leads into.")
@click.option("--network", required=True, help="The network of the VPC that the VIP is taken from.")
@click.option("--az", default="az1", show_default=True, help="Availability zone of the proxy.")
@click.option(
    "--listen",
    "listen",
    multiple=True,
    required=True,
    metavar="PORT:SELECTOR[:TARGET]",
    help="A tcp port, the labels of the pods behind it (or all), and their port, e.g. 80:app=web:8080.",
)
@_TIMEOUT
@server_options()
def create_ingress(
    options: Options,
    name: str,
    to_cluster: str,
    network: str,
    az: str,
    listen: Sequence[str],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Create ingress NAME and wait until the cluster can be reached at its VIP."""
    listeners = [_listener(text) for text in listen]
    document = {"ingress": name, "cluster": to_cluster, "network": network, "az": az, "listeners": listeners}
    request = parse(IngressCreateRequested, document)
    run(_ask(options, request, "ingress", name, (IngressCreated, IngressRefused), timeout_s, as_json=as_json))


def _listener(text: str) -> dict[str, object]:
    """``80:app=web:8080`` as a listener. Raises UsageError."""
    port, _, rest = text.partition(":")
    selector, _, target = rest.partition(":")
    if not (port.isdigit() and selector and (not target or target.isdigit())):
        raise UsageError(f"--listen: {text!r} is not PORT:SELECTOR[:TARGET], like 80:app=web:8080")
    return {"port": int(port), "selects": _selector(text, selector), "target_port": int(target or 0)}


def _selector(text: str, selector: str) -> Selector:
    if selector == "all":
        return "all"
    pairs = [part.partition("=") for part in selector.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise UsageError(f"--listen: {text!r}: {selector!r} is neither all nor labels like app=web")
    return {name: value for name, _, value in pairs}


async def _ask(
    options: Options,
    request: ClusterCreateRequested | IngressCreateRequested,
    kind: str,
    name: str,
    ends: tuple[type[Event], type[Event]],
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        published = await Client(stack.log, actor="cli").publish(request)
        try:
            r = await answer(stack.log, published, kind, ends, timeout_s)
        except TimeoutError as error:
            raise NotDone(
                f"{kind} {name}: no answer within {timeout_s:g} s; the request is on the log at position "
                f"{published.position} and may still be done (do all workers run?)"
            ) from error
        if plane.projector is not None:  # it ends with this command, and is to have seen the end of this story
            await plane.projector.wait_for(r.position)
    if as_json:
        print_json(r.event)
    match r.event:
        case ClusterRefused() | IngressRefused() as refused:
            raise NotDone(f"{kind} {name} refused: {refused.reason} ({refused.field}: {refused.value})")
        case ClusterCreated(network=network, pod_cidr=cidr) if not as_json:
            people().print(f"[green]{name}[/] is created; its pods: network {network}, {cidr}")
        case IngressCreated(vip=vip) if not as_json:
            people().print(f"[green]{name}[/] is created; its VIP: {vip}")
        case _:
            pass


@click.command()
@reading_options
def clusters(reading: Reading, as_json: bool) -> None:
    """List the K8s clusters with their planes, and the ingresses that lead into them."""
    run(_clusters(reading, as_json=as_json))


async def _clusters(reading: Reading, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = cast(list[ClusterRow], await state.rows("clusters"))
        ways = cast(list[IngressRow], await state.rows("ingresses"))
    if as_json:
        print_json({"clusters": found, "ingresses": ways})
        return
    table = [[row.cluster, row.vpc, row.plane, row.network, row.pod_cidr] for row in found]
    print_table(f"{len(found)} clusters", ("cluster", "VPC", "plane", "network of pods", "pod CIDR"), table)
    shown = [[row.ingress, row.cluster, row.state, row.vip, "; ".join(row.listeners), row.endpoints] for row in ways]
    print_table(f"{len(ways)} ingresses", ("ingress", "cluster", "state", "VIP", "listeners", "endpoints"), shown)
