"""Requests of publishers and operators by id: pending, or how each ended. For whoever asks and does not wait."""

from sys import intern

from bus.envelope import Recorded
from bus.events import (
    EVENT_TYPES,
    Event,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceFailed,
    InstanceRefused,
    OperationCompleted,
    OperationRefused,
    OperationReleased,
    tag_of,
)
from bus.subjects import ROLES, key_of, name_of
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on

#: What each outcome ends, and as what; those of other aggregates go by their names (``_state_of``).
_OUTCOMES: dict[type[Event], tuple[str, str]] = {
    InstanceActive: ("instance.spawn_requested", "done"),
    InstanceRefused: ("instance.spawn_requested", "refused"),
    InstanceFailed: ("instance.spawn_requested", "failed"),
    InstanceDeleted: ("instance.delete_requested", "done"),
    InstanceDeleteRefused: ("instance.delete_requested", "refused"),
    InstanceDrifted: ("instance.drift_requested", "done"),
    InstanceDriftRefused: ("instance.drift_requested", "refused"),
    InstanceDriftFailed: ("instance.drift_requested", "failed"),
    OperationCompleted: ("operation.ports_requested", "done"),
    OperationReleased: ("operation.release_requested", "done"),
}
#: Aggregates whose events are no outcomes unless they are listed above.
_LISTED = frozenset({"instance", "port"})
_REQUESTS = tuple(kind for kind in EVENT_TYPES if name_of(kind).endswith("_requested"))
_ANSWERS = tuple(
    kind
    for kind in EVENT_TYPES
    if kind in _OUTCOMES or (kind not in _REQUESTS and tag_of(kind).split(".", maxsplit=1)[0] not in _LISTED)
)
_WORKERS = frozenset(ROLES) - {"publisher", "operator"}


class RequestRow(Row):
    """One request. ``kind``: its event; ``about``: the aggregate it is of. ``state``: pending → done, refused, failed.

    ``outcome`` is the event that ended it.
    """

    request: str
    kind: str
    about: str
    state: str = "pending"
    outcome: str = ""
    reason: str = ""
    field: str = ""
    value: str = ""
    requested_us: int = 0
    ended_us: int = 0


class Requests(Fold):
    """All requests from outside, by their id."""

    TABLES = (Table("requests", RequestRow, ("request",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, RequestRow] = self.tables["requests"]

    @on(*_REQUESTS)
    def _requested(self, r: Recorded, e: Event) -> tuple[Touched, ...]:
        if r.id != r.correlation or r.actor in _WORKERS or (r.id,) in self._rows:
            return NOTHING
        row = RequestRow(request=intern(r.id), kind=name_of(type(e)), about=intern(key_of(e)), requested_us=r.time_us)
        self._rows[row.request,] = row
        return (("requests", (r.id,)),)

    @on(*_ANSWERS)
    def _answered(self, r: Recorded, e: Event) -> tuple[Touched, ...]:
        row = self._rows.get((r.correlation,))
        if row is None or row.state != "pending" or row.about != key_of(e):
            return NOTHING
        kind, state = _OUTCOMES.get(type(e), (row.kind, _state_of(e)))
        if kind != row.kind or (isinstance(e, OperationRefused) and r.correlation != row.request):
            return NOTHING
        row.state, row.outcome, row.ended_us = state, name_of(type(e)), r.time_us
        if isinstance(e, OperationCompleted):
            _tell_operation(row, e)
        else:
            row.reason = str(getattr(e, "reason", ""))
            row.field = str(getattr(e, "field", ""))
            row.value = str(getattr(e, "value", ""))
        return (("requests", (row.request,)),)


def _tell_operation(row: RequestRow, e: OperationCompleted) -> None:
    """The first refused item says why; ``partly`` counts as done."""
    row.state = "refused" if e.outcome == "refused" else "done"
    if e.refused:
        first = e.refused[0]
        row.reason, row.field, row.value = f"{first.instance}: {first.reason}", first.field, first.value


def _state_of(e: Event) -> str:
    name = name_of(type(e))
    return next((end for end in ("refused", "failed") if name.endswith(end)), "done")
