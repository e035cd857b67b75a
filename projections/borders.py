"""What the border of each availability zone must hold, and has acknowledged: leaked routes and lines to other regions.

Like CNC's leaf interfaces: each change of need starts a new epoch, the log position of that change, and an
acknowledgement counts only for the epoch that it answers.
"""

from collections.abc import Iterator

from bus.envelope import Recorded
from bus.events import (
    AzAdded,
    BorderEntryAdded,
    BorderEntryEvent,
    BorderEntryFailed,
    BorderEntryRemoved,
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectRestored,
    Event,
    VpcConnected,
    VpcCreated,
    VpcDisconnected,
    VpcDisconnecting,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.vpcs import ConnectionRow, LineRow, Vpcs, pair
from projections.world import World

#: (border, kind, one, other)
EntryKey = tuple[str, str, str, str]


class BorderEntryRow(Row):
    """One entry. ``state``: adding → present → removing (then the row goes), or error."""

    border: str
    kind: str
    one: str
    other: str
    az: str
    needed: bool = True
    epoch: int = 0
    state: str = "adding"
    reason: str = ""


def border_of(az: str) -> str:
    """The name of a zone's border."""
    return f"border-{az}"


class Borders(Fold):
    """All entries of all borders."""

    TABLES = (Table("border_entries", BorderEntryRow, ("border", "kind", "one", "other")),)

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[EntryKey, BorderEntryRow] = self.tables["border_entries"]  # type: ignore[assignment]
        self._world, self._vpcs = World(), Vpcs()

    def pending(self) -> list[BorderEntryRow]:
        """The entries that are not as they are needed yet."""
        return [entry for entry in self._entries.values() if entry.state in ("adding", "removing")]

    def entries_of(self, border: str) -> list[BorderEntryRow]:
        """The entries of one border, in whatever state."""
        return [entry for entry in self._entries.values() if entry.border == border]

    def in_use(self) -> list[str]:
        """All borders, if any has anything to hold; else none."""
        return [border_of(az) for az in self._world.region_of] if self._entries else []

    def az_of(self, border: str) -> str:
        """The zone of a border, empty if it is unknown."""
        return next((az for az in self._world.region_of if border_of(az) == border), "")

    def of_connection(self, row: ConnectionRow) -> list[BorderEntryRow]:
        """The entries, in whatever state, that carry this connection."""
        vrfs = ("vrfs", *row.vrfs)
        return [entry for entry in self._entries.values() if (entry.kind, entry.one, entry.other) == vrfs]

    def of_line(self, row: LineRow) -> list[BorderEntryRow]:
        """The entries, in whatever state, of this line."""
        line = ("line", row.spoke, row.hub)
        return [entry for entry in self._entries.values() if (entry.kind, entry.one, entry.other) == line]

    def entry(self, e: BorderEntryEvent) -> BorderEntryRow | None:
        """The entry that ``e`` speaks of."""
        return self._entries.get((e.border, e.kind, e.one, e.other))

    @on(VpcCreated, AzAdded, VpcConnected, VpcDisconnecting, VpcDisconnected)
    def _connections(self, r: Recorded, e: Event) -> tuple[Touched, ...]:
        self._world.evolve(r)
        self._vpcs.evolve(r)
        return self._need(r)

    @on(DirectConnectCreated, DirectConnectFailed, DirectConnectRestored)
    def _lines(self, r: Recorded, e: Event) -> tuple[Touched, ...]:
        self._vpcs.evolve(r)
        return self._need(r)

    @on(BorderEntryAdded)
    def _added(self, r: Recorded, e: BorderEntryAdded) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or not entry.needed:
            return NOTHING
        entry.state, entry.reason = "present", ""
        return _touch(entry)

    @on(BorderEntryRemoved)
    def _removed(self, r: Recorded, e: BorderEntryRemoved) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or entry.needed:
            return NOTHING
        del self._entries[e.border, e.kind, e.one, e.other]
        return _touch(entry)

    @on(BorderEntryFailed)
    def _failed(self, r: Recorded, e: BorderEntryFailed) -> tuple[Touched, ...]:
        entry = self._answered(e)
        if entry is None or entry.state == "present":
            return NOTHING
        entry.state, entry.reason = "error", e.reason
        return _touch(entry)

    def _answered(self, e: BorderEntryEvent) -> BorderEntryRow | None:
        entry = self.entry(e)
        return entry if entry is not None and entry.epoch == e.epoch else None

    def _need(self, r: Recorded) -> tuple[Touched, ...]:
        """Bring the entries to what is needed now; one in error, when its connection is asked for again."""
        wanted = dict(self._wanted())
        touched: list[Touched] = []
        for key, az in wanted.items():
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = BorderEntryRow(
                    border=key[0], kind=key[1], one=key[2], other=key[3], az=az, epoch=r.position
                )
                touched += _touch(entry)
            elif not entry.needed or (entry.state == "error" and self._asks_again(r.event, entry)):
                entry.needed, entry.epoch, entry.state, entry.reason = True, r.position, "adding", ""
                touched += _touch(entry)
        for key, entry in self._entries.items():
            if entry.needed and key not in wanted:
                entry.needed, entry.epoch, entry.state, entry.reason = False, r.position, "removing", ""
                touched += _touch(entry)
        return tuple(touched)

    def _asks_again(self, e: Event, entry: BorderEntryRow) -> bool:
        if isinstance(e, DirectConnectRestored):
            line = self._vpcs.line(e.direct_connect)
            return line is not None and (entry.kind, entry.one, entry.other) == ("line", line.spoke, line.hub)
        if not isinstance(e, VpcConnected) or entry.kind != "vrfs":
            return False
        vrfs = [self._world.vpcs[name].vrf for name in (e.vpc, e.peer) if name in self._world.vpcs]
        return len(vrfs) == 2 and pair(*vrfs) == (entry.one, entry.other)

    def _wanted(self) -> Iterator[tuple[EntryKey, str]]:
        for az, region in self._world.region_of.items():
            border = border_of(az)
            for row in self._vpcs.connections.values():
                regions = {self._world.vpcs[name].region for name in (row.vpc, row.peer)}
                if row.state != "disconnecting" and regions & {"", region}:
                    yield (border, "vrfs", *row.vrfs), az
            for line in self._vpcs.lines():
                if line.up and region in (line.spoke, line.hub):
                    yield (border, "line", line.spoke, line.hub), az


def _touch(entry: BorderEntryRow) -> tuple[Touched, ...]:
    return (("border_entries", (entry.border, entry.kind, entry.one, entry.other)),)
