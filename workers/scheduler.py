"""Nova's scheduler: the host of the zone with most room, the first by name among equals. Deterministic."""

import heapq
from collections.abc import Collection
from typing import NamedTuple, TypeAlias

from bus.envelope import Recorded
from bus.events import (
    HostAdded,
    HostDown,
    HostDraining,
    HostReturned,
    HostSuspected,
    HostUp,
    InstanceDeleted,
    InstanceDriftFailed,
    InstanceDriftScheduled,
    InstanceRefused,
    InstanceScheduled,
    PortClaimed,
)
from projections.fold import NOTHING, Fold, Touched, on
from projections.hosts import Hosts
from projections.instances import Instances
from projections.world import World


class Choice(NamedTuple):
    """The host, or why there is none."""

    host: str | None
    reason: str = ""
    field: str = ""
    value: str = ""


_Move: TypeAlias = InstanceScheduled | InstanceDeleted | InstanceDriftFailed | InstanceDriftScheduled | PortClaimed
_HostChange: TypeAlias = HostUp | HostSuspected | HostDown | HostReturned | HostDraining


class Scheduler(Fold):
    """Chooses hosts. An index over three other folds: give it each event after them.

    A heap per zone and kind of host, in which a host has at most one entry for each load; the outdated ones are dropped
    as they surface. So the choice depends on the state alone, not on when the process was started.
    """

    def __init__(self, world: World, instances: Instances, hosts: Hosts) -> None:
        super().__init__()
        self._world = world
        self._instances = instances
        self._hosts = hosts
        self._heaps: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._queued: set[tuple[int, str]] = set()
        #: Where each instance was counted last.
        self._placed: dict[str, str] = {}

    def choose(self, az: str, host: str | None, kinds: Collection[str], *, besides: str = "") -> Choice:
        """The host of the zone ``az`` to go to: ``host`` if it is given, else the roomiest one but ``besides``.

        It is of one of these ``kinds``.
        """
        if az not in self._world.azs:
            return Choice(None, "unknown availability zone", "az", az)
        if host is not None:
            return self._pinned(az, host, kinds)
        found = [one for one in (self._roomiest(az, kind, besides) for kind in sorted(kinds)) if one is not None]
        if found:
            return Choice(min(found, key=lambda one: (-self._room(one), one)))
        return Choice(None, f"no {_named(kinds)} of the zone has room", "az", az)

    @on(HostAdded)
    def _host_added(self, r: Recorded, e: HostAdded) -> tuple[Touched, ...]:
        return self._file(e.host)

    @on(InstanceScheduled, InstanceDeleted, InstanceDriftFailed, InstanceDriftScheduled, PortClaimed)
    def _load_changed(self, r: Recorded, e: _Move) -> tuple[Touched, ...]:
        self._file(self._placed.get(e.instance, e.host))
        row = self._instances.get(e.instance)
        if isinstance(e, InstanceDeleted):
            self._placed.pop(e.instance, None)
        elif row is not None:
            self._placed[e.instance] = row.host
            self._file(row.host)
        return self._file(e.host)

    @on(HostUp, HostSuspected, HostDown, HostReturned, HostDraining)
    def _host_changed(self, r: Recorded, e: _HostChange) -> tuple[Touched, ...]:
        return self._file(e.host)

    @on(InstanceRefused)
    def _refused(self, r: Recorded, e: InstanceRefused) -> tuple[Touched, ...]:
        row = self._instances.get(e.instance)
        return self._file(row.host) if row else NOTHING

    def _pinned(self, az: str, host: str, kinds: Collection[str]) -> Choice:
        row = self._world.hosts.get(host)
        if row is None:
            return Choice(None, "unknown host", "host", host)
        if row.az != az:
            return Choice(None, f"the host is in {row.az}, not in {az}", "host", host)
        if row.kind not in kinds:
            return Choice(None, f"the host is a {row.kind}, not a {' or '.join(sorted(kinds))}", "host", host)
        if not self._hosts.takes(host):
            state = self._hosts.state(host)
            return Choice(None, f"the host is {state if state != 'up' else 'being drained'}", "host", host)
        if self._room(host) <= 0:
            return Choice(None, f"the host is full ({row.capacity} instances)", "host", host)
        return Choice(host)

    def _roomiest(self, az: str, kind: str, besides: str) -> str | None:
        heap = self._heaps.get((az, kind), [])
        passed_over: tuple[int, str] | None = None
        found = None
        while heap and found is None:
            noted, host = heap[0]
            if -noted != self._room(host):
                self._queued.discard(heapq.heappop(heap))
            elif host == besides and passed_over is None:
                passed_over = heapq.heappop(heap)
            else:
                found = host
        if passed_over is not None:
            heapq.heappush(heap, passed_over)
        return found if found is not None and self._room(found) > 0 else None

    def _file(self, host: str) -> tuple[Touched, ...]:
        row = self._world.hosts.get(host)
        entry = (-self._room(host), host) if row else None
        if row is not None and entry is not None and entry not in self._queued:
            self._queued.add(entry)
            heapq.heappush(self._heaps.setdefault((row.az, row.kind), []), entry)
        return NOTHING

    def _room(self, host: str) -> int:
        if not self._hosts.takes(host):
            return 0
        return self._world.hosts[host].capacity - self._instances.load.get(host, 0)


def _named(kinds: Collection[str]) -> str:
    return "host" if set(kinds) == {"server"} else f"{' or '.join(sorted(kinds))} host"
