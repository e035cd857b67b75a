"""Leaves: CNC's own database. Which leaf interface must carry which VLAN, for which ports, and what was acknowledged.

The reference count of an entry is the number of claims bound through it (invariant 10). Each change of need (the count
leaves or reaches zero, the host dies or comes back) starts a new epoch, the log position of that change; an
acknowledgement counts only for the epoch it answers, so a late one can never be taken for the current state.

A host that is down is fenced: its interfaces need nothing, whatever is bound through them (docs/adr/0005).
"""

from sys import intern

import msgspec

from bus.envelope import Recorded
from bus.events import (
    CNC,
    HostAdded,
    HostDown,
    HostFenced,
    HostReturned,
    HostUp,
    LeafAuditRequested,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    LeafVlanRemoved,
    PortAllocated,
    PortBound,
    PortClaim,
    PortClaimed,
    PortOverlayRemoved,
    PortOverlayReported,
    PortRegistered,
    PortUnbound,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on
from projections.world import World


class LeafInterfaceRow(Row):
    """One VLAN on one leaf interface. ``state``: adding → present → removing (then the row goes), or error.

    While the host is down (``fenced``): removing → absent.
    """

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
    fenced: bool = False

    @property
    def needed(self) -> bool:
        """Whether any port is bound through this interface and VLAN, on a host that is not down."""
        return self.ports > 0 and not self.fenced

    @property
    def lets_go(self) -> bool:
        """Whether a claim that is over need not wait for this entry: others need it, or it is gone."""
        return self.needed or self.state == "absent"


#: (port, generation)
ClaimKey = tuple[str, int]


class CncPort(msgspec.Struct):
    """A claim of a port as CNC keeps it (Figure 10, step 4)."""

    key: ClaimKey
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
    reported: str = ""


class Leaves(Fold):
    """What every leaf interface should carry and does carry, and the ports that wait for it."""

    TABLES = (Table("leaf_interfaces", LeafInterfaceRow, ("leaf", "interface", "vlan")),)

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[ClaimKey, CncPort] = {}
        #: The newest generation of each port, also of those that are gone: a copy of an old claim is no new one.
        self._newest: dict[str, int] = {}
        self._entries: dict[Key, LeafInterfaceRow] = self.tables["leaf_interfaces"]
        self._cabling: dict[str, tuple[tuple[str, str], ...]] = {}
        #: Decides which hosts there are, so that this fold and every other agree.
        self._world = World()
        self._host_of: dict[tuple[str, str], str] = {}
        self._keys_of_host: dict[str, dict[Key, None]] = {}
        self._down: dict[str, int] = {}
        self._returned: set[str] = set()
        self.fenced: dict[str, int] = {}
        #: When each leaf was last compared with this database, microseconds.
        self.audited_us: dict[str, int] = {}
        self._users: dict[Key, set[ClaimKey]] = {}
        #: Claims that wait for an entry: bound ones to be carried, those that are over to be gone or needed again.
        self._waiting: dict[Key, set[ClaimKey]] = {}

    def entries(self, port: CncPort) -> list[LeafInterfaceRow]:
        """The entries that ``port`` is or was bound through, as far as they exist: one on each leaf of its pair."""
        return [self._entries[key] for key in self._keys(port) if key in self._entries] if port.placed else []

    def entry(self, leaf: str, interface: str, vlan: int) -> LeafInterfaceRow | None:
        """What CNC knows of this VLAN on this interface."""
        return self._entries.get((leaf, interface, vlan))

    def entries_of_host(self, host: str) -> list[LeafInterfaceRow]:
        """All entries of the host's interfaces."""
        return [self._entries[key] for key in self._keys_of_host.get(host, ())]

    def entries_of_leaf(self, leaf: str) -> list[LeafInterfaceRow]:
        """All entries of a leaf."""
        hosts = [host for (at, _), host in self._host_of.items() if at == leaf]
        return [entry for host in hosts for entry in self.entries_of_host(host) if entry.leaf == leaf]

    def az_of(self, host: str) -> str:
        """The zone of the host, empty if it is unknown."""
        row = self._world.hosts.get(host)
        return row.az if row else ""

    def leaves_of(self, host: str) -> tuple[str, ...]:
        """The two leaves of the host, none if it is unknown."""
        return tuple(leaf for leaf, _ in self._cabling.get(host, ()))

    def host_on(self, leaf: str, interface: str) -> str:
        """The host on this interface, empty if there is none."""
        return self._host_of.get((leaf, interface), "")

    @property
    def leaves(self) -> dict[str, str]:
        """The zone of each leaf that a host hangs on."""
        return {leaf: self._world.hosts[host].az for (leaf, _), host in self._host_of.items()}

    def down_since(self, host: str) -> int:
        """The log position at which the host went down, 0 while it is up."""
        return self._down.get(host, 0)

    def newest(self, port: str) -> CncPort | None:
        """The newest claim of the port."""
        return self.claims.get((port, self._newest.get(port, 0)))

    def waiting(self, leaf: str, interface: str, vlan: int) -> list[CncPort]:
        """The claims that wait for this entry, in the order of their ports' ids."""
        keys = sorted(self._waiting.get((leaf, interface, vlan), ()))
        return [self.claims[key] for key in keys if key in self.claims]

    def users(self, entry: LeafInterfaceRow) -> list[CncPort]:
        """The claims that are bound through this entry, in the order of their ports' ids."""
        keys = sorted(self._users.get((entry.leaf, entry.interface, entry.vlan), ()))
        return [self.claims[key] for key in keys if key in self.claims]

    @on(HostAdded)
    def _host(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        if self._world.evolve(r):
            self._cabling[e.host] = ((e.leaf_a, e.interface), (e.leaf_b, e.interface))
            self._host_of |= dict.fromkeys(self._cabling[e.host], e.host)
        return NOTHING

    @on(PortAllocated, PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaim) -> tuple[Touched, ...]:
        newest = self._newest.get(e.port, 0)
        if e.overlay_by != CNC or e.generation <= newest or (not newest and isinstance(e, PortClaimed)):
            return NOTHING
        before = self.newest(e.port)
        self._newest[e.port] = e.generation
        key = (intern(e.port), e.generation)
        self.claims[key] = CncPort(
            key=key,
            port=key[0],
            az=intern(e.az),
            host=intern(e.host),
            generation=e.generation,
            correlation=intern(r.correlation),
            vlan=e.vlan,
            vni=e.vni,
            vrf=intern(e.vrf),
            gateway=intern(f"{e.gateway}/{e.prefix_length}"),
            registered=before is not None and before.registered,
        )
        return NOTHING

    @on(PortRegistered)
    def _registered(self, r: Recorded, e: PortRegistered) -> tuple[Touched, ...]:
        newest = self.newest(e.port)
        if newest is not None:  # the claims after it have it from there
            newest.registered = True
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
        return tuple(self._leave(r, port, key) for key in self._keys(port) if port.key in self._users.get(key, ()))

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        if e.host in self._down and e.host not in self._returned:
            return NOTHING
        self._returned.discard(e.host)
        self._down[e.host] = r.position  # one that dies again before it was up is to be cut off again
        return self._need_again(r, e.host, fenced=True)

    @on(HostReturned)
    def _host_returned(self, r: Recorded, e: HostReturned) -> tuple[Touched, ...]:
        if e.host in self._down:
            self._returned.add(e.host)
        return NOTHING

    @on(HostUp)
    def _host_up(self, r: Recorded, e: HostUp) -> tuple[Touched, ...]:
        if e.host not in self._down or e.host not in self._returned:  # a late one is no return from the dead
            return NOTHING
        self._returned.discard(e.host)
        del self._down[e.host]
        self.fenced.pop(e.host, None)
        return self._need_again(r, e.host, fenced=False)

    @on(HostFenced)
    def _host_fenced(self, r: Recorded, e: HostFenced) -> tuple[Touched, ...]:
        if self._down.get(e.host) == e.epoch:
            self.fenced[e.host] = e.epoch
        return NOTHING

    @on(LeafAuditRequested)
    def _audit_requested(self, r: Recorded, e: LeafAuditRequested) -> tuple[Touched, ...]:
        self.audited_us[e.leaf] = r.time_us
        return NOTHING

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
        if entry.ports:
            entry.state, entry.reason = "absent", ""
        else:
            self._drop((e.leaf, e.interface, e.vlan))
        return self._touch(e)

    @on(LeafVlanFailed)
    def _failed(self, r: Recorded, e: LeafVlanFailed) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or entry.state in ("present", "absent"):
            return NOTHING
        entry.state, entry.reason = "error", e.reason
        return self._touch(e)

    @on(PortOverlayReported)
    def _reported(self, r: Recorded, e: PortOverlayReported) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is not None and not port.leaving and port.host not in self._down:
            port.reported = e.status
            if e.status == "ACTIVE":  # one in ERROR waits on: the leaf may be repaired
                self._stop_waiting(port)
        return NOTHING

    @on(PortOverlayRemoved)
    def _overlay_removed(self, r: Recorded, e: PortOverlayRemoved) -> tuple[Touched, ...]:
        port = self._current(e)
        if port is not None and port.leaving:
            self._stop_waiting(port)
            del self.claims[port.key]
        return NOTHING

    def _current(self, e: PortBound | PortUnbound | PortOverlayReported | PortOverlayRemoved) -> CncPort | None:
        port = self.claims.get((e.port, e.generation))
        return port if port is not None and port.host == e.host else None

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
                fenced=port.host in self._down,
            )
            self._keys_of_host.setdefault(port.host, {})[key] = None
        users = self._users.setdefault(key, set())
        if not users:
            entry.epoch = r.position
        if entry.fenced:
            if not users:  # it may be there still, from before
                entry.state, entry.reason = "removing", ""
        elif not users or entry.state == "error":  # a new port is a new reason to try what failed for another
            entry.state, entry.reason = "adding", ""
        users.add(port.key)
        entry.ports = len(users)
        self._waiting.setdefault(key, set()).add(port.key)
        return ("leaf_interfaces", key)

    def _leave(self, r: Recorded, port: CncPort, key: Key) -> Touched:
        users = self._users[key]
        users.discard(port.key)
        entry = self._entries[key]
        entry.ports = len(users)
        self._waiting.setdefault(key, set()).add(port.key)
        if not users and entry.state == "absent":
            self._drop(key)
        elif not users:
            entry.epoch, entry.state, entry.reason = r.position, "removing", ""
        return ("leaf_interfaces", key)

    def _need_again(self, r: Recorded, host: str, *, fenced: bool) -> tuple[Touched, ...]:
        """The host died or came back: all that is bound through its interfaces is needed no more, or again."""
        touched: list[Touched] = []
        for key in self._keys_of_host.get(host, ()):
            entry = self._entries[key]
            entry.fenced = fenced
            entry.epoch, entry.reason = r.position, ""
            entry.state = "adding" if entry.needed else "removing"
            for user in self.users(entry):
                user.reported = ""
                self._waiting.setdefault(key, set()).add(user.key)
            touched.append(("leaf_interfaces", key))
        return tuple(touched)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key)
        self._users.pop(key, None)
        del self._keys_of_host[self.host_on(entry.leaf, entry.interface)][key]

    def _stop_waiting(self, port: CncPort) -> None:
        for key in self._keys(port):
            names = self._waiting.get(key)
            if names is not None:
                names.discard(port.key)
                if not names:
                    del self._waiting[key]

    def _answered(self, e: LeafVlanEvent) -> LeafInterfaceRow | None:
        entry = self._entries.get((e.leaf, e.interface, e.vlan))
        return entry if entry is not None and entry.epoch == e.epoch else None

    def _touch(self, e: LeafVlanEvent) -> tuple[Touched, ...]:
        return (("leaf_interfaces", (e.leaf, e.interface, e.vlan)),)
