"""By when a spawn or a drift is to be done. An index over the instances: give it each event after them."""

import heapq
from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import InstanceDriftScheduled, InstanceOverdue, InstanceScheduled
from projections.fold import NOTHING, Fold, Touched, on
from projections.instances import InstanceRow, Instances
from workers.worker import Due

#: How long a spawn or a drift may take from its scheduling on, microseconds. The seed: a container is spawned in about
#: 10 s, a VM in about 100 s; these leave room for a burst of thousands.
LIMIT_US = {"container": 300_000_000, "vm": 900_000_000}


class Deadlines(Fold):
    """What is under way, the earliest deadline first; what is done meanwhile is dropped as it surfaces."""

    def __init__(self, instances: Instances) -> None:
        super().__init__()
        self._instances = instances
        self._heap: list[tuple[int, str, str]] = []

    @on(InstanceScheduled, InstanceDriftScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled | InstanceDriftScheduled) -> tuple[Touched, ...]:
        row = self._instances.get(e.instance)
        if row is not None:
            heapq.heappush(self._heap, (due_us(row), row.instance, _request(row)))
        return NOTHING

    def overdue(self, now_us: int) -> Iterable[Due]:
        """What was to be done by now and is not. Each is answered once; a new start answers it again."""
        while self._heap and self._heap[0][0] <= now_us:
            at_us, instance, request = heapq.heappop(self._heap)
            row = self._instances.get(instance)
            if row is None or _request(row) != request or due_us(row) != at_us:
                continue
            overdue = InstanceOverdue(instance=instance, az=row.az, host=row.host, request=request, due_us=at_us)
            yield Due(overdue, at_us)


def is_overdue(row: InstanceRow, e: InstanceOverdue) -> bool:
    """Whether what ``e`` speaks of is still under way."""
    return bool(e.request) and _request(row) == e.request and due_us(row) == e.due_us


def _request(row: InstanceRow) -> str:
    """The request that is under way, empty if there is none."""
    return {"scheduled": row.request, "drifting": row.drift_request}.get(row.state, "")


def due_us(row: InstanceRow) -> int:
    """By when the spawn or drift that is under way is to be done, microseconds."""
    started_us = row.drift_us if row.state == "drifting" else row.scheduled_us
    return started_us + LIMIT_US.get(row.kind, LIMIT_US["container"])
