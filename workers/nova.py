"""Nova, API and scheduler: which host an instance goes to, and how each request ends (Figure 10, steps 1 and 13).

Every spawn request ends once: active, refused (the request's fault) or failed (ours). Every delete request ends once:
deleted or refused. What fails is taken down the same way as what is deleted.
"""

from collections.abc import Iterable

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
    PortDeleted,
    PortEvent,
    PortOverlayReported,
    PortPlugFailed,
    PortRefused,
    PortUnderlayReported,
    SpawnRequested,
)
from projections.instances import SPAWNING, InstanceRow, Instances
from projections.ports import Ports
from projections.world import World
from workers.scheduler import Scheduler
from workers.worker import Decision, Emit, State, Worker, settles_nothing


class NovaState(State):
    """The world, the instances, their ports, and how full the hosts are."""

    def __init__(self) -> None:
        self.world, self.instances, self.ports = World(), Instances(), Ports()
        self.scheduler = Scheduler(self.world, self.instances)
        super().__init__(self.world, self.instances, self.ports, self.scheduler)


def decide(state: NovaState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the instance that ``r`` concerns."""
    match r.event:
        case SpawnRequested() as request:
            return _spawn(state, r, request)
        case PortRefused() as refusal:
            return _port_refused(state, refusal)
        case PortUnderlayReported() | PortOverlayReported() | PortPlugFailed() as report:
            return _port_reported(state, report)
        case InstanceDeleteRequested() as request:
            return _delete(state, r, request)
        case PortDeleted() as deleted:
            return _port_deleted(state, deleted.instance)
        case _:
            return ()


def _spawn(state: NovaState, r: Recorded, request: SpawnRequested) -> Iterable[Decision]:
    row = state.instances.get(request.instance)
    if row is None or (request.instance, r.correlation) in state.instances.refused_spawns:
        return ()
    if row.request != r.correlation:
        return (_refuse(request, "the instance id is in use", "instance", request.instance),)
    if row.state != "requested":
        return ()
    problem = _problem(state, request)
    if problem is not None:
        return (_refuse(request, *problem),)
    choice = state.scheduler.choose(request)
    if choice.host is None:
        return (_refuse(request, choice.reason, choice.field, choice.value),)
    return (
        Emit(
            InstanceScheduled(
                instance=request.instance,
                name=request.name,
                az=request.az,
                host=choice.host,
                network=request.network,
                label=request.label,
            )
        ),
    )


def _problem(state: NovaState, request: SpawnRequested) -> tuple[str, str, str] | None:
    """(reason, field, value) if the request is wrong in itself or against the world."""
    if request.name in state.instances.by_name:
        return "the name is in use", "name", request.name
    if (request.network is None) == (request.label is None):
        return "exactly one of network and label must be given", "network", request.network or "none"
    if request.network is not None and request.network not in state.world.networks:
        return "unknown network", "network", request.network
    if request.label is not None and request.label not in state.world.by_label:
        return "no network carries this label", "label", request.label
    return None


def _refuse(request: SpawnRequested, reason: str, field: str, value: str) -> Emit:
    return Emit(InstanceRefused(instance=request.instance, az=request.az, reason=reason, field=field, value=value))


def _port_refused(state: NovaState, refusal: PortRefused) -> Iterable[Decision]:
    row = state.instances.get(refusal.instance)
    if row is None:
        return ()
    if row.state in SPAWNING:
        return (
            Emit(
                InstanceRefused(
                    instance=row.instance,
                    az=row.az,
                    reason=refusal.reason,
                    field=refusal.field,
                    value=refusal.value,
                ),
                row.request,
            ),
        )
    return _cleaned(row)


def _port_reported(state: NovaState, report: PortEvent) -> Iterable[Decision]:
    port = state.ports.get(report.port)
    row = state.instances.get(port.instance) if port else None
    if port is None or row is None:
        return ()
    if row.state == "failed" and not row.terminating:  # its failure was appended, and then this process died
        return (_terminate(row, row.request),)
    if row.state != "scheduled":
        return ()
    if port.usable:
        return (Emit(InstanceActive(instance=row.instance, az=row.az, host=row.host, port=port.port), row.request),)
    if "ERROR" in (port.underlay, port.overlay):
        return (_fail(row, port.reason), _terminate(row, row.request))
    return ()


def _delete(state: NovaState, r: Recorded, request: InstanceDeleteRequested) -> Iterable[Decision]:
    row = state.instances.get(request.instance)
    if (request.instance, r.correlation) in state.instances.refused_deletes:
        return ()
    if row is None or row.delete_request != r.correlation:
        reason = _why_not_deleted(row)
        refusal = InstanceDeleteRefused(
            instance=request.instance, reason=reason, field="instance", value=request.instance
        )
        return (Emit(refusal),)
    if row.terminating or row.cleaned or row.state == "requested":  # requested: the spawn is decided on first
        return ()
    if row.state == "scheduled":
        return (_fail(row, "deleted while it was being spawned"), _terminate(row, r.correlation))
    return (_terminate(row, r.correlation),)


def _why_not_deleted(row: InstanceRow | None) -> str:
    if row is not None and row.state == "refused":
        return "the instance was refused and never existed"
    if row is not None and row.cleaned:
        return "the instance is deleted already"
    if row is not None and row.delete_request:
        return "the instance is being deleted already"
    return "unknown instance"  # or asked for only after this request


def _port_deleted(state: NovaState, instance: str) -> Iterable[Decision]:
    row = state.instances.get(instance)
    return () if row is None else _cleaned(row)


def _cleaned(row: InstanceRow) -> Iterable[Decision]:
    if row.cleaned or not row.terminating:
        return ()
    deleted = InstanceDeleted(instance=row.instance, az=row.az, host=row.host)
    return (Emit(deleted, row.delete_request or row.request),)


def _fail(row: InstanceRow, reason: str) -> Emit:
    return Emit(InstanceFailed(instance=row.instance, az=row.az, host=row.host, reason=reason), row.request)


def _terminate(row: InstanceRow, correlation: str) -> Emit:
    return Emit(InstanceTerminating(instance=row.instance, az=row.az, host=row.host), correlation)


WORKER = Worker(
    name="nova",
    state=NovaState,
    inputs=frozenset(
        {
            SpawnRequested,
            PortRefused,
            PortUnderlayReported,
            PortOverlayReported,
            PortPlugFailed,
            InstanceDeleteRequested,
            PortDeleted,
        }
    ),
    decide=decide,
    settle=settles_nothing,
)
