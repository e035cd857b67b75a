"""A ``driftline up`` whose pods drift, and the questions that are asked of it: the bus, the fabric, the projections."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from bus.envelope import Recorded
from bus.events import AnyEvent, InstanceDeleteRequested, InstanceDriftRequested, SpawnRequested
from bus.subjects import history_filter
from driftline.channel import BusChannel
from driftline.client import Client
from driftline.current import rows, wait_projected
from driftline.figures import timed_drift_steps
from driftline.outcomes import Outcome
from driftline.proof import DriftProof, Proof, prove, prove_drifts
from driftline.stack import Options, Stack, open_stack
from projections.drifts import DriftRow
from projections.port_rows import PortRow
from projections.verify import verify
from tests.acceptance.harness import Site, site, start_up
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.faults import FaultPlan, parse_faults
from workers.devices.simulated.remote import RemoteDevices
from workers.devices.simulated.wire import Ask

#: Two racks of ``hosts`` hosts each, h1… below leaf1 and leaf2, and the rest below leaf3 and leaf4.
WORLD = """
region = [{{ name = "region1" }}]
az = [{{ name = "az1", region = "region1" }}, {{ name = "az2", region = "region1" }}]
leaf = [
    {{ name = "leaf1", az = "az1", vtep = "10.255.0.1", asn = 4200000001 }},
    {{ name = "leaf2", az = "az1", vtep = "10.255.0.2", asn = 4200000002 }},
    {{ name = "leaf3", az = "az1", vtep = "10.255.0.3", asn = 4200000003 }},
    {{ name = "leaf4", az = "az1", vtep = "10.255.0.4", asn = 4200000004 }},
    {{ name = "leaf5", az = "az2", vtep = "10.255.0.5", asn = 4200000005 }},
    {{ name = "leaf6", az = "az2", vtep = "10.255.0.6", asn = 4200000006 }},
]
leaf_pair = [
    {{ az = "az1", leaves = ["leaf1", "leaf2"], hosts = {hosts} }},
    {{ az = "az1", leaves = ["leaf3", "leaf4"], hosts = {hosts}, first_host = {second} }},
    {{ az = "az2", leaves = ["leaf5", "leaf6"], hosts = 1 }},
]
tenant = [{{ name = "acme" }}]
vpc = [{{ name = "prod", tenant = "acme", cidr = "10.0.0.0/8" }}]
network = [
    {{ name = "net1", vpc = "prod", vni = 10001, labels = ["prod-env"] }},
    {{ name = "net2", vpc = "prod", vni = 10002, labels = ["prod-env"] }},
]
subnet = [
    {{ name = "net1-a", network = "net1", cidr = "10.1.0.0/20" }},
    {{ name = "net2-a", network = "net2", cidr = "10.2.0.0/20" }},
]
"""


class Proved(NamedTuple):
    """What the fabric says of all ports, and of those that have drifted."""

    all: Proof
    drifted: DriftProof


class Here:
    """A ``driftline up`` on two racks of hosts, its bus, its projections and its fabric."""

    def __init__(self, place: Site, stack: Stack) -> None:
        self.place = place
        self.stack = stack
        self.log = stack.log
        self.client = Client(stack.log)
        self.fabric = RemoteDevices(BusChannel(stack.connection))

    async def spawned(self, name: str, host: str, network: str = "net1") -> str:
        """Spawn an instance on ``host``; returns the id of its port."""
        request = SpawnRequested(instance=name, name=name, az="az1", network=network, host=host)
        outcome = await self.ended(request)
        assert outcome.kind == "active", outcome
        return f"{name}-0"

    async def drifted(self, name: str, host: str | None = None) -> Outcome:
        """Have an instance drift and wait for the end of it."""
        return await self.ended(InstanceDriftRequested(instance=name, host=host))

    async def deleted(self, *names: str) -> None:
        for name in names:
            outcome = await self.ended(InstanceDeleteRequested(instance=name))
            assert outcome.kind == "deleted", outcome

    async def ended(self, event: AnyEvent) -> Outcome:
        """Publish a request and wait for its outcome."""
        return await self.client.outcome(await self.client.publish(event))

    async def seen(self, kind: type[AnyEvent], key: str, after: int = 0, aggregate: str = "port") -> Recorded:
        """Wait for the next event of this kind about the port, or other ``aggregate``, with this ``key``."""
        async for batch in self.log.follow(after, history_filter(aggregate, key)):
            for r in batch.records:
                if isinstance(r.event, kind):
                    return r
        raise AssertionError("the log never ends")

    async def faults(self, plan: str = "") -> None:
        """From now on devices fare as ``plan`` says."""
        await self.fabric.set_faults(parse_faults(plan) if plan else FaultPlan())

    async def power(self, **change: Sequence[str]) -> None:
        """``power_off``, ``power_on``, ``cut_off``, ``reconnect``: hosts."""
        await self.fabric.set_hosts(SetHosts(**change))

    async def places(self, port: str) -> dict[str, set[str]]:
        """The hosts that hold a vNIC, and flows, of ``port``."""
        hosts = (await self.fabric.dump())["hosts"]
        return {part: {host for host, held in hosts.items() if port in held[part]} for part in ("vnics", "flows")}

    async def arrives(self, from_port: str, ip: str) -> set[str]:
        """The hosts at which packets from ``from_port`` to ``ip`` arrive; empty if one of their ways is stopped."""
        (path,) = await self.fabric.trace([Ask(from_port, dst_ip=ip)])
        return {way[-1].partition("@")[2].partition(" ")[0] for way in path.ways if path.reachable}

    async def rows(self, table: str, **where: str) -> list[Any]:
        """The rows of a table as of now."""
        await wait_projected(self.stack, None, await self.log.last_position())
        return await rows(self.stack.database, table, where)

    async def port(self, name: str) -> PortRow:
        """The port of an instance."""
        (row,) = await self.rows("ports", instance=name)
        return cast(PortRow, row)

    async def state(self, host: str) -> str:
        """up, suspect, down or returned."""
        found = await self.rows("host_states", host=host)
        return found[0].state if found else "up"

    async def drifts(self, name: str) -> list[tuple[DriftRow, dict[str, float | None]]]:
        """The drifts of an instance: each row, and the times of its steps by their labels, milliseconds."""
        found: list[DriftRow] = await self.rows("drifts", instance=name)
        found.sort(key=lambda row: (row.step_01_us, row.ended_us))
        return [(row, {step.label: at_ms for step, at_ms in timed_drift_steps(row)}) for row in found]

    async def proved(self) -> Proved:
        """Ask the fabric about all that is projected."""
        ports, drifts = await self.rows("ports"), await self.rows("drifts")
        return Proved(await prove(self.stack, ports), await prove_drifts(self.stack, ports, drifts))

    async def all_is_well(self) -> None:
        """The fabric delivers all and nothing else, nothing is left over, and the projections equal the log."""
        proved = await self.proved()
        assert proved.all.reachable_ok == proved.all.reachable_checked, proved.all
        assert proved.all.leftovers == 0, proved.all
        assert proved.drifted.at_new_host == proved.drifted.checked, proved.drifted
        assert proved.drifted.at_old_host == 0, proved.drifted
        verdict = await verify(self.log, self.stack.database)
        assert verdict.equal, verdict.difference


@asynccontextmanager
async def two_racks(hosts: int, *options: str) -> AsyncIterator[Here]:
    """A ``driftline up`` on two racks of ``hosts`` hosts each."""
    async with running(WORLD.format(hosts=hosts, second=hosts + 1), *options) as here:
        yield here


@asynccontextmanager
async def running(world: str, *options: str) -> AsyncIterator[Here]:
    """A ``driftline up`` on this world."""
    async with site() as place:
        (place.folder / "world.toml").write_text(world)
        await start_up(place, "--world", "world.toml", *options)
        note = place.note()
        async with open_stack(Options(nats=note["nats"], postgres=note["postgres"])) as stack:
            yield Here(place, stack)
