"""Realistic logs, told without any worker: a small world, spawns and deletes as the workers would have written them.

A ``Story`` numbers events as the log will and counts by itself who needs which leaf interface, so epochs are right.
"""

import ipaddress
from collections.abc import Iterable
from typing import TypedDict

from bus.envelope import Envelope, Recorded, recorded
from bus.events import (
    AzAdded,
    Event,
    HostAdded,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRequested,
    InstanceScheduled,
    InstanceTerminating,
    LeafAdded,
    LeafVlanAdded,
    LeafVlanRemoved,
    NetworkCreated,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortDeleted,
    PortDeleteRequested,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortRegistered,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    RegionAdded,
    SpawnRequested,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from bus.log import Log

START_US = 1_760_000_000_000_000
STEP_US = 1_500
AZ = "az1"
#: Hosts of the small world; h1 and h2 share a leaf pair, h3 has its own.
HOSTS = {"h1": ("leaf1", "leaf2", "eth1"), "h2": ("leaf1", "leaf2", "eth2"), "h3": ("leaf3", "leaf4", "eth1")}
#: Networks and their VNIs; each has a /20 subnet of 10.N.0.0.
NETWORKS = {"net1": 5001, "net2": 5002}


class Claim(TypedDict):
    """By what a report says which claim of a port it speaks of."""

    port: str
    az: str
    host: str
    generation: int


class LeafVlan(TypedDict):
    """A VLAN on a leaf interface, and the change of need that an answer is for."""

    leaf: str
    az: str
    interface: str
    vlan: int
    vni: int
    epoch: int


def claim_of(port: PortAllocated) -> Claim:
    """The claim that ``port`` was allocated with."""
    return {"port": port.port, "az": port.az, "host": port.host, "generation": port.generation}


class Story:
    """The envelopes of a log so far. ``step_us``: how far apart events are."""

    def __init__(self, *, start: int = 0, step_us: int = STEP_US) -> None:
        self.envelopes: list[Envelope] = []
        self._start = start
        self._step_us = step_us
        self._addresses = {net: iter(range(2, 4094)) for net in NETWORKS}
        self._vlans: dict[tuple[str, int], int] = {}
        self._users: dict[tuple[str, str, int], set[str]] = {}
        self._epochs: dict[tuple[str, str, int], int] = {}
        self._allocated: dict[str, PortAllocated] = {}

    @property
    def position(self) -> int:
        """The position of the newest event."""
        return self._start + len(self.envelopes)

    def tell(self, event: Event, correlation: str = "operator") -> Envelope:
        """Add one event of anybody's."""
        position = self.position + 1
        envelope = Envelope(
            id=f"story-{position}",
            event=event,  # type: ignore[arg-type]
            correlation=correlation,
            actor="story",
            time_us=START_US + position * self._step_us,
        )
        self.envelopes.append(envelope)
        return envelope

    def world(self) -> "Story":
        """A region with one AZ, three hosts on two leaf pairs and two networks."""
        self._all([RegionAdded(region="r1"), AzAdded(az=AZ, region="r1"), SpineAdded(spine="spine1", az=AZ)])
        leaves = sorted({leaf for a, b, _ in HOSTS.values() for leaf in (a, b)})
        self._all(LeafAdded(leaf=leaf, az=AZ, vtep=f"192.0.2.{i}", asn=65000 + i) for i, leaf in enumerate(leaves, 1))
        self._all(
            HostAdded(host=host, az=AZ, leaf_a=a, leaf_b=b, interface=interface)
            for host, (a, b, interface) in HOSTS.items()
        )
        self._all([TenantAdded(tenant="t1"), VpcCreated(vpc="vpc1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8")])
        for i, (network, vni) in enumerate(NETWORKS.items(), 1):
            labels = ("blue", network) if i == 1 else ()
            self.tell(NetworkCreated(network=network, vpc="vpc1", vni=vni, labels=labels))
            subnet = SubnetCreated(
                subnet=f"sub-{network}", network=network, cidr=f"10.{i}.0.0/20", gateway=f"10.{i}.0.1"
            )
            self.tell(subnet)
        return self

    def spawn(self, instance: str, host: str = "h1", network: str = "net1") -> "Story":
        """One instance, all thirteen steps of Figure 10; LeafVlanAdded only where no port of the VLAN was bound yet."""
        self.request(instance, host, network)
        claim = self.wire(instance)
        last = self.envelopes[-1]
        at_us = last.time_us if isinstance(last.event, LeafVlanAdded) else 0
        self.tell(PortOverlayReported(**claim, status="ACTIVE", configured_us=at_us), instance)
        port = self._allocated[instance]
        self.tell(InstanceActive(instance=instance, az=AZ, host=port.host, port=port.port), instance)
        return self

    def request(self, instance: str, host: str = "h1", network: str = "net1") -> PortAllocated:
        """Steps 1 to 4: asked for, scheduled, allocated and registered. Returns the allocation."""
        port = f"{instance}-0"
        at = {"port": port, "az": AZ, "host": host}
        self.tell(SpawnRequested(instance=instance, name=f"n-{instance}", az=AZ, network=network), instance)
        self.tell(
            InstanceScheduled(instance=instance, name=f"n-{instance}", az=AZ, host=host, network=network), instance
        )
        request = PortCreateRequested(**at, name=f"n-{instance}", instance=instance, network=network)
        self.tell(request, instance)
        allocated = self._allocated[instance] = self._allocation(request, network)
        self.tell(allocated, instance)
        self.tell(PortRegistered(**at), instance)
        return allocated

    def wire(self, instance: str) -> Claim:
        """Steps 5 to 11: plugged, underlay reported, bound, leaves configured if needed."""
        port = self._allocated[instance]
        claim = claim_of(port)
        received_us = self.envelopes[-1].time_us + self._step_us // 2
        plugged = self.tell(PortPlugged(**claim, received_us=received_us), instance)
        detected_us = plugged.time_us + self._step_us // 2
        self.tell(PortUnderlayReported(**claim, status="ACTIVE", detected_us=detected_us), instance)
        self.tell(PortBindRequested(**claim), instance)
        self.tell(PortBound(**claim, vlan=port.vlan, vni=port.vni), instance)
        for key in self._need(instance):
            self.tell(LeafVlanAdded(**self._leaf(key, port.vni)), instance)
        return claim

    def delete(self, instance: str) -> "Story":
        """The way back; the leaves are touched only if nobody else needs the VLAN."""
        port = self._allocated.pop(instance)
        claim = claim_of(port)
        at = {"instance": instance, "az": AZ, "host": port.host}
        self.tell(InstanceDeleteRequested(instance=instance), f"delete-{instance}")
        self.tell(InstanceTerminating(**at), f"delete-{instance}")
        self._all([PortUnplugged(**claim), PortDeleteRequested(**claim), PortUnderlayRemoved(**claim)], instance)
        self.tell(PortUnbound(**claim, vlan=port.vlan, vni=port.vni), instance)
        for key in self._need_not(port):
            self.tell(LeafVlanRemoved(**self._leaf(key, port.vni)), instance)
        self.tell(PortOverlayRemoved(**claim), instance)
        self.tell(_deleted(port), instance)
        self.tell(InstanceDeleted(**at), f"delete-{instance}")
        return self

    def records(self) -> list[Recorded]:
        """The events as the log would hand them out."""
        return [recorded(envelope, self._start + i, 0) for i, envelope in enumerate(self.envelopes, 1)]

    async def append_to(self, log: Log) -> None:
        """Append all events to ``log``, which must end where this story starts."""
        assert await log.last_position() == self._start
        await log.append(self.envelopes)

    def _all(self, events: Iterable[Event], correlation: str = "operator") -> None:
        for event in events:
            self.tell(event, correlation)

    def _allocation(self, request: PortCreateRequested, network: str) -> PortAllocated:
        leaf_a, leaf_b, _ = HOSTS[request.host]
        pair, vni = f"{leaf_a}-{leaf_b}", NETWORKS[network]
        base = ipaddress.IPv4Address(f"10.{list(NETWORKS).index(network) + 1}.0.0")
        ip = base + next(self._addresses[network])
        return PortAllocated(
            port=request.port,
            az=AZ,
            host=request.host,
            name=request.name,
            instance=request.instance,
            network=network,
            subnet=f"sub-{network}",
            vpc="vpc1",
            vrf="vrf1",
            ip=str(ip),
            prefix_length=20,
            gateway=str(base + 1),
            mac="fa:16:" + ip.packed.hex(":"),
            physical_network=pair,
            vlan=self._vlans.setdefault((pair, vni), 100 + list(NETWORKS).index(network)),
            vni=vni,
        )

    def _keys(self, port: PortAllocated) -> list[tuple[str, str, int]]:
        leaf_a, leaf_b, interface = HOSTS[port.host]
        return [(leaf_a, interface, port.vlan), (leaf_b, interface, port.vlan)]

    def _need(self, instance: str) -> list[tuple[str, str, int]]:
        """Count a port just bound; returns the leaf interfaces that were not needed before."""
        port = self._allocated[instance]
        new = [key for key in self._keys(port) if not self._users.get(key)]
        for key in self._keys(port):
            self._users.setdefault(key, set()).add(port.port)
        self._epochs.update(dict.fromkeys(new, self.position))
        return new

    def _need_not(self, port: PortAllocated) -> list[tuple[str, str, int]]:
        """Count a port just unbound; returns the leaf interfaces that nobody needs any more."""
        for key in self._keys(port):
            self._users[key].discard(port.port)
        gone = [key for key in self._keys(port) if not self._users[key]]
        self._epochs.update(dict.fromkeys(gone, self.position))
        return gone

    def _leaf(self, key: tuple[str, str, int], vni: int) -> LeafVlan:
        leaf, interface, vlan = key
        return {"leaf": leaf, "az": AZ, "interface": interface, "vlan": vlan, "vni": vni, "epoch": self._epochs[key]}


def _deleted(port: PortAllocated) -> PortDeleted:
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
