"""The fabric: how hosts and leaves are cabled, all devices by name, and where each vNIC is.

A spine-leaf fabric with a full mesh: every leaf reaches every other over a spine (Figure 7). Each host hangs on the
same interface of both leaves of its pair.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, NamedTuple

from bus.events.device import DeviceTable
from workers.devices.simulated.audit import audit_host, audit_leaf, audit_table
from workers.devices.simulated.cabling import Cable, CableHost, CableLeaf, SetHosts
from workers.devices.simulated.contents import Leftovers, State, dump_of
from workers.devices.simulated.device import CableDevice, Device, DeviceState, Tabled, make
from workers.devices.simulated.host import HostDevice, Vnic
from workers.devices.simulated.leaf import DEFAULT_CAPACITY, LeafDevice, LeafState
from workers.devices.simulated.mobility import Mobility, Uplink
from workers.devices.simulated.resync import resync_flows, resync_host
from workers.devices.simulated.tamper import (
    Act,
    AddEntry,
    Announce,
    DropEntry,
    DropRow,
    tamper_with_host,
    tamper_with_leaf,
    tamper_with_table,
)
from workers.effects import (
    AnyEffect,
    AuditHost,
    AuditLeaf,
    AuditTable,
    ClearMac,
    Difference,
    LeafVlan,
    LookForDuplicates,
    PortEffect,
    ResyncFlows,
    ResyncHost,
    ShutInterface,
)

__all__ = ["Cable", "CableHost", "CableLeaf", "Fabric", "Performed", "Place", "SetHosts"]
__all__ += ["Leftovers", "State", "Uplink", "dump_of"]  # from the modules that this one is made of


class Performed(NamedTuple):
    """What came of an effect: why it could not be performed, or ``""``, and what was found (``Outcome``).

    ``noted``: whether a device took notice of it, so that it has to be remembered.
    """

    error: str = ""
    found: tuple[Difference, ...] = ()
    noted: bool = True


class Place(NamedTuple):
    """Where a vNIC is."""

    host: HostDevice
    port: str

    @property
    def vnic(self) -> Vnic:
        """The vNIC itself."""
        return self.host.vnics[self.port]


class Fabric:
    """All devices. Told the cabling first, then effects only."""

    def __init__(self) -> None:
        self._leaves: dict[str, LeafDevice] = {}
        self._hosts: dict[str, HostDevice] = {}
        self._devices: dict[str, Device] = {}
        self._cables: dict[str, Cable] = {}
        self._uplinks: dict[str, tuple[Uplink, Uplink]] = {}
        self._taken: dict[tuple[str, str], str] = {}
        self._by_port: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._by_ip: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        self._by_mac: defaultdict[str, dict[Place, None]] = defaultdict(dict)
        #: What the leaves remember of MACs.
        self.mobility = Mobility(self)

    # Cabling

    def add_leaf(self, leaf: str, vtep: str, capacity: int = DEFAULT_CAPACITY, az: str = "") -> bool:
        """Put up a leaf. Returns whether it is new. Raises ValueError if the name is cabled otherwise already."""
        cable = CableLeaf(leaf, vtep, capacity, az)
        if self._is_known(leaf, cable):
            return False
        self._leaves[leaf] = LeafDevice(leaf, vtep, capacity, az)
        self._cables[leaf] = cable
        return True

    def add_host(
        self, host: str, leaf_a: str, leaf_b: str, interface: str, layout: str = "driftline", *, bare: bool = False
    ) -> bool:
        """Put up a host on two leaves. Returns whether it is new.

        Raises ValueError if the name is cabled otherwise already, a leaf is unknown, or an interface is taken.
        """
        cable = CableHost(host, leaf_a, leaf_b, interface, layout, bare)
        if self._is_known(host, cable):
            return False
        self._check_uplinks(cable)
        self._hosts[host] = HostDevice(host, layout, bare=bare)
        self._uplinks[host] = (Uplink(self._leaves[leaf_a], interface), Uplink(self._leaves[leaf_b], interface))
        self._taken[leaf_a, interface] = self._taken[leaf_b, interface] = host
        self._cables[host] = cable
        return True

    def add_device(self, cable: CableDevice) -> bool:
        """Put up a device of another kind. Returns whether it is new.

        Raises ValueError if the name is cabled otherwise already, or for an unknown kind.
        """
        if self._is_known(cable.device, cable):
            return False
        self._devices[cable.device] = make(cable)
        self._cables[cable.device] = cable
        return True

    def cable(self, cable: Cable) -> bool:
        """``add_leaf``, ``add_host`` or ``add_device``, whichever ``cable`` says."""
        match cable:
            case CableLeaf(leaf, vtep, capacity, az):
                return self.add_leaf(leaf, vtep, capacity, az)
            case CableHost(host, leaf_a, leaf_b, interface, layout, bare):
                return self.add_host(host, leaf_a, leaf_b, interface, layout, bare=bare)
            case CableDevice():
                return self.add_device(cable)

    # What is done to the devices

    def apply(self, effect: AnyEffect) -> str:
        """As ``perform``; returns only why ``effect`` could not be performed, or ``""``."""
        return self.perform(effect).error

    def perform(self, effect: AnyEffect, part: float = 1.0) -> Performed:
        """Have ``effect.device`` perform ``effect``, a resync only in ``part`` if that is below 1."""
        host = self._hosts.get(effect.device)
        if isinstance(effect, AuditTable):
            return self._compare(effect, silence=host.silence if host else "")
        if host is not None:
            return self._perform_on_host(host, effect, part)
        if effect.device in self._devices:
            came = self._devices[effect.device].perform(effect)
            return Performed(came) if isinstance(came, str) else Performed(found=came)
        leaf = self._leaves.get(effect.device)
        if leaf is None:
            return Performed(f"no device {effect.device}", noted=False)
        return self._perform_on_leaf(leaf, effect)

    def table(self, device: str, name: DeviceTable) -> dict[str, str]:
        """What the device holds of a table (``workers.tables``), by key in order; empty for one that holds none."""
        found = self._tabled(device)
        return dict(sorted(found.table(name).items())) if found is not None else {}

    def _tabled(self, name: str) -> Tabled | None:
        found = self._hosts.get(name) or self._leaves.get(name) or self._devices.get(name)
        return found if isinstance(found, Tabled) else None

    def _compare(self, effect: AuditTable, silence: str) -> Performed:
        device = self._tabled(effect.device)
        if device is None or silence:
            return Performed(silence or f"no device {effect.device} with tables", noted=False)
        return Performed(found=audit_table(device.table(effect.table), effect), noted=False)

    def set_hosts(self, change: SetHosts) -> None:
        """See ``SetHosts``. Raises ValueError for a host that is not cabled; then nothing changed."""
        for name in (*change.power_off, *change.power_on, *change.cut_off, *change.reconnect):
            if name not in self._hosts:
                raise ValueError(f"no host {name}")
        for names, powered in ((change.power_off, False), (change.power_on, True)):
            for name in names:
                self._hosts[name].powered = powered
                self.mobility.look(self._hosts[name], self._hosts[name].vnics)
        for names, cut_off in ((change.cut_off, True), (change.reconnect, False)):
            for name in names:
                self._hosts[name].cut_off = cut_off

    def tamper(self, act: Act) -> None:
        """Do something to a device by hand. Raises ValueError if it cannot be done; then nothing changed."""
        if isinstance(act, AddEntry | DropEntry):
            if act.leaf not in self._leaves:
                raise ValueError(f"no leaf {act.leaf}")
            tamper_with_leaf(self._leaves[act.leaf], act)
            self._hear(act.leaf, act.interface, act.vlan)
            return
        if isinstance(act, DropRow):
            device = self._tabled(act.device)
            if device is None:
                raise ValueError(f"no device {act.device} with tables")
            tamper_with_table(device, act)
            if act.device in self._leaves:
                self._hear_all(act.device)
            return
        if act.host not in self._hosts:
            raise ValueError(f"no host {act.host}")
        host = self._hosts[act.host]
        with self._indexed(host, (act.port,)):
            tamper_with_host(host, act)
        if isinstance(act, Announce):
            self.mobility.hear(host.host, act.port)

    def restore(self, state: State) -> None:
        """Have a device hold what ``state`` says and nothing else. Raises KeyError for a device that is not cabled."""
        if isinstance(state, LeafState):
            self._leaves[state.leaf].restore(state)
            self._hear_all(state.leaf)
            return
        if isinstance(state, DeviceState):
            self._devices[state.device].restore(state.held)
            return
        host = self._hosts[state.host]
        with self._indexed(host, (*host.vnics, *state.vnics)):
            host.restore(state)

    # What is on the devices

    def host(self, name: str) -> HostDevice:
        """The host ``name``. Raises KeyError."""
        return self._hosts[name]

    def leaf(self, name: str) -> LeafDevice:
        """The leaf ``name``. Raises KeyError."""
        return self._leaves[name]

    def device(self, name: str) -> Device:
        """The device ``name`` of another kind. Raises KeyError."""
        return self._devices[name]

    def devices_of(self, kind: str) -> list[str]:
        """The names of all devices of this kind, in order."""
        cables = (self._cables[name] for name in sorted(self._devices))
        return [cable.device for cable in cables if isinstance(cable, CableDevice) and cable.kind == kind]

    @property
    def hosts(self) -> list[str]:
        """The names of all hosts, in order."""
        return sorted(self._hosts)

    @property
    def leaves(self) -> list[str]:
        """The names of all leaves, in order."""
        return sorted(self._leaves)

    def answers(self, host: str) -> bool:
        """Whether ``host`` is known and can be spoken to."""
        device = self._hosts.get(host)
        return device is not None and not device.silence

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
        """All that each device holds: leaves, hosts, then others, in the order of names."""
        yield from (self._leaves[name].state() for name in self.leaves)
        yield from (self._hosts[name].state() for name in self.hosts)
        yield from (DeviceState(name, self._devices[name].state()) for name in sorted(self._devices))

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
            policies=sum(len(host.policies) for host in hosts),
            others=sum(device.size() for device in self._devices.values()),
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

    def _perform_on_host(self, host: HostDevice, effect: AnyEffect, part: float) -> Performed:
        if host.silence:
            return Performed(host.silence, noted=False)
        if isinstance(effect, AuditHost):
            return Performed(found=audit_host(host, effect), noted=False)
        with self._indexed(host, (effect.port,) if isinstance(effect, PortEffect) else tuple(host.vnics)):
            match effect:
                case ResyncHost():
                    return Performed(found=resync_host(host, effect, part))
                case ResyncFlows():
                    return Performed(found=resync_flows(host, effect, part))
                case _:
                    return Performed(host.apply(effect))

    def _perform_on_leaf(self, leaf: LeafDevice, effect: AnyEffect) -> Performed:
        match effect:
            case AuditLeaf(known=known):
                return Performed(
                    found=(*audit_leaf(leaf, effect), *self.mobility.duplicates(leaf.leaf, known)), noted=False
                )
            case LookForDuplicates(known=known):
                return Performed(found=self.mobility.duplicates(leaf.leaf, known), noted=False)
            case ClearMac(vni=vni, mac=mac):
                return Performed(self.mobility.clear(vni, mac), noted=False)
            case LeafVlan(interface=interface, vlan=vlan):
                before = leaf.entry(interface, vlan)
                error = leaf.apply(effect)
                if leaf.entry(interface, vlan) != before:  # else nobody is heard who was not, and looking costs
                    self._hear(leaf.leaf, interface, vlan)
                return Performed(error)
            case ShutInterface(interface=interface):
                error = leaf.apply(effect)
                self._hear(leaf.leaf, interface)
                return Performed(error)
        return Performed(leaf.apply(effect))

    def _hear_all(self, leaf: str) -> None:
        """The leaf hears who is below it now."""
        for interface in [interface for name, interface in self._taken if name == leaf]:
            self._hear(leaf, interface)

    def _hear(self, leaf: str, interface: str, vlan: int = 0) -> None:
        """The leaf hears who is below the interface now; ``vlan``: only who sends on this VLAN, or untagged."""
        host = self._hosts.get(self._taken.get((leaf, interface), ""))
        if host is not None:
            tagged = [port for port, flow in host.flows.items() if vlan in (0, flow.vlan)]
            self.mobility.look(host, host.vnics if host.bare else tagged)

    @contextmanager
    def _indexed(self, host: HostDevice, ports: Iterable[str]) -> Iterator[None]:
        """Whatever becomes of the vNICs of ``ports`` meanwhile is found by its address afterwards."""
        before = {port: host.vnics.get(port) for port in ports}
        yield
        for port, old in before.items():
            new = host.vnics.get(port)
            if new is not old:
                place = Place(host, port)
                if old is not None:
                    self._forget(place, old)
                if new is not None:
                    self._remember(place, new)
        self.mobility.look(host, before)

    def _remember(self, place: Place, vnic: Vnic) -> None:
        self._by_port[place.port][place] = None
        self._by_ip[vnic.ip][place] = None
        self._by_mac[vnic.mac][place] = None

    def _forget(self, place: Place, vnic: Vnic) -> None:
        for index, key in ((self._by_port, place.port), (self._by_ip, vnic.ip), (self._by_mac, vnic.mac)):
            del index[key][place]
            if not index[key]:
                del index[key]


_host_name = attrgetter("host.host", "port")


def _ordered(places: Iterable[Place]) -> list[Place]:
    found = list(places)
    if len(found) > 1:
        found.sort(key=_host_name)
    return found
