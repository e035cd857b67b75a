"""Instances: what was asked for, where it went and how each request ended (Figure 10, steps 1 and 13; Figure 11)."""

from sys import intern

from bus.envelope import Recorded
from bus.events import (
    HostDown,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceRecovered,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    PortAllocated,
    PortClaimed,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleted,
    SpawnRequested,
    port_name,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on

#: States in which a spawn request has no outcome yet.
SPAWNING = frozenset({"requested", "scheduled"})
#: States in which an instance holds neither its name nor anything else.
ENDED = frozenset({"refused", "deleted"})
#: States in which an instance can drift.
MOVABLE = frozenset({"active", "drifting", "error"})


class InstanceRow(Row):
    """An instance, also after its end. ``request`` and ``delete_request`` are the ids of the requests it answers to.

    ``state``: requested → scheduled → active | failed, or refused; then terminating → deleted. A failed instance
    stays failed; ``cleaned`` says that it holds nothing any more. An active one may go to drifting, and to error when
    the drift fails or its host dies, and back.

    While it drifts, ``host`` is where it goes and ``from_host`` where it was; ``from_generation`` is the last claim
    that does not count as having arrived, ``claim_host`` who claimed the port by drifting there last
    (``claim_generation``). ``terminating_host`` was told to take it down.
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
    port_name: str = ""
    terminating: bool = False
    terminating_host: str = ""
    cleaned: bool = False
    delete_request: str = ""
    drift_request: str = ""
    from_host: str = ""
    from_generation: int = 0
    claim_host: str = ""
    claim_generation: int = 0
    drift_us: int = 0
    scheduled_us: int = 0
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
        #: Whose port has, or is to have, this name: no two hosts with an IPAM of their own could agree on it.
        self.by_port_name: dict[str, str] = {}
        self.load: dict[str, int] = {}
        #: (instance, correlation) of requests that were refused on an instance which belongs to another request.
        self.refused_spawns: set[tuple[str, str]] = set()
        self.refused_deletes: set[tuple[str, str]] = set()
        #: (instance, correlation) of drifts for which the new host has asked for its claim.
        self.asked_drifts: set[tuple[str, str]] = set()
        #: (instance, correlation) of drift requests that were granted or refused.
        self.answered_drifts: set[tuple[str, str]] = set()
        self._on_host: dict[str, dict[str, None]] = {}
        #: Ports that are there before their instance is (``workers.bulk``).
        self._ready: dict[str, str] = {}

    def get(self, instance: str) -> InstanceRow | None:
        """The instance, None if it was never asked for."""
        return self._rows.get((instance,))

    def on_host(self, host: str) -> list[InstanceRow]:
        """The instances that are on ``host`` or on their way to it, in the order in which they came."""
        return [self._rows[instance,] for instance in self._on_host.get(host, ())]

    @on(SpawnRequested)
    def _requested(self, r: Recorded, e: SpawnRequested) -> tuple[Touched, ...]:
        if (e.instance,) in self._rows:
            return NOTHING
        row = _asked_for(r, e)
        self._rows[(row.instance,)] = row
        self.by_port_name.setdefault(row.port_name, row.instance)
        return self._touch(row)

    @on(InstanceScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None:  # a host's own agent sees only what concerns its host
            row = self._rows[(e.instance,)] = _asked_for(r, e)
        if row.state != "requested":
            return NOTHING
        row.state, row.scheduled_us = "scheduled", r.time_us
        self.by_name[row.name] = self.by_port_name[row.port_name] = row.instance
        row.port = row.port or self._ready.pop(row.instance, "")
        self._place(row, e.host)
        return self._touch(row)

    @on(PortAllocated)
    def _port_ready(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.state == "requested":
            self._ready.setdefault(e.instance, e.port)
        return NOTHING

    @on(PortDeleted)
    def _port_gone(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._ready.pop(e.instance, None)
        return NOTHING

    @on(PortCreateRequested)
    def _port(self, r: Recorded, e: PortCreateRequested) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.port:
            return NOTHING
        row.port = intern(e.port)
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
        if row is None or row.terminating_host == e.host:
            return NOTHING
        row.drift_request = ""
        row.terminating, row.terminating_host = True, e.host
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

    @on(InstanceDriftScheduled)
    def _drift_scheduled(self, r: Recorded, e: InstanceDriftScheduled) -> tuple[Touched, ...]:
        if (e.instance, r.correlation) in self.answered_drifts:  # a copy of what was said long ago
            return NOTHING
        self.answered_drifts.add((e.instance, r.correlation))
        row = self.get(e.instance)
        if row is None:  # a host's own agent sees only what concerns its host
            row = self._rows[e.instance,] = InstanceRow(
                instance=e.instance,
                name=e.name,
                az=e.az,
                host="",
                network="",
                label="",
                kind="",
                port_name=e.port_name,
                request="",
                state="active",
            )
            self.by_name[e.name] = e.instance
        elif row.state not in MOVABLE or row.terminating:
            return NOTHING
        row.state, row.reason, row.drift_request, row.drift_us = "drifting", "", r.correlation, r.time_us
        row.from_host, row.from_generation = e.from_host, e.generation
        self._place(row, e.host)
        return self._touch(row)

    @on(PortClaimRequested)
    def _claim_requested(self, r: Recorded, e: PortClaimRequested) -> tuple[Touched, ...]:
        self.asked_drifts.add((e.instance, r.correlation))
        return NOTHING

    @on(PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaimed) -> tuple[Touched, ...]:
        """The claim is the truth: it also moves an instance whose drift was given up meanwhile."""
        row = self.get(e.instance)
        if row is None or row.cleaned or e.generation <= row.claim_generation:
            return NOTHING
        row.claim_host, row.claim_generation = e.host, e.generation
        if row.state != "drifting" and row.host != e.host:
            self._place(row, e.host)
        return self._touch(row)

    @on(InstanceDrifted)
    def _drifted(self, r: Recorded, e: InstanceDrifted) -> tuple[Touched, ...]:
        return self._drift_ended(r, e.instance, "active", "", e.host)

    @on(InstanceDriftFailed)
    def _drift_failed(self, r: Recorded, e: InstanceDriftFailed) -> tuple[Touched, ...]:
        return self._drift_ended(r, e.instance, "error", e.reason, e.host)

    def _drift_ended(self, r: Recorded, instance: str, state: str, reason: str, host: str) -> tuple[Touched, ...]:
        row = self.get(instance)
        if row is None or row.state != "drifting" or row.drift_request != r.correlation:
            return NOTHING
        row.state, row.reason, row.drift_request = state, reason, ""
        self._place(row, row.claim_host or host)  # who ended the drift may not have seen the latest claim
        return self._touch(row)

    @on(InstanceDriftRefused)
    def _drift_refused(self, r: Recorded, e: InstanceDriftRefused) -> tuple[Touched, ...]:
        self.answered_drifts.add((e.instance, r.correlation))
        return NOTHING

    @on(InstanceRecovered)
    def _recovered(self, r: Recorded, e: InstanceRecovered) -> tuple[Touched, ...]:
        row = self.get(e.instance)
        if row is None or row.state != "error":
            return NOTHING
        row.state, row.reason = "active", ""
        return self._touch(row)

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        touched: list[Touched] = []
        for row in self.on_host(e.host):
            if row.state == "active":
                row.state, row.reason = "error", f"host {e.host} is down"
                touched += self._touch(row)
        return tuple(touched)

    def _place(self, row: InstanceRow, host: str) -> None:
        """Count the instance on ``host`` and nowhere else."""
        self._leave(row)
        row.host = intern(host)
        self.load[host] = self.load.get(host, 0) + 1
        self._on_host.setdefault(host, {})[row.instance] = None

    def _leave(self, row: InstanceRow) -> None:
        if row.instance in self._on_host.get(row.host, ()):
            del self._on_host[row.host][row.instance]
            self.load[row.host] -= 1

    def _release(self, row: InstanceRow) -> None:
        if self.by_name.get(row.name) == row.instance:
            del self.by_name[row.name]
        if self.by_port_name.get(row.port_name) == row.instance:
            del self.by_port_name[row.port_name]
        self._leave(row)

    def _touch(self, row: InstanceRow) -> tuple[Touched, ...]:
        return (("instances", (row.instance,)),)


def _asked_for(r: Recorded, e: SpawnRequested | InstanceScheduled) -> InstanceRow:
    return InstanceRow(
        instance=intern(e.instance),
        name=e.name,
        az=intern(e.az),
        host=intern(e.host or ""),
        network=intern(e.network or ""),
        label=intern(e.label or ""),
        kind=intern(e.kind),
        port_name=port_name(e.name, e.labels),
        request=intern(r.correlation),
        requested_us=r.time_us,
    )
