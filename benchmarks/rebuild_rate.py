"""Events per second of a full rebuild of all projections: read, decoded, folded, written to PostgreSQL.

    .venv/bin/driftline load --instances 91000 --data DIR       # about a million events, once
    .venv/bin/python benchmarks/rebuild_rate.py --data DIR --rounds 3

Each round builds a generation beside the live one and swaps it in. ``events_per_second`` ends when all tables are
complete, keys and all; comparing them with the log (``compare_s``) and the swap come after it. ``cpu_s`` is what this
process took of a core, without the one that reads and without the servers: where other work shares the machine, it says
more than the rate.
"""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import click
import msgspec
import uvloop

from driftline.cli.common import configure_logging
from driftline.stack import Options, open_stack
from projections.rebuild import rebuild


async def rounds(data: Path, count: int) -> list[dict[str, object]]:
    """Rebuild so many times; returns what each was like."""
    found: list[dict[str, object]] = []
    async with open_stack(Options(data=data)) as stack:
        for _ in range(count):
            cpu_s = time.process_time()
            built = await rebuild(stack.log, stack.database, swap=True)
            cpu_s = time.process_time() - cpu_s
            found.append({**msgspec.structs.asdict(built), "cpu_s": cpu_s, "load_average": os.getloadavg()[0]})
            sys.stderr.write(f"{built.events_per_second:,} events/s\n")
    return found


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--rounds", "count", type=click.IntRange(1), default=3, show_default=True)
def main(data: Path, count: int) -> None:
    """Print the rounds and their median as one JSON document."""
    configure_logging("warning")
    found = uvloop.run(rounds(data, count))
    rates = [int(str(one["events_per_second"])) for one in found]
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "processor": platform.processor()}
    document = {"machine": machine, "median_events_per_second": statistics.median(rates), "rounds": found}
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
