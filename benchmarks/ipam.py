"""Central IPAM beside host-local IPAM, in one run: real workers in one process, an embedded NATS and PostgreSQL.

    .venv/bin/python benchmarks/ipam.py --pods 600

Both networks are of one world; the pods of each are spawned in one burst, after one pod per host has had a block come.
"""

import asyncio
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import click

from bus.envelope import Recorded
from bus.events import InstanceActive, PortAllocated, PortCreateRequested, SpawnRequested
from driftline.cli.common import configure_logging
from driftline.client import Client
from driftline.plane import working_plane
from driftline.stack import Options, Stack, open_stack
from driftline.world_setup import WorldChoice, describe_world

HOSTS = 8
CENTRAL = "ipam"
_HEAD = """
[[region]]
name = "r1"
[[az]]
name = "az1"
region = "r1"
spines = ["s1"]
[[tenant]]
name = "t"
[[vpc]]
name = "v"
tenant = "t"
cidr = "10.0.0.0/8"
[[network]]
name = "central"
vpc = "v"
vni = 5001
[[subnet]]
name = "sc"
network = "central"
cidr = "10.1.0.0/16"
[[network]]
name = "host-local"
vpc = "v"
model = "host-local-bgp"
[[subnet]]
name = "sh"
network = "host-local"
cidr = "10.2.0.0/16"
"""


def world() -> str:
    """Eight hosts below one pair of leaves."""
    leaves = "".join(f'[[leaf]]\nname = "l{n}"\naz = "az1"\nvtep = "10.255.0.{n}"\nasn = 6500{n}\n' for n in (1, 2))
    rows = [
        f'[[host]]\nname = "h{n}"\naz = "az1"\nleaves = ["l1", "l2"]\ninterface = "e{n}"\ncapacity = 5000\n'
        for n in range(HOSTS)
    ]
    return _HEAD + leaves + "".join(rows)


async def burst(stack: Stack, network: str, pods: int, prefix: str) -> dict[str, float]:
    """Spawn ``pods`` in ``network``, and say what it took."""
    requests = [
        SpawnRequested(instance=f"{prefix}{n}", name=f"{prefix}{n}", az="az1", network=network) for n in range(pods)
    ]
    after = await stack.log.last_position()
    started = time.perf_counter()
    await Client(stack.log, actor="benchmark").publish_all(requests)
    said: list[Recorded] = []
    active = 0
    async for batch in stack.log.follow(after):
        said += batch.records
        active += sum(isinstance(r.event, InstanceActive) for r in batch.records)
        if active >= pods:
            break
    seconds = time.perf_counter() - started
    asked = {r.event.port: r.time_us for r in said if isinstance(r.event, PortCreateRequested)}
    given = [(r.event.port, r.time_us) for r in said if isinstance(r.event, PortAllocated)]
    waits = sorted(at - asked[port] for port, at in given)
    span = max(at for _, at in given) - min(asked.values())
    return {
        "pods": pods,
        "active_per_second": round(pods / seconds, 1),
        "allocations_per_second": round(pods / (span / 1e6), 1),
        "request_to_allocated_ms_median": round(statistics.median(waits) / 1000, 2),
        "request_to_allocated_ms_p99": round(waits[int(len(waits) * 0.99)] / 1000, 2),
        "central_ipam_events_per_pod": round(sum(r.actor == CENTRAL for r in said) / pods, 3),
        "events_per_pod": round(len(said) / pods, 2),
    }


async def measure(pods: int) -> dict[str, object]:
    """Both networks, one after the other; then each pod alone, for the latency of an idle system."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "world.toml"
        path.write_text(world())
        async with open_stack(Options(), join_running=False) as stack, working_plane(stack):
            await describe_world(stack, WorldChoice(file=path), pods)
            result: dict[str, dict[str, float]] = {}
            for network in ("central", "host-local"):
                await burst(stack, network, 4 * HOSTS, f"warm-{network}-")
            for network in ("central", "host-local"):
                result[network] = await burst(stack, network, pods, f"{network}-")
                alone = [await burst(stack, network, 1, f"one-{network}-{n}-") for n in range(20)]
                medians = [one["request_to_allocated_ms_median"] for one in alone]
                result[network]["alone_request_to_allocated_ms_median"] = round(statistics.median(medians), 2)
    central, local = result["central"], result["host-local"]
    ratios = {key: round(local[key] / central[key], 2) for key in central if central[key] and key != "pods"}
    return {**result, "host_local_over_central": ratios, "machine": platform.platform(), "pods": pods}


@click.command()
@click.option("--pods", type=click.IntRange(10, 1500), default=600, show_default=True)
def main(pods: int) -> None:
    """Measure, and print one JSON document."""
    configure_logging("warning")
    click.echo(json.dumps(asyncio.run(measure(pods)), indent=2))


if __name__ == "__main__":
    main()
