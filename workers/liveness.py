"""Liveness: which hosts are alive, by the beats of their OVS agents and by what operators say (docs/adr/0005).

up → suspect → down → returned → up. A host that was down takes nothing before its agent has cleaned it.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    BARE_METAL,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostRefused,
    HostResynced,
    HostReturned,
    HostReturnRequested,
    HostSuspected,
    HostUp,
)
from projections.hosts import Hosts, HostStateRow
from projections.world import HostRow, World
from workers.worker import Decision, Due, Emit, Folds, Now, State, Worker, settles_nothing

#: How long an agent may be silent before its host is suspected, and before it is taken for dead, microseconds.
SUSPECT_US = 15_000_000
DOWN_US = 60_000_000

Request = HostFailRequested | HostDrainRequested | HostReturnRequested


class LivenessState(State):
    """The hosts there are and what was said of them.

    ``watching_since_us``: from when on silence counts. ``heard_us``: when each host was heard last.
    """

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.hosts = self.fold(World), self.fold(Hosts)
        self.watching_since_us = 0
        self.heard_us: dict[str, int] = {}


def decide(state: LivenessState, r: Recorded) -> Iterable[Decision]:
    """What is to be said of the host that ``r`` concerns."""
    match r.event:
        case HostFailRequested() | HostDrainRequested() | HostReturnRequested() as request:
            return _requested(state, r, request)
        case HostResynced(host=host):
            return _resynced(state.hosts.get(host))
        case _:
            return ()


def _requested(state: LivenessState, r: Recorded, request: Request) -> Iterable[Decision]:
    if (request.host, r.correlation) in state.hosts.answered:
        return
    host = state.world.hosts.get(request.host)
    if host is None:
        yield _refuse(request, "unknown host")
        return
    row = state.hosts.get(request.host) or HostStateRow(host=host.host, az=host.az)
    match request:
        case HostFailRequested(reason=reason):
            yield _fail(row, request, reason)
        case HostDrainRequested():
            yield _refuse(request, "the host is being drained already") if row.draining else _drain(host)
        case HostReturnRequested():
            yield _return(row, request)


def _fail(row: HostStateRow, request: Request, reason: str) -> Emit:
    if row.state == "down":
        return _refuse(request, "the host is down already; drain it to move what is on it")
    return Emit(HostDown(host=row.host, az=row.az, reason=reason or "failed on request", evacuate=True, held=True))


def _drain(host: HostRow) -> Emit:
    return Emit(HostDraining(host=host.host, az=host.az))


def _return(row: HostStateRow, request: Request) -> Emit:
    if row.state == "down":
        return Emit(HostReturned(host=row.host, az=row.az))
    if row.state == "returned":
        return _refuse(request, "the host is being cleaned already")
    if not row.draining:
        return _refuse(request, f"the host is {row.state} and not being drained")
    return Emit(HostUp(host=row.host, az=row.az))


def _refuse(request: Request, reason: str) -> Emit:
    return Emit(HostRefused(host=request.host, reason=reason, field="host", value=request.host))


def _resynced(row: HostStateRow | None) -> Iterable[Decision]:
    if row is not None and row.state == "returned" and row.resynced:
        yield Emit(HostUp(host=row.host, az=row.az, draining=row.draining))


def due(state: LivenessState, now: Now) -> Iterable[Due]:
    """What silence, and its end, say of each host. While beats cannot be read, nobody is blamed for silence."""
    if now.heard is None:
        state.watching_since_us = 0
        return
    state.watching_since_us = state.watching_since_us or now.time_us
    state.heard_us |= now.heard  # an agent's newest beat need not speak of every host that an older one spoke of
    for host in state.world.hosts.values():
        if host.kind == BARE_METAL:  # it has no agent: that it is dead, or back, is for an operator to say
            continue
        row = state.hosts.get(host.host) or HostStateRow(host=host.host, az=host.az)
        heard_us = state.heard_us.get(host.host, 0)
        silent_us = now.time_us - max(heard_us, state.watching_since_us, 0 if row.state == "suspect" else row.since_us)
        said = _heard(row, heard_us) if row.state == "down" else _silent(row, silent_us)
        if said is not None:
            yield Due(said, row.epoch)


def _heard(row: HostStateRow, heard_us: int) -> HostReturned | None:
    if row.held or heard_us <= row.since_us:
        return None
    return HostReturned(host=row.host, az=row.az, draining=row.draining)


def _silent(row: HostStateRow, silent_us: int) -> HostSuspected | HostDown | HostUp | None:
    if row.state == "up":
        return HostSuspected(host=row.host, az=row.az, silent_us=silent_us) if silent_us >= SUSPECT_US else None
    if silent_us >= DOWN_US:
        return HostDown(host=row.host, az=row.az, reason=f"its agent was silent for {silent_us // 1_000_000} s")
    if row.state == "suspect" and silent_us < SUSPECT_US:
        return HostUp(host=row.host, az=row.az, draining=row.draining)
    return None


WORKER = Worker(
    name="liveness",
    state=LivenessState,
    inputs=frozenset({HostFailRequested, HostDrainRequested, HostReturnRequested, HostResynced}),
    says=frozenset({HostDown, HostDraining, HostRefused, HostReturned, HostUp}),
    decide=decide,
    settle=settles_nothing,
    due=due,
    listens=True,
)
