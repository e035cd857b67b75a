"""Nova-compute, one per host: asks for the port, makes the vNIC, says where the port is (Figure 10, steps 2, 6 and 9).

The way back: takes the vNIC away, then asks that the port be deleted. An instance that was launched here again
(Figure 11) has its port already: it is claimed by its name instead of created. On bare metal it sets the NIC.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    Event,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    HostReturned,
    HostUp,
    InstanceDriftScheduled,
    InstanceScheduled,
    InstanceTerminating,
    PortAllocated,
    PortBindRequested,
    PortClaimed,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleteRequested,
    PortEvent,
    PortPlugFailed,
    PortPlugged,
    PortUnbound,
    PortUnplugged,
)
from projections.hosts import Hosts
from projections.instances import Instances
from projections.port_rows import PortRow, StaleClaimRow
from projections.ports import Ports
from projections.world import World
from workers import bare_metal
from workers.bare_metal import is_bare
from workers.claims import claim
from workers.effects import AnyEffect, PlugVnic, Result, ResyncHost, UnplugVnic
from workers.worker import Decision, Emit, Folds, Perform, State, Worker


class ComputeState(State):
    """The hosts served, whether they are alive, and their instances and ports."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.instances, self.ports, self.hosts = (
            self.fold(World),
            self.fold(Instances),
            self.fold(Ports),
            self.fold(Hosts),
        )


def port_id(instance: str) -> str:
    """The id of an instance's first port: the same whoever asks, so that asking twice makes one port."""
    return f"{instance}-0"


def decide(state: ComputeState, r: Recorded) -> Iterable[Decision]:
    """What this host is to do about the instance, port or host that ``r`` concerns."""
    match r.event:
        case InstanceScheduled(instance=instance):
            return _create_port(state, instance)
        case InstanceDriftScheduled(instance=instance):
            return _claim_port(state, r, instance)
        case InstanceTerminating(instance=instance):
            return _wire(state, state.ports.get(port_id(instance)))
        case HostUp(host=host):
            return _wire_host(state, host)
        case HostAudited() as audited:
            return _repair(state, audited)
        case HostReturned() | HostAuditRequested() as e if is_bare(state.world, e.host):
            return bare_metal.decide(state.hosts, state.ports, r, e)
        case PortUnbound() as over:
            return _wire(state, state.ports.claim_of(over))
        case PortEvent(port=port):
            return _wire(state, state.ports.get(port))
        case _:
            return ()


def _create_port(state: ComputeState, instance: str) -> Iterable[Decision]:
    row = state.instances.get(instance)
    if row is None or row.cleaned:
        return
    if row.port:  # asked for, or there before the instance was (``workers.bulk``)
        yield from _wire(state, state.ports.get(row.port))
        return
    request = PortCreateRequested(
        port=port_id(instance),
        az=row.az,
        host=row.host,
        name=row.port_name,
        instance=instance,
        network=row.network or None,
        label=row.label or None,
    )
    yield Emit(request)


def _claim_port(state: ComputeState, r: Recorded, instance: str) -> Iterable[Decision]:
    """Figure 11, step 4: the instance is launched here again; find its port by its name."""
    row = state.instances.get(instance)
    if row is None or row.state != "drifting" or row.drift_request != r.correlation:
        return
    if (instance, r.correlation) in state.instances.asked_drifts:
        return
    if not state.hosts.is_down(row.host):
        port = port_id(instance)
        yield Emit(PortClaimRequested(port=port, az=row.az, host=row.host, name=row.port_name, instance=instance))


def _wire_host(state: ComputeState, host: str) -> Iterable[Decision]:
    """The host takes instances again: what is its own is wired anew, what is over goes."""
    for port in state.ports.on_host(host):
        yield from _wire(state, port)
    for over in state.ports.stale_on_host(host):
        yield from _wire(state, over)


def _wire(state: ComputeState, port: PortRow | StaleClaimRow | None) -> Iterable[Decision]:
    """Plugged and bound while the instance lives here, unplugged and given back once it is being taken down."""
    if port is None:
        return
    step = _next_up(port) if isinstance(port, PortRow) and _is_wanted(state, port) else _next_down(state, port)
    if step is not None:
        yield step


