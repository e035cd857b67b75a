"""Instances: what was asked for, where it went and how each request ended (Figure 10, steps 1 and 13)."""

from bus.envelope import Recorded
from bus.events import (
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceFailed,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    PortCreateRequested,
    SpawnRequested,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on

#: States in which a spawn request has no outcome yet.
SPAWNING = frozenset({"requested", "scheduled"})
#: States in which an instance holds neither its name nor anything else.
ENDED = frozenset({"refused", "deleted"})


class InstanceRow(Row):
    """An instance, also after its end. ``request`` and ``delete_request`` are the ids of the requests it answers to.

    ``state``: requested → scheduled → active | failed, or refused; then terminating → deleted. A failed instance
    stays failed; ``cleaned`` says that it holds nothing any more.
    """

    instance: str
    name: str
    az: str
    host: str
    network: str
    label: str
    kind: str
    request: str
    port: str = ""
    state: str = "requested"
    reason: str = ""
    terminating: bool = False
    cleaned: bool = False
    delete_request: str = ""
    requested_us: int = 0
    active_us: int = 0
    ended_us: int = 0


class Instances(Fold):
    """All instances by id, the names that are taken, and how full each host is."""

    TABLES = (Table("instances", InstanceRow, ("instance",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, InstanceRow] = self.tables["instances"]
        self.by_name: dict[str, str] = {}
        self.load: dict[str, int] = {}
        #: (instance, correlation) of requests that were refused on an instance which belongs to another request.
        self.refused_spawns: set[tuple[str, str]] = set()
        self.refused_deletes: set[tuple[str, str]] = set()

    def get(self, instance: str) -> InstanceRow | None:
        """The instance, None if it was never asked for."""
        return self._rows.get((instance,))

    @on(SpawnRequested)
    def _requested(self, r: Recorded, e: SpawnRequested) -> tuple[Touched, ...]:
        if (e.instance,) in self._rows:
            return NOTHING
        row = InstanceRow(
            instance=e.instance,
            name=e.name,
            az=e.az,
            host=e.host or "",
            network=e.network or "",
            label=e.label or "",
            kind=e.kind,
            request=r.correlation,
            requested_us=r.time_us,
        )
        self._rows[(e.instance,)] = row
        return self._touch(row)

    @on(InstanceScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None:  # a host's own agent sees only what concerns its host
            row = InstanceRow(
                instance=e.instance,
                name=e.name,
                az=e.az,
                host=e.host,
                network=e.network or "",
                label=e.label or "",
                kind="",
                request=r.correlation,
                requested_us=r.time_us,
            )
            self._rows[(e.instance,)] = row
        if row.state != "requested":
            return NOTHING
        row.state = "scheduled"
        row.host = e.host
        self.by_name[row.name] = row.instance
        self.load[e.host] = self.load.get(e.host, 0) + 1
        return self._touch(row)

    @on(PortCreateRequested)
    def _port(self, r: Recorded, e: PortCreateRequested) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.port:
            return NOTHING
        row.port = e.port
        return self._touch(row)

    @on(InstanceActive)
    def _active(self, r: Recorded, e: InstanceActive) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.state != "scheduled":
            return NOTHING
        row.state = "active"
        row.active_us = r.time_us
        return self._touch(row)

    @on(InstanceRefused)
    def _refused(self, r: Recorded, e: InstanceRefused) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.request != r.correlation:
            self.refused_spawns.add((e.instance, r.correlation))
            return NOTHING
        if row.state not in SPAWNING:
            return NOTHING
        self._release(row)
        row.state, row.reason, row.ended_us = "refused", e.reason, r.time_us
        row.delete_request = ""  # one that came between the decision and this event: there is nothing to delete
        return self._touch(row)

    @on(InstanceFailed)
    def _failed(self, r: Recorded, e: InstanceFailed) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.state not in SPAWNING:
            return NOTHING
        row.state, row.reason, row.ended_us = "failed", e.reason, r.time_us
        return self._touch(row)

    @on(InstanceDeleteRequested)
    def _delete_requested(self, r: Recorded, e: InstanceDeleteRequested) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.delete_request or row.state in ENDED or row.cleaned:
            return NOTHING
        if (e.instance, r.correlation) in self.refused_deletes:
            return NOTHING
        row.delete_request = r.correlation
        return self._touch(row)

    @on(InstanceTerminating)
    def _terminating(self, r: Recorded, e: InstanceTerminating) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.terminating:
            return NOTHING
        row.terminating = True
        if row.state != "failed":
            row.state = "terminating"
        return self._touch(row)

    @on(InstanceDeleted)
    def _deleted(self, r: Recorded, e: InstanceDeleted) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.cleaned:
            return NOTHING
        self._release(row)
        row.cleaned = True
        if row.delete_request != r.correlation:
            row.delete_request = ""  # it came between the decision and this event: too late to be answered by it
        row.ended_us = r.time_us
        if row.state != "failed":
            row.state = "deleted"
        return self._touch(row)

    @on(InstanceDeleteRefused)
    def _delete_refused(self, r: Recorded, e: InstanceDeleteRefused) -> tuple[Touched, ...]:
        self.refused_deletes.add((e.instance, r.correlation))
        row = self.get(e.instance)
        if row is None or row.delete_request != r.correlation:
            return NOTHING
        row.delete_request = ""  # a copy of the request came after the instance and before this event
        return self._touch(row)

    def _release(self, row: InstanceRow) -> None:
        if self.by_name.get(row.name) == row.instance:
            del self.by_name[row.name]
            self.load[row.host] -= 1

    def _touch(self, row: InstanceRow) -> tuple[Touched, ...]:
        return (("instances", (row.instance,)),)
