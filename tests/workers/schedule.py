"""Schedules drawn from a seed: what is asked for, who goes next, what fails, who crashes. Same seed, same run."""

import random
from collections.abc import Iterator
from itertools import count

import msgspec

from bus.envelope import Envelope
from bus.events import (
    AzAdded,
    Event,
    HostAdded,
    InstanceDeleteRequested,
    NetworkCreated,
    PortBindRequested,
    PortDeleteRequested,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    RegionAdded,
    SpawnRequested,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from tests.workers.cluster import Cluster, Node, Outcome
from tests.workers.invariants import FORGED, Auditor
from tests.workers.playbook import Claim

AZ = "az1"
#: h1 and h2 share a leaf pair; h3 has its own.
WORLD: tuple[Event, ...] = (
    RegionAdded(region="r1"),
    AzAdded(az=AZ, region="r1"),
    HostAdded(host="h1", az=AZ, leaf_a="l1", leaf_b="l2", interface="e1", capacity=8),
    HostAdded(host="h2", az=AZ, leaf_a="l1", leaf_b="l2", interface="e2", capacity=3),
    HostAdded(host="h3", az=AZ, leaf_a="l3", leaf_b="l4", interface="e1", capacity=3),
    TenantAdded(tenant="t1"),
    VpcCreated(vpc="v1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
    VpcCreated(vpc="v2", tenant="t1", vrf="vrf2", cidr="10.0.0.0/8"),
    NetworkCreated(network="n1", vpc="v1", vni=5001, labels=("prod",)),
    NetworkCreated(network="n2", vpc="v1", vni=5002, labels=("prod", "test")),
    NetworkCreated(network="n3", vpc="v2", vni=5003),
    SubnetCreated(subnet="s1", network="n1", cidr="10.0.1.0/29", gateway="10.0.1.1"),
    SubnetCreated(subnet="s2", network="n2", cidr="10.0.2.0/29", gateway="10.0.2.2"),
    SubnetCreated(subnet="s3", network="n3", cidr="10.0.1.0/30", gateway="10.0.1.2"),
)


class Schedule:
    """One run of a cluster under one seed."""

    def __init__(self, seed: int, requests: int = 14) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.cluster = Cluster(WORLD)
        self.auditor = Auditor(self.cluster)
        self.trace: list[str] = []
        self._numbers = count(1)
        self._churns = self.random.random() < 0.5
        self._wishes = self._draw_churn(requests) if self._churns else self._draw_requests(requests)
        self._saves = self.random.choice([0.0, 0.01, 0.1])
        #: If set, everybody else is always done at once, so that all that can happen happens to this one.
        self._victim = self.random.choice([None, None, *self.cluster.nodes, self.cluster.node("cnc")])
        self._failures = self.random.choice([0.0, 0.1, 0.5, 0.9])
        self._crashes = self.random.choice([0.0, 0.01, 0.05, 0.15])
        self._forgeries = self.random.choice([0.0, 0.02])
        self._eagerness: dict[str, float] = {}
        if seed % 4 == 3:  # what is hardest to reach: CNC, alone among faults, with leaf interfaces that come and go
            self._churns, self._victim = True, self.cluster.node("cnc")
            self._wishes = self._draw_churn(requests)

    def run(self) -> None:
        """Act until all is asked for and done, then delete everything. Raises AssertionError with the seed."""
        try:
            self.disturb()
            self.calm()
            self.clear()
        except Exception as error:
            recent = "\n  ".join(self.trace[-30:])
            raise AssertionError(f"seed {self.seed}: {error}\n  {recent}") from error

    def disturb(self) -> None:
        """Requests, faults and crashes, in any order."""
        for turn in range(120 if self._victim else 350):
            if turn % 40 == 0:
                self._eagerness = {node.worker.name: self.random.random() for node in self.cluster.nodes}
            self._act()
            self.auditor.always()
            if self._victim:
                self._let_all_others_finish(self._victim)
                self.auditor.always()

    def calm(self) -> None:
        """No more faults, but for what is late: half of it lands now, the rest when all has been deleted."""
        for event in self._wishes:
            self._request(event)
        self.cluster.settle_down()
        for _ in range(len(self.cluster.devices.late) // 2):
            self._land_late()
        self.auditor.once_quiet()

    def clear(self) -> None:
        """Delete all that was ever asked for."""
        for instance in sorted({e.instance for e in self.auditor.spawns.values()}):
            self._request(InstanceDeleteRequested(instance=instance))
        self.cluster.settle_down()
        while self.cluster.devices.late:
            self._land_late()
        self.auditor.once_deleted()

    def _act(self) -> None:
        draw = self.random.random()
        asking = 0.15 if self._victim else 0.06
        if draw < asking:
            event = next(self._wishes, None)
            if event is not None:
                self._request(event)
        elif draw < asking + self._forgeries:
            self.random.choice([self._duplicate, self._report_for_another_claim])()
        elif self.cluster.devices.late and self.random.random() < 0.05:
            self._land_late()
        else:
            self._let_one_act()

    def _let_one_act(self) -> None:
        nodes = [self._victim] if self._victim else self.cluster.nodes
        node = self.random.choices(nodes, [self._eagerness[n.worker.name] + 0.01 for n in nodes])[0]
        name = node.worker.name
        if self.random.random() < self._crashes:
            self.trace.append(f"{name} crashes, checkpoint {node.saved_checkpoint}")
            node.crash(lambda: self.random.choice([Outcome.TIMED_OUT, Outcome.FAILED, Outcome.LATE]))
            return
        if self.random.random() < self._saves:
            node.save()
            return
        match self.random.randrange(9):
            case 0 | 1 | 2 | 3 if node.behind:
                number = self.random.choice([1, 1, 3, 20])
                self.trace.append(f"{name} reads {number} after {node.machine.position}")
                node.read(number)
            case 4 | 5 | 6 if node.queue:
                number = self.random.choice([1, 2, 20])
                self.trace.append(f"{name} appends {[e.id for _, e in list(node.queue)[:number]]}")
                node.append(number)
            case _ if node.current:
                self._finish_an_effect(node)

    def _let_all_others_finish(self, victim: Node) -> None:
        others = [node for node in self.cluster.nodes if node is not victim]
        while any(node.behind or node.queue or node.current for node in others):
            for node in others:
                node.read(20)
                node.append()
                for slot in list(node.current):
                    node.finish(slot)

    def _finish_an_effect(self, node: Node) -> None:
        slot = self.random.choice(sorted(node.current))
        failed = self.random.random() < self._failures
        failures = [Outcome.FAILED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.TIMED_OUT, Outcome.LATE]
        outcome = self.random.choice(failures) if failed else Outcome.DONE
        self.trace.append(f"{node.worker.name} {node.current[slot].planned.effect} {outcome.name}")
        node.finish(slot, outcome)

    def _land_late(self) -> None:
        devices = self.cluster.devices
        self.trace.append(f"late: {devices.land(self.random.randrange(len(devices.late)))}")

    def _request(self, event: Event) -> None:
        correlation = f"q{next(self._numbers)}"
        self.trace.append(f"{correlation}: {event}")
        self.cluster.publish(event, correlation)

    def _duplicate(self) -> None:
        """Append what the log holds already, under its own id or another, as a request of its own or not."""
        r = self.random.choice(self.cluster.log.records)
        number = next(self._numbers)
        asked = isinstance(r.event, SpawnRequested | InstanceDeleteRequested)
        correlation = f"q{number}" if asked and self.random.random() < 0.5 else r.correlation
        self._forge(r.event, correlation, number)

    def _report_for_another_claim(self) -> None:
        """A report of a host that does not have the port, or of a claim that is not the current one."""
        if not self.auditor.live:
            return
        claim = self.random.choice(list(self.auditor.live.values())).allocated
        host = self.random.choice(["h1", "h2", "h3"])
        generation = 1 if host != claim.host else 2
        say: Claim = {"port": claim.port, "az": AZ, "host": host, "generation": generation}
        reports: list[Event] = [
            PortPlugged(**say, received_us=1),
            PortPlugFailed(**say, reason="forged"),
            PortUnderlayReported(**say, status="ACTIVE", detected_us=1),
            PortUnderlayReported(**say, status="ERROR", detected_us=1, reason="forged"),
            PortBindRequested(**say),
            PortUnplugged(**say),
            PortDeleteRequested(**say),
            PortUnderlayRemoved(**say),
            PortOverlayReported(**say, status="ACTIVE"),
            PortUnbound(**say, vlan=claim.vlan, vni=claim.vni),
            PortOverlayRemoved(**say),
        ]
        self._forge(self.random.choice(reports), "forged", next(self._numbers))

    def _forge(self, event: Event, correlation: str, number: int) -> None:
        self.trace.append(f"forged, {correlation}: {event}")
        envelope = Envelope(id=f"{FORGED}{number}", event=event, correlation=correlation)  # type: ignore[arg-type]
        self.cluster.log.inject(envelope)

    def _draw_churn(self, requests: int) -> Iterator[Event]:
        """One host, one network: the same two leaf interfaces are needed and not needed again and again."""
        spawned: list[str] = []
        for number in range(1, requests + 1):
            if len(spawned) > self.random.randrange(3):
                yield InstanceDeleteRequested(instance=spawned.pop(self.random.randrange(len(spawned))))
            else:
                spawned.append(f"i{number}")
                yield SpawnRequested(instance=f"i{number}", name=f"name-{number}", az=AZ, network="n1", host="h1")

    def _draw_requests(self, requests: int) -> Iterator[Event]:
        pinned = self.random.random() < 0.5
        names = [f"i{n}" for n in range(1, max(4, requests // 2) + 1)]
        for number in range(1, requests + 1):
            instance = self.random.choice(names)
            if self.random.random() < 0.4:
                yield InstanceDeleteRequested(instance=instance)
            else:
                yield self._draw_spawn(instance, number, "h1" if pinned else None)

    def _draw_spawn(self, instance: str, number: int, host: str | None) -> SpawnRequested:
        if self.random.random() < 0.8:
            instance = f"{instance}-{number}" if self.random.random() < 0.3 else instance
        network, label = self.random.choice(
            [("n1", None), ("n1", None), ("n2", None), ("n3", None), (None, "prod"), (None, "prod"), (None, "test")]
        )
        if self.random.random() < 0.1:
            network, label, host = self.random.choice(
                [("n9", None, None), (None, "none", None), ("n1", "prod", None), ("n1", None, "h9")]
            )
        name = f"name-{self.random.choice([number, 1])}"
        return SpawnRequested(instance=instance, name=name, az=AZ, network=network, label=label, host=host)


def final_rows(schedule: Schedule) -> dict[str, object]:
    """What must not depend on the schedule: how each request ended and where, without VLANs, addresses and times."""
    rows = schedule.auditor.instances.tables["instances"].values()
    pools = schedule.auditor.addresses.tables["pools"].values()
    leaves = schedule.auditor.leaves.tables["leaf_interfaces"].values()
    return {
        "instances": sorted((row.instance, row.state, row.host, row.name) for row in rows),
        "pools": sorted(msgspec.structs.astuple(row) for row in pools),
        "leaves": sorted((row.leaf, row.interface, row.vni, row.ports, row.state) for row in leaves),
    }
