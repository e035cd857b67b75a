"""``driftline spawn``, ``delete`` and ``drift``: publish one request and wait for its outcome."""

import uuid
from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import click
import msgspec

from bus.events import Event, InstanceDeleteRequested, InstanceDriftRequested, SpawnRequested
from driftline.cli.common import people, print_json, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.client import Client
from driftline.current import Now, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.outcomes import Outcome
from driftline.plane import Plane, working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.state import find_instance

E = TypeVar("E", bound=Event)
Request: TypeAlias = SpawnRequested | InstanceDeleteRequested | InstanceDriftRequested
NO_WAIT = click.option(
    "--no-wait", is_flag=True, help="Print the request's id at once: `driftline operation ID` tells the rest."
)


@click.command()
@click.argument("name")
@click.option("--network", help="Take the port from this network.")
@click.option("--label", help="Take the port from any network that carries this label.")
@click.option("--az", default="az1", show_default=True, help="Availability zone.")
@click.option("--host", help="Pin the instance to this host.")
@click.option("--kind", type=click.Choice(["container", "vm", "bm"]), default="container", show_default=True)
@click.option("--pod-label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the pod, for policy (repeatable).")
@click.option("--id", "instance", help="The instance's id, e.g. one whose port is there already (`driftline bulk`).")
@NO_WAIT
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def spawn(
    options: Options,
    name: str,
    network: str | None,
    label: str | None,
    az: str,
    host: str | None,
    kind: str,
    labels: tuple[str, ...],
    instance: str | None,
    no_wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Spawn instance NAME and wait until it is active (Figure 10) or refused."""
    if (network is None) == (label is None):
        raise UsageError("exactly one of --network and --label must be given")
    document = {
        "instance": instance or f"i{uuid.uuid4().hex[:16]}",
        "name": name,
        "az": az,
        "network": network,
        "label": label,
        "host": host,
        "kind": kind,
        "labels": _labels(labels),
    }
    event = parse(SpawnRequested, document)
    run(_spawn(options, event, 0.0 if no_wait else timeout_s, as_json=as_json))


@click.command()
@click.argument("instance")
@NO_WAIT
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def delete(options: Options, instance: str, no_wait: bool, timeout_s: float, as_json: bool) -> None:
    """Delete INSTANCE (its name or its id) and wait until nothing of it is left."""
    run(_delete(options, instance, 0.0 if no_wait else timeout_s, as_json=as_json))


@click.command()
@click.argument("instance")
@click.option("--host", help="Launch it again on this host. [default: where there is most room in its zone]")
@click.option("--reason", default="", help="Why, for those who read the log.")
@NO_WAIT
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def drift(
    options: Options, instance: str, host: str | None, reason: str, no_wait: bool, timeout_s: float, as_json: bool
) -> None:
    """Launch INSTANCE (its name or its id) again on another host, with the same port, IP and MAC (Figure 11).

    Wait until it has drifted, or the drift was refused or failed.
    """
    parse(InstanceDriftRequested, {"instance": "any", "host": host, "reason": reason})  # before anything is started
    run(_drift(options, instance, host, reason, 0.0 if no_wait else timeout_s, as_json=as_json))


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    """Raises UsageError for what is not KEY=VALUE, or a key that is given twice."""
    labels: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or key in labels:
            raise UsageError(
                f"--pod-label: {text!r} {'has a key that was given before' if equals else 'is not KEY=VALUE'}"
            )
        labels[key] = value
    return labels


def parse(event_type: type[E], document: Mapping[str, object]) -> E:
    """The event with these fields. Raises UsageError naming the field and the value that does not fit."""
    try:
        return msgspec.convert(document, event_type)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else "request"
        value = f"{document[field]!r} does not fit: " if field in document else ""  # else it is deeper inside
        raise UsageError(f"{field}: {value}{error}") from error


async def _delete(options: Options, instance: str, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        row = await find_instance(Now(stack.database), instance)
        event = parse(InstanceDeleteRequested, {"instance": row.instance})
        await _publish(stack, plane, event, instance, timeout_s, as_json=as_json)


async def _drift(
    options: Options, instance: str, host: str | None, reason: str, timeout_s: float, *, as_json: bool
) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await wait_projected(stack, plane.projector, await stack.log.last_position())
        row = await find_instance(Now(stack.database), instance)
        event = parse(InstanceDriftRequested, {"instance": row.instance, "host": host, "reason": reason})
        await _publish(stack, plane, event, instance, timeout_s, as_json=as_json)


async def _spawn(options: Options, event: SpawnRequested, timeout_s: float, *, as_json: bool) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        await _publish(stack, plane, event, event.name, timeout_s, as_json=as_json)


async def _publish(stack: Stack, plane: Plane, event: Request, name: str, timeout_s: float, *, as_json: bool) -> None:
    client = Client(stack.log, actor="cli")
    published = await client.publish(event)
    if not timeout_s:  # the caller does not wait
        if as_json:
            print_json(published)
        else:
            click.echo(published.request)
        return
    try:
        outcome = await client.outcome(published, timeout_s)
    except TimeoutError as error:
        raise NotDone(
            f"{name}: no outcome within {timeout_s:g} s; the request is on the log at position "
            f"{published.position} and may still be done (do all workers run?)"
        ) from error
    if as_json:
        print_json(outcome)
    if not outcome.done:
        raise NotDone(f"{name} {outcome}")
    if not as_json:
        people().print(f"[green]{name}[/] ({outcome.instance}) {_in_words(outcome)}")
    if plane.projector is not None:  # it ends with this command, and is to have seen the end of this story
        await plane.projector.wait_for(outcome.position)


def _in_words(outcome: Outcome) -> str:
    return f"has drifted to {outcome.host}" if outcome.kind == "drifted" else f"is {outcome.kind}"
