"""The folds of ``projections`` held against the books: a mistake in a fold shows as a difference."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from bus.envelope import Recorded
from bus.events import (
    CNC,
    LeafVlanAdded,
    LeafVlanRemoved,
    PortBindRequested,
    PortBound,
    PortClaimed,
    PortEvent,
    PortOrphanSeen,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortPolicyReported,
    PortUnderlayReported,
)
from driftline.invariants.ledger import Ledger
from driftline.invariants.table import EDGES, NONE, Edge, Violation
from projections.addresses import Addresses
from projections.enis import Enis
from projections.fold import Fold, Touched
from projections.instances import Instances
from projections.leaves import Leaves
from projections.port_states import PortStates
from projections.world import World

#: Reports that give or claim something: stale ones change nothing. (Stale ones that take away clear their own claim.)
POSITIVE = (
    *(PortPlugged, PortPlugFailed, PortUnderlayReported, PortBindRequested, PortBound),
    *(PortOverlayReported, PortClaimed, PortOrphanSeen, PortPolicyReported),
)


class Folded:
    """The folds, fed with the same records as the ledger."""

    def __init__(self, ledger: Ledger, edges: Counter[Edge]) -> None:
        self.ledger, self.exercised, self.edges = ledger, ledger.exercised, edges
        self.states, self.addresses, self.leaves = PortStates(), Addresses(), Leaves()
        self.instances, self.world, self.enis = Instances(), World(), Enis()
        self._folds: tuple[Fold, ...] = (
            *(self.states, self.addresses, self.leaves, self.instances),
            *(self.world, self.enis),
        )
        self._pairs: dict[str, str] = {}
        self._book_counts: Counter[str] = Counter()

    @property
    def ports(self) -> dict[Any, Any]:
        """The rows of the ports, by (id,)."""
        return self.states.tables["ports"]

    def take(self, r: Recorded) -> tuple[Touched, ...]:
        """Fold one record that the ledger has not taken yet. Raises Violation if a stale report changes anything."""
        stale = isinstance(r.event, PortEvent) and self.ledger.is_stale(r.event)
        before = self._row(r.event.port) if stale else None  # type: ignore[attr-defined]  # it is a PortEvent
        self._check_answer(r)
        touched = tuple(change for fold in self._folds for change in fold.evolve(r))
        self._twice(r, touched)
        if stale:
            self._check_stale(r, r.event, before, touched)  # type: ignore[arg-type]  # the same
        return touched

    def check(self, r: Recorded, touched: Sequence[Touched], ports: Sequence[str]) -> None:
        """The rows that ``r`` may have changed are what the ledger says, which has taken ``r`` as well."""
        for port in ports:
            self._check_port(r, port)
        self._check_counts(r)
        for table, key in dict.fromkeys(touched):
            if table == "pools":
                self._check_pool(r, str(key[0]))
            elif table == "leaf_interfaces":
                self._check_reference_count(r, key)
            elif table == "subnets":
                self._check_subnet(r)

    def _check_answer(self, r: Recorded) -> None:
        """Invariant 10, as the log has it: what a leaf was brought to is what the claims of that epoch need."""
        e = r.event
        if not isinstance(e, LeafVlanAdded | LeafVlanRemoved):
            return
        entry = self.leaves.entry(e.leaf, e.interface, e.vlan)
        if entry is None or entry.epoch != e.epoch:
            return
        self.exercised[10] += 1
        if entry.needed != isinstance(e, LeafVlanAdded):
            done, claims = (
                ("carries", "no claim needs") if isinstance(e, LeafVlanAdded) else ("dropped", "a claim needs")
            )
            text = f"{e.leaf} {e.interface} {done} VLAN {e.vlan}, which {claims} since position {e.epoch}"
            raise Violation(10, text, position=r.position)

    def _row(self, port: str) -> Any:
        row = self.ports.get((port,))
        return None if row is None else msgspec.structs.astuple(row)

    def _twice(self, r: Recorded, touched: Sequence[Touched]) -> None:
        """Invariant 7: the same record once more changes nothing."""
        if not touched:
            return
        self.exercised[7] += 1
        before = [self._value(change) for change in touched]
        again = tuple(change for fold in self._folds for change in fold.evolve(r))
        for change, value in zip(touched, before, strict=True):
            if self._value(change) != value:
                raise Violation(7, f"{r.id} taken twice changed {change}", position=r.position)
        new = [change for change in again if change not in touched]
        if new:
            raise Violation(7, f"{r.id} taken twice touched {new[0]}", position=r.position)

    def _value(self, change: Touched) -> Any:
        table, key = change
        row = next(fold.tables[table].get(key) for fold in self._folds if table in fold.tables)
        return None if row is None else msgspec.structs.astuple(row)

    def _check_stale(self, r: Recorded, e: PortEvent, before: Any, touched: Sequence[Touched]) -> None:
        self.exercised[6] += 1
        now = self._row(e.port)
        if now != before:
            raise Violation(6, f"a stale report changed the port: {r.id}", e.port, r.position)
        if isinstance(e, POSITIVE) and touched:
            raise Violation(6, f"a stale report changed {touched[0]}: {r.id}", e.port, r.position)

    def _check_port(self, r: Recorded, port: str) -> None:
        book, row = self.ledger.live.get(port), self.ports.get((port,))
        if (book is None) != (row is None):
            raise Violation(21, f"{'in' if row else 'not in'} the port view, not so by the log", port, r.position)
        pair = NONE
        if book is not None and row is not None:
            pair = book.current.pair
            self.exercised[4] += 1
            if (row.host, row.generation) != (book.current.host, book.current.generation):
                raise Violation(21, f"the port view has it on {row.host} ({row.generation})", port, r.position)
            if row.usable != book.current.usable:
                raise Violation(4, f"usable is {row.usable} in the port view, it is {pair}", port, r.position)
            if f"{row.underlay}_{row.overlay}" != pair:
                raise Violation(21, f"{row.underlay}_{row.overlay} in the port view, it is {pair}", port, r.position)
        self._step(r, port, pair)

    def _step(self, r: Recorded, port: str, pair: str) -> None:
        old = self._pairs.pop(port, NONE)
        if pair != NONE:
            self._pairs[port] = pair
        if old == pair:
            return
        self.exercised[16] += 1
        self._book_counts.update({old: -1})
        self._book_counts.update((pair,))
        if (old, pair) not in EDGES:
            raise Violation(16, f"{old} → {pair} is no edge, by {r.id}", port, r.position)
        self.edges[old, pair] += 1

    def _check_counts(self, r: Recorded) -> None:
        if not isinstance(r.event, PortEvent):
            return
        counts = {pair: n for pair, n in self.states.counts.items() if n}
        books = {pair: n for pair, n in self._book_counts.items() if n and pair != NONE}
        if counts != books or sum(counts.values()) != len(self.ledger.live):
            raise Violation(16, f"Figure 8 counts {counts}, the log {books}", r.event.port, r.position)

    def _check_pool(self, r: Recorded, subnet: str) -> None:
        row = self.addresses.tables["pools"][subnet,]
        self.exercised[3] += 1
        if min(row.free, row.allocated) < 0 or row.allocated + row.free + row.reserved != row.size:
            raise Violation(3, f"{subnet}: {row.allocated} + {row.free} + {row.reserved} ≠ {row.size}", "", r.position)
        if row.allocated != self.ledger.held[subnet]:
            text = f"{subnet}: {row.allocated} allocated, {self.ledger.held[subnet]} ports live"
            raise Violation(3, text, position=r.position)

    def _check_reference_count(self, r: Recorded, key: Any) -> None:
        row = self.leaves.tables["leaf_interfaces"].get(key)
        count, ports = self.ledger.counts[key], row.ports if row else 0
        self.exercised[10] += 1
        if ports != count or count < 0:
            text = f"{' '.join(map(str, key))} is counted {ports} times, {count} ports are bound through it"
            raise Violation(10, text, position=r.position)

    def _check_subnet(self, r: Recorded) -> None:
        self.exercised[14] += 1
        if {key[0] for key in self.world.tables["subnets"]} != set(self.ledger.subnets):
            raise Violation(14, "the world holds a subnet that overlaps another of its VRF", position=r.position)

    def check_views(self) -> None:
        """Invariant 21, once quiet: the port view is CNC's view."""
        wanted = {
            (name, g): c
            for name, port in self.ledger.live.items()
            for g, c in port.claims.items()
            if c.event.overlay_by == CNC
        }
        for key in sorted({*wanted, *self.leaves.claims}):
            claim, seen = wanted.get(key), self.leaves.claims.get(key)
            self.exercised[21] += 1
            if claim is None or seen is None:
                raise Violation(21, f"generation {key[1]}: {'not ' if seen is None else ''}in CNC's view", key[0])
            if seen.bound != claim.bound or seen.host != claim.host:
                raise Violation(21, f"generation {key[1]}: bound {claim.bound}, in CNC's view {seen.bound}", key[0])

    def check_empty(self) -> None:
        """Invariant 20, once everything was deleted: no row is left of any port."""
        tables = ("ports", "stale_claims", "addresses", "segments", "leaf_interfaces", "enis")
        for fold in self._folds:
            for table in tables:
                if fold.tables.get(table):
                    raise Violation(20, f"{table} still has {next(iter(fold.tables[table]))}")

    def check_rebuild(self, records: Sequence[Recorded]) -> None:
        """Invariant 7, once quiet: folds that read the whole log anew say the same."""
        for fold in self._folds:
            anew = type(fold)()
            for r in records:
                anew.evolve(r)
            self.exercised[7] += 1
            for table, rows in fold.tables.items():
                if anew.tables[table] != rows:
                    raise Violation(7, f"{table} rebuilt from nothing differs")
