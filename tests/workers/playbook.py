"""Given this history, when that happens, then the worker decides so.

    given(nova, spawn("i1")).when(delete("i1")).then(...)

``given`` folds events into a real ``Machine``; ``when`` steps one more; ``then`` compares all that is decided: the
events to append, then the effects to perform. A history is what the log says, so it names other workers' decisions too.
"""

from types import ModuleType
from typing import Any, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest

from bus.envelope import Envelope, Recorded, decode, encode, recorded
from bus.events import (
    AzAdded,
    Event,
    HostAdded,
    HostDown,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRequested,
    InstanceDriftFailed,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceScheduled,
    InstanceTerminating,
    LeafVlanAdded,
    LeafVlanFailed,
    LeafVlanRemoved,
    NetworkCreated,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaimed,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleted,
    PortOverlayReported,
    PortPlugged,
    PortRefused,
    PortUnbound,
    PortUnderlayReported,
    RegionAdded,
    SpawnRequested,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from bus.events.port import PortEvent
from tests.workers.fakes import anywhere
from workers.effects import AnyEffect, LeafVlan
from workers.machine import Machine, Output

AZ = "az1"
#: h1 and h2 share a leaf pair, h3 has its own. net1 and net2 carry the label prod.
WORLD: tuple[Event, ...] = (
    RegionAdded(region="r1"),
    AzAdded(az=AZ, region="r1"),
    AzAdded(az="az2", region="r1"),
    HostAdded(host="h1", az=AZ, leaf_a="l1", leaf_b="l2", interface="e1", capacity=2),
    HostAdded(host="h2", az=AZ, leaf_a="l1", leaf_b="l2", interface="e2", capacity=1),
    HostAdded(host="h3", az="az2", leaf_a="l3", leaf_b="l4", interface="e1", capacity=1),
    TenantAdded(tenant="t1"),
    VpcCreated(vpc="vpc1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
    NetworkCreated(network="net1", vpc="vpc1", vni=5001, labels=("prod",)),
    NetworkCreated(network="net2", vpc="vpc1", vni=5002, labels=("prod",)),
    SubnetCreated(subnet="sub1", network="net1", cidr="10.0.1.0/30", gateway="10.0.1.1"),
    SubnetCreated(subnet="sub2", network="net2", cidr="10.0.2.0/29", gateway="10.0.2.1"),
)
VNI = {"net1": 5001, "net2": 5002}
P = TypeVar("P", bound=PortEvent)


class By(NamedTuple):
    """An event of a certain story, and perhaps with an id of its own. A bare event belongs to the story ``story``."""

    correlation: str
    event: Event
    id: str = ""
    cause: str = ""


class Claim(TypedDict):
    """By what a report says which claim of a port it speaks of."""

    port: str
    az: str
    host: str
    generation: int


class Playbook:
    """One worker with a history."""

    def __init__(self, worker: ModuleType, hosts: frozenset[str] | None = None) -> None:
        self.machine = Machine(worker.WORKER, hosts)
        self.output: Output | None = None
        self._decided: list[Envelope] = []

    def given(self, *history: Event | By) -> "Playbook":
        """Fold what happened; nothing is decided."""
        for one in history:
            self.machine.replay(self._next(one))
        return self

    def when(self, event: Event | By) -> "Playbook":
        """The next event of the log. What was decided so far has not reached it."""
        self.output = self.machine.step(self._next(event), now_us=7)
        self._decided += self.output.envelopes if self.output else []
        return self

    def when_decided_again(self, event: Event | By, *later: Event | By) -> "Playbook":
        """After a crash: ``event`` and ``later`` are folded, and ``event`` is above the checkpoint."""
        r = self._next(event)
        self.machine.replay(r)
        self.given(*later)
        self.output = self.machine.decide(r, now_us=7)
        return self

    def when_decisions_come_back(self) -> "Playbook":
        """The log has taken all that was decided, and it is read like everybody's."""
        for envelope in self._decided:
            self.output = self.machine.step(self._from_wire(envelope), now_us=7)
            assert self.output is None, f"decided on its own {envelope.event} again"
        self._decided = []
        return self

    def then(self, *expected: Event | AnyEffect) -> "Playbook":
        """Exactly these events to append, then exactly these effects to perform, wherever a claim is in the log."""
        events = [envelope.event for envelope in self.output.envelopes] if self.output else []
        effects = [anywhere(planned.effect) for planned in self.output.effects] if self.output else []
        assert [*events, *effects] == list(expected)
        return self

    def then_nothing(self) -> "Playbook":
        """No event and no effect."""
        return self.then()

    def of_story(self, *correlations: str) -> "Playbook":
        """Whose stories the events decided belong to."""
        assert self.output is not None
        assert [envelope.correlation for envelope in self.output.envelopes] == list(correlations)
        return self

    def _next(self, one: Event | By) -> Recorded:
        by = one if isinstance(one, By) else By("story", one)
        name = by.id or f"e{self.machine.position + 1}"
        envelope = Envelope(id=name, event=by.event, correlation=by.correlation, cause=by.cause)  # type: ignore[arg-type]
        return self._from_wire(envelope)

    def _from_wire(self, envelope: Envelope) -> Recorded:
        return recorded(decode(encode(envelope)), self.machine.position + 1, stored_us=5)


def given(worker: ModuleType, *history: Event | By, hosts: frozenset[str] | None = None) -> Playbook:
    """A worker that knows the world and ``history``."""
    return Playbook(worker, hosts).given(*WORLD, *history)


def spawn(instance: str = "i1", **wish: Any) -> SpawnRequested:
    """A request for an instance; of net1 unless ``wish`` says otherwise."""
    where = {} if {"network", "label"} & wish.keys() else {"network": "net1"}
    return SpawnRequested(**{"instance": instance, "name": f"{instance}-name", "az": AZ, **where, **wish})


def delete(instance: str = "i1") -> InstanceDeleteRequested:
    return InstanceDeleteRequested(instance=instance)


def scheduled(instance: str = "i1", host: str = "h1", **wish: Any) -> InstanceScheduled:
    where = {} if {"network", "label"} & wish.keys() else {"network": "net1"}
    return InstanceScheduled(
        **{"instance": instance, "name": f"{instance}-name", "az": AZ, "host": host, **where, **wish}
    )


def active(instance: str = "i1", host: str = "h1") -> InstanceActive:
    return InstanceActive(instance=instance, az=AZ, host=host, port=f"{instance}-0")


def failed(instance: str = "i1", reason: str = "", host: str = "h1") -> InstanceFailed:
    return InstanceFailed(instance=instance, az=AZ, host=host, reason=reason)


def terminating(instance: str = "i1", host: str = "h1") -> InstanceTerminating:
    return InstanceTerminating(instance=instance, az=AZ, host=host)


def deleted(instance: str = "i1", host: str = "h1") -> InstanceDeleted:
    return InstanceDeleted(instance=instance, az=AZ, host=host)


def create_port(instance: str = "i1", host: str = "h1", **wish: Any) -> PortCreateRequested:
    where = {} if {"network", "label"} & wish.keys() else {"network": "net1"}
    at = {"port": f"{instance}-0", "az": AZ, "host": host}
    return PortCreateRequested(**{**at, "name": f"{instance}-name", "instance": instance, **where, **wish})


def allocated(
    instance: str = "i1", host: str = "h1", network: str = "net1", ip: str = "", vlan: int = 1
) -> PortAllocated:
    """The port that ``create_port`` gets first; its address is the lowest of net1 or net2 unless given."""
    ip = ip or {"net1": "10.0.1.2", "net2": "10.0.2.2"}[network]
    return PortAllocated(
        port=f"{instance}-0",
        az=AZ,
        host=host,
        name=f"{instance}-name",
        instance=instance,
        network=network,
        subnet=network.replace("net", "sub"),
        vpc="vpc1",
        vrf="vrf1",
        ip=ip,
        prefix_length={"net1": 30, "net2": 29}[network],
        gateway={"net1": "10.0.1.1", "net2": "10.0.2.1"}[network],
        mac="fa:16:" + ":".join(f"{int(octet):02x}" for octet in ip.split(".")),
        physical_network="l3-l4" if host == "h3" else "l1-l2",
        vlan=vlan,
        vni=VNI[network],
    )


def port_refused(instance: str = "i1") -> PortRefused:
    at = {"port": f"{instance}-0", "az": AZ, "host": "h1"}
    return PortRefused(**at, instance=instance, reason="no address", field="network", value="net1")


def port_deleted(instance: str = "i1", host: str = "h1", network: str = "net1", ip: str = "") -> PortDeleted:
    port = allocated(instance, host, network, ip)
    return PortDeleted(
        port=port.port,
        az=port.az,
        host=port.host,
        instance=port.instance,
        subnet=port.subnet,
        ip=port.ip,
        physical_network=port.physical_network,
        vni=port.vni,
    )


def claim(instance: str = "i1", host: str = "h1", generation: int = 1) -> Claim:
    return {"port": f"{instance}-0", "az": AZ, "host": host, "generation": generation}


def say(kind: type[P], instance: str = "i1", host: str = "h1", generation: int = 1, **fields: Any) -> P:
    """A report about a port: of its host and current claim unless said otherwise."""
    about: dict[str, Any] = {**claim(instance, host, generation), **fields}
    return kind(**about)


def bound(instance: str = "i1", host: str = "h1", generation: int = 1, vlan: int = 1) -> PortBound:
    return say(PortBound, instance, host, generation, vlan=vlan, vni=5001)


def unbound(instance: str = "i1", host: str = "h1", generation: int = 1, vlan: int = 1) -> PortUnbound:
    return say(PortUnbound, instance, host, generation, vlan=vlan, vni=5001)


class Leaf(NamedTuple):
    """A leaf interface with net1's VLAN 1, and what can be wished for and said of it."""

    leaf: str = "l1"
    interface: str = "e1"

    def wish(self, epoch: int, *, present: bool = True) -> LeafVlan:
        route: dict[str, Any] = {"vrf": "vrf1", "gateway": "10.0.1.1/30"}
        return LeafVlan(**self._entry(epoch), **route, present=present)

    def added(self, epoch: int) -> LeafVlanAdded:
        return LeafVlanAdded(leaf=self.leaf, **self._rest(epoch))

    def removed(self, epoch: int) -> LeafVlanRemoved:
        return LeafVlanRemoved(leaf=self.leaf, **self._rest(epoch))

    def failed(self, epoch: int, reason: str = "refused") -> LeafVlanFailed:
        return LeafVlanFailed(leaf=self.leaf, **self._rest(epoch), reason=reason)

    def _entry(self, epoch: int) -> dict[str, Any]:
        return {"device": self.leaf, **self._rest(epoch)}

    def _rest(self, epoch: int) -> dict[str, Any]:
        return {"az": AZ, "interface": self.interface, "vlan": 1, "vni": 5001, "epoch": epoch}


L1, L2 = Leaf("l1"), Leaf("l2")


def case(name: str, *values: Any) -> Any:
    """One row of a parametrised test, with a name that can be read."""
    return pytest.param(*values, id=name)


def drift(instance: str = "i1", host: str | None = "h2") -> InstanceDriftRequested:
    return InstanceDriftRequested(instance=instance, host=host)


def drift_scheduled(
    instance: str = "i1", host: str = "h2", from_host: str = "h1", generation: int = 1
) -> InstanceDriftScheduled:
    return InstanceDriftScheduled(
        instance=instance,
        name=f"{instance}-name",
        az=AZ,
        host=host,
        from_host=from_host,
        generation=generation,
        port_name=f"{instance}-name",
    )


def drift_failed(instance: str = "i1", host: str = "h1", reason: str = "") -> InstanceDriftFailed:
    return InstanceDriftFailed(instance=instance, az=AZ, host=host, reason=reason)


def claim_port(instance: str = "i1", host: str = "h2") -> PortClaimRequested:
    at = {"port": f"{instance}-0", "az": AZ, "host": host}
    return PortClaimRequested(**at, name=f"{instance}-name", instance=instance)


def claimed(
    instance: str = "i1", host: str = "h2", from_host: str = "h1", generation: int = 2, vlan: int = 1, ip: str = ""
) -> PortClaimed:
    """The port of ``allocated``, claimed anew."""
    port = msgspec.structs.asdict(allocated(instance, host, ip=ip, vlan=vlan))
    return PortClaimed(**{**port, "generation": generation, "from_host": from_host})


def host_down(host: str = "h1", *, evacuate: bool = False) -> HostDown:
    return HostDown(host=host, az=AZ, reason="no power", evacuate=evacuate, held=evacuate)


def usable(instance: str = "i1", host: str = "h1", generation: int = 1) -> tuple[Event, ...]:
    """All that makes a port usable: plugged, bound, both planes reported."""
    return (
        say(PortPlugged, instance, host, generation, received_us=1),
        say(PortBindRequested, instance, host, generation),
        bound(instance, host, generation),
        say(PortUnderlayReported, instance, host, generation, status="ACTIVE", detected_us=1),
        say(PortOverlayReported, instance, host, generation, status="ACTIVE"),
    )


def living(instance: str = "i1", host: str = "h1") -> tuple[Event | By, ...]:
    """An instance that was spawned and works."""
    return (
        By(f"q-{instance}", spawn(instance)),
        By(f"q-{instance}", scheduled(instance, host)),
        create_port(instance, host),
        allocated(instance, host),
        *usable(instance, host),
        By(f"q-{instance}", active(instance, host)),
    )
