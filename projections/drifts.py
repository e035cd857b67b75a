"""Drift timelines: when each of Figure 11's eight steps happened, per drift.

A drift is told by its instance and the request that asked for it: an ``instance.drift_requested``, or what befell a
host, which leads to one drift for each instance on it. What happens on B belongs to the drift whose claim it speaks of;
what happens on A to the drift that ended A's claim, also long after that drift has ended.
"""

from typing import TypeAlias

import msgspec

from bus.envelope import Recorded
from bus.events import (
    HostAdded,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostResynced,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    LeafVlanRemoved,
    PortBindRequested,
    PortBound,
    PortClaimCleared,
    PortClaimed,
    PortClaimRequested,
    PortDeleted,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugged,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on
from projections.world import World

#: (port, generation)
ClaimKey: TypeAlias = tuple[str, int]
_HostCause: TypeAlias = HostFailRequested | HostDrainRequested | HostDown | HostDraining
#: What B reports on its claim.
_Report: TypeAlias = PortPlugged | PortUnderlayReported | PortBindRequested | PortBound | PortOverlayReported
#: What is told of A's claim once it is over.
_Farewell: TypeAlias = PortUnplugged | PortUnderlayRemoved | PortUnbound | PortOverlayRemoved | PortClaimCleared


class DriftRow(Row):
    """One drift. ``step_NNx_us``: when that step of Figure 11 happened, 0 while it has not.

    ``generation`` is the claim of ``host`` (B), 0 until it was granted. ``cause`` is why the drift was asked for,
    ``reason`` why it did not succeed. Steps 7a and 7b stay 0 where no leaf had to be touched ("if needed"), 2a and 2b
    while A is dead. ``cleared_us``: nothing of A's claim can answer any more.
    """

    instance: str
    request: str
    name: str = ""
    port: str = ""
    from_host: str = ""
    host: str = ""
    generation: int = 0
    cause: str = ""
    outcome: str = ""
    reason: str = ""
    step_01_us: int = 0
    step_02a_us: int = 0
    step_02b_us: int = 0
    step_03_us: int = 0
    step_04a_us: int = 0
    step_04b_us: int = 0
    step_05a_us: int = 0
    step_05b_us: int = 0
    step_06a_us: int = 0
    step_06b_us: int = 0
    step_07a_us: int = 0
    step_07b_us: int = 0
    step_07c_us: int = 0
    step_08_us: int = 0
    cleared_us: int = 0
    ended_us: int = 0


class _Cause(msgspec.Struct, frozen=True):
    """What befell a host, so that all that is on it drifts."""

    host: str
    text: str
    time_us: int


class _Left(msgspec.Struct):
    """A claim that the drift ``row`` ended, at log position ``position``; what is left of it is being removed."""

    row: DriftRow
    position: int
    vlan: int = 0


class Drifts(Fold):
    """The timeline of every drift. The first time a step happened counts."""

    TABLES = (Table("drifts", DriftRow, ("instance", "request")),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, DriftRow] = self.tables["drifts"]
        self._causes: dict[str, _Cause] = {}
        #: By port: the drift that its newest claim belongs to.
        self._arriving: dict[str, DriftRow] = {}
        #: By host A: the claims that are over and not removed there.
        self._left: dict[str, dict[ClaimKey, _Left]] = {}
        #: By (host A, VLAN): the drifts that wait for its leaves to let go.
        self._waiting: dict[tuple[str, int], dict[ClaimKey, DriftRow]] = {}
        #: Decides which hosts there are, so that this fold and every other agree.
        self._world = World()
        self._host_on: dict[tuple[str, str], str] = {}

    @on(HostAdded)
    def _host(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        if self._world.evolve(r):
            self._host_on |= dict.fromkeys([(e.leaf_a, e.interface), (e.leaf_b, e.interface)], e.host)
        return NOTHING

    @on(HostFailRequested, HostDrainRequested, HostDown, HostDraining)
    def _host_caused(self, r: Recorded, e: _HostCause) -> tuple[Touched, ...]:
        if not isinstance(e, HostDown) or e.evacuate:
            self._causes.setdefault(r.correlation, _Cause(e.host, _in_words(e), r.time_us))
        return NOTHING

    @on(InstanceDriftRequested)
    def _step_1(self, r: Recorded, e: InstanceDriftRequested) -> tuple[Touched, ...]:
        if (e.instance, r.correlation) in self._rows:
            return NOTHING
        row = self._row(r, e.instance)
        row.cause, row.host = e.reason, e.host or ""
        return _touch(row)

    @on(InstanceDriftScheduled)
    def _step_3(self, r: Recorded, e: InstanceDriftScheduled) -> tuple[Touched, ...]:
        row = self._row(r, e.instance)
        if row.step_03_us or row.outcome:
            return NOTHING
        row.name, row.from_host, row.host, row.step_03_us = e.name, e.from_host, e.host, r.time_us
        return _touch(row)

    @on(PortClaimRequested)
    def _step_4a(self, r: Recorded, e: PortClaimRequested) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance, r.correlation))
        if row is None or row.step_04a_us:
            return NOTHING
        row.port, row.step_04a_us = e.port, r.time_us
        return _touch(row)

    @on(PortClaimed)
    def _step_4b(self, r: Recorded, e: PortClaimed) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance, r.correlation))
        if row is None or row.generation:
            return NOTHING
        row.port, row.from_host, row.host, row.generation = e.port, e.from_host, e.host, e.generation
        row.step_04b_us = r.time_us
        self._arriving[e.port] = row
        self._left.setdefault(e.from_host, {})[e.port, e.generation - 1] = _Left(row, r.position)
        return _touch(row)

    @on(PortPlugged, PortUnderlayReported, PortBindRequested, PortBound, PortOverlayReported)
    def _steps_of_b(self, r: Recorded, e: _Report) -> tuple[Touched, ...]:
        row = self._arriving.get(e.port)
        if row is None or row.generation != e.generation or row.host != e.host:
            return NOTHING
        match e:
            case PortPlugged():
                return _step(row, step_05a_us=r.time_us)
            case PortUnderlayReported():
                return _step(row, step_05b_us=r.time_us)
            case PortBindRequested():
                return _step(row, step_06a_us=r.time_us)
            case PortBound():
                return _step(row, step_06b_us=r.time_us)
            case PortOverlayReported():
                return _step(row, step_07b_us=e.configured_us, step_07c_us=r.time_us)

    @on(PortUnplugged, PortUnderlayRemoved, PortUnbound, PortOverlayRemoved, PortClaimCleared)
    def _steps_of_a(self, r: Recorded, e: _Farewell) -> tuple[Touched, ...]:
        left = self._left.get(e.host, {}).get((e.port, e.generation))
        if left is None:
            return NOTHING
        match e:
            case PortUnplugged():
                return _step(left.row, step_02a_us=r.time_us)
            case PortUnderlayRemoved():
                touched = _step(left.row, step_02b_us=r.time_us)
            case PortUnbound():
                self._wait(e, left)
                return NOTHING
            case PortOverlayRemoved():
                self._stop_waiting(e, left)
                return NOTHING
            case PortClaimCleared():
                self._stop_waiting(e, left)
                touched = _step(left.row, cleared_us=r.time_us)
        self._forget_if_gone(e.host, (e.port, e.generation))
        return touched

    @on(LeafVlanRemoved)
    def _step_7a(self, r: Recorded, e: LeafVlanRemoved) -> tuple[Touched, ...]:
        """The last leaf to let go counts: until then CNC does not say that the claim has left its database."""
        waiting = self._waiting.get((self._host_on.get((e.leaf, e.interface), ""), e.vlan), {})
        for row in waiting.values():
            row.step_07a_us = r.time_us
        return tuple(touched for row in waiting.values() for touched in _touch(row))

    @on(HostResynced)
    def _late_step_2(self, r: Recorded, e: HostResynced) -> tuple[Touched, ...]:
        """A host that was dead has removed all that was not its own any more when it returned."""
        touched: tuple[Touched, ...] = ()
        for key, left in list(self._left.get(e.host, {}).items()):
            if left.position <= e.epoch:
                touched += _step(left.row, step_02a_us=r.time_us, step_02b_us=r.time_us)
                self._forget_if_gone(e.host, key)
        return touched

    @on(PortDeleted)
    def _port_deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._arriving.pop(e.port, None)
        return NOTHING

    @on(InstanceDrifted)
    def _step_8(self, r: Recorded, e: InstanceDrifted) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance, r.correlation))
        if row is None or row.outcome:
            return NOTHING
        row.step_08_us = r.time_us
        return _end(row, r, "drifted", "")

    @on(InstanceDriftFailed)
    def _failed(self, r: Recorded, e: InstanceDriftFailed) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance, r.correlation))
        return NOTHING if row is None or row.outcome else _end(row, r, "failed", e.reason)

    @on(InstanceDriftRefused)
    def _refused(self, r: Recorded, e: InstanceDriftRefused) -> tuple[Touched, ...]:
        row = self._row(r, e.instance)
        return NOTHING if row.outcome or row.step_03_us else _end(row, r, "refused", e.reason)

    def _row(self, r: Recorded, instance: str) -> DriftRow:
        """The drift, begun here if nobody asked for it by name."""
        row = self._rows.get((instance, r.correlation))
        if row is None:
            cause = self._causes.get(r.correlation) or _Cause("", "", r.time_us)
            row = self._rows[instance, r.correlation] = DriftRow(
                instance=instance,
                request=r.correlation,
                from_host=cause.host,
                cause=cause.text,
                step_01_us=cause.time_us,
            )
        return row

    def _wait(self, e: PortUnbound, left: _Left) -> None:
        if not left.vlan:
            left.vlan = e.vlan
            self._waiting.setdefault((e.host, e.vlan), {})[e.port, e.generation] = left.row

    def _stop_waiting(self, e: PortEvent, left: _Left) -> None:
        waiting = self._waiting.get((e.host, left.vlan), {})
        waiting.pop((left.row.port, left.row.generation - 1), None)
        if not waiting:
            self._waiting.pop((e.host, left.vlan), None)

    def _forget_if_gone(self, host: str, key: ClaimKey) -> None:
        """Nothing more is to be heard of a claim that was cleared and removed from its host."""
        row = self._left[host][key].row
        if row.cleared_us and row.step_02b_us:
            del self._left[host][key]
            if not self._left[host]:
                del self._left[host]


def _in_words(e: _HostCause) -> str:
    match e:
        case HostFailRequested(host=host, reason=reason) | HostDown(host=host, reason=reason):
            return f"host {host} is down" + (f": {reason}" if reason else "")
        case HostDrainRequested(host=host) | HostDraining(host=host):
            return f"host {host} is drained"


def _step(row: DriftRow, **times: int) -> tuple[Touched, ...]:
    touched = NOTHING
    for step, time_us in times.items():
        if time_us and not getattr(row, step):
            setattr(row, step, time_us)
            touched = _touch(row)
    return touched


def _end(row: DriftRow, r: Recorded, outcome: str, reason: str) -> tuple[Touched, ...]:
    row.outcome, row.reason, row.ended_us = outcome, reason, r.time_us
    return _touch(row)


def _touch(row: DriftRow) -> tuple[Touched, ...]:
    return (("drifts", (row.instance, row.request)),)
