"""How long an answer takes on a long log: whole commands, from the shell to the last line.

    .venv/bin/driftline load --instances 91000 --hosts 200 --data DIR       # about a million events, once
    .venv/bin/python benchmarks/questions.py --data DIR --rounds 5

The book is made first, in a folder of its own, and reported by itself. Then each command is run as a process on a NATS
that runs already; the port and the positions asked for are drawn from the log.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import click
import uvloop

from bus.embedded import embedded_nats
from bus.jetstream import JetStreamLog, connect
from driftline.book import Book, open_book
from driftline.cli.common import configure_logging

DRIFTLINE = Path(sysconfig.get_path("scripts")) / "driftline"
#: Where it is used, Python compiles a program once.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def measured(data: Path, rounds: int, cache: Path) -> dict[str, object]:
    """Make the book, then time each command ``rounds`` times."""
    async with embedded_nats(data / "nats") as server:
        async with connect(server.url) as connection:
            log = JetStreamLog(connection)
            started = time.perf_counter()
            book = await open_book(log, folder=cache / "books")
            indexed_s = time.perf_counter() - started
            rows = len(book.rows("ports"))
            folded_s = time.perf_counter() - started - indexed_s
            commands = questions(book)
            last = book.last
            book.close()
        size = sum(path.stat().st_size for path in (cache / "books").iterdir())
        answers = {}
        for name, arguments in commands.items():
            answers[name] = await asyncio.to_thread(timed, [*arguments, "--nats", server.url], rounds, cache)
    return {
        "events": last,
        "ports": rows,
        "book": {
            "indexed_s": round(indexed_s, 1),
            "folded_s": round(folded_s, 1),
            "events_per_second": round(last / (indexed_s + folded_s)),
            "bytes": size,
        },
        "seconds": answers,
    }


def questions(book: Book) -> dict[str, list[str]]:
    """The commands, about a port and positions in the middle of the log."""
    ports = book.rows("ports", book.last // 2)
    port = ports[len(ports) // 2]
    name, host = str(getattr(port, "port")), str(getattr(port, "host"))  # noqa: B009 rows of any table come as Row
    halfway, event = book.last // 2, book.concerning("port", name)[-1].position
    return {
        "why PORT": ["why", name],
        "why PORT --as-of": ["why", name, "--as-of", str(halfway)],
        "history PORT": ["history", name],
        "causes EVENT": ["causes", str(event)],
        "ports --host --as-of": ["ports", "--host", host, "--as-of", str(halfway)],
        "port-states --as-of": ["port-states", "--as-of", str(halfway)],
        "diff, 100 positions": ["diff", str(halfway), str(halfway + 100)],
        "step --at": ["step", "--at", str(halfway), "--json"],
    }


def timed(arguments: list[str], rounds: int, cache: Path) -> dict[str, float]:
    """Seconds of so many runs of a command."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(
            [str(DRIFTLINE), *arguments],
            env=ENVIRONMENT | {"DRIFTLINE_CACHE": str(cache)},
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - started)
    return {"median": round(statistics.median(seconds), 3), "max": round(max(seconds), 3)}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Keep the book here, and reuse it.")
def main(data: Path, rounds: int, cache: Path | None) -> None:
    """Print the figures as one JSON document."""
    configure_logging("warning")
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measured(data, rounds, cache or Path(folder)))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "processor": platform.processor()}
    sys.stdout.write(json.dumps({"machine": machine, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
