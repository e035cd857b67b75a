"""Hosts: which of them live, as the worker ``liveness`` and CNC say (docs/adr/0005)."""

from typing import Literal, TypeAlias

from bus.envelope import Recorded
from bus.events import (
    HostAgentStarted,
    HostAuditRequested,
    HostDown,
    HostDraining,
    HostFenced,
    HostRefused,
    HostResynced,
    HostReturned,
    HostSuspected,
    HostUp,
)
from projections.fold import AHEAD, NOTHING, Fold, Key, Row, Table, Touched, on

HostState: TypeAlias = Literal["up", "suspect", "down", "returned"]
_Change: TypeAlias = HostSuspected | HostDown | HostReturned | HostUp


class HostStateRow(Row):
    """A host of which anything was ever said; all others are up.

    ``state``: up → suspect → down → returned → up. ``epoch``: the log position of the last change. ``held``: it stays
    down until an operator returns it. ``fenced``: no leaf carries anything for it. ``resynced``: it was cleaned.
    ``cookie``: the log position at which its OVS agent last began. ``audited_us``: when it was last audited.
    """

    host: str
    az: str
    state: str = "up"
    draining: bool = False
    held: bool = False
    fenced: bool = False
    resynced: bool = False
    epoch: int = 0
    since_us: int = 0
    cookie: int = 0
    audited_us: int = 0
    reason: str = ""


class Hosts(Fold):
    """The state of every host."""

    TABLES = (Table("host_states", HostStateRow, ("host",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, HostStateRow] = self.tables["host_states"]
        #: (host, correlation) of the operators' requests that have their answer.
        self.answered: set[tuple[str, str]] = set()

    def get(self, host: str) -> HostStateRow | None:
        """What was said of the host last, None if nothing ever was."""
        return self._rows.get((host,))

    def state(self, host: str) -> HostState:
        """up, suspect, down or returned."""
        row = self._rows.get((host,))
        return row.state if row else "up"  # type: ignore[return-value]  # the handlers write nothing else

    def cookie(self, host: str) -> int:
        """The cookie of the flows that the host's OVS agent installs now."""
        row = self._rows.get((host,))
        return row.cookie if row else 0

    def is_down(self, host: str) -> bool:
        """Whether the host is taken for dead, and not heard again."""
        row = self._rows.get((host,))
        return row is not None and row.state == "down"

    def is_fenced(self, host: str) -> bool:
        """Whether nothing on the host can answer for any address, and what is over there goes before that changes."""
        row = self._rows.get((host,))
        return row is not None and row.fenced and row.state == "down"

    def takes(self, host: str) -> bool:
        """Whether new instances may go to the host."""
        row = self._rows.get((host,))
        return row is None or (row.state == "up" and not row.draining)

    def claims(self, host: str) -> bool:
        """Whether the host may claim a port: one that is drained meanwhile still takes what was on its way."""
        return self.state(host) in ("up", "suspect")

    @on(HostSuspected, HostDown, HostReturned, HostUp)
    def _changed(self, r: Recorded, e: _Change) -> tuple[Touched, ...]:
        row = self._row(e.host, e.az)
        match e:
            case HostSuspected() if row.state == "up":
                row.state, row.reason = "suspect", f"silent for {e.silent_us // 1_000_000} s"
            case HostDown() if row.state != "down":
                row.state, row.held, row.reason = "down", e.held, e.reason
                row.fenced = row.resynced = False
            case HostReturned() if row.state == "down":
                row.state, row.held, row.resynced, row.draining = "returned", False, False, e.draining
            case HostUp() if row.state != "down":  # a late one is no return from the dead
                row.state, row.reason, row.draining = "up", "", e.draining
                row.held = row.fenced = row.resynced = False
            case _:
                return NOTHING
        row.epoch, row.since_us = r.position, r.time_us
        self.answered.add((e.host, r.correlation))
        return (("host_states", (e.host,)),)

    def placed(self, recorded: Recorded) -> None:
        row = self._rows.get((getattr(recorded.event, "host", ""),))
        if row is not None and row.epoch == AHEAD and isinstance(recorded.event, _Change):
            row.epoch = recorded.position

    @on(HostDraining)
    def _draining(self, r: Recorded, e: HostDraining) -> tuple[Touched, ...]:
        self.answered.add((e.host, r.correlation))
        row = self._row(e.host, e.az)
        row.draining = True
        return (("host_states", (e.host,)),)

    @on(HostAgentStarted)
    def _agent_started(self, r: Recorded, e: HostAgentStarted) -> tuple[Touched, ...]:
        self._row(e.host, e.az).cookie = r.position
        return (("host_states", (e.host,)),)

    @on(HostAuditRequested)
    def _audit_requested(self, r: Recorded, e: HostAuditRequested) -> tuple[Touched, ...]:
        self._row(e.host, e.az).audited_us = r.time_us
        return (("host_states", (e.host,)),)

    @on(HostRefused)
    def _refused(self, r: Recorded, e: HostRefused) -> tuple[Touched, ...]:
        self.answered.add((e.host, r.correlation))
        return NOTHING

    @on(HostFenced)
    def _fenced(self, r: Recorded, e: HostFenced) -> tuple[Touched, ...]:
        row = self._rows.get((e.host,))
        if row is None or row.state != "down" or row.epoch != e.epoch:
            return NOTHING
        row.fenced = True
        return (("host_states", (e.host,)),)

    @on(HostResynced)
    def _resynced(self, r: Recorded, e: HostResynced) -> tuple[Touched, ...]:
        row = self._rows.get((e.host,))
        if row is None or row.state != "returned" or row.epoch != e.epoch:
            return NOTHING
        row.resynced = True
        return (("host_states", (e.host,)),)

    def _row(self, host: str, az: str) -> HostStateRow:
        return self._rows.setdefault((host,), HostStateRow(host=host, az=az))
