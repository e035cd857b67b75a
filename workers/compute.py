"""Nova-compute, one per host: asks for the port, makes the vNIC, says where the port is (Figure 10, steps 2, 6 and 9).

The way back: takes the vNIC away, then asks that the port be deleted.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    Event,
    InstanceScheduled,
    InstanceTerminating,
    PortAllocated,
    PortBindRequested,
    PortCreateRequested,
    PortDeleteRequested,
    PortPlugFailed,
    PortPlugged,
    PortUnplugged,
)
from projections.instances import Instances
from projections.ports import PortRow, Ports
from workers.claims import claim
from workers.effects import AnyEffect, PlugVnic, Result, UnplugVnic
from workers.worker import Decision, Emit, Perform, State, Worker


class ComputeState(State):
    """The instances and ports of the hosts served."""

    def __init__(self) -> None:
        self.instances, self.ports = Instances(), Ports()
        super().__init__(self.instances, self.ports)


def port_id(instance: str) -> str:
    """The id of an instance's first port: the same whoever asks, so that asking twice makes one port."""
    return f"{instance}-0"


def decide(state: ComputeState, r: Recorded) -> Iterable[Decision]:
    """What this host is to do about the instance or port that ``r`` concerns."""
    match r.event:
        case InstanceScheduled(instance=instance):
            return _create_port(state, instance)
        case PortAllocated(port=port) | PortPlugged(port=port) | PortUnplugged(port=port):
            return _wire(state, state.ports.get(port))
        case InstanceTerminating(instance=instance):
            return _wire(state, state.ports.get(port_id(instance)))
        case _:
            return ()


def _create_port(state: ComputeState, instance: str) -> Iterable[Decision]:
    row = state.instances.get(instance)
    if row is None or row.port:
        return ()
    request = PortCreateRequested(
        port=port_id(instance),
        az=row.az,
        host=row.host,
        name=row.name,
        instance=instance,
        network=row.network or None,
        label=row.label or None,
    )
    return (Emit(request),)


def _wire(state: ComputeState, port: PortRow | None) -> Iterable[Decision]:
    """Plugged and bound while the instance lives, unplugged and given back once it is being taken down."""
    instance = state.instances.get(port.instance) if port else None
    if port is None or instance is None:
        return ()
    step = _next_down(port) if instance.terminating else _next_up(port)
    return () if step is None else (step,)


def _next_up(port: PortRow) -> Decision | None:
    if not port.plugged:
        return Perform(_plug(port), port.correlation)
    if not port.bind_requested:
        return Emit(PortBindRequested(**claim(port)), port.correlation)
    return None


def _next_down(port: PortRow) -> Decision | None:
    if not port.unplugged:
        return Perform(_unplug(port), port.correlation)
    if not port.delete_requested:
        return Emit(PortDeleteRequested(**claim(port)), port.correlation)
    return None


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
    )


def _unplug(port: PortRow) -> UnplugVnic:
    return UnplugVnic(device=port.host, port=port.port, az=port.az, generation=port.generation)


WORKER = Worker(
    name="compute",
    state=ComputeState,
    inputs=frozenset({InstanceScheduled, InstanceTerminating, PortAllocated, PortPlugged, PortUnplugged}),
    decide=decide,
    settle=settle,
    per_host=True,
)
