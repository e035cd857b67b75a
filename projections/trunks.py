"""What leaves should do and do for provider networks: the VLANs they trunk, and the interfaces of dead hosts, shut.

A provider VLAN is on every leaf, whoever is bound where, so there is nothing to take away from a dead host's interface
but the interface itself. Each change of need starts a new epoch, its log position, as in ``projections.leaves``.
"""

from bus.envelope import Recorded
from bus.events import (
    HostAdded,
    HostDown,
    HostResynced,
    HostReturned,
    HostUp,
    LeafAdded,
    LeafInterfaceEvent,
    LeafInterfaceOpened,
    LeafInterfaceShut,
    LeafTrunkAdded,
    NetworkCreated,
    VpcCreated,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on
from projections.world import World


class LeafTrunkRow(Row):
    """A provider VLAN on a leaf. ``state``: adding → present."""

    leaf: str
    vlan: int
    az: str
    network: str
    epoch: int
    state: str = "adding"


class ShutInterfaceRow(Row):
    """The interface of a host that died. ``state``: shutting → shut → opening, then the row goes."""

    leaf: str
    interface: str
    az: str
    host: str
    epoch: int
    state: str = "shutting"


class Trunks(Fold):
    """The trunks of all leaves, and which of their interfaces are shut."""

    TABLES = (
        Table("leaf_trunks", LeafTrunkRow, ("leaf", "vlan")),
        Table("shut_interfaces", ShutInterfaceRow, ("leaf", "interface")),
    )

    def __init__(self) -> None:
        super().__init__()
        self._trunks: dict[Key, LeafTrunkRow] = self.tables["leaf_trunks"]
        self._shut: dict[Key, ShutInterfaceRow] = self.tables["shut_interfaces"]
        #: Decides which networks and hosts there are, so that this fold and every other agree.
        self._world = World()
        self._leaves: dict[str, str] = {}
        #: Hosts that are down, and the log position of their return, 0 before it.
        self._down: dict[str, int] = {}

    def to_add(self, *, leaf: str = "", network: str = "") -> list[LeafTrunkRow]:
        """The VLANs of ``leaf``, or of ``network``, that a leaf has not acknowledged yet."""
        rows = (row for row in self._trunks.values() if row.state == "adding")
        return [row for row in rows if row.leaf == leaf or row.network == network]

    def vlans_of(self, leaf: str) -> list[LeafTrunkRow]:
        """The VLANs that ``leaf`` trunks, or is to."""
        return [row for row in self._trunks.values() if row.leaf == leaf]

    def shut_of(self, leaf: str) -> list[ShutInterfaceRow]:
        """The interfaces of ``leaf`` that are shut, or being shut or opened."""
        return [row for row in self._shut.values() if row.leaf == leaf]

    def in_use(self) -> list[str]:
        """All leaves, if there are provider networks at all; else none."""
        return list(self._leaves) if self._trunks else []

    def az_of(self, leaf: str) -> str:
        """The zone of a leaf, empty if it is unknown."""
        return self._leaves.get(leaf, "")

    def interfaces_of(self, host: str) -> list[ShutInterfaceRow]:
        """The interfaces of ``host`` that are shut, or being shut or opened."""
        row = self._world.hosts.get(host)
        keys = [(leaf, row.interface) for leaf in (row.leaf_a, row.leaf_b)] if row else []
        return [self._shut[key] for key in keys if key in self._shut]

    def is_cut_off(self, host: str) -> bool:
        """Whether nothing of a provider network can be heard from ``host``, which is down."""
        return all(row.state == "shut" for row in self.interfaces_of(host))

    def host_on(self, leaf: str, interface: str) -> str:
        """The host whose interface is shut here, empty if there is none."""
        row = self._shut.get((leaf, interface))
        return row.host if row else ""

    @on(VpcCreated, HostAdded)
    def _described(self, r: Recorded, e: VpcCreated | HostAdded) -> tuple[Touched, ...]:
        self._world.evolve(r)
        return NOTHING

    @on(LeafAdded)
    def _leaf(self, r: Recorded, e: LeafAdded) -> tuple[Touched, ...]:
        if not self._world.evolve(r):
            return NOTHING
        self._leaves[e.leaf] = e.az
        return tuple(self._add(r, e.leaf, vlan) for vlan in self._world.vlans)

    @on(NetworkCreated)
    def _network(self, r: Recorded, e: NetworkCreated) -> tuple[Touched, ...]:
        if not self._world.evolve(r) or not e.vlan:
            return NOTHING
        return tuple(self._add(r, leaf, e.vlan) for leaf in self._leaves)

    @on(LeafTrunkAdded)
    def _trunk_added(self, r: Recorded, e: LeafTrunkAdded) -> tuple[Touched, ...]:
        row = self._trunks.get((e.leaf, e.vlan))
        if row is None or row.epoch != e.epoch or row.state == "present":
            return NOTHING
        row.state = "present"
        return (("leaf_trunks", (e.leaf, e.vlan)),)

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        host = self._world.hosts.get(e.host)
        if host is None or self._down.get(e.host) == 0:
            return NOTHING
        self._down[e.host] = 0
        if not self._world.vlans:  # no VLAN reaches it but those that CNC takes away one by one
            return NOTHING
        return tuple(self._change(r, e.host, leaf, host.interface, "shutting") for leaf in (host.leaf_a, host.leaf_b))

    @on(HostReturned)
    def _host_returned(self, r: Recorded, e: HostReturned) -> tuple[Touched, ...]:
        if self._down.get(e.host) == 0:
            self._down[e.host] = r.position
        return NOTHING

    @on(HostResynced)
    def _host_resynced(self, r: Recorded, e: HostResynced) -> tuple[Touched, ...]:
        """Nothing is left on the host but its own: it may be heard again."""
        if not e.epoch or self._down.get(e.host) != e.epoch:
            return NOTHING
        rows = [row for row in self.interfaces_of(e.host) if row.state != "opening"]
        return tuple(self._change(r, e.host, row.leaf, row.interface, "opening") for row in rows)

    @on(HostUp)
    def _host_up(self, r: Recorded, e: HostUp) -> tuple[Touched, ...]:
        if self._down.get(e.host):  # a late one is no return from the dead
            del self._down[e.host]
        return NOTHING

    @on(LeafInterfaceShut)
    def _interface_shut(self, r: Recorded, e: LeafInterfaceShut) -> tuple[Touched, ...]:
        row = self._answered(e, "shutting")
        if row is None:
            return NOTHING
        row.state = "shut"
        return (("shut_interfaces", (e.leaf, e.interface)),)

    @on(LeafInterfaceOpened)
    def _interface_opened(self, r: Recorded, e: LeafInterfaceOpened) -> tuple[Touched, ...]:
        if self._answered(e, "opening") is None:
            return NOTHING
        del self._shut[e.leaf, e.interface]
        return (("shut_interfaces", (e.leaf, e.interface)),)

    def _add(self, r: Recorded, leaf: str, vlan: int) -> Touched:
        self._trunks[leaf, vlan] = LeafTrunkRow(
            leaf=leaf, vlan=vlan, az=self._leaves[leaf], network=self._world.vlans[vlan], epoch=r.position
        )
        return ("leaf_trunks", (leaf, vlan))

    def _change(self, r: Recorded, host: str, leaf: str, interface: str, state: str) -> Touched:
        az = self._world.hosts[host].az
        row = ShutInterfaceRow(leaf=leaf, interface=interface, az=az, host=host, epoch=r.position, state=state)
        self._shut[leaf, interface] = row
        return ("shut_interfaces", (leaf, interface))

    def _answered(self, e: LeafInterfaceEvent, state: str) -> ShutInterfaceRow | None:
        row = self._shut.get((e.leaf, e.interface))
        return row if row is not None and row.epoch == e.epoch and row.state == state else None
