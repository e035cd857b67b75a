"""The fabric: how hosts and leaves are cabled, all devices by name, and where each vNIC is.

A spine-leaf fabric with a full mesh: every leaf reaches every other over a spine (Figure 7). Each host hangs on the
same interface of both leaves of its pair.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from workers.devices.simulated.host import HostDevice, HostState, Vnic
from workers.devices.simulated.leaf import DEFAULT_CAPACITY, LeafDevice, LeafState
from workers.effects import AnyEffect


class CableLeaf(msgspec.Struct, frozen=True, tag=True):
    """A leaf with its VXLAN tunnel address; ``capacity`` is the size of its table of (interface, VLAN) entries."""

    leaf: str
    vtep: str
    capacity: int = DEFAULT_CAPACITY


class CableHost(msgspec.Struct, frozen=True, tag=True):
    """A host whose bond goes to ``interface`` of both leaves."""

    host: str
    leaf_a: str
    leaf_b: str
    interface: str


Cable = CableLeaf | CableHost
State = HostState | LeafState


class Uplink(NamedTuple):
    """One of the two ends of a host's bond."""

    leaf: LeafDevice
    interface: str


class Place(NamedTuple):
    """Where a vNIC is."""

    host: HostDevice
    port: str

    @property
    def vnic(self) -> Vnic:
        """The vNIC itself."""
        return self.host.vnics[self.port]


class Leftovers(msgspec.Struct, frozen=True):
    """How much the devices of a fabric hold. All zero once everything has been deleted."""

    vnics: int = 0
    flows: int = 0
    trunk_vlans: int = 0
    leaf_entries: int = 0
    vnis: int = 0

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))


