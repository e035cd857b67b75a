"""``driftline radius``: what fails with a component."""

from collections import Counter
from collections.abc import Iterable
from typing import cast

import click

from driftline.cli.common import people, print_json, print_table, reading_options, run
from driftline.errors import UsageError
from driftline.radius import Site, radius
from driftline.reading import Reading, open_state
from projections.port_rows import PortRow
from projections.world import AzRow, HostRow, SwitchRow

_COLUMNS = ("what", "port", "name", "host", "network", "vpc", "address")


@click.command("radius")
@click.argument("component")
@click.option("--down", multiple=True, help="Something that is down already, e.g. the leaf's twin (repeatable).")
@reading_options
def radius_of(reading: Reading, component: str, down: tuple[str, ...], as_json: bool) -> None:
    """List the ports that fail with COMPONENT: a leaf, spine, core router, host, zone, or worker (or worker@host)."""
    run(_radius(reading, component, down, as_json=as_json))


async def _radius(reading: Reading, component: str, down: tuple[str, ...], *, as_json: bool) -> None:
    async with open_state(reading) as state:
        site = Site(
            cast(list[PortRow], await state.rows("ports")),
            cast(list[HostRow], await state.rows("hosts")),
            cast(list[SwitchRow], await state.rows("switches")),
            cast(list[AzRow], await state.rows("availability_zones")),
        )
    unknown = sorted(set(down) - {*site.kinds})
    if unknown:
        raise UsageError(f"--down: {unknown[0]!r} is no component")
    try:
        found = radius(site, component, down)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if as_json:
        print_json(found)
        return
    ports = {port.port: port for port in site.ports}
    console = people()
    console.print(f"[bold]{found.kind} {found.component}[/]: {len(found.failed)} ports fail, ", end="")
    console.print(f"{len(found.degraded)} lose redundancy or routing, of {len(ports)} ({found.why})")
    if found.meanwhile:
        console.print(f"until it is back, {found.meanwhile}")
    for what, names in (("fails", found.failed), ("degraded", found.degraded)):
        if names:
            _show(what, [ports[name] for name in names])


def _show(what: str, ports: Iterable[PortRow]) -> None:
    ports = list(ports)
    by_network = Counter((port.vpc, port.network) for port in ports)
    print_table(
        f"{what}, by network", ("vpc", "network", "ports"), [[*key, n] for key, n in sorted(by_network.items())]
    )
    table = [(what, p.port, p.name, p.host, p.network, p.vpc, p.ip) for p in ports]
    print_table(f"{len(table)} ports", _COLUMNS, table)
