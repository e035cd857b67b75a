"""Nova's scheduler: the host of the zone with most room, the first by name among equals. Deterministic."""

import heapq
from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import HostAdded, InstanceDeleted, InstanceRefused, InstanceScheduled, SpawnRequested
from projections.fold import NOTHING, Fold, Touched, on
from projections.instances import Instances
from projections.world import World


class Choice(NamedTuple):
    """The host, or why there is none."""

    host: str | None
    reason: str = ""
    field: str = ""
    value: str = ""


class Scheduler(Fold):
    """Chooses hosts. An index over two other folds: give it each event after them.

    A heap per zone, in which a host has at most one entry for each load; the outdated ones are dropped as they surface.
    So the choice depends on the state alone, not on when the process was started.
    """

    def __init__(self, world: World, instances: Instances) -> None:
        super().__init__()
        self._world = world
        self._instances = instances
        self._heaps: dict[str, list[tuple[int, str]]] = {}
        self._queued: set[tuple[int, str]] = set()

    def choose(self, request: SpawnRequested) -> Choice:
        """Where ``request`` goes."""
        if request.az not in self._world.azs:
            return Choice(None, "unknown availability zone", "az", request.az)
        if request.host is not None:
            return self._pinned(request.az, request.host)
        host = self._roomiest(request.az)
        return Choice(host) if host else Choice(None, "no host of the zone has room", "az", request.az)

    @on(HostAdded)
    def _host_added(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        return self._file(e.host)

    @on(InstanceScheduled, InstanceDeleted)
    def _load_changed(self, r: Recorded, e: InstanceScheduled | InstanceDeleted) -> tuple[Touched, ...]:
        return self._file(e.host)

    @on(InstanceRefused)
    def _refused(self, r: Recorded, e: InstanceRefused) -> tuple[Touched, ...]:
        row = self._instances.get(e.instance)
        return self._file(row.host) if row else NOTHING

    def _pinned(self, az: str, host: str) -> Choice:
        row = self._world.hosts.get(host)
        if row is None:
            return Choice(None, "unknown host", "host", host)
        if row.az != az:
            return Choice(None, f"the host is in {row.az}, not in {az}", "host", host)
        if self._room(host) <= 0:
            return Choice(None, f"the host is full ({row.capacity} instances)", "host", host)
        return Choice(host)

    def _roomiest(self, az: str) -> str | None:
        heap = self._heaps.get(az, [])
        while heap:
            noted, host = heap[0]
            if -noted == self._room(host):
                return host if noted < 0 else None
            self._queued.discard(heapq.heappop(heap))
        return None

    def _file(self, host: str) -> tuple[Touched, ...]:
        row = self._world.hosts.get(host)
        entry = (-self._room(host), host) if row else None
        if row is not None and entry is not None and entry not in self._queued:
            self._queued.add(entry)
            heapq.heappush(self._heaps.setdefault(row.az, []), entry)
        return NOTHING

    def _room(self, host: str) -> int:
        return self._world.hosts[host].capacity - self._instances.load.get(host, 0)
