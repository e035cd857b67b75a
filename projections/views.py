"""All that PostgreSQL holds: every persisted projection, folded together. PURE: no clock, no I/O.

``Views`` is what the projector writes from and what ``verify`` rebuilds to compare with, so both mean the same thing.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from bus.envelope import Recorded, Rejected
from bus.events import EVENT_TYPES, Event
from projections.addresses import Addresses
from projections.block_routes import BlockRoutes
from projections.blocks import Blocks
from projections.borders import Borders
from projections.clusters import Clusters
from projections.drifts import Drifts
from projections.enis import Enis
from projections.errors import FoldError
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched
from projections.gateways import Gateways
from projections.hosts import Hosts
from projections.instances import Instances
from projections.leaves import Leaves
from projections.operations import Operations
from projections.policies import Policies
from projections.port_states import PAIRS, PortStates
from projections.requests import Requests
from projections.spawns import Spawns
from projections.trunks import Trunks
from projections.vpcs import Vpcs
from projections.world import World

#: The projections that are persisted. ``PortStates`` contains the ports themselves.
PROJECTIONS: tuple[type[Fold], ...] = (
    World,
    PortStates,
    Instances,
    Addresses,
    Leaves,
    Spawns,
    Hosts,
    Drifts,
    Gateways,
    Trunks,
    Policies,
    Clusters,
    Enis,
    Vpcs,
    Borders,
    Operations,
    Requests,
    Blocks,
    BlockRoutes,
)


#: Takes an event in, given what was recorded and the event itself; returns the rows it may have changed.
Evolver = Callable[[Recorded, Any], tuple[Touched, ...]]


class SkippedRow(Row):
    """An event type that this version does not know: how many there were, and the position of the latest."""

    type: str
    count: int
    last_position: int


SKIPPED = Table("skipped", SkippedRow, ("type",))


class TableChanges(NamedTuple):
    """What one batch changes in one table, as JSON texts, which is what PostgreSQL takes in fastest.

    ``upserts``: an array of whole rows; ``deletes``: an array of objects with the key columns of rows that are gone.
    """

    table: Table
    upserts: str
    deletes: str


class Views:
    """One instance of each persisted projection, and the count of events that were skipped."""

    def __init__(self, projections: Iterable[type[Fold]] = PROJECTIONS) -> None:
        self._wire([projection() for projection in projections], {})

    def __getstate__(self) -> tuple[list[Fold], dict[Key, Any]]:
        return self._folds, self._rows[SKIPPED.name]

    def __setstate__(self, state: tuple[list[Fold], dict[Key, Any]]) -> None:
        self._wire(*state)

    def _wire(self, folds: list[Fold], skipped: dict[Key, Any]) -> None:
        self._folds = folds
        self._port_states = next(fold for fold in folds if isinstance(fold, PortStates))
        self._tables: dict[str, Table] = {table.name: table for fold in folds for table in fold.TABLES}
        self._tables[SKIPPED.name] = SKIPPED
        self._rows: dict[str, dict[Key, Any]] = {name: rows for fold in folds for name, rows in fold.tables.items()}
        self._rows[SKIPPED.name] = skipped
        self._evolvers: dict[type[Event], tuple[Evolver, ...]] = {
            kind: tuple(fold.evolver(kind) for fold in folds if kind in fold.inputs()) for kind in EVENT_TYPES
        }

    def evolve(self, recorded: Recorded) -> tuple[Touched, ...]:
        """Take one event in; returns the rows it may have changed, of all projections."""
        event = recorded.event
        touched = NOTHING
        for evolve in self._evolvers.get(type(event), ()):
            touched += evolve(recorded, event)
        return touched

    def evolve_all(self, records: Iterable[Recorded], touched: set[Touched] | None) -> None:
        """``evolve`` for each of ``records``; adds the rows that may have changed to ``touched``, if asked for.

        Raises FoldError when a fold fails; what the failed event has changed until then stays so.
        """
        evolvers = self._evolvers
        recorded: Recorded | None = None
        try:
            for recorded in records:
                event = recorded.event
                for evolve in evolvers.get(type(event), ()):
                    rows = evolve(recorded, event)
                    if rows and touched is not None:
                        touched.update(rows)
        except Exception as error:
            assert recorded is not None
            raise FoldError(recorded.position, recorded.id) from error

    def skip(self, rejected: Rejected) -> tuple[Touched, ...]:
        """Count a message of an unknown event type; a malformed one is the quarantine's and changes nothing."""
        if rejected.malformed:
            return NOTHING
        name = re.sub(r"[^ -~]", "?", rejected.tag)
        rows = self._rows[SKIPPED.name]
        row = rows.setdefault((name,), SkippedRow(type=name, count=0, last_position=0))
        row.count += 1
        row.last_position = rejected.position
        return ((SKIPPED.name, (name,)),)

    def tables(self) -> tuple[Table, ...]:
        """All tables, in the order in which they are created, written and compared."""
        return tuple(self._tables.values())

    def rows(self, table: str) -> dict[Key, Any]:
        """The rows of a table by key: the live ones, which the next event may change. Raises KeyError."""
        return self._rows[table]

    def row(self, table: str, key: Key) -> Any | None:
        """One row, None if it does not exist. Raises KeyError for an unknown table."""
        return self._rows[table].get(key)

    def port_state_counts(self) -> dict[str, int]:
        """How many live ports are in each of Figure 8's nine pairs now, e.g. ``{"ACTIVE_DOWN": 3, ...}``."""
        return {pair: self._port_states.counts[pair] for pair in PAIRS}

    def cut(self, touched: Iterable[Touched]) -> list[TableChanges]:
        """The touched rows as they are now, encoded, so that the next events cannot change them any more."""
        rows: dict[str, list[Row]] = {}
        gone: dict[str, list[dict[str, str | int]]] = {}
        for name, key in touched:
            row = self._rows[name].get(key)
            if row is not None:
                rows.setdefault(name, []).append(row)
            else:
                gone.setdefault(name, []).append(dict(zip(self._tables[name].key, key, strict=True)))
        return [
            TableChanges(table, _json(rows.get(name)), _json(gone.get(name)))
            for name, table in self._tables.items()
            if name in rows or name in gone
        ]


def _json(rows: Sequence[object] | None) -> str:
    return msgspec.json.encode(rows).decode() if rows else ""
