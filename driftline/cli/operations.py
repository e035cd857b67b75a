"""``driftline bulk``, ``release`` and ``operation``: many ports at once; how any request ended, by its id."""

import asyncio
import time
import uuid
from typing import IO, Any, cast

import click
import msgspec

from bus.events import AnyEvent, OperationPortsRequested, OperationReleaseRequested, PortItem
from driftline.cli.common import people, print_json, print_table, reading_options, run, server_options
from driftline.cli.numbers import POSITIVE
from driftline.cli.requests import parse
from driftline.client import Client
from driftline.current import POLL_S, Now, wait_projected
from driftline.errors import NotDone, UsageError
from driftline.plane import working_plane
from driftline.reading import Reading, open_state
from driftline.stack import Options, open_stack
from driftline.state import State
from projections.operations import OperationItemRow
from projections.requests import RequestRow

_ITEM_COLUMNS = ("instance", "port", "host", "network", "ip", "state", "reason")


class Report(msgspec.Struct, frozen=True):
    """One request: how far it is, how long it took or takes (seconds), and the ports of an operation."""

    request: RequestRow
    seconds: float
    items: tuple[OperationItemRow, ...] = ()


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--id", "operation", help="The operation's id: asking again with it allocates nothing more.")
@click.option("--az", default="az1", show_default=True, help="Availability zone.")
@click.option("--atomic", is_flag=True, help="All ports or none. [default: each on its own]")
@click.option("--no-wait", is_flag=True, help="Print the id at once; ask `driftline operation ID` for the outcome.")
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def bulk(
    options: Options,
    file: IO[bytes],
    operation: str | None,
    az: str,
    atomic: bool,
    no_wait: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Allocate the ports of many instances to come, at once.

    FILE (``-``: stdin) is a JSON array of {"instance", "host", "network" or "label", "name", "labels"}.
    """
    try:
        items = msgspec.json.decode(file.read())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"FILE: {file.name} is no JSON: {error}") from error
    _check_fields(items)
    name = operation or f"op{uuid.uuid4().hex[:16]}"
    document = {"operation": name, "az": az, "atomic": atomic, "items": items}
    event = parse(OperationPortsRequested, document)
    run(_ask(options, event, name, timeout_s, no_wait=no_wait, as_json=as_json))


def _check_fields(items: object) -> None:
    """A field that is not known is an error, so that a misspelt one is noticed. Raises UsageError."""
    known = PortItem.__struct_fields__
    for number, item in enumerate(items if isinstance(items, list) else ()):
        wrong = sorted(set(item) - set(known)) if isinstance(item, dict) else []
        if wrong:
            raise UsageError(f"items[{number}]: {wrong[0]}: there is no such field; there are {', '.join(known)}")


@click.command()
@click.argument("operation")
@click.option("--no-wait", is_flag=True, help="Print the id at once.")
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@server_options()
def release(options: Options, operation: str, no_wait: bool, timeout_s: float, as_json: bool) -> None:
    """Give back all ports of OPERATION that no instance was asked for."""
    event = parse(OperationReleaseRequested, {"operation": operation})
    run(_ask(options, event, f"release-{uuid.uuid4().hex[:16]}", timeout_s, no_wait=no_wait, as_json=as_json))


@click.command()
@click.argument("request_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Until it has its outcome.")
@click.option("--timeout", "timeout_s", type=POSITIVE, default=30.0, show_default=True, help="Seconds to wait.")
@reading_options
def operation(reading: Reading, request_id: str, wait: bool, timeout_s: float, as_json: bool) -> None:
    """How the request with this ID stands: pending, done, refused or failed; why; how long it took."""
    run(_operation(reading, request_id, timeout_s if wait else 0.0, as_json=as_json))


async def _ask(
    options: Options, event: AnyEvent, number: str, timeout_s: float, *, no_wait: bool, as_json: bool
) -> None:
    async with open_stack(options) as stack, working_plane(stack) as plane:
        published = await Client(stack.log, actor="cli").publish(event, id=number)
        if no_wait:
            if as_json:
                print_json(published)
            else:
                click.echo(published.request)
            return
        await wait_projected(stack, plane.projector, published.position, timeout_s)
        if isinstance(event, OperationPortsRequested):
            await _check_same(Now(stack.database), event)
        await _tell(Now(stack.database), number, timeout_s, as_json=as_json)


async def _operation(reading: Reading, request_id: str, timeout_s: float, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        await _tell(state, request_id, timeout_s, as_json=as_json)


async def _check_same(state: State, event: OperationPortsRequested) -> None:
    """The id is the key: NotDone if it was given to other items before, for then these will never be had."""
    rows = cast(list[OperationItemRow], await state.rows("operation_items", {"operation": event.operation}))
    known = {(row.number, row.instance, row.host, row.label, "" if row.label else row.network) for row in rows}
    asked = {
        (number, item.instance, item.host, item.label or "", (not item.label and item.network) or "")
        for number, item in enumerate(event.items)
    }
    if known != asked:
        name = event.operation
        raise NotDone(f"{name} refused: the id is that of a request for other items (operation: {name})")


async def _tell(state: State, request_id: str, timeout_s: float, *, as_json: bool) -> None:
    """Print the report; NotDone if it is refused or failed, or has no outcome within ``timeout_s`` (0: as it is)."""
    report = await _report(state, request_id)
    if timeout_s and report.request.state == "pending":
        try:
            async with asyncio.timeout(timeout_s):
                while report.request.state == "pending":
                    await asyncio.sleep(POLL_S)  # what another process has committed wakes nobody here
                    report = await _report(state, request_id)
        except TimeoutError as error:
            raise NotDone(f"{request_id}: no outcome within {timeout_s:g} s; it may still be done") from error
    if as_json:
        print_json(report)
    row = report.request
    if row.state in ("refused", "failed"):
        named = f" ({row.field}: {row.value})" if row.field else ""
        raise NotDone(f"{request_id} {row.state}: {row.reason}{named}")
    if as_json:
        return
    people().print(f"{row.request} ({row.kind} {row.about}) is {row.state}, {report.seconds:.3f} s", markup=False)
    if report.items:
        table = [[getattr(item, column) for column in _ITEM_COLUMNS] for item in report.items]
        print_table(f"{len(report.items)} ports", _ITEM_COLUMNS, table)


async def _report(state: State, request_id: str) -> Report:
    found = cast(list[RequestRow], await state.rows("requests", {"request": request_id}))
    if not found:
        raise UsageError(f"ID: there is no request {request_id}")
    row = found[0]
    items: list[Any] = []
    if row.kind == "operation.ports_requested":
        items = list(await state.rows("operation_items", {"operation": row.about}))
    ended_us = row.ended_us or time.time_ns() // 1000
    return Report(row, (ended_us - row.requested_us) / 1e6, tuple(sorted(items, key=lambda item: item.number)))
