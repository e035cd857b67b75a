"""How requests end. Pure: from events to outcomes, by the correlation of the request."""

from typing import Literal

import msgspec

from bus.envelope import Recorded
from bus.events import InstanceActive, InstanceDeleted, InstanceDeleteRefused, InstanceFailed, InstanceRefused

OutcomeKind = Literal["active", "refused", "failed", "deleted", "delete_refused"]
#: The outcomes that a spawn request can have; the others end a delete request.
SPAWN_OUTCOMES = frozenset({"active", "refused", "failed"})


class Outcome(msgspec.Struct, frozen=True):
    """The end of one request. ``field`` and ``value`` name what was wrong with a refused one."""

    request: str
    kind: OutcomeKind
    instance: str
    position: int
    time_us: int
    reason: str = ""
    field: str = ""
    value: str = ""

    @property
    def ends_spawn(self) -> bool:
        """Whether this ends a spawn request; if not, it ends a delete request."""
        return self.kind in SPAWN_OUTCOMES

    def __str__(self) -> str:
        named = f" ({self.field}: {self.value})" if self.field else ""
        why = f": {self.reason}{named}" if self.reason else ""
        return self.kind.replace("_", " ") + why


def outcome_of(r: Recorded) -> Outcome | None:
    """The outcome that ``r`` is, None if it is none.

    The clean-up of a failed spawn also ends in ``instance.deleted``, under the spawn's correlation: it is no outcome
    of a delete request, so a reader matches outcomes to the requests it knows.
    """
    match r.event:
        case InstanceActive(instance=instance):
            return Outcome(r.correlation, "active", instance, r.position, r.time_us)
        case InstanceDeleted(instance=instance):
            return Outcome(r.correlation, "deleted", instance, r.position, r.time_us)
        case InstanceFailed(instance=instance, reason=reason):
            return Outcome(r.correlation, "failed", instance, r.position, r.time_us, reason)
        case InstanceRefused() as e:
            return Outcome(r.correlation, "refused", e.instance, r.position, r.time_us, e.reason, e.field, e.value)
        case InstanceDeleteRefused() as e:
            return Outcome(
                r.correlation, "delete_refused", e.instance, r.position, r.time_us, e.reason, e.field, e.value
            )
        case _:
            return None
