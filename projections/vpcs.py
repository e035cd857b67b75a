"""Which VPCs are connected with which, and which regions Direct Connect joins (Figure 14)."""

from collections.abc import Iterator

from bus.envelope import Recorded
from bus.events import (
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectRefused,
    DirectConnectRestored,
    DirectConnectSettled,
    VpcConnected,
    VpcConnectionFailed,
    VpcConnectionReady,
    VpcConnectRefused,
    VpcCreated,
    VpcDisconnected,
    VpcDisconnecting,
    VpcDisconnectRefused,
    VpcPair,
    VpcRefused,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.world import VpcRow, World

#: The names of two VPCs, two VRFs or two regions, in order.
Pair = tuple[str, str]


def pair(one: str, other: str) -> Pair:
    """Both, in order, so that it does not matter who asked whom."""
    return (one, other) if one <= other else (other, one)


class ConnectionRow(Row):
    """Two connected VPCs, in order. ``state``: connecting → ready or error; disconnecting, and then the row goes.

    ``request`` is what was asked last.
    """

    vpc: str
    peer: str
    vrf: str
    peer_vrf: str
    request: str
    state: str = "connecting"
    reason: str = ""
    since_us: int = 0

    @property
    def vrfs(self) -> Pair:
        """The VRFs whose routes are leaked into each other."""
        return pair(self.vrf, self.peer_vrf)


class LineRow(Row):
    """A Direct Connect line. ``up``: it is to be used; ``settled``: its borders have acknowledged that.

    ``request`` is what was asked last.
    """

    direct_connect: str
    spoke: str
    hub: str
    request: str
    up: bool = True
    settled: bool = False
    reason: str = ""
    since_us: int = 0


class Vpcs(Fold):
    """The connections of VPCs and the lines between regions."""

    TABLES = (
        Table("vpc_connections", ConnectionRow, ("vpc", "peer")),
        Table("direct_connects", LineRow, ("direct_connect",)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.connections: dict[Pair, ConnectionRow] = self.tables["vpc_connections"]  # type: ignore[assignment]
        #: (key of the aggregate, correlation) of requests that have their answer.
        self.answered: set[tuple[str, str]] = set()
        #: Decides which VPCs there are, so that this fold and every other agree.
        self._world = World()

    def line(self, direct_connect: str) -> LineRow | None:
        """The line of this name."""
        return self.tables["direct_connects"].get((direct_connect,))

    def lines(self) -> Iterator[LineRow]:
        """All lines."""
        return iter(self.tables["direct_connects"].values())

    def connected_vrfs(self, vrf: str) -> set[str]:
        """The VRFs that ``vrf`` is, or is being, connected with."""
        rows = [row for row in self.connections.values() if row.state != "disconnecting" and vrf in row.vrfs]
        return {row.peer_vrf if row.vrf == vrf else row.vrf for row in rows}

    @on(VpcCreated)
    def _vpc(self, r: Recorded, e: VpcCreated) -> tuple[Touched, ...]:
        self._world.evolve(r)
        self.answered.add((e.vpc, r.correlation))
        return NOTHING

    @on(VpcConnected)
    def _connected(self, r: Recorded, e: VpcConnected) -> tuple[Touched, ...]:
        self._answer(r, e)
        names = pair(e.vpc, e.peer)
        one, other = (self._world.vpcs.get(name) for name in names)
        known = self.connections.get(names)
        if one is None or other is None or (known is not None and known.state not in ("error", "disconnecting")):
            return NOTHING
        self.connections[names] = _connection(r, one, other)
        return (("vpc_connections", names),)

    @on(VpcConnectionReady)
    def _ready(self, r: Recorded, e: VpcConnectionReady) -> tuple[Touched, ...]:
        return self._become(r, e, "ready", ("connecting", "error"))

    @on(VpcConnectionFailed)
    def _failed(self, r: Recorded, e: VpcConnectionFailed) -> tuple[Touched, ...]:
        return self._become(r, e, "error", ("connecting", "ready"), e.reason)

    @on(VpcDisconnecting)
    def _disconnecting(self, r: Recorded, e: VpcDisconnecting) -> tuple[Touched, ...]:
        self._answer(r, e)
        touched = self._become(r, e, "disconnecting", ("connecting", "ready", "error"))
        if touched:
            self.connections[pair(e.vpc, e.peer)].request = r.correlation
        return touched

    @on(VpcDisconnected)
    def _disconnected(self, r: Recorded, e: VpcDisconnected) -> tuple[Touched, ...]:
        names = pair(e.vpc, e.peer)
        row = self.connections.get(names)
        if row is None or row.state != "disconnecting":
            return NOTHING
        del self.connections[names]
        return (("vpc_connections", names),)

    @on(VpcRefused, VpcConnectRefused, VpcDisconnectRefused, DirectConnectRefused)
    def _refused(
        self, r: Recorded, e: VpcRefused | VpcConnectRefused | VpcDisconnectRefused | DirectConnectRefused
    ) -> tuple[Touched, ...]:
        self._answer(r, e)
        return NOTHING

    @on(DirectConnectCreated)
    def _line(self, r: Recorded, e: DirectConnectCreated) -> tuple[Touched, ...]:
        self._answer(r, e)
        if self.line(e.direct_connect) is not None:
            return NOTHING
        row = LineRow(
            direct_connect=e.direct_connect, spoke=e.spoke, hub=e.hub, request=r.correlation, since_us=r.time_us
        )
        self.tables["direct_connects"][e.direct_connect,] = row
        return (("direct_connects", (e.direct_connect,)),)

    @on(DirectConnectFailed, DirectConnectRestored)
    def _line_changed(self, r: Recorded, e: DirectConnectFailed | DirectConnectRestored) -> tuple[Touched, ...]:
        self._answer(r, e)
        row, up = self.line(e.direct_connect), isinstance(e, DirectConnectRestored)
        if row is None or (row.up == up and not row.reason):
            return NOTHING
        row.up, row.settled, row.reason, row.since_us, row.request = up, False, "", r.time_us, r.correlation
        return (("direct_connects", (e.direct_connect,)),)

    @on(DirectConnectSettled)
    def _settled(self, r: Recorded, e: DirectConnectSettled) -> tuple[Touched, ...]:
        row = self.line(e.direct_connect)
        if row is None or row.settled or (row.up != e.up and not e.reason):
            return NOTHING
        row.settled, row.reason = True, e.reason
        return (("direct_connects", (e.direct_connect,)),)

    def _become(
        self, r: Recorded, e: VpcPair, state: str, of: tuple[str, ...], reason: str = ""
    ) -> tuple[Touched, ...]:
        names = pair(e.vpc, e.peer)
        row = self.connections.get(names)
        if row is None or row.state not in of:
            return NOTHING
        row.state, row.reason, row.since_us = state, reason, r.time_us
        return (("vpc_connections", names),)

    def _answer(self, r: Recorded, e: object) -> None:
        key = e.direct_connect if hasattr(e, "direct_connect") else e.vpc  # type: ignore[attr-defined]
        self.answered.add((str(key), r.correlation))


def _connection(r: Recorded, one: VpcRow, other: VpcRow) -> ConnectionRow:
    return ConnectionRow(
        vpc=one.vpc,
        peer=other.vpc,
        vrf=one.vrf,
        peer_vrf=other.vrf,
        request=r.correlation,
        since_us=r.time_us,
    )
