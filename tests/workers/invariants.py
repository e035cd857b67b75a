"""What must hold (spec: invariants.md), checked against the log and the devices, never against a worker's belief.

``Auditor`` follows a cluster: ``always`` after every action, ``once_quiet`` when nothing is under way any more.
It keeps books of its own in the plainest way, so a mistake in a fold shows as a difference.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from bus.envelope import Recorded
from bus.events import (
    HostAdded,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceFailed,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortDeleted,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    SpawnRequested,
    SubnetCreated,
)
from projections.addresses import Addresses
from projections.fold import Fold
from projections.instances import Instances
from projections.leaves import Leaves
from projections.ports import Ports
from tests.workers.cluster import Node
from tests.workers.device_model import DeviceModel, EntryKey
from workers.machine import Machine

#: Ids of records that a schedule forged; they are no worker's word and no outcome.
FORGED = "forged-"
OF_SPAWNS = (InstanceActive, InstanceRefused, InstanceFailed)
OF_DELETES = (InstanceDeleted, InstanceDeleteRefused)


class Binding:
    """A live port as the auditor sees it."""

    def __init__(self, allocated: PortAllocated) -> None:
        self.allocated = allocated
        self.bound = self.unbound = False
        self.underlay = self.overlay = "DOWN"
        self.withdrawn = False

    @property
    def usable(self) -> bool:
        """Invariant 4."""
        return self.bound and not self.withdrawn and self.underlay == self.overlay == "ACTIVE"

    def take(self, e: PortEvent) -> None:
        """Note what ``e`` says of this claim."""
        match e:
            case PortBound():
                self.bound = not self.unbound
            case PortUnbound():
                self.bound, self.unbound = False, True
            case PortUnderlayReported():
                self.underlay = e.status
            case PortPlugFailed():
                self.underlay = "ERROR"
            case PortOverlayReported():
                self.overlay = e.status
            case PortUnplugged() | PortUnderlayRemoved() | PortOverlayRemoved():
                self.withdrawn = True


class Log(Protocol):
    """What the auditor reads."""

    @property
    def records(self) -> Sequence[Recorded]: ...


class Audited(Protocol):
    """What the auditor looks at."""

    @property
    def log(self) -> Log: ...
    @property
    def devices(self) -> DeviceModel: ...
    @property
    def nodes(self) -> Sequence[Node]: ...


class Auditor:
    """Keeps the books of one cluster."""

    def __init__(self, cluster: Audited) -> None:
        self.cluster = cluster
        self.folds: tuple[Fold, ...] = (Ports(), Addresses(), Instances(), Leaves())
        self.ports, self.addresses, self.instances, self.leaves = self.folds
        self.live: dict[str, Binding] = {}
        self.working: dict[str, str] = {}
        self.load: Counter[str] = Counter()
        self.hosts: dict[str, HostAdded] = {}
        self.networks: dict[str, NetworkCreated] = {}
        self.subnets: dict[str, SubnetCreated] = {}
        self.spawns: dict[str, SpawnRequested] = {}
        self.deletes: dict[str, InstanceDeleteRequested] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._names: set[str] = set()
        self._read = 0

    def always(self) -> None:
        """Check what holds at every moment."""
        fresh = self.cluster.log.records[self._read :]
        for r in fresh:
            self._take(r)
        self._read += len(fresh)
        self._devices_hold_only_what_lives()
        self._vlans_are_one_to_one()
        self._active_instances_are_wired()
        if fresh:
            self._pools_add_up()
            self._reference_counts()
            self._usable()

    def once_quiet(self) -> None:
        """Check what holds when all faults have stopped and nothing is under way."""
        self.always()
        for correlation in self.spawns:
            assert self.outcomes["spawn", correlation] == 1, f"8: spawn {correlation} has no outcome"
        for correlation in self.deletes:
            assert self.outcomes["delete", correlation] == 1, f"8: delete {correlation} has no outcome"
        for port, binding in self.live.items():
            assert binding.usable, f"19: {port} waits for ever: {self.ports.tables['ports'][port,]}"
        self._devices_hold_all_that_lives()
        for node in self.cluster.nodes:
            self._state_equals_the_log(node)

    def once_deleted(self) -> None:
        """Check that nothing is left when every instance has been deleted."""
        self.once_quiet()
        assert not self.live, f"20: ports are left: {sorted(self.live)}"
        assert self.cluster.devices.empty, "20: devices still hold something"
        for fold in (self.ports, self.leaves):
            for table, rows in fold.tables.items():
                assert not rows, f"20: {table} still has {rows}"
        assert not self.addresses.tables["addresses"], "20: addresses are still held"
        assert not self.addresses.tables["segments"], "20: VLANs are still held"

    def _take(self, r: Recorded) -> None:
        stale = isinstance(r.event, PortEvent) and self._is_stale(r.event)
        touched = [change for fold in self.folds for change in fold.evolve(r)]
        assert not (stale and touched), f"6: a stale report changed {touched}: {r}"
        self._note(r)

    def _note(self, r: Recorded) -> None:
        match r.event:
            case HostAdded() as e:
                self.hosts[e.host] = e
            case NetworkCreated() as e:
                self.networks[e.network] = e
            case SubnetCreated() as e:
                self.subnets[e.subnet] = e
            case SpawnRequested() as e:
                self.spawns.setdefault(r.correlation, e)
            case InstanceDeleteRequested() as e:
                self.deletes.setdefault(r.correlation, e)
            case PortAllocated() as e:
                self._allocated(e)
            case PortDeleted() as e:
                self._deleted(e)
            case PortEvent() as e if e.port in self.live and not self._is_stale(e):
                self.live[e.port].take(e)
            case _:
                self._note_instance(r)

    def _note_instance(self, r: Recorded) -> None:
        match r.event:
            case InstanceScheduled(host=host):
                self.load[host] += 1
                assert self.load[host] <= self.hosts[host].capacity, f"{host} holds more than it may"
            case InstanceActive(instance=instance, port=port):
                self.working[instance] = port
            case InstanceTerminating(instance=instance):
                self.working.pop(instance, None)
            case InstanceDeleted(host=host):
                self.load[host] -= 1
            case _:
                pass
        if not r.id.startswith(FORGED):
            self._note_outcome(r)

    def _note_outcome(self, r: Recorded) -> None:
        if isinstance(r.event, OF_SPAWNS):
            self.outcomes["spawn", r.correlation] += 1
            assert self.outcomes["spawn", r.correlation] == 1, f"8: a second outcome of a spawn: {r}"
            if isinstance(r.event, InstanceRefused) and self.spawns[r.correlation].instance == r.event.instance:
                self._refused(r)
        elif isinstance(r.event, OF_DELETES) and r.correlation in self.deletes:
            self.outcomes["delete", r.correlation] += 1
            assert self.outcomes["delete", r.correlation] == 1, f"8: a second outcome of a delete: {r}"

    def _refused(self, r: Recorded) -> None:
        row = self.instances.tables["instances"][r.event.instance,]  # type: ignore[attr-defined]
        if row.request == r.correlation and row.host and row.state == "refused" and row.port:
            self.load[row.host] -= 1

    def _is_stale(self, e: PortEvent) -> bool:
        binding = self.live.get(e.port)
        if binding is None or isinstance(e, PortAllocated | PortDeleted):
            return False
        claim = binding.allocated
        return e.host != claim.host or getattr(e, "generation", claim.generation) != claim.generation

    def _allocated(self, e: PortAllocated) -> None:
        for other in (binding.allocated for binding in self.live.values()):
            assert (e.vrf, e.ip) != (other.vrf, other.ip), f"1: {e.port} and {other.port} share {e.ip}"
            assert (e.vni, e.mac) != (other.vni, other.mac), f"1: {e.port} and {other.port} share {e.mac}"
            assert e.name != other.name, f"2: {e.port} and {other.port} share the name {e.name}"
        subnet = self.subnets[e.subnet]
        net = ipaddress.IPv4Network(subnet.cidr)
        reserved = {net.network_address, net.broadcast_address, ipaddress.IPv4Address(subnet.gateway)}
        assert ipaddress.IPv4Address(e.ip) in set(net) - reserved, f"1: {e.ip} of {subnet.cidr} is never given out"
        self._fits_the_request(e)
        self.live[e.port] = Binding(e)

    def _fits_the_request(self, e: PortAllocated) -> None:
        request = next(s for s in self.spawns.values() if s.instance == e.instance)
        network = self.networks[e.network]
        assert request.network in (None, e.network), f"{e.port} is in {e.network}, asked for {request.network}"
        assert request.label is None or request.label in network.labels, f"17: {e.network} has no {request.label}"
        assert e.vni == network.vni, f"{e.port} has VNI {e.vni}, its network {network.vni}"

    def _deleted(self, e: PortDeleted) -> None:
        devices = self.cluster.devices
        assert (e.host, e.port) not in devices.vnics, f"{e.port} gave up {e.ip}, and its vNIC is still there"
        assert (e.host, e.port) not in devices.flows, f"{e.port} gave up {e.ip}, and its flows are still there"
        self.live.pop(e.port, None)

    def _entries_of(self, binding: Binding) -> list[EntryKey]:
        host = self.hosts[binding.allocated.host]
        return [(leaf, host.interface, binding.allocated.vlan) for leaf in (host.leaf_a, host.leaf_b)]

    def _devices_hold_only_what_lives(self) -> None:
        devices = self.cluster.devices
        for host, port in (*devices.vnics, *devices.flows):
            assert port in self.live, f"{host} holds {port}, whose address is free"
            assert self.live[port].allocated.host == host, f"18: {host} holds {port} of another host"
        owners = {(key, b.allocated.vni) for b in self.live.values() for key in self._entries_of(b)}
        for key, entry in devices.entries.items():
            assert (key, entry.vni) in owners, f"leaf entry {key} of VNI {entry.vni} belongs to no port"

    def _vlans_are_one_to_one(self) -> None:
        for vlan, vni in ((0, 1), (1, 0)):
            of: dict[tuple[str, int], int] = {}
            for (leaf, _, tag), entry in self.cluster.devices.entries.items():
                pair = (tag, entry.vni)
                known = of.setdefault((leaf, pair[vlan]), pair[vni])
                assert known == pair[vni], f"9: on {leaf}, VLAN and VNI are not one to one: {pair}"

    def _active_instances_are_wired(self) -> None:
        devices = self.cluster.devices
        for instance, port in self.working.items():
            binding = self.live[port]
            where = (binding.allocated.host, port)
            assert where in devices.vnics, f"4: {instance} is active without a vNIC"
            assert where in devices.flows, f"4: {instance} is active without flows"
            for key in self._entries_of(binding):
                assert key in devices.entries, f"10: {instance} is active, and leaf entry {key} is missing"

    def _pools_add_up(self) -> None:
        for row in self.addresses.tables["pools"].values():
            assert min(row.free, row.allocated) >= 0, f"3: {row}"
            assert row.allocated + row.free + row.reserved == row.size, f"3: {row}"
            held = sum(b.allocated.subnet == row.subnet for b in self.live.values())
            assert row.allocated == held, f"3: {row.subnet} counts {row.allocated}, {held} ports live"

    def _reference_counts(self) -> None:
        counts = Counter(key for b in self.live.values() if b.bound for key in self._entries_of(b))
        rows = {key: row.ports for key, row in self.leaves.tables["leaf_interfaces"].items() if row.ports}
        assert rows == counts, f"10: reference counts {rows}, ports bound {dict(counts)}"

    def _usable(self) -> None:
        for (port,), row in self.ports.tables["ports"].items():
            assert row.usable == self.live[str(port)].usable, f"4: {row}"

    def _devices_hold_all_that_lives(self) -> None:
        devices = self.cluster.devices
        places = {(b.allocated.host, port) for port, b in self.live.items()}
        assert set(devices.vnics) == places, f"21: vNICs {sorted(devices.vnics)}, ports {sorted(places)}"
        assert set(devices.flows) == places, f"21: flows {sorted(devices.flows)}, ports {sorted(places)}"
        entries = {key for b in self.live.values() for key in self._entries_of(b)}
        assert set(devices.entries) == entries, f"21: entries {sorted(devices.entries)}, needed {sorted(entries)}"
        for port, binding in self.live.items():
            vnic = devices.vnics[binding.allocated.host, port]
            assert (vnic.ip, vnic.mac) == (binding.allocated.ip, binding.allocated.mac), f"21: {vnic}"

    def _state_equals_the_log(self, node: Node) -> None:
        """Invariant 7: what a worker believes after any crashes and re-decisions is what the log says."""
        fresh = Machine(node.worker)
        for r in self.cluster.log.records:
            fresh.replay(r)
        for name, fold in vars(fresh.state).items():
            if isinstance(fold, Fold):
                live = getattr(node.machine.state, name)
                assert live.tables == fold.tables, f"7: {node.worker.name}.{name} differs from a rebuild"
        assert not node.machine._open, f"{node.worker.name} left positions open: {node.machine._open}"
        assert node.machine.checkpoint == len(self.cluster.log.records)
