"""``driftline projections``: the generations of the projections, and what is done with them."""

from collections.abc import Awaitable, Callable

import click

from driftline.cli.common import late_progress, people, print_json, print_table, run, server_options
from driftline.cli.verify import check_projections
from driftline.errors import UsageError
from driftline.stack import Options, Stack, existing, open_stack
from driftline.standing import Standing, standings
from projections import generations
from projections.postgres import Database, Generation
from projections.rebuild import Rebuilt
from projections.rebuild import rebuild as rebuild_projections


@click.group(invoke_without_command=True)
@click.option("--quick", is_flag=True, help="Only where each generation stands: no rows, hashes and rates.")
@server_options()
@click.pass_context
def projections(context: click.Context, options: Options, quick: bool, as_json: bool) -> None:
    """List the projections: position, lag behind the log, rate, rows, version and hash, in each generation.

    A generation is one complete set of tables. The live one is read; the others can be made live at once.
    """
    if context.invoked_subcommand is None:
        run(_list(options, quick=quick, as_json=as_json))


async def _list(options: Options, *, quick: bool, as_json: bool) -> None:
    async with open_stack(existing(options)) as stack:
        found = await standings(stack.log, stack.database, quick=quick)
    if as_json:
        print_json(found)
        return
    for one in found.generations:
        rows = [
            (p.projection, p.version, ", ".join(p.tables), "" if p.rows is None else p.rows, p.hash[:16])
            for p in one.projections
        ]
        people().print(_headline(one, quick=quick), soft_wrap=True)
        if quick or not rows:  # none: from before there were generations, nobody knows what is in it
            continue
        print_table(one.generation, ("projection", "version", "tables", "rows", "hash"), rows)
    if not found.generations:
        people().print("no projections yet: no projector has run")
    if found.skipped:
        title = "events of newer types, which this version skips"
        print_table(title, ("type", "events", "latest"), [(s.type, s.count, s.last_position) for s in found.skipped])


def _headline(one: Standing, *, quick: bool) -> str:
    rate = "" if quick else f", {one.rate:,.0f} events/s now"
    foreign = "" if one.ours else ", another program's"
    return (
        f"{one.generation}: {one.state}, version {one.version}{foreign}, "
        f"position {one.position:,}, {one.lag:,} behind the log{rate}"
    )


@projections.command()
@click.option("--swap", is_flag=True, help="Make it live as soon as it is complete and compared.")
@server_options()
def rebuild(options: Options, swap: bool, as_json: bool) -> None:
    """Build all projections anew from the log, beside the live ones, and compare them with the log.

    The control plane goes on meanwhile. Without --swap the new generation is kept up to date from then on, ready to
    be made live by `driftline projections swap`.
    """
    run(_rebuild(options, swap=swap, as_json=as_json))


async def _rebuild(options: Options, *, swap: bool, as_json: bool) -> None:
    async with open_stack(existing(options)) as stack:
        built = await rebuilt(stack, swap=swap)
    if as_json:
        print_json(built)
    else:
        show_rebuilt(built)


async def rebuilt(stack: Stack, *, swap: bool) -> Rebuilt:
    """``projections.rebuild.rebuild``, with progress on stderr."""
    with late_progress("building from the log") as told:
        return await rebuild_projections(stack.log, stack.database, told, swap=swap)


def show_rebuilt(built: Rebuilt) -> None:
    """Print what a rebuild did."""
    out = people()
    out.print(
        f"{built.generation}, version {built.version}: [green]{built.state}[/] at position {built.position:,}; "
        f"{built.events:,} events to {built.rows:,} rows in {built.seconds:.1f} s "
        f"({built.events_per_second:,} events/s), compared in {built.compare_s:.1f} s"
    )
    for differing in built.live_differs:
        out.print(f"[yellow]the generation that was live differed from the log[/]: {differing.first}")


@projections.command()
@server_options()
def swap(options: Options, as_json: bool) -> None:
    """Make the ready generation live; the live one is kept as the previous one."""
    run(_change(options, generations.swap, as_json=as_json))


@projections.command()
@server_options()
def rollback(options: Options, as_json: bool) -> None:
    """Make the previous generation live again, at once; the live one becomes the previous one."""
    run(_change(options, generations.rollback, as_json=as_json))


async def _change(options: Options, change: Callable[[Database], Awaitable[Generation]], *, as_json: bool) -> None:
    async with open_stack(existing(options)) as stack:
        live = await change(stack.database)
    _tell(live, "is live", as_json=as_json)


@projections.command()
@click.argument("generation", required=False, default="")
@click.option("--all", "every", is_flag=True, help="All of them: the next projector starts from nothing.")
@server_options()
def drop(options: Options, generation: str, every: bool, as_json: bool) -> None:
    """Remove GENERATION (driftline_g3, or 3), which must not be the live one."""
    if every == bool(generation):
        raise UsageError("GENERATION or --all: give one of them")
    run(_drop(options, 0 if every else number_of(generation), as_json=as_json))


async def _drop(options: Options, number: int, *, as_json: bool) -> None:
    async with open_stack(existing(options)) as stack:
        if number:
            _tell(await generations.drop(stack.database, number), "was dropped", as_json=as_json)
            return
        dropped = await generations.list_generations(stack.database)
        await stack.database.clear()
    if as_json:
        print_json([_document(one) for one in dropped])
    else:
        people().print(f"dropped: {', '.join(one.name for one in dropped) or 'there were none'}")


@projections.command()
@click.option("--generation", default="", help="Which one; by default the live one.")
@server_options()
def verify(options: Options, generation: str, as_json: bool) -> None:
    """Compare a generation with the log, by canonical hashes of all tables. The same as `driftline verify`.

    On a difference: the first key that differs in each table, and which events touched that row first and last.
    """
    run(check_projections(options, number=number_of(generation) if generation else 0, as_json=as_json))


def number_of(generation: str) -> int:
    """``driftline_g3`` or ``3`` → 3. Raises UsageError."""
    digits = generation.removeprefix("driftline_g")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 1 << 31):
        raise UsageError(f"generation {generation!r}: not a name or number of a generation, e.g. driftline_g3")
    return int(digits)


def _tell(one: Generation, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(one))
    else:
        people().print(f"{one.name} {what}: version {one.version}, position {one.position:,}")


def _document(one: Generation) -> dict[str, object]:
    return {"generation": one.name, **one._asdict()}
