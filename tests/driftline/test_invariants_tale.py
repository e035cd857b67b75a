"""A log told by hand, for the tests of the invariants, and devices brought to what it says."""

from typing import Any

import msgspec

from bus.envelope import Recorded
from bus.events import (
    AnyEvent,
    HostAdded,
    HostDown,
    InstanceActive,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceScheduled,
    LeafVlanAdded,
    LeafVlanRemoved,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortClaimCleared,
    PortClaimed,
    PortCreateRequested,
    PortDeleted,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortRegistered,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    SpawnRequested,
    SubnetCreated,
    VpcCreated,
)
from driftline.invariants import Auditor
from workers.devices.simulated.fabric import Fabric
from workers.effects import InstallFlows, LeafVlan, PlugVnic

AZ = "az1"
HOSTS = {"h1": ("l1", "l2", "e1"), "h2": ("l3", "l4", "e1"), "h3": ("l1", "l2", "e2")}
PAIRS = {"h1": "l1-l2", "h2": "l3-l4", "h3": "l1-l2"}
CLAIM = {
    "az": AZ,
    "network": "n1",
    "subnet": "s1",
    "vpc": "v1",
    "vrf": "vrf1",
    "prefix_length": 24,
    "gateway": "10.0.0.1",
    "vni": 5001,
}
HOUR_US = 3_600_000_000


class Tale:
    """A log told by hand, and devices brought to what it says."""

    def __init__(self) -> None:
        self.auditor = Auditor()
        self.fabric = Fabric()
        self.position = 0
        self.now_us = self.unbound_at = 0
        for leaf in ("l1", "l2", "l3", "l4"):
            self.fabric.add_leaf(leaf, "", capacity=4)
        for host, (leaf_a, leaf_b, interface) in HOSTS.items():
            self.fabric.add_host(host, leaf_a, leaf_b, interface)
            self.say(HostAdded(host=host, az=AZ, leaf_a=leaf_a, leaf_b=leaf_b, interface=interface))
        self.say(VpcCreated(vpc="v1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"))
        self.say(NetworkCreated(network="n1", vpc="v1", vni=5001, labels=("prod",)))
        self.say(SubnetCreated(subnet="s1", network="n1", cidr="10.0.0.0/24", gateway="10.0.0.1"))

    def say(self, event: AnyEvent, why: str = "q", *, id: str = "", cause: str = "", actor: str = "test") -> int:
        """Append ``event`` and have it audited."""
        self.position += 1
        self.now_us += 1000
        number = id or f"{actor}:{self.position}"
        self.auditor.take([Recorded(self.position, number, event, cause, why, actor, self.now_us)])
        return self.position

    def report(self, kind: type[Any], port: str, host: str = "h1", generation: int = 1, **more: Any) -> int:
        """Append a report on a claim."""
        position = self.say(kind(port=port, az=AZ, host=host, generation=generation, **more))
        if kind is PortUnbound:
            self.unbound_at = position
        return position

    def spawn(self, n: int = 1, host: str = "h1", label: str | None = "prod", **more: Any) -> str:
        """A port that is allocated to instance i<n>, as IPAM and nova tell it."""
        network = None if label else "n1"
        name, port, why = f"i{n}", f"i{n}-0", f"spawn-{n}"
        self.say(SpawnRequested(instance=name, name=name, az=AZ, network=network, label=label), why)
        self.say(InstanceScheduled(instance=name, name=name, az=AZ, host=host, network=network, label=label), why)
        self.say(
            PortCreateRequested(port=port, az=AZ, host=host, name=name, instance=name, network=network, label=label),
            why,
        )
        self.say(allocated(n, host, **more), why)
        self.say(PortRegistered(port=port, az=AZ, host=host))
        return port

    def wire(self, port: str, host: str = "h1", generation: int = 1, ip: str = "10.0.0.11", vlan: int = 1) -> None:
        """Host and leaves are brought to what the claim needs, and say so."""
        number = ip.rpartition(".")[2]
        mac = f"aa:{number}"
        plug = PlugVnic(
            device=host, port=port, az=AZ, generation=generation, mac=mac, ip=ip, prefix_length=24, gateway="10.0.0.1"
        )
        assert not self.fabric.apply(plug)
        self.report(PortPlugged, port, host, generation, received_us=0)
        flows = InstallFlows(device=host, port=port, az=AZ, generation=generation, mac=mac, vlan=vlan)
        assert not self.fabric.apply(flows)
        self.report(PortUnderlayReported, port, host, generation, status="ACTIVE", detected_us=0)
        epoch = self.report(PortBound, port, host, generation, vlan=vlan, vni=5001)
        self.leaf(host, vlan, epoch)
        self.report(PortOverlayReported, port, host, generation, status="ACTIVE")

    def leaf(self, host: str, vlan: int, epoch: int, *, present: bool = True) -> None:
        """Both leaves of the host are brought to this, and CNC says so."""
        leaf_a, leaf_b, interface = HOSTS[host]
        for leaf in (leaf_a, leaf_b):
            effect = LeafVlan(
                device=leaf,
                az=AZ,
                interface=interface,
                vlan=vlan,
                vni=5001,
                vrf="vrf1",
                gateway="10.0.0.1/24",
                epoch=epoch,
                present=present,
            )
            assert not self.fabric.apply(effect)
            kind = LeafVlanAdded if present else LeafVlanRemoved
            answer = kind(leaf=leaf, az=AZ, interface=interface, vlan=vlan, vni=5001, epoch=epoch)
            self.say(answer, actor="cnc")

    def live(self, n: int = 1, host: str = "h1") -> str:
        """An instance that works."""
        port = self.spawn(n, host)
        self.wire(port, host, ip=f"10.0.0.{10 + n}")
        self.say(InstanceActive(instance=f"i{n}", az=AZ, host=host, port=port), f"spawn-{n}")
        self.check()
        return port

    def drift(self, port: str = "i1-0", source: str = "h1", target: str = "h2", generation: int = 2) -> None:
        """The claim moves, up to where the old host is told."""
        n = int(port[1:].partition("-")[0])
        why = f"drift-{n}-{generation}"
        name = f"i{n}"
        self.say(InstanceDriftRequested(instance=name, host=target), why)
        self.say(scheduled(n, source, target, generation - 1), why)
        self.say(claimed(n, target, source, generation), why)
        self.report(PortUnbound, port, source, generation - 1, vlan=1, vni=5001)

    def clear(self, port: str, host: str, generation: int) -> None:
        """The old host and its leaves let go, and say so."""
        device = self.fabric.host(host)
        device.withdraw_vnic(port, generation)
        device.withdraw_flows(port, generation)
        self.report(PortUnplugged, port, host, generation)
        self.report(PortUnderlayRemoved, port, host, generation)
        self.leaf(host, 1, self.unbound_at, present=False)
        self.report(PortOverlayRemoved, port, host, generation)

    def cleared(self, port: str, host: str, generation: int) -> None:
        self.report(PortClaimCleared, port, host, generation, physical_network=PAIRS[host], vni=5001)

    def check(self) -> None:
        self.auditor.always(self.fabric)

    def quiet(self) -> None:
        self.check()
        self.auditor.once_quiet(self.fabric)


