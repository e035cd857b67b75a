"""Nova, API and scheduler: which host an instance goes to, and how each request ends (Figure 10, steps 1 and 13).

What it decides about drifts is in ``workers.drifts``.

Every spawn request ends once: active, refused (the request's fault) or failed (ours). Every delete request ends once:
deleted or refused. What fails is taken down the same way as what is deleted.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    HostDown,
    HostDraining,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceOverdue,
    InstanceRecovered,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    PortBound,
    PortClaimed,
    PortClaimRefused,
    PortDeleted,
    PortEvent,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortPolicyReported,
    PortRefused,
    PortUnderlayReported,
    SpawnRequested,
    port_name,
)
from projections.instances import SPAWNING, InstanceRow
from workers import drifts, prepared
from workers.deadlines import is_overdue
from workers.nova_state import NovaState, allocator_for, cleaned, fail, failed, kinds_for, take_down
from workers.worker import Decision, Due, Emit, Now, Worker, settles_nothing


def decide(state: NovaState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the instance or the host that ``r`` concerns."""
    match r.event:
        case SpawnRequested() as request:
            return _spawn(state, r, request)
        case InstanceDeleteRequested() as request:
            return _delete(state, r, request)
        case InstanceDriftRequested() as request:
            return drifts.requested(state, r, request)
        case InstanceOverdue() as overdue:
            return _overdue(state, overdue)
        case PortEvent() as event:
            return _port(state, event)
        case _:
            return _host(state, r)


def _port(state: NovaState, e: PortEvent) -> Iterable[Decision]:
    match e:
        case PortRefused():
            return _port_refused(state, e)
        case PortDeleted():
            return _port_deleted(state, e.instance)
        case PortClaimed():
            return drifts.claimed(state, e)
        case PortClaimRefused():
            return drifts.claim_refused(state, e)
        case _:
            return _port_reported(state, e)


def _host(state: NovaState, r: Recorded) -> Iterable[Decision]:
    match r.event:
        case HostDown() as down:
            return drifts.host_down(state, r, down)
        case HostDraining(host=host):
            return drifts.evacuate(state, r, host)
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
    kinds = kinds_for(state, request.network, request.label, request.kind)
    host = prepared.host(state, request)
    choice = state.scheduler.choose(request.az, host, kinds)
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
                kind=request.kind,
                labels=request.labels,
                allocator=allocator_for(state, request.network, request.label),
            )
        ),
    )


def _problem(state: NovaState, request: SpawnRequested) -> tuple[str, str, str] | None:
    """(reason, field, value) if the request is wrong in itself or against the world."""
    if request.name in state.instances.by_name:
        return "the name is in use", "name", request.name
    name = port_name(request.name, request.labels)
    if not _is_free(state, name, request.instance):
        return "the port name is in use", "name", name
    if (request.network is None) == (request.label is None):
        return "exactly one of network and label must be given", "network", request.network or "none"
    if request.network is not None and request.network not in state.world.networks:
        return "unknown network", "network", request.network
    if request.label is not None and request.label not in state.world.by_label:
        return "no network carries this label", "label", request.label
    if not kinds_for(state, request.network, request.label, request.kind):
        return "no kind of host carries such an instance in this network", "kind", request.kind
    return prepared.problem(state, request)


def _is_free(state: NovaState, name: str, instance: str) -> bool:
    """Whether no other port has this name, or is to have it. Where hosts allocate, nova alone sees them all."""
    port = state.ports.get(state.ports.by_name.get(name, ""))
    holders = (state.instances.by_port_name.get(name), state.operations.being_made.get(name), port and port.instance)
    return all(holder in (None, instance) for holder in holders)


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
    return cleaned(row)


def _port_reported(state: NovaState, report: PortEvent) -> Iterable[Decision]:
    port = state.ports.get(report.port)
    row = state.instances.get(port.instance) if port else None
    if port is None or row is None:
        return
    if row.state == "failed" and not row.terminating:  # its failure was appended, and then this process died
        yield from take_down(state, row, row.request)
    elif row.state in ("drifting", "error"):
        yield from drifts.reported(state, row, port)
    elif row.state == "scheduled" and port.usable:
        yield Emit(InstanceActive(instance=row.instance, az=row.az, host=row.host, port=port.port), row.request)
    elif row.state == "scheduled" and "ERROR" in (port.underlay, port.overlay):
        yield from fail(state, row, port.reason)


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
    return _take_down_early(state, row, r.correlation)


def _take_down_early(state: NovaState, row: InstanceRow, correlation: str) -> Iterable[Decision]:
    """What is under way ends with the delete."""
    if row.state == "scheduled":
        yield failed(row, "deleted while it was being spawned")
    elif row.state == "drifting":
        yield from drifts.give_up(state, row, "deleted while it drifted")
    yield from take_down(state, row, correlation)


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
    return () if row is None else cleaned(row)


def _overdue(state: NovaState, e: InstanceOverdue) -> Iterable[Decision]:
    row = state.instances.get(e.instance)
    if row is not None and row.state == "failed" and not row.terminating:  # as in _port_reported
        yield from take_down(state, row, row.request)
    if row is None or not is_overdue(row, e):
        return
    reason = f"not done in time: {_waits_for(state, row)}"
    if row.state == "drifting":
        yield from drifts.give_up(state, row, reason)
    else:
        yield from fail(state, row, reason)


def _waits_for(state: NovaState, row: InstanceRow) -> str:
    port = state.ports.get(row.port)
    if port is None or (row.state == "drifting" and port.generation <= row.from_generation):
        return f"host {row.host} has no port"
    return f"underlay {port.underlay}, overlay {port.overlay}, {'bound' if port.bound else 'not bound'}"


def due(state: NovaState, now: Now) -> Iterable[Due]:
    """Spawns and drifts that take too long."""
    return state.deadlines.overdue(now.time_us)


WORKER = Worker(
    name="nova",
    state=NovaState,
    inputs=frozenset(
        {
            SpawnRequested,
            PortRefused,
            PortUnderlayReported,
            PortOverlayReported,
            PortPolicyReported,
            PortPlugFailed,
            PortPlugged,
            PortBound,
            InstanceDeleteRequested,
            PortDeleted,
            InstanceOverdue,
            InstanceDriftRequested,
            PortClaimed,
            PortClaimRefused,
            HostDown,
            HostDraining,
        }
    ),
    says=frozenset(
        {
            InstanceActive,
            InstanceDeleteRefused,
            InstanceDeleted,
            InstanceDriftFailed,
            InstanceDriftRefused,
            InstanceDriftScheduled,
            InstanceDrifted,
            InstanceFailed,
            InstanceRecovered,
            InstanceRefused,
            InstanceScheduled,
            InstanceTerminating,
        }
    ),
    decide=decide,
    settle=settles_nothing,
    due=due,
)
