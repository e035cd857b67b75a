"""Which device must know the way to which block, and does.

A block is its host's own. In VXLAN mode every other host has a tunnel to it; in BGP mode the two leaves of the host
accept its announcement from that host, and from no other. As with borders, each change of need starts a new epoch.
"""

from bus.envelope import Recorded
from bus.events import (
    BlockRouteSet,
    HostAdded,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockReleased,
    HostDown,
    HostUp,
    RouteKind,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.world import HostRow, World

#: The model whose blocks hosts announce to their leaves; the other has tunnels.
BGP = "host-local-bgp"


class BlockRouteRow(Row):
    """One block on one device. ``present``: the device has acknowledged that it is as ``needed``."""

    router: str
    vrf: str
    cidr: str
    az: str
    kind: str
    host: str
    gateway: str
    needed: bool
    epoch: int
    done: bool = False


#: (router, VRF, CIDR)
RouteKey = tuple[str, str, str]


class BlockRoutes(Fold):
    """The routes of all devices to blocks."""

    TABLES = (Table("block_routes", BlockRouteRow, ("router", "vrf", "cidr")),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[RouteKey, BlockRouteRow] = self.tables["block_routes"]  # type: ignore[assignment]
        self._blocks: dict[tuple[str, str], HostBlockAssigned] = {}
        self._announced: set[tuple[str, str]] = set()
        self._world = World()
        self._down: set[str] = set()

    def pending(self) -> list[BlockRouteRow]:
        """The routes that a device that can be spoken to still has to be told of."""
        return [row for row in self._rows.values() if not row.done and row.router not in self._down]

    def of_router(self, router: str) -> list[BlockRouteRow]:
        """The ways that one device knows, is to know, or is to forget."""
        return [row for row in self._rows.values() if row.router == router]

    def in_use(self) -> list[str]:
        """The hosts that can be spoken to and their leaves, if there are blocks at all; else none."""
        hosts = [row for row in self._world.hosts.values() if row.kind == "server"] if self._blocks else []
        leaves = dict.fromkeys(leaf for row in hosts for leaf in _leaves(row))
        return [*(row.host for row in hosts if row.host not in self._down), *leaves]

    def az_of(self, router: str) -> str:
        """The zone of a host or of a leaf, empty if it is unknown."""
        hosts = self._world.hosts.values()
        return next((row.az for row in hosts if router in (row.host, *_leaves(row))), "")

    def ready(self) -> list[HostBlockAssigned]:
        """The blocks that are not announced, and that every device that can be spoken to knows the way to."""
        waiting = {(row.vrf, row.cidr) for row in self.pending()}
        found = []
        for key, block in self._blocks.items():
            own = self._rows.get((block.host, *key))
            if key not in self._announced and key not in waiting and own is not None and own.done:
                found.append(block)
        return found

    @on(HostAdded)
    def _host_added(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        if not self._world.evolve(r):
            return NOTHING
        return tuple(touched for block in self._blocks.values() for touched in self._need(r, block))

    @on(HostBlockAssigned)
    def _assigned(self, r: Recorded, e: HostBlockAssigned) -> tuple[Touched, ...]:
        if (e.vrf, e.cidr) in self._blocks:
            return NOTHING
        self._blocks[e.vrf, e.cidr] = e
        return self._need(r, e)

    @on(HostBlockAnnounced)
    def _is_announced(self, r: Recorded, e: HostBlockAnnounced) -> tuple[Touched, ...]:
        self._announced |= {
            key for key, block in self._blocks.items() if block.host == e.host and block.cidr in e.cidrs
        }
        return NOTHING

    @on(HostBlockReleased)
    def _released(self, r: Recorded, e: HostBlockReleased) -> tuple[Touched, ...]:
        keys = [key for key, block in self._blocks.items() if block.host == e.host and block.cidr in e.cidrs]
        touched: list[Touched] = []
        for key in keys:
            del self._blocks[key]
            self._announced.discard(key)
            for row in self._rows.values():
                if (row.vrf, row.cidr) == key and row.needed:
                    row.needed, row.done, row.epoch = False, False, r.position
                    touched += _touch(row)
        return tuple(touched)

    @on(BlockRouteSet)
    def _set(self, r: Recorded, e: BlockRouteSet) -> tuple[Touched, ...]:
        found = [row for row in self._rows.values() if (row.router, row.cidr, row.epoch) == (e.router, e.cidr, e.epoch)]
        touched: list[Touched] = []
        for row in found:
            if row.needed == e.present:
                row.done = True
                if not row.needed:
                    del self._rows[row.router, row.vrf, row.cidr]
                touched += _touch(row)
        return tuple(touched)

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        self._down.add(e.host)
        return NOTHING

    @on(HostUp)
    def _host_up(self, r: Recorded, e: HostUp) -> tuple[Touched, ...]:
        self._down.discard(e.host)
        return NOTHING

    def _need(self, r: Recorded, block: HostBlockAssigned) -> tuple[Touched, ...]:
        touched: list[Touched] = []
        for router, az, kind in self._wanted(block):
            key = (router, block.vrf, block.cidr)
            row = self._rows.get(key)
            if row is not None and row.needed and (row.kind, row.host) == (kind, block.host):
                continue
            row = self._rows[key] = BlockRouteRow(
                router=router,
                vrf=block.vrf,
                cidr=block.cidr,
                az=az,
                kind=kind,
                host=block.host,
                gateway=block.gateway,
                needed=True,
                epoch=r.position,
            )
            touched += _touch(row)
        return tuple(touched)

    def _wanted(self, block: HostBlockAssigned) -> list[tuple[str, str, RouteKind]]:
        owner = self._world.hosts.get(block.host)
        if owner is None:
            return []
        if block.model == BGP:
            leaves: list[tuple[str, str, RouteKind]] = [(leaf, owner.az, "accept") for leaf in _leaves(owner)]
            return [(owner.host, owner.az, "own-bgp"), *leaves]
        hosts = [row for row in self._world.hosts.values() if row.kind == "server" and row.host != owner.host]
        tunnels: list[tuple[str, str, RouteKind]] = [(row.host, row.az, "tunnel") for row in hosts]
        return [(owner.host, owner.az, "own-vxlan"), *tunnels]


def _leaves(host: HostRow) -> tuple[str, str]:
    return host.leaf_a, host.leaf_b


def _touch(row: BlockRouteRow) -> list[Touched]:
    return [("block_routes", (row.router, row.vrf, row.cidr))]
