"""What being observed costs: the same spawns over a log in memory, watched in each of the ways, in turn.

    .venv/bin/python benchmarks/observing.py --instances 1500 --rounds 5

No servers and no latency, so that the workers' own time is all there is: on servers the shares are smaller. Times are
of the CPU; other work on the machine disturbs even those, so each is compared with the unwatched one of its own round,
and the median of that is told. A whole garbage collection is not among them.
"""

import asyncio
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

import click
import uvloop
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from bus.envelope import Envelope, Recorded, decode, encode, request
from bus.events import (
    AnyEvent,
    AzAdded,
    HostAdded,
    InstanceActive,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    SpawnRequested,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from bus.memory import MemoryCheckpoints, MemoryLog
from driftline.cli.common import configure_logging
from driftline.observing.observer import UNOBSERVED, Observer, Observing
from driftline.observing.tracing import Tracing
from driftline.plane import cable
from projections.world import World
from workers import cnc, compute, ipam, nova, ovs_agent
from workers.devices.simulated.driver import SimulatedDevices
from workers.runner import Role, Runner

HOSTS, PAIR = 40, 20
ROLES = tuple(Role(module.WORKER) for module in (nova, compute, ovs_agent, cnc, ipam))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CODEC_LOOPS = 20_000


class Nowhere(SpanExporter):
    """Takes every span and sends it nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def counted(*, timed: bool) -> Observer:
    """As ``driftline up`` does; ``timed``: with ``--metrics``."""
    return Observing("benchmark", has_workers=True, has_projector=False, timed=timed)


def traced(share: str = "") -> Observer:
    """As ``driftline up --traces`` does; ``share``: of how many stories."""
    os.environ.pop("OTEL_TRACES_SAMPLER", None)
    if share:
        os.environ.update(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG=share)
    tracing = Tracing(BatchSpanProcessor(Nowhere(), max_queue_size=50_000))
    return Observing("benchmark", has_workers=True, has_projector=False, tracing=tracing)


#: The ways, the one that watches nothing first.
WAYS: dict[str, Callable[[], Observer]] = {
    "not watched": lambda: UNOBSERVED,
    "counted (always, in up and worker)": lambda: counted(timed=False),
    "counted and timed (--metrics)": lambda: counted(timed=True),
    "counted, one spawn of a hundred traced": lambda: traced("0.01"),
    "counted, each spawn traced (--traces)": traced,
}


def world() -> list[AnyEvent]:
    """Hosts on leaf pairs, and one network that is large enough."""
    leaves = [f"l{pair}{side}" for pair in range(HOSTS // PAIR) for side in "ab"]
    return [
        RegionAdded(region="r1"),
        AzAdded(az="az1", region="r1"),
        *(LeafAdded(leaf=leaf, az="az1", vtep=f"10.255.0.{n}", asn=65000 + n) for n, leaf in enumerate(leaves, 1)),
        *(
            HostAdded(
                host=f"h{n}",
                az="az1",
                leaf_a=f"l{n // PAIR}a",
                leaf_b=f"l{n // PAIR}b",
                interface=f"e{n}",
                capacity=9999,
            )
            for n in range(HOSTS)
        ),
        TenantAdded(tenant="t1"),
        VpcCreated(vpc="v1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
        NetworkCreated(network="n1", vpc="v1", vni=5001, labels=("prod",)),
        SubnetCreated(subnet="s1", network="n1", cidr="10.1.0.0/16", gateway="10.1.0.1"),
    ]


async def burst(observer: Observer, instances: int) -> float:
    """Microseconds of CPU for each spawn, all thirteen steps."""
    log, devices = MemoryLog(), SimulatedDevices()
    await log.append([request(event) for event in world()])
    described: list[Recorded] = [r async for batch in log.read(0, 1 << 40) for r in batch.records]
    cable(devices, World(), described)
    worked_on, watch = observer.workers(log)
    runner = Runner(worked_on, MemoryCheckpoints(), observer.devices(devices), ROLES, watch=watch)
    asked = [SpawnRequested(instance=f"i{n}", name=f"n{n}", az="az1", label="prod") for n in range(instances)]
    running = asyncio.create_task(runner.run())
    await runner.ready.wait()
    gc.collect()
    gc.disable()
    after, began = await log.last_position(), time.process_time()
    await log.append([request(event) for event in asked])
    left = instances
    async for batch in log.follow(after):
        left -= sum(isinstance(r.event, InstanceActive) for r in batch.records)
        if not left:
            break
    taken_s = time.process_time() - began
    gc.enable()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return taken_s / instances * 1e6


def codec(envelope: Envelope) -> float:
    """Microseconds of CPU to encode and decode ``envelope``."""
    began = time.process_time()
    for _ in range(CODEC_LOOPS):
        decode(encode(envelope))
    return (time.process_time() - began) / CODEC_LOOPS * 1e6


def more(found: Sequence[float], bare: Sequence[float]) -> float:
    """How much more than ``bare``, round by round: the median."""
    return statistics.median(one / of for one, of in zip(found, bare, strict=True)) - 1


@click.command()
@click.option("--instances", type=click.IntRange(10, 60_000), default=1500, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
def main(instances: int, rounds: int) -> None:
    """Measure, and print one JSON document."""
    configure_logging("error")
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    uvloop.run(burst(UNOBSERVED, instances))  # the first one pays for what is loaded late
    for _ in range(rounds):
        for way, observer in WAYS.items():
            taken[way].append(uvloop.run(burst(observer(), instances)))
    bare = taken["not watched"]
    event = SpawnRequested(instance="i1", name="n1", az="az1", label="prod")
    document = {
        "instances": instances,
        "rounds": rounds,
        "us_of_cpu_per_spawn": {
            way: {
                "median": round(statistics.median(found), 1),
                "all": [round(one, 1) for one in found],
                "more_than_not_watched": f"{more(found, bare):+.1%}",
            }
            for way, found in taken.items()
        },
        "us_of_cpu_per_event_encoded_and_decoded": {
            "without traceparent": round(min(codec(request(event)) for _ in range(rounds)), 2),
            "with traceparent": round(min(codec(request(event, traceparent=TRACEPARENT)) for _ in range(rounds)), 2),
        },
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
