"""What nova decides about drifts (Figure 11): which host an instance is launched on again, and how each drift ends.

Every drift request ends once: drifted, refused (nothing was changed), or failed (the port is where its claim is).
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    HostDown,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceRecovered,
    PortClaimed,
    PortClaimRefused,
)
from projections.instances import MOVABLE, InstanceRow
from projections.port_rows import PortRow
from workers.models import MODELS
from workers.models.model import Refusal
from workers.nova_state import NovaState, allocator_for, cleaned, fail, kinds_for, take_down
from workers.scheduler import Choice
from workers.worker import Decision, Emit


def requested(state: NovaState, r: Recorded, request: InstanceDriftRequested) -> Iterable[Decision]:
    """Grant or refuse one request to drift."""
    if (request.instance, r.correlation) in state.instances.answered_drifts:
        return
    row = state.instances.get(request.instance)
    if row is None or row.state not in MOVABLE or row.delete_request:
        yield _refuse(request.instance, Choice(None, _why_not(row), "instance", request.instance), r.correlation)
    else:
        yield from _start(state, row, request.host, r.correlation)


def evacuate(state: NovaState, r: Recorded, host: str) -> Iterable[Decision]:
    """All that is on ``host``, or on its way to it, drifts to wherever there is room."""
    for row in state.instances.on_host(host):
        answered = (row.instance, r.correlation) in state.instances.answered_drifts
        if row.state in MOVABLE and not row.delete_request and not answered:
            yield from _start(state, row, None, r.correlation)


def host_down(state: NovaState, r: Recorded, e: HostDown) -> Iterable[Decision]:
    """What was on its way to a host that died does not arrive."""
    reason = f"host {e.host} is down: {e.reason}"
    concerned = state.instances.on_host(e.host)
    for row in concerned:
        if row.state == "scheduled":
            yield from fail(state, row, reason)
        elif row.state == "failed" and not row.terminating:  # its failure was appended, and then this process died
            yield from take_down(state, row, row.request)
        elif row.state == "drifting":
            yield from give_up(state, row, reason)
        elif row.terminating and not row.port:
            yield from cleaned(row)
    if e.evacuate:
        yield from evacuate(state, r, e.host)
        for row in concerned:  # hosts that fail one after the other: it came from one that is dead already
            if row.state == "error" and row.host != e.host and state.hosts.is_down(row.host):
                yield from _start(state, row, None, r.correlation)


def claimed(state: NovaState, e: PortClaimed) -> Iterable[Decision]:
    """A claim that meets a delete: its host is told as well."""
    row = state.instances.get(e.instance)
    if row is not None and row.terminating and not row.cleaned and row.terminating_host != row.host:
        yield from take_down(state, row, row.delete_request or row.request)


def claim_refused(state: NovaState, e: PortClaimRefused) -> Iterable[Decision]:
    """The port stays where it is."""
    row = state.instances.get(e.instance)
    if row is not None and row.state == "drifting" and row.host == e.host:
        yield from give_up(state, row, f"{e.reason} ({e.field}: {e.value})")


def reported(state: NovaState, row: InstanceRow, port: PortRow) -> Iterable[Decision]:
    """What a report on the port means for an instance that drifts, or is in error."""
    if row.state == "error":
        yield from _recovered(row, port)
    elif port.host == row.host and port.generation > row.from_generation:
        if port.usable:
            drifted = InstanceDrifted(
                instance=row.instance,
                az=row.az,
                host=row.host,
                from_host=row.from_host,
                port=port.port,
                generation=port.generation,
            )
            yield Emit(drifted, row.drift_request)
        elif "ERROR" in (port.underlay, port.overlay):
            yield from give_up(state, row, port.reason)


def give_up(state: NovaState, row: InstanceRow, reason: str) -> Iterable[Decision]:
    """The drift of ``row`` failed: the instance is wherever its port is, and works there if the port does."""
    port = state.ports.get(row.port)
    yield _failed(row, port, reason)
    if port is not None:
        yield from _recovered(row, port)


def _failed(row: InstanceRow, port: PortRow | None, reason: str) -> Emit:
    holder = port.host if port else row.from_host
    return Emit(InstanceDriftFailed(instance=row.instance, az=row.az, host=holder, reason=reason), row.drift_request)


def _recovered(row: InstanceRow, port: PortRow) -> Iterable[Decision]:
    if row.state == "error" and port.usable and port.host == row.host and not row.delete_request:
        yield Emit(InstanceRecovered(instance=row.instance, az=row.az, host=row.host, port=port.port))


def _start(state: NovaState, row: InstanceRow, target: str | None, correlation: str) -> Iterable[Decision]:
    port = state.ports.get(row.port)
    choice = _choose(state, row, port, target)
    if choice.host is None or port is None:
        yield _refuse(row.instance, choice, correlation)
        return
    if row.state == "drifting":
        yield _failed(row, port, f"overtaken by a drift to {choice.host}")
    allocator = allocator_for(state, port.network, None)
    scheduled = InstanceDriftScheduled(
        instance=row.instance,
        name=row.name,
        az=row.az,
        host=choice.host,
        from_host=port.host,
        generation=port.generation,
        port_name=port.name,
        network=port.network if allocator else None,
        allocator=allocator,
    )
    yield Emit(scheduled, correlation)


def _choose(state: NovaState, row: InstanceRow, port: PortRow | None, target: str | None) -> Choice:
    if target is not None and target == row.host and row.state != "error":
        word = "is drifting to" if row.state == "drifting" else "is on"
        return Choice(None, f"the instance {word} this host already", "host", target)
    rooted = _cannot_move(state, port, port.host) if port is not None and port.host in state.world.hosts else None
    if rooted is not None:  # wherever it were to go
        return Choice(None, *rooted)
    kinds = kinds_for(state, row.network or None, row.label or None, row.kind)
    choice = state.scheduler.choose(row.az, target, kinds, besides=row.host)
    refusal = _cannot_move(state, port, choice.host) if port is not None and choice.host is not None else None
    return Choice(None, *refusal) if refusal is not None else choice


def _cannot_move(state: NovaState, port: PortRow, target: str) -> Refusal | None:
    """Why the model of the port's network keeps it from going to ``target``."""
    model, source = MODELS.get(port.model), state.world.hosts.get(port.host)
    return model.may_move(port, source, state.world.hosts[target]) if model is not None and source is not None else None


def _refuse(instance: str, why: Choice, correlation: str) -> Emit:
    refused = InstanceDriftRefused(instance=instance, reason=why.reason, field=why.field, value=why.value)
    return Emit(refused, correlation)


def _why_not(row: InstanceRow | None) -> str:
    if row is None:
        return "unknown instance"
    if row.state in ("requested", "scheduled"):
        return "the instance is still being spawned"
    if row.delete_request or row.terminating:
        return "the instance is being deleted" if not row.cleaned else "the instance is deleted"
    return f"the instance is {row.state}"
