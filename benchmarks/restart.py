"""How long a worker takes from its start until it is deciding again, on a long log: without a snapshot, and with one.

    .venv/bin/driftline load --instances 91000 --data DIR       # about a million events, once
    .venv/bin/python benchmarks/restart.py --data DIR --role ipam --rounds 3

Whole processes, from the shell to the line that says that the worker runs, on a copy of the log in DIR. The first start
folds the log from its beginning and then takes the snapshot that the others start from.
"""

import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil
import uvloop

from bus.embedded import embedded_nats
from driftline.parts import all_workers

#: What one start may take, seconds.
PATIENCE_S = 600.0


async def start(url: str, role: str, snapshots: Path, until: str) -> dict[str, float]:
    """Start the worker, and end it once it has said ``until``. Returns how it began."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-c",
            "from driftline.cli.main import main; main()",
            "worker",
            role,
            "--leashed",
            "--nats",
            url,
            "--snapshots",
            str(snapshots),
        ),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    found: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE_S):
        async for line in process.stderr:
            told = json.loads(line)
            if told["event"] == "caught up":
                found |= {"from_snapshot_at": told["snapshot"], "caught_up_at": told["position"]}
            if told["event"] == "worker runs":
                found["seconds"] = round(time.perf_counter() - began, 2)
                found["memory_mib"] = psutil.Process(process.pid).memory_info().rss >> 20
            if told["event"] == "snapshot":
                found["snapshot_took_s"] = told["seconds"]
            if told["event"] == until:
                break
        process.stdin.close()
        await process.wait()
    return found


async def measure(data: Path, role: str, rounds: int) -> dict[str, object]:
    """One start without a snapshot, and ``rounds`` with one."""
    with tempfile.TemporaryDirectory() as folder:
        copy, snapshots = Path(folder) / "nats", Path(folder) / "snapshots"
        await asyncio.to_thread(shutil.copytree, data / "nats", copy)
        snapshots.mkdir(mode=0o700)
        async with embedded_nats(copy) as server:
            without = await start(server.url, role, snapshots, "snapshot")
            size = sum(path.stat().st_size for path in snapshots.iterdir())
            found = [await start(server.url, role, snapshots, "worker runs") for _ in range(rounds)]
    return {
        "without": without,
        "snapshot_mib": round(size / (1 << 20), 1),
        "with": found,
        "median_seconds": statistics.median(one["seconds"] for one in found),
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--role", type=click.Choice([*all_workers(), "all"]), default="ipam", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
def main(data: Path, role: str, rounds: int) -> None:
    """Print one JSON document."""
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    document = {"machine": machine, "role": role, **uvloop.run(measure(data, role, rounds))}
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
