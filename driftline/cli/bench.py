"""``driftline bench``: what this machine can do."""

import click
import msgspec

from driftline.bench.figure import Bounds, Figure
from driftline.bench.limits import limits as all_limits
from driftline.cli.common import configure_logging, print_json, print_table, progress_console, run
from driftline.cli.numbers import FiniteRange
from driftline.stack import Options, open_stack


@click.group()
def bench() -> None:
    """What this machine can do."""


@bench.command()
@click.option("--events", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True, help="At most so many.")
@click.option("--rows", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True, help="At most so many.")
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 1000),
    multiple=True,
    default=(100, 500, 1000),
    show_default=True,
    help="Size of the atomic batches; may be given several times.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0.01, max=600),
    default=3.0,
    show_default=True,
    help="No figure but the last takes longer.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
def limits(events: int, rows: int, batches: tuple[int, ...], seconds: float, *, as_json: bool) -> None:
    """Measure what everything stands on: JetStream, msgspec and PostgreSQL, on servers started for it.

    The figures of one run are comparable with each other, and with nothing else.
    """
    configure_logging("warning")
    run(_limits(Bounds(events=events, rows=rows, seconds=seconds, batches=batches), as_json=as_json))


async def _limits(bounds: Bounds, *, as_json: bool) -> None:
    console = progress_console()
    figures: list[Figure] = []
    with console.status("starting servers") as status:

        def tell(done: int, until: int) -> None:
            status.update(f"the log alone: {done:,} of {until:,}")

        async with open_stack(Options(), join_running=False) as stack:
            status.update("measuring")
            async for one in all_limits(stack, bounds, tell):
                figures.append(one)
                status.update(f"measured {len(figures)}: {one.what}")
                if not console.is_terminal:
                    console.print(f"{one.what}: {one.per_second:,.0f} {one.unit}/s")
    if as_json:
        print_json({"bounds": msgspec.structs.asdict(bounds), "figures": figures})
    else:
        print_table("Limits of this machine", ("what", "a second", "of", "measured s", "µs each"), _rows(figures))


def _rows(figures: list[Figure]) -> list[tuple[str, str, str, float, float]]:
    return [
        (one.what, f"{one.per_second:,.0f}", one.unit, round(one.seconds, 2), round(_each_us(one), 1))
        for one in figures
    ]


def _each_us(one: Figure) -> float:
    return one.median_ms * 1000 if one.median_ms is not None else 1e6 / one.per_second