def _is_wanted(state: ComputeState, port: PortRow) -> bool:
    """Whether the port is to be on its host, and the host can be asked."""
    instance = state.instances.get(port.instance)
    lives = instance is not None and not instance.terminating and not instance.cleaned
    return lives and not port.unbound and state.hosts.claims(port.host)


def _next_up(port: PortRow) -> Decision | None:
    if not port.plugged:
        return Perform(_plug(port), port.correlation)
    if not port.bind_requested:
        return Emit(PortBindRequested(**claim(port)), port.correlation)
    return None


def _next_down(state: ComputeState, port: PortRow | StaleClaimRow) -> Decision | None:
    if state.hosts.is_down(port.host) or not _is_over(state, port):
        return None
    if not port.unplugged:
        return Perform(_unplug(port), port.correlation)
    if isinstance(port, PortRow) and not port.delete_requested and not port.unbound:
        return Emit(PortDeleteRequested(**claim(port)), port.correlation)
    return None


def _is_over(state: ComputeState, port: PortRow | StaleClaimRow) -> bool:
    instance = state.instances.get(port.instance)
    superseded = isinstance(port, StaleClaimRow)
    return superseded or port.unbound or (instance is not None and instance.terminating)


def _repair(state: ComputeState, audited: HostAudited) -> Iterable[Decision]:
    """Mend the vNICs that still differ; the OVS agent mends the flows."""
    for difference in audited.differences:
        if difference.part == "vnic" and state.hosts.claims(audited.host):
            yield from _repair_vnic(state, audited, difference)


def _repair_vnic(state: ComputeState, audited: HostAudited, difference: HostDifference) -> Iterable[Decision]:
    port = state.ports.get(difference.port)
    if port is not None and (port.host, port.generation) != (audited.host, difference.generation):
        port = None
    wanted = port is not None and _is_wanted(state, port)
    if port is not None and wanted and difference.missing:
        yield Perform(_plug(port))
    elif not wanted and not difference.missing:
        generation = difference.generation
        yield Perform(UnplugVnic(device=audited.host, port=difference.port, az=audited.az, generation=generation))


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What to say about a vNIC that was, or could not be, plugged or unplugged."""
    match effect:
        case PlugVnic(port=port, az=az, device=host, generation=generation):
            if result.error:
                return (PortPlugFailed(port=port, az=az, host=host, generation=generation, reason=result.error),)
            received_us = result.started_us
            return (PortPlugged(port=port, az=az, host=host, generation=generation, received_us=received_us),)
        case UnplugVnic(port=port, az=az, device=host, generation=generation):
            return (PortUnplugged(port=port, az=az, host=host, generation=generation),)
        case ResyncHost():
            return (bare_metal.cleaned(effect, result),)
        case _:
            raise TypeError(f"compute did not ask for {effect}")


def _plug(port: PortRow) -> PlugVnic:
    return PlugVnic(
        device=port.host,
        port=port.port,
        az=port.az,
        generation=port.generation,
        mac=port.mac,
        ip=port.ip,
        prefix_length=port.prefix_length,
        gateway=port.gateway,
        claimed_at=port.claimed_at,
        enforced=bool(port.policy_by),
    )


def _unplug(port: PortRow | StaleClaimRow) -> UnplugVnic:
    return UnplugVnic(device=port.host, port=port.port, az=port.az, generation=port.generation)


WORKER = Worker(
    name="compute",
    state=ComputeState,
    inputs=frozenset(
        {
            *(InstanceScheduled, InstanceDriftScheduled, InstanceTerminating),
            *(PortAllocated, PortClaimed, PortPlugged, PortUnplugged, PortUnbound, HostUp, HostAudited),
            *(HostReturned, HostAuditRequested),
        }
    ),
    says=frozenset({HostAudited, PortBindRequested, PortClaimRequested, PortCreateRequested, PortDeleteRequested}),
    decide=decide,
    settle=settle,
    per_host=True,
)
