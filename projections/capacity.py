"""Leaf tables: the (interface, VLAN) entries that claims of ports are promised, so that none is promised too many.

A claim counts from when it is granted (bound or not) until nothing of it is left: what CNC has still to configure, and
what it has still to withdraw, are both counted. Claims whose overlay another than CNC makes need no entry.
"""

from collections.abc import Iterable
from sys import intern

import msgspec

from bus.envelope import Recorded
from bus.events import (
    CNC,
    LEAF_CAPACITY,
    HostAdded,
    LeafAdded,
    PortAllocated,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortDeleted,
)
from projections.fold import NOTHING, Fold, Touched, on
from projections.world import World

#: (interface, VLAN) of one leaf.
Entry = tuple[str, int]


class _Counted(msgspec.Struct, frozen=True, gc=False):
    """A claim that counts."""

    generation: int
    host: str
    vlan: int


class Capacity(Fold):
    """What is promised of each leaf's table. It has no rows of its own: it is a reckoning over claims."""

    def __init__(self) -> None:
        super().__init__()
        #: Decides which hosts and leaves there are, so that this fold and every other agree.
        self._world = World()
        #: By leaf and entry: how many claims it is promised to.
        self._promised: dict[str, dict[Entry, int]] = {}
        #: By port: the claims that count.
        self._claims: dict[str, tuple[_Counted, ...]] = {}
        self._newest: dict[str, int] = {}

    def capacity(self, leaf: str) -> int:
        """How many entries the leaf's table takes."""
        row = self._world.tables["switches"].get((leaf,))
        return row.capacity if row is not None else LEAF_CAPACITY

    def promised(self, leaf: str) -> int:
        """How many entries of the leaf are promised."""
        return len(self._promised.get(leaf, ()))

    def full_leaf(self, host: str, vlan: int) -> str | None:
        """The first leaf of ``host`` that has no room for one more claim with this VLAN; None if both have."""
        row = self._world.hosts.get(host)
        if row is None or not vlan:
            return None
        for leaf in (row.leaf_a, row.leaf_b):
            entries = self._promised.get(leaf, {})
            if (row.interface, vlan) not in entries and len(entries) >= self.capacity(leaf):
                return leaf
        return None

    @on(HostAdded, LeafAdded)
    def _cabled(self, r: Recorded, e: HostAdded | LeafAdded) -> tuple[Touched, ...]:
        self._world.evolve(r)
        return NOTHING

    @on(PortAllocated, PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaim) -> tuple[Touched, ...]:
        if e.generation <= self._newest.get(e.port, 0):  # a copy of an old claim is no new one
            return NOTHING
        self._newest[e.port] = e.generation
        host = self._world.hosts.get(e.host)
        if host is None or not e.vlan or e.overlay_by != CNC:
            return NOTHING
        self._claims[intern(e.port)] = (*self._claims.get(e.port, ()), _Counted(e.generation, host.host, e.vlan))
        entry = (host.interface, e.vlan)
        for leaf in (host.leaf_a, host.leaf_b):
            entries = self._promised.setdefault(leaf, {})
            entries[entry] = entries.get(entry, 0) + 1
        return NOTHING

    @on(PortClaimCleared)
    def _cleared(self, r: Recorded, e: PortClaimCleared) -> tuple[Touched, ...]:
        claims = self._claims.pop(e.port, ())
        kept = tuple(one for one in claims if one.generation != e.generation)
        if kept:
            self._claims[e.port] = kept
        self._leave(one for one in claims if one.generation == e.generation)
        return NOTHING

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._leave(self._claims.pop(e.port, ()))
        return NOTHING

    def _leave(self, claims: Iterable[_Counted]) -> None:
        for claim in claims:
            host = self._world.hosts[claim.host]
            entry = (host.interface, claim.vlan)
            for leaf in (host.leaf_a, host.leaf_b):
                entries = self._promised[leaf]
                entries[entry] -= 1
                if not entries[entry]:
                    del entries[entry]
