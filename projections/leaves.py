"""Leaves: CNC's own database. Which leaf interface must carry which VLAN, for which ports, and what was acknowledged.

The reference count of an entry is the number of ports bound through it (invariant 10). Each change of need (the count
leaves or reaches zero) starts a new epoch, the log position of that change; an acknowledgement counts only for the
epoch it answers, so a late one can never be taken for the current state.
"""

import msgspec

from bus.envelope import Recorded
from bus.events import (
    HostAdded,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    LeafVlanRemoved,
    PortAllocated,
    PortBound,
    PortOverlayRemoved,
    PortOverlayReported,
    PortRegistered,
    PortUnbound,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on
from projections.world import World


class LeafInterfaceRow(Row):
    """One VLAN on one leaf interface. ``state``: adding → present → removing (then the row goes), or error."""

    leaf: str
    interface: str
    vlan: int
    vni: int
    az: str
    vrf: str
    gateway: str
    ports: int = 0
    epoch: int = 0
    state: str = "adding"
    reason: str = ""

    @property
    def needed(self) -> bool:
        """Whether any port is bound through this interface and VLAN."""
        return self.ports > 0


class CncPort(msgspec.Struct):
    """A port as CNC keeps it (Figure 10, step 4)."""

    port: str
    az: str
    host: str
    generation: int
    correlation: str
    vlan: int
    vni: int
    vrf: str
    gateway: str
    registered: bool = False
    bound: bool = False
    placed: bool = False  # it is or was bound: only then do leaf interfaces concern it
    leaving: bool = False
    reported: bool = False


class Leaves(Fold):
    """What every leaf interface should carry and does carry, and the ports that wait for it."""

    TABLES = (Table("leaf_interfaces", LeafInterfaceRow, ("leaf", "interface", "vlan")),)

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, CncPort] = {}
        self._entries: dict[Key, LeafInterfaceRow] = self.tables["leaf_interfaces"]
        self._cabling: dict[str, tuple[tuple[str, str], ...]] = {}
        #: Decides which hosts there are, so that this fold and every other agree.
        self._world = World()
        self._users: dict[Key, set[str]] = {}
        #: Ports that wait for an entry: newly bound ones to be carried, unbound ones to be gone or needed again.
        self._waiting: dict[Key, set[str]] = {}

    def entries(self, port: CncPort) -> list[LeafInterfaceRow]:
        """The entries that ``port`` is or was bound through, as far as they exist: one on each leaf of its pair."""
        return [self._entries[key] for key in self._keys(port) if key in self._entries] if port.placed else []

    def waiting(self, leaf: str, interface: str, vlan: int) -> list[CncPort]:
        """The ports that wait for this entry, in the order of their ids."""
        names = sorted(self._waiting.get((leaf, interface, vlan), ()))
        return [self.ports[name] for name in names if name in self.ports]

    @on(HostAdded)
    def _host(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        if self._world.evolve(r):
            self._cabling[e.host] = ((e.leaf_a, e.interface), (e.leaf_b, e.interface))
        return NOTHING

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        if e.port not in self.ports:
            self.ports[e.port] = CncPort(
                port=e.port,
                az=e.az,
                host=e.host,
                generation=e.generation,
                correlation=r.correlation,
                vlan=e.vlan,
                vni=e.vni,
                vrf=e.vrf,
                gateway=f"{e.gateway}/{e.prefix_length}",
            )
        return NOTHING

    @on(PortRegistered)
    def _registered(self, r: Recorded, e: PortRegistered) -> tuple[Touched, ...]:
        if e.port in self.ports:
            self.ports[e.port].registered = True
        return NOTHING

    @on(PortBound)
    def _bound(self, r: Recorded, e: PortBound) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is None or port.bound or port.leaving:
            return NOTHING
        port.bound = port.placed = True
        return tuple(self._use(r, port, key) for key in self._keys(port))

    @on(PortUnbound)
    def _unbound(self, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is None or port.leaving:
            return NOTHING
        port.leaving = True
        if not port.bound:
            return NOTHING
        port.bound = False
        # A host described only after its port was bound has no entries for it.
        return tuple(self._leave(r, port, key) for key in self._keys(port) if port.port in self._users.get(key, ()))

    @on(LeafVlanAdded)
    def _added(self, r: Recorded, e: LeafVlanAdded) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or not entry.needed:
            return NOTHING
        entry.state, entry.reason = "present", ""
        return self._touch(e)

    @on(LeafVlanRemoved)
    def _removed(self, r: Recorded, e: LeafVlanRemoved) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or entry.needed:
            return NOTHING
        key = (e.leaf, e.interface, e.vlan)
        del self._entries[key]
        self._users.pop(key, None)
        return self._touch(e)

    @on(LeafVlanFailed)
    def _failed(self, r: Recorded, e: LeafVlanFailed) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or entry.state == "present":
            return NOTHING
        entry.state, entry.reason = "error", e.reason
        return self._touch(e)

    @on(PortOverlayReported)
    def _reported(self, r: Recorded, e: PortOverlayReported) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is not None and not port.leaving:
            port.reported = True
            self._stop_waiting(port)
        return NOTHING

    @on(PortOverlayRemoved)
    def _overlay_removed(self, r: Recorded, e: PortOverlayRemoved) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is not None and port.leaving:
            self._stop_waiting(port)
            del self.ports[port.port]
        return NOTHING

    def _current(self, e: PortBound | PortUnbound | PortOverlayReported | PortOverlayRemoved) -> CncPort | None:
        port = self.ports.get(e.port)
        return port if port and (port.host, port.generation) == (e.host, e.generation) else None

    def _keys(self, port: CncPort) -> list[Key]:
        return [(leaf, interface, port.vlan) for leaf, interface in self._cabling.get(port.host, ())]

    def _use(self, r: Recorded, port: CncPort, key: Key) -> Touched:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = LeafInterfaceRow(
                leaf=str(key[0]),
                interface=str(key[1]),
                vlan=port.vlan,
                vni=port.vni,
                az=port.az,
                vrf=port.vrf,
                gateway=port.gateway,
            )
        users = self._users.setdefault(key, set())
        if not users:
            entry.epoch = r.position
        if not users or entry.state == "error":  # a new port is a new reason to try what failed for another
            entry.state, entry.reason = "adding", ""
        users.add(port.port)
        entry.ports = len(users)
        self._waiting.setdefault(key, set()).add(port.port)
        return ("leaf_interfaces", key)

    def _leave(self, r: Recorded, port: CncPort, key: Key) -> Touched:
        users = self._users[key]
        users.discard(port.port)
        entry = self._entries[key]
        entry.ports = len(users)
        if not users:
            entry.epoch, entry.state, entry.reason = r.position, "removing", ""
        self._waiting.setdefault(key, set()).add(port.port)
        return ("leaf_interfaces", key)

    def _stop_waiting(self, port: CncPort) -> None:
        for key in self._keys(port):
            names = self._waiting.get(key)
            if names is not None:
                names.discard(port.port)
                if not names:
                    del self._waiting[key]

    def _answered(self, e: LeafVlanEvent) -> LeafInterfaceRow | None:
        entry = self._entries.get((e.leaf, e.interface, e.vlan))
        return entry if entry is not None and entry.epoch == e.epoch else None

    def _touch(self, e: LeafVlanEvent) -> tuple[Touched, ...]:
        return (("leaf_interfaces", (e.leaf, e.interface, e.vlan)),)