def allocated(n: int, host: str = "h1", **more: Any) -> PortAllocated:
    claim = {"ip": f"10.0.0.{10 + n}", "mac": f"aa:{10 + n}", "vlan": 1, "name": f"i{n}", "instance": f"i{n}"}
    fields = {**CLAIM, **claim, "port": f"i{n}-0", "host": host, "physical_network": PAIRS[host], **more}
    return PortAllocated(**fields)


def claimed(n: int, host: str, from_host: str, generation: int, **more: Any) -> PortClaimed:
    same = msgspec.structs.asdict(allocated(n, host, generation=generation, **more))
    return PortClaimed(**same, from_host=from_host)


def scheduled(n: int, source: str, target: str, generation: int) -> InstanceDriftScheduled:
    return InstanceDriftScheduled(
        instance=f"i{n}",
        name=f"i{n}",
        az=AZ,
        host=target,
        from_host=source,
        generation=generation,
        port_name=f"i{n}",
    )


def down(tale: Tale, host: str = "h1") -> int:
    return tale.say(HostDown(host=host, az=AZ, reason="silent"))


def gone(host: str, n: int = 1) -> PortDeleted:
    return PortDeleted(
        port=f"i{n}-0",
        az=AZ,
        host=host,
        instance=f"i{n}",
        subnet="s1",
        ip=f"10.0.0.{10 + n}",
        physical_network=PAIRS[host],
        vni=5001,
    )
