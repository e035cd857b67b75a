"""Spawns under way and how long their steps take, from what the projector folds. PURE."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from bus.envelope import Recorded
from bus.events import Event, InstanceActive, InstanceFailed, InstanceRefused, SpawnRequested
from driftline.figures import STEPS
from driftline.observing.look import SpawnsLook
from driftline.observing.times import Times
from projections.fold import Key
from projections.spawns import SpawnRow
from projections.views import Views

_LABELS = tuple(step.label for step in STEPS)
_TIMES_OF = attrgetter(*(step.column for step in STEPS))
_ENDING: dict[type[Event], str] = {InstanceActive: "active", InstanceRefused: "refused", InstanceFailed: "failed"}


class SpawnCounts:
    """Counts what begins and ends. ``views`` are those of the projector, which has folded an event before it comes."""

    def __init__(self, views: Views) -> None:
        self._ended = dict.fromkeys(_ENDING.values(), 0)
        self._steps = {label: Times() for label in _LABELS[1:]}
        self._whole = Times()
        self._counted = 0  # up to this position
        self.begin(views)

    def begin(self, views: Views) -> None:
        """The projector has begun, or begun anew, maybe from further back. What has ended stays counted."""
        self._rows: Mapping[Key, SpawnRow] = views.rows("spawns")
        self._in_flight = {row.instance for row in self._rows.values() if not row.outcome}

    def take(self, records: Sequence[Recorded]) -> None:
        """Take in events that are folded, as all of their batch are."""
        for r in records:
            kind = type(r.event)
            if kind is SpawnRequested or kind in _ENDING:
                row = self._rows.get((r.event.instance,))  # type: ignore[attr-defined]  # all of these have one
                if row is not None:
                    self._count(row, r)
        self._counted = max(self._counted, records[-1].position if records else 0)

    def _count(self, row: SpawnRow, r: Recorded) -> None:
        if isinstance(r.event, SpawnRequested):
            if row.step_01_us == r.time_us:  # else it is a second request for the same instance
                self._in_flight.add(row.instance)
        elif row.instance in self._in_flight and row.outcome == _ENDING[type(r.event)]:
            self._in_flight.discard(row.instance)
            if r.position > self._counted:
                self._ended[row.outcome] += 1
                if row.step_13_us:
                    self._time(row)

    def _time(self, row: SpawnRow) -> None:
        done = sorted((at, label) for at, label in zip(_TIMES_OF(row), _LABELS, strict=True) if at)
        before = done[0][0]
        self._whole.add((done[-1][0] - before) / 1e6)
        for at, label in done:
            if label in self._steps:
                self._steps[label].add((at - before) / 1e6)
            before = at

    def look(self) -> SpawnsLook:
        """How it stands."""
        return SpawnsLook(in_flight=len(self._in_flight), **self._ended, steps=self._steps, whole=self._whole)
