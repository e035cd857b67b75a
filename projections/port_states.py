"""Ports and Figure 8: the nine (underlay, overlay) pairs, now and second by second."""

from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from bus.events import Event
from projections.fold import Fold, Key, Row, Table, Touched
from projections.port_rows import PortRow
from projections.ports import Ports

STATUSES = ("ACTIVE", "DOWN", "ERROR")
#: The nine pairs of Figure 8, written UNDERLAY_OVERLAY.
_PAIR_OF = {(underlay, overlay): f"{underlay}_{overlay}" for underlay in STATUSES for overlay in STATUSES}
PAIRS = tuple(_PAIR_OF.values())
_COLUMNS = {pair: pair.lower() for pair in PAIRS}


class PortStatesRow(Row):
    """How many live ports were in each of the nine pairs at the end of one second."""

    second_us: int
    active_active: int = 0
    active_down: int = 0
    active_error: int = 0
    down_active: int = 0
    down_down: int = 0
    down_error: int = 0
    error_active: int = 0
    error_down: int = 0
    error_error: int = 0


class PortStates(Fold):
    """All ports, and their states over time. A second in which nothing changed has no row."""

    TABLES = (*Ports.TABLES, Table("port_states", PortStatesRow, ("second_us",)))

    def __init__(self) -> None:
        super().__init__()
        self.ports = Ports()
        self.tables |= self.ports.tables
        self.counts: dict[str, int] = dict.fromkeys(PAIRS, 0)
        self._ports: dict[Key, PortRow] = self.ports.tables["ports"]
        self._pair_of: dict[str | int, str] = {}
        self._row = PortStatesRow(second_us=0)  # the second that it is

    @classmethod
    def inputs(cls) -> Iterable[type[Event]]:
        return Ports.inputs()

    def evolver(self, event_type: type[Event]) -> Callable[[Recorded, Any], tuple[Touched, ...]]:
        evolve, count = self.ports.evolver(event_type), self._count
        return lambda recorded, event: count(recorded, evolve(recorded, event))

    def evolve(self, recorded: Recorded) -> tuple[Touched, ...]:
        return self._count(recorded, self.ports.evolve(recorded))

    def _count(self, recorded: Recorded, touched: tuple[Touched, ...]) -> tuple[Touched, ...]:
        """Take in what the ports make of an event; most events leave all ports in the pairs they were in."""
        moved: list[str] = []
        for table, key in touched:
            if table == "ports":
                row = self._ports.get(key)
                pair = _PAIR_OF[row.underlay, row.overlay] if row is not None else ""
                before = self._pair_of.get(key[0], "")
                if pair != before:
                    self._move(key[0], before, pair)
                    moved += (before, pair)
        if not moved:
            return touched
        # Event times of different processes may run back a little; a second that has passed stays as it was.
        second_us = recorded.time_us - recorded.time_us % 1_000_000
        if second_us > self._row.second_us or not self.tables["port_states"]:
            self._row = PortStatesRow(second_us=second_us, **{_COLUMNS[pair]: n for pair, n in self.counts.items()})
            self.tables["port_states"][second_us,] = self._row
        else:
            for pair in moved:
                if pair:
                    setattr(self._row, _COLUMNS[pair], self.counts[pair])
        return (*touched, ("port_states", (self._row.second_us,)))

    def _move(self, port: str | int, before: str, pair: str) -> None:
        """Count ``port`` in another pair than before; empty: in none."""
        if before:
            self.counts[before] -= 1
        if pair:
            self.counts[pair] += 1
            self._pair_of[port] = pair
        else:
            del self._pair_of[port]
