"""Ports and Figure 8: the nine (underlay, overlay) pairs, now and second by second."""

from collections import Counter
from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import Event
from projections.fold import Fold, Row, Table, Touched
from projections.ports import Ports

STATUSES = ("ACTIVE", "DOWN", "ERROR")
#: The nine pairs of Figure 8, written UNDERLAY_OVERLAY.
PAIRS = tuple(f"{underlay}_{overlay}" for underlay in STATUSES for overlay in STATUSES)
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
        self.counts: Counter[str] = Counter()
        self._pair_of: dict[str, str] = {}
        self._second_us = 0

    @classmethod
    def inputs(cls) -> Iterable[type[Event]]:
        return Ports.inputs()

    def evolve(self, recorded: Recorded) -> tuple[Touched, ...]:
        touched = self.ports.evolve(recorded)
        changed = [self._recount(str(port)) for table, (port, *_) in touched if table == "ports"]
        if not any(changed):
            return touched
        # Event times of different processes may run back a little; a second that has passed stays as it was.
        self._second_us = max(self._second_us, recorded.time_us - recorded.time_us % 1_000_000)
        counts = {column: self.counts[pair] for pair, column in _COLUMNS.items()}
        self.tables["port_states"][(self._second_us,)] = PortStatesRow(second_us=self._second_us, **counts)
        return (*touched, ("port_states", (self._second_us,)))

    def _recount(self, port: str) -> bool:
        row = self.ports.get(port)
        pair = f"{row.underlay}_{row.overlay}" if row else ""
        before = self._pair_of.get(port, "")
        if pair == before:
            return False
        if before:
            self.counts[before] -= 1
        if pair:
            self.counts[pair] += 1
            self._pair_of[port] = pair
        else:
            del self._pair_of[port]
        return True
