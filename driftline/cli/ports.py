"""Commands that show state: ports, port-states (Figure 8), timeline (Figures 10 and 11), networks."""

from typing import Any, cast

import click
from rich.bar import Bar
from rich.table import Table

from driftline.cli.common import people, print_json, print_table, printable, reading_options, run
from driftline.errors import UsageError
from driftline.figures import TimedStep, drift_sequence, sequence, timed_drift_steps, timed_steps
from driftline.reading import Reading, open_state
from driftline.state import find_instance
from projections.drifts import DriftRow
from projections.port_states import PAIRS
from projections.spawns import SpawnRow

_PORT_COLUMNS = ("port", "name", "host", "network", "ip", "mac", "vlan", "vni", "underlay", "overlay")


@click.command()
@click.option("--host", help="Only ports on this host.")
@click.option("--network", help="Only ports of this network.")
@click.option("--name", help="Only the port with this name.")
@reading_options
def ports(reading: Reading, host: str | None, network: str | None, name: str | None, as_json: bool) -> None:
    """List the ports with both their statuses."""
    where = {key: value for key, value in (("host", host), ("network", network), ("name", name)) if value}
    run(_ports(reading, where, as_json=as_json))


async def _ports(reading: Reading, where: dict[str, str], *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = await state.rows("ports", where)
        for option in ("host", "network") if not found else ():
            name = where.get(option)
            if name and not await state.rows(f"{option}s", {option: name}):
                raise UsageError(f"--{option}: {name} is no {option} of the world")
    if as_json:
        print_json(found)
        return
    table = [[getattr(row, column) for column in _PORT_COLUMNS] for row in found]
    print_table(f"{len(found)} ports", _PORT_COLUMNS, table)


@click.command("port-states")
@click.option("--history", is_flag=True, help="Every second in which a port changed, not only now.")
@reading_options
def port_states(reading: Reading, history: bool, as_json: bool) -> None:
    """Figure 8: how many ports are in each of the nine (underlay, overlay) pairs."""
    run(_port_states(reading, history=history, as_json=as_json))


async def _port_states(reading: Reading, *, history: bool, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = await state.rows("port_states")
    if history:
        columns = ("second_us", *(pair.lower() for pair in PAIRS))
        table = [[getattr(row, column) for column in columns] for row in found]
        if as_json:
            print_json(found)
        else:
            print_table("Port states over time", columns, table)
        return
    counts = {pair: int(getattr(found[-1], pair.lower())) if found else 0 for pair in PAIRS}
    if as_json:
        print_json({"ports": sum(counts.values()), "states": {pair: _share(counts, pair) for pair in PAIRS}})
    else:
        people().print(figure_8(counts))


def _share(counts: dict[str, int], pair: str) -> dict[str, float]:
    total = sum(counts.values())
    return {"count": counts[pair], "percent": round(100 * counts[pair] / total, 2) if total else 0.0}


def figure_8(counts: dict[str, int]) -> Table:
    """Figure 8: the nine pairs, their counts and their shares."""
    table = Table(title=f"Port states (Figure 8), {sum(counts.values())} ports", title_justify="left")
    table.add_column("UNDERLAY_OVERLAY")
    table.add_column("ports", justify="right")
    table.add_column("share", justify="right")
    table.add_column("", width=30)
    for pair in sorted(counts, key=lambda pair: -counts[pair]):
        percent = _share(counts, pair)["percent"]
        colour = "green" if pair == "ACTIVE_ACTIVE" else "red" if "ERROR" in pair else "yellow"
        table.add_row(pair, str(counts[pair]), f"{percent:.2f} %", Bar(100, 0, percent, color=colour))
    return table


@click.command()
@click.argument("instance")
@reading_options
def timeline(reading: Reading, instance: str, as_json: bool) -> None:
    """Draw Figure 10 for INSTANCE (name or id), and Figure 11 for each of its drifts, with their real times."""
    run(_timeline(reading, instance, as_json=as_json))


async def _timeline(reading: Reading, instance: str, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        row = await find_instance(state, instance)
        (spawned,) = await state.rows("spawns", {"instance": row.instance})
        drifts = cast(list[DriftRow], await state.rows("drifts", {"instance": row.instance}))
    assert isinstance(spawned, SpawnRow)
    drifts.sort(key=lambda drift: (drift.step_01_us, drift.ended_us))
    if as_json:
        of_drifts = [{"drift": drift, "steps": _documents(timed_drift_steps(drift))} for drift in drifts]
        print_json({"spawn": spawned, "steps": _documents(timed_steps(spawned)), "drifts": of_drifts})
        return
    show_timeline(spawned)
    for drift in drifts:
        show_drift(drift)


def _documents(steps: list[TimedStep]) -> list[dict[str, Any]]:
    return [
        {"step": t.step.label if t.step.part else t.step.number, "text": t.step.text, "at_ms": t.at_ms} for t in steps
    ]


def show_timeline(row: SpawnRow) -> None:
    """Print the sequence of one spawn."""
    _show_figure("Figure 10", f"{row.name} ({row.instance}) on {row.host or 'no host'}", row, sequence(row))


def show_drift(row: DriftRow) -> None:
    """Print the sequence of one drift."""
    name = f"{row.name} ({row.instance})" if row.name else row.instance
    moved = f"{name} from A = {row.from_host or 'its host'} to B = {row.host or 'no host'}"
    why = f" ({row.cause})" if row.cause else ""
    _show_figure("Figure 11", f"{moved}{why}", row, drift_sequence(row))


def _show_figure(figure: str, what: str, row: SpawnRow | DriftRow, lines: list[str]) -> None:
    ended = f"{row.outcome}: {row.reason}" if row.reason else row.outcome or "under way"
    people().print(f"\n[bold]{figure}[/] for", printable(f"{what}: {ended}"))
    for line in lines:
        people().print(line, markup=False, no_wrap=True, overflow="ignore", crop=False)


@click.command()
@reading_options
def networks(reading: Reading, as_json: bool) -> None:
    """List the networks with their labels and what is free in them."""
    run(_networks(reading, as_json=as_json))


async def _networks(reading: Reading, *, as_json: bool) -> None:
    async with open_state(reading) as state:
        found = await state.rows("networks")
        pools = await state.rows("pools")
    free: dict[str, int] = {}
    for pool in pools:
        network = str(getattr(pool, "network"))  # noqa: B009 rows of any table come as Row
        free[network] = free.get(network, 0) + int(getattr(pool, "free"))  # noqa: B009
    columns = ("network", "vpc", "vrf", "vni", "labels", "model", "vlan")
    table = [[*(getattr(row, column) for column in columns), free.get(getattr(row, "network"), 0)] for row in found]  # noqa: B009
    if as_json:
        print_json([dict(zip((*columns, "free"), row, strict=True)) for row in table])
    else:
        print_table(f"{len(found)} networks", (*columns, "free"), [[*r[:4], " ".join(r[4]), *r[5:]] for r in table])
