"""``driftline policy apply|delete`` and ``driftline policies``: who may speak to whom, by labels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec

from bus.events import PolicyApplied, PolicyCreateRequested, PolicyDeleteRequested, PolicyRefused
from driftline.answers import answer
from driftline.cli.common import people, print_json, print_table, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client, Published
from driftline.current import rows
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.policy_file import load, parse_http
from driftline.reading import Reading, open_state
from driftline.stack import Options, Stack, open_stack
from projections.policies import IdentityRow, PolicyRow
from projections.port_rows import PortRow
from workers.policy_rules import PORT_MAX, Flow

F = TypeVar("F", bound=Callable[..., Any])
_TIMEOUT = click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait."
)


class Said(msgspec.Struct, frozen=True):
    """How a request about a policy ended."""

    policy: str
    state: str
    revision: int = 0
    reason: str = ""
    field: str = ""
    value: str = ""

    def __str__(self) -> str:
        why = f": {self.reason} ({self.field}: {self.value})" if self.reason else ""
        return f"policy {self.policy} {self.state}{why}"


@click.group()
def policy() -> None:
    """Who may speak to whom, by the labels of pods (as a Kubernetes NetworkPolicy, L3 to L7)."""


@policy.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@_TIMEOUT
@server_options()
def apply_policies(options: Options, file: Path, timeout_s: float, as_json: bool) -> None:
    """Create or update the policies in FILE (TOML) and wait until every host concerned has acknowledged them."""
    run(_ask(options, load(file), timeout_s, as_json=as_json))


@policy.command("delete")
@click.argument("name")
@_TIMEOUT
@server_options()
def delete_policy(options: Options, name: str, timeout_s: float, as_json: bool) -> None:
    """Delete policy NAME and wait until every host concerned has acknowledged it."""
    request = parse(PolicyDeleteRequested, {"policy": name})
    run(_ask(options, [request], timeout_s, as_json=as_json))


async def _ask(
    options: Options,
    requests: Sequence[PolicyCreateRequested | PolicyDeleteRequested],
    timeout_s: float,
    *,
    as_json: bool,
) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        published = await Client(stack.log, actor="cli").publish_all(list(requests))
        said = [
            await _answer(stack, one, "deleted" if isinstance(request, PolicyDeleteRequested) else "applied", timeout_s)
            for request, one in zip(requests, published, strict=True)
        ]
        if plane.projector is not None:  # it ends with this command, and is to have seen the end of this story
            await plane.projector.wait_for(await stack.log.last_position())
    if as_json:
        print_json(said)
    refused = [one for one in said if one.state == "refused"]
    if refused:
        raise NotDone("; ".join(map(str, refused)))
    if not as_json:
        for one in said:
            people().print(f"[green]{one.policy}[/] (revision {one.revision}) is {one.state}")


async def _answer(stack: Stack, published: Published, state: str, timeout_s: float) -> Said:
    try:
        r = await answer(stack.log, published, "policy", (PolicyApplied, PolicyRefused), timeout_s)
    except TimeoutError as error:
        raise NotDone(
            f"policy {published.instance}: not applied within {timeout_s:g} s; the request is on the log at position "
            f"{published.position}; not acknowledged: {await _lacking(stack) or 'none (do all workers run?)'}"
        ) from error
    if isinstance(r.event, PolicyRefused):
        why = r.event
        return Said(why.policy, "refused", 0, why.reason, why.field, why.value)
    return Said(published.instance, state, cast(PolicyApplied, r.event).revision)


async def _lacking(stack: Stack) -> str:
    """The ports under enforcement that are not ACTIVE, and why."""
    ports = cast(list[PortRow], await rows(stack.database, "ports"))
    lacking = [port for port in ports if port.policy_by and port.policy_report != "ACTIVE"]
    return ", ".join(f"{one.port} on {one.host}{f' ({one.reason})' if one.reason else ''}" for one in lacking[:5])


@click.command()
@reading_options
def policies(reading: Reading, as_json: bool) -> None:
    """List the policies: whom they select, what they allow, and whether all hosts have acknowledged them."""
    run(_policies(reading, as_json=as_json))


async def _policies(reading: Reading, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = cast(list[PolicyRow], await state.rows("policies"))
        identities = cast(list[IdentityRow], await state.rows("identities"))
    if as_json:
        print_json({"policies": found, "identities": identities})
        return
    columns = ("policy", "vpc", "revision", "state", "selects", "ingress", "egress")
    table = [
        [row.policy, row.vpc, row.revision, row.state, row.selects, _shown(row, "ingress"), _shown(row, "egress")]
        for row in found
    ]
    print_table(f"{len(found)} policies", columns, table)
    labels = [[row.identity, row.vpc, " ".join(row.labels)] for row in identities]
    print_table(f"{len(identities)} identities", ("identity", "vpc", "labels"), labels)


def _shown(row: PolicyRow, direction: str) -> str:
    rules = row.ingress if direction == "ingress" else row.egress
    return "; ".join(rules) or ("none" if direction in row.governs else "open")


def flow_options(command: F) -> F:
    """``--proto``, ``--port`` and ``--http``: what kind of packet is asked for; see ``flow_of``."""
    for option in (
        click.option("--http", default="", metavar="REQUEST", help="With an HTTP request, e.g. 'GET /x'."),
        click.option("--port", type=int, default=0, metavar="PORT", help="To this port."),
        click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True),
    ):
        command = option(command)
    return command


def flow_of(proto: str, port: int, http: str) -> Flow:
    """The packet that is asked for. Raises UsageError, naming the option that does not fit."""
    if port and proto == "icmp":
        raise UsageError("--port: give --proto tcp or --proto udp with it")
    if proto != "icmp" and not 1 <= port <= PORT_MAX:
        raise UsageError(f"--port: {port} is no port from 1 to {PORT_MAX}")
    if http and proto != "tcp":
        raise UsageError("--http: goes over --proto tcp")
    try:
        asked = parse_http(http) if http else None
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    if asked is not None and not (asked.method and asked.path):
        raise UsageError(f"--http: {http!r} names no method and path, like 'GET /x'")
    method, path = (asked.method, asked.path) if asked is not None else ("", "")
    return Flow(proto, port, method, path)  # type: ignore[arg-type]  # click has checked it
