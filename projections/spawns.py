"""Spawn timelines: when each of Figure 10's thirteen steps happened, per instance."""

from sys import intern

from bus.envelope import Recorded
from bus.events import (
    InstanceActive,
    InstanceFailed,
    InstanceRefused,
    InstanceScheduled,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortDeleted,
    PortEvent,
    PortOverlayReported,
    PortPlugged,
    PortRegistered,
    PortUnderlayReported,
    SpawnRequested,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on


class SpawnRow(Row):
    """One spawn. ``step_NN_us``: when that step of Figure 10 happened, 0 while it has not.

    Step 11 stays 0 where no leaf had to be touched ("if needed").
    """

    instance: str
    name: str
    host: str = ""
    port: str = ""
    outcome: str = ""
    reason: str = ""
    scheduled_us: int = 0
    step_01_us: int = 0
    step_02_us: int = 0
    step_03_us: int = 0
    step_04_us: int = 0
    step_05_us: int = 0
    step_06_us: int = 0
    step_07_us: int = 0
    step_08_us: int = 0
    step_09_us: int = 0
    step_10_us: int = 0
    step_11_us: int = 0
    step_12_us: int = 0
    step_13_us: int = 0


class Spawns(Fold):
    """The timeline of every instance that was asked for. The first time a step happened counts."""

    TABLES = (Table("spawns", SpawnRow, ("instance",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, SpawnRow] = self.tables["spawns"]
        self._requests: dict[str, str] = {}
        self._by_port: dict[str, SpawnRow] = {}
        #: Ports that were there before their instance was asked for: steps 2 to 4 are not its own.
        self._ready: dict[str, str] = {}

    @on(SpawnRequested)
    def _requested(self, r: Recorded, e: SpawnRequested) -> tuple[Touched, ...]:
        if (e.instance,) in self._rows:
            return NOTHING
        instance = intern(e.instance)
        self._requests[instance] = intern(r.correlation)
        self._rows[(instance,)] = SpawnRow(instance=instance, name=e.name, step_01_us=r.time_us)
        return (("spawns", (e.instance,)),)

    @on(InstanceScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance,))
        if row is None or row.scheduled_us:
            return NOTHING
        row.host, row.scheduled_us = intern(e.host), r.time_us
        if e.instance in self._ready:
            row.port = self._ready.pop(e.instance)
            self._by_port[row.port] = row
        return (("spawns", (e.instance,)),)

    @on(PortCreateRequested)
    def _step_2(self, r: Recorded, e: PortCreateRequested) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance,))
        if row is None or row.port:
            return NOTHING
        row.port = intern(e.port)
        self._by_port[e.port] = row
        return self._step(e, "step_02_us", r.time_us)

    @on(PortAllocated)
    def _step_3(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        if (e.instance,) not in self._rows:
            self._ready.setdefault(e.instance, e.port)
        return self._step(e, "step_03_us", r.time_us)

    @on(PortDeleted)
    def _port_gone(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._ready.pop(e.instance, None)
        return NOTHING

    @on(PortRegistered)
    def _step_4(self, r: Recorded, e: PortRegistered) -> tuple[Touched, ...]:
        return self._step(e, "step_04_us", r.time_us)

    @on(PortPlugged)
    def _steps_5_and_6(self, r: Recorded, e: PortPlugged) -> tuple[Touched, ...]:
        first = self._step(e, "step_05_us", e.received_us)
        return self._step(e, "step_06_us", r.time_us) or first

    @on(PortUnderlayReported)
    def _steps_7_and_8(self, r: Recorded, e: PortUnderlayReported) -> tuple[Touched, ...]:
        first = self._step(e, "step_07_us", e.detected_us)
        return self._step(e, "step_08_us", r.time_us) or first

    @on(PortBindRequested)
    def _step_9(self, r: Recorded, e: PortBindRequested) -> tuple[Touched, ...]:
        return self._step(e, "step_09_us", r.time_us)

    @on(PortBound)
    def _step_10(self, r: Recorded, e: PortBound) -> tuple[Touched, ...]:
        return self._step(e, "step_10_us", r.time_us)

    @on(PortOverlayReported)
    def _steps_11_and_12(self, r: Recorded, e: PortOverlayReported) -> tuple[Touched, ...]:
        first = self._step(e, "step_11_us", e.configured_us)
        return self._step(e, "step_12_us", r.time_us) or first

    @on(InstanceActive)
    def _step_13(self, r: Recorded, e: InstanceActive) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance,))
        if row is None or row.outcome:
            return NOTHING
        row.step_13_us = r.time_us
        return self._end(row, "active", "")

    @on(InstanceRefused)
    def _refused(self, r: Recorded, e: InstanceRefused) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance,))
        if row is None or row.outcome or self._requests.get(e.instance) != r.correlation:
            return NOTHING
        return self._end(row, "refused", e.reason)

    @on(InstanceFailed)
    def _failed(self, r: Recorded, e: InstanceFailed) -> tuple[Touched, ...]:
        row = self._rows.get((e.instance,))
        return NOTHING if row is None or row.outcome else self._end(row, "failed", e.reason)

    def _step(self, e: PortEvent, step: str, time_us: int) -> tuple[Touched, ...]:
        row = self._by_port.get(e.port)
        if row is None or not time_us or getattr(row, step):
            return NOTHING
        setattr(row, step, time_us)
        return (("spawns", (row.instance,)),)

    def _end(self, row: SpawnRow, outcome: str, reason: str) -> tuple[Touched, ...]:
        row.outcome, row.reason = outcome, reason
        self._by_port.pop(row.port, None)
        self._requests.pop(row.instance, None)
        return (("spawns", (row.instance,)),)
