"""The events of a spawn, as the workers write them: what limits are measured with."""

from collections.abc import Iterator
from typing import TypedDict

from bus.envelope import Envelope
from bus.events import (
    AnyEvent,
    InstanceActive,
    InstanceScheduled,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortOverlayReported,
    PortPlugged,
    PortRegistered,
    PortUnderlayReported,
    SpawnRequested,
)

#: When the first of them happened, and how far apart they are, microseconds.
START_US, STEP_US = 1_760_000_000_000_000, 1_500
#: How many hosts the instances are spread over.
HOSTS = 50


def spawn_events(count: int, prefix: str = "") -> list[Envelope]:
    """The first ``count`` events of spawns of ``<prefix>i0``, ``<prefix>i1``, …, one spawn after the other."""
    spawns = (envelope for number in range(-(-count // len(_spawn("i", 0)))) for envelope in _told(prefix, number))
    return [envelope for envelope, _ in zip(spawns, range(count), strict=False)]


def _told(prefix: str, number: int) -> Iterator[Envelope]:
    instance = f"{prefix}i{number}"
    cause = ""
    for step, event in enumerate(_spawn(instance, number)):
        event_id = f"bench:{number}:{step}:{instance}"
        at_us = START_US + (number * 11 + step) * STEP_US
        yield Envelope(id=event_id, event=event, cause=cause, correlation=instance, actor="bench", time_us=at_us)
        cause = event_id


class _Named(TypedDict):
    instance: str
    name: str
    az: str
    network: str


class _Claim(TypedDict):
    port: str
    az: str
    host: str
    generation: int


def _spawn(instance: str, number: int) -> tuple[AnyEvent, ...]:
    """What Figure 10's thirteen steps leave in the log where the leaves carry the VLAN already."""
    port, az, host = f"{instance}-0", "az1", f"az1-h{number % HOSTS}"
    named: _Named = {"instance": instance, "name": f"n-{instance}", "az": az, "network": "net1"}
    claim: _Claim = {"port": port, "az": az, "host": host, "generation": 1}
    ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    allocated = PortAllocated(
        port=port,
        az=az,
        host=host,
        name=named["name"],
        instance=instance,
        network="net1",
        subnet="sub-net1",
        vpc="vpc1",
        vrf="vrf1",
        ip=ip,
        prefix_length=8,
        gateway="10.255.255.254",
        mac="fa:16:" + bytes(map(int, ip.split("."))).hex(":"),
        physical_network="leaf1-leaf2",
        vlan=100,
        vni=5001,
    )
    return (
        SpawnRequested(**named),
        InstanceScheduled(**named, host=host),
        PortCreateRequested(port=port, host=host, **named),
        allocated,
        PortRegistered(port=port, az=az, host=host),
        PortPlugged(**claim, received_us=START_US),
        PortUnderlayReported(**claim, status="ACTIVE", detected_us=START_US),
        PortBindRequested(**claim),
        PortBound(**claim, vlan=100, vni=5001),
        PortOverlayReported(**claim, status="ACTIVE", configured_us=0),
        InstanceActive(instance=instance, az=az, host=host, port=port),
    )