class Fabric:
    """All devices. Told the cabling first, then effects only."""

    def __init__(self) -> None:
        self._leaves: dict[str, LeafDevice] = {}
        self._hosts: dict[str, HostDevice] = {}
        self._cables: dict[str, Cable] = {}
        self._uplinks: dict[str, tuple[Uplink, Uplink]] = {}
        self._taken: dict[tuple[str, str], str] = {}
        self._by_port: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._by_ip: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._by_mac: defaultdict[str, dict[Place, None]] = defaultdict(dict)

    # Cabling

    def add_leaf(self, leaf: str, vtep: str, capacity: int = DEFAULT_CAPACITY) -> bool:
        """Put up a leaf. Returns whether it is new. Raises ValueError if the name is cabled otherwise already."""
        cable = CableLeaf(leaf, vtep, capacity)
        if self._is_known(leaf, cable):
            return False
        self._leaves[leaf] = LeafDevice(leaf, vtep, capacity)
        self._cables[leaf] = cable
        return True

    def add_host(self, host: str, leaf_a: str, leaf_b: str, interface: str) -> bool:
        """Put up a host on two leaves. Returns whether it is new.

        Raises ValueError if the name is cabled otherwise already, a leaf is unknown, or an interface is taken.
        """
        cable = CableHost(host, leaf_a, leaf_b, interface)
        if self._is_known(host, cable):
            return False
        self._check_uplinks(cable)
        self._hosts[host] = HostDevice(host)
        self._uplinks[host] = (Uplink(self._leaves[leaf_a], interface), Uplink(self._leaves[leaf_b], interface))
        self._taken[leaf_a, interface] = self._taken[leaf_b, interface] = host
        self._cables[host] = cable
        return True

    def cable(self, cable: Cable) -> bool:
        """``add_leaf`` or ``add_host``, whichever ``cable`` says."""
        match cable:
            case CableLeaf(leaf, vtep, capacity):
                return self.add_leaf(leaf, vtep, capacity)
            case CableHost(host, leaf_a, leaf_b, interface):
                return self.add_host(host, leaf_a, leaf_b, interface)

    # What is done to the devices

    def apply(self, effect: AnyEffect) -> str:
        """Have ``effect.device`` perform ``effect``. Returns why it could not, or ``""``."""
        host = self._hosts.get(effect.device)
        if host is not None:
            return self._apply_to_host(host, effect)
        leaf = self._leaves.get(effect.device)
        if leaf is None:
            return f"no device {effect.device}"
        return leaf.apply(effect)

    def restore(self, state: State) -> None:
        """Have a device hold what ``state`` says and nothing else. Raises KeyError for a device that is not cabled."""
        if isinstance(state, LeafState):
            self._leaves[state.leaf].restore(state)
            return
        host = self._hosts[state.host]
        for port, vnic in host.vnics.items():
            self._forget(Place(host, port), vnic)
        host.restore(state)
        for port, vnic in host.vnics.items():
            self._remember(Place(host, port), vnic)

    # What is on the devices

    def host(self, name: str) -> HostDevice:
        """The host ``name``. Raises KeyError."""
        return self._hosts[name]

    def leaf(self, name: str) -> LeafDevice:
        """The leaf ``name``. Raises KeyError."""
        return self._leaves[name]

    @property
    def hosts(self) -> list[str]:
        """The names of all hosts, in order."""
        return sorted(self._hosts)

    @property
    def leaves(self) -> list[str]:
        """The names of all leaves, in order."""
        return sorted(self._leaves)

    def uplinks(self, host: str) -> tuple[Uplink, Uplink]:
        """The two ends of the host's bond. Raises KeyError."""
        return self._uplinks[host]

    def port_locations(self, port: str) -> list[str]:
        """The hosts that hold a vNIC of ``port``, in order: one when all is well."""
        return sorted(place.host.host for place in self._by_port.get(port, ()))

    def places_of_port(self, port: str) -> Sequence[Place]:
        """Where ``port`` has a vNIC, in the order of host names."""
        return _ordered(self._by_port.get(port, ()))

    def places_of_ip(self, ip: str) -> Sequence[Place]:
        """The vNICs that have ``ip``, in whatever VRF, in the order of host names."""
        return _ordered(self._by_ip.get(ip, ()))

    def places_of_mac(self, mac: str) -> Sequence[Place]:
        """The vNICs that have ``mac``, in whatever segment, in the order of host names."""
        return _ordered(self._by_mac.get(mac, ()))

    def flow_locations(self, port: str) -> list[str]:
        """The hosts that hold flows of ``port``, in order. Looks at every host: for explanations only."""
        return sorted(name for name, host in self._hosts.items() if port in host.flows)

    def cables(self) -> list[Cable]:
        """The cabling, leaves first, so that it can be told to another fabric in this order."""
        return sorted(self._cables.values(), key=lambda cable: isinstance(cable, CableHost))

    def states(self) -> Iterator[State]:
        """All that each device holds, leaves first, in the order of names."""
        yield from (self._leaves[name].state() for name in self.leaves)
        yield from (self._hosts[name].state() for name in self.hosts)

    def dump(self) -> dict[str, Any]:
        """What the devices hold, as plain values in a fixed order; devices that hold nothing are left out."""
        return dump_of(self.states())

    def leftovers(self) -> Leftovers:
        """How much the devices hold."""
        hosts, leaves = self._hosts.values(), self._leaves.values()
        return Leftovers(
            vnics=sum(len(host.vnics) for host in hosts),
            flows=sum(len(host.flows) for host in hosts),
            trunk_vlans=sum(len(host.trunk) for host in hosts),
            leaf_entries=sum(leaf.size for leaf in leaves),
            vnis=sum(len(leaf.vnis) for leaf in leaves),
        )

    def _is_known(self, name: str, cable: Cable) -> bool:
        known = self._cables.get(name)
        if known is not None and known != cable:
            raise ValueError(f"{name}: cabled as {known}, it cannot be {cable}")
        return known is not None

    def _check_uplinks(self, cable: CableHost) -> None:
        if cable.leaf_a == cable.leaf_b:
            raise ValueError(f"host {cable.host}: leaf_a and leaf_b are both {cable.leaf_a}")
        for leaf in (cable.leaf_a, cable.leaf_b):
            if leaf not in self._leaves:
                raise ValueError(f"host {cable.host}: no leaf {leaf}")
            if (leaf, cable.interface) in self._taken:
                taken = self._taken[leaf, cable.interface]
                raise ValueError(f"host {cable.host}: {cable.interface} of leaf {leaf} goes to host {taken}")

    def _apply_to_host(self, host: HostDevice, effect: AnyEffect) -> str:
        port = getattr(effect, "port", "")
        before = host.vnics.get(port)
        error = host.apply(effect)
        after = host.vnics.get(port)
        if before is not after:
            place = Place(host, port)
            if before is not None:
                self._forget(place, before)
            if after is not None:
                self._remember(place, after)
        return error

    def _remember(self, place: Place, vnic: Vnic) -> None:
        self._by_port[place.port][place] = None
        self._by_ip[vnic.ip][place] = None
        self._by_mac[vnic.mac][place] = None

    def _forget(self, place: Place, vnic: Vnic) -> None:
        for index, key in ((self._by_port, place.port), (self._by_ip, vnic.ip), (self._by_mac, vnic.mac)):
            del index[key][place]
            if not index[key]:
                del index[key]


def dump_of(states: Iterable[State]) -> dict[str, Any]:
    """``Fabric.dump`` of what the devices hold, without epochs and fences: they say how it came to be, not what it is.

    A device may come in several parts.
    """
    hosts: dict[str, Any] = {}
    leaves: dict[str, Any] = {}
    for state in states:
        if isinstance(state, HostState):
            if state.vnics or state.flows or state.trunk:
                held = hosts.setdefault(state.host, {"vnics": {}, "flows": {}, "trunk": []})
                held["vnics"] |= msgspec.to_builtins(state.vnics)
                held["flows"] |= msgspec.to_builtins(state.flows)
                held["trunk"] += state.trunk
        elif state.entries:
            interfaces = leaves.setdefault(state.leaf, {})
            for interface, vlan, entry in state.entries:
                interfaces.setdefault(interface, {})[vlan] = msgspec.to_builtins(entry)
    return {"hosts": hosts, "leaves": leaves}


_host_name = attrgetter("host.host", "port")


def _ordered(places: Iterable[Place]) -> list[Place]:
    found = list(places)
    if len(found) > 1:
        found.sort(key=_host_name)
    return found
