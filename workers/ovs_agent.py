"""The OVS agent, one per host: sees a device come or go on br-int and keeps the flows (Figure 10, steps 7 and 8)."""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import Event, PortPlugged, PortUnderlayRemoved, PortUnderlayReported, PortUnplugged
from projections.ports import Ports
from workers.effects import AnyEffect, InstallFlows, RemoveFlows, Result
from workers.worker import Decision, Perform, State, Worker


class AgentState(State):
    """The ports of the hosts served."""

    def __init__(self) -> None:
        self.ports = Ports()
        super().__init__(self.ports)


def decide(state: AgentState, r: Recorded) -> Iterable[Decision]:
    """Flows follow the device: there while it is plugged, gone once it is unplugged."""
    match r.event:
        case PortPlugged() | PortUnplugged() as event:
            port = state.ports.current(event)
        case _:
            return ()
    if port is None:
        return ()
    wanted: AnyEffect
    if port.unplugged:
        if port.underlay_removed:
            return ()
        wanted = RemoveFlows(device=port.host, port=port.port, az=port.az, generation=port.generation)
    else:
        if port.underlay_report:
            return ()
        wanted = InstallFlows(
            device=port.host, port=port.port, az=port.az, generation=port.generation, mac=port.mac, vlan=port.vlan
        )
    return (Perform(wanted, port.correlation),)


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The report to the Neutron server: update port {underlay_status}."""
    match effect:
        case InstallFlows(port=port, az=az, device=host, generation=generation):
            return (
                PortUnderlayReported(
                    port=port,
                    az=az,
                    host=host,
                    generation=generation,
                    status="ERROR" if result.error else "ACTIVE",
                    detected_us=result.started_us,
                    reason=result.error,
                ),
            )
        case RemoveFlows(port=port, az=az, device=host, generation=generation):
            return (PortUnderlayRemoved(port=port, az=az, host=host, generation=generation),)
        case _:
            raise TypeError(f"the OVS agent did not ask for {effect}")


WORKER = Worker(
    name="ovs-agent",
    state=AgentState,
    inputs=frozenset({PortPlugged, PortUnplugged}),
    decide=decide,
    settle=settle,
    per_host=True,
)
