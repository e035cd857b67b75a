"""How requests end. Pure: from events to outcomes, by the correlation of the request."""

from typing import Literal

import msgspec

from bus.envelope import Recorded
from bus.events import (
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceFailed,
    InstanceRefused,
)

OutcomeKind = Literal[
    "active", "refused", "failed", "deleted", "delete_refused", "drifted", "drift_refused", "drift_failed"
]
#: What an outcome can end.
RequestKind = Literal["spawn", "delete", "drift"]
#: The outcomes that a spawn request can have.
SPAWN_OUTCOMES = frozenset({"active", "refused", "failed"})
#: The outcomes that a drift request can have; the others end a delete request.
DRIFT_OUTCOMES = frozenset({"drifted", "drift_refused", "drift_failed"})
#: The outcomes of requests that were granted and done.
DONE = frozenset({"active", "deleted", "drifted"})

_KINDS: dict[type, OutcomeKind] = {
    InstanceActive: "active",
    InstanceRefused: "refused",
    InstanceFailed: "failed",
    InstanceDeleted: "deleted",
    InstanceDeleteRefused: "delete_refused",
    InstanceDrifted: "drifted",
    InstanceDriftRefused: "drift_refused",
    InstanceDriftFailed: "drift_failed",
}


class Outcome(msgspec.Struct, frozen=True):
    """The end of one request. ``field`` and ``value`` name what was wrong with a refused one.

    ``host`` is where the instance then is or was, empty where that was not said.
    """

    request: str
    kind: OutcomeKind
    instance: str
    position: int
    time_us: int
    reason: str = ""
    field: str = ""
    value: str = ""
    host: str = ""

    @property
    def ends(self) -> RequestKind:
        """Which kind of request this ends."""
        if self.kind in SPAWN_OUTCOMES:
            return "spawn"
        return "drift" if self.kind in DRIFT_OUTCOMES else "delete"

    @property
    def done(self) -> bool:
        """Whether what was asked for came about."""
        return self.kind in DONE

    def __str__(self) -> str:
        named = f" ({self.field}: {self.value})" if self.field else ""
        why = f": {self.reason}{named}" if self.reason else ""
        return self.kind.replace("_", " ") + why


def outcome_of(r: Recorded) -> Outcome | None:
    """The outcome that ``r`` is, None if it is none.

    The clean-up of a failed spawn also ends in ``instance.deleted``, under the spawn's correlation: it is no outcome
    of a delete request, so a reader matches outcomes to the requests it knows. A host that fails ends many drifts under
    the correlation of one request.
    """
    match r.event:
        case InstanceActive() | InstanceDeleted() | InstanceDrifted() as e:
            return _outcome(r, e.instance, host=e.host)
        case InstanceFailed() | InstanceDriftFailed() as e:
            return _outcome(r, e.instance, host=e.host, reason=e.reason)
        case InstanceRefused() | InstanceDeleteRefused() | InstanceDriftRefused() as e:
            return _outcome(r, e.instance, reason=e.reason, field=e.field, value=e.value)
        case _:
            return None


def _outcome(r: Recorded, instance: str, **said: str) -> Outcome:
    return Outcome(r.correlation, _KINDS[type(r.event)], instance, r.position, r.time_us, **said)
