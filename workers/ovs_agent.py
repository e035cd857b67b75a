"""The OVS agent, one per host: sees a device come or go on br-int and keeps the flows (Figure 10, steps 7 and 8).

It also speaks for its host as a whole: it beats, cleans the host when it returns, puts all flows under its own cookie
when it begins anew, and compares what the host holds with what the log says.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    BARE_METAL,
    OVS_AGENT,
    Event,
    HostAgentStarted,
    HostAudited,
    HostAuditRequested,
    HostDifference,
    HostResynced,
    HostReturned,
    PortPlugged,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.hosts import Hosts
from projections.port_rows import PortRow
from projections.ports import Ports
from projections.world import World
from workers.bare_metal import is_bare
from workers.effects import (
    AnyEffect,
    AuditHost,
    FlowWish,
    InstallFlows,
    RemoveFlows,
    Result,
    ResyncFlows,
    ResyncHost,
)
from workers.worker import AUDIT_EVERY_US, Decision, Due, Emit, Folds, Now, Perform, State, Worker


class AgentState(State):
    """The hosts served and their ports."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.ports, self.hosts = self.fold(World), self.fold(Ports), self.fold(Hosts)
        self.watching_since_us = 0


def decide(state: AgentState, r: Recorded) -> Iterable[Decision]:
    """What the agent is to do about the port or host that ``r`` concerns."""
    if is_bare(state.world, getattr(r.event, "host", "")):
        return ()  # nothing runs there
    match r.event:
        case PortPlugged() | PortUnplugged() as event:
            return _device_changed(state, event)
        case HostReturned(host=host, az=az):
            return _returned(state, host, az, r.position)
        case HostAgentStarted(host=host, az=az):
            return _started(state, host, az, r.position)
        case HostAuditRequested(host=host, az=az):
            return _audit(state, host, az, r.position)
        case HostAudited() as audited:
            return _repair(state, audited)
        case _:
            return ()


def _device_changed(state: AgentState, event: PortPlugged | PortUnplugged) -> Iterable[Decision]:
    """Flows follow the device: there while it is plugged, gone once it is unplugged."""
    claim = state.ports.claim_of(event)
    if claim is None or claim.underlay_by != OVS_AGENT:
        return
    if claim.unplugged:
        if not claim.underlay_removed:
            remove = RemoveFlows(device=claim.host, port=claim.port, az=claim.az, generation=claim.generation)
            yield Perform(remove, claim.correlation)
    elif isinstance(claim, PortRow) and claim.plugged and not claim.underlay_report:
        yield Perform(_install(state, claim), claim.correlation)


def _install(state: AgentState, port: PortRow) -> InstallFlows:
    return InstallFlows(
        device=port.host,
        port=port.port,
        az=port.az,
        generation=port.generation,
        mac=port.mac,
        vlan=port.vlan,
        cookie=state.hosts.cookie(port.host),
    )


def _returned(state: AgentState, host: str, az: str, position: int) -> Iterable[Decision]:
    """Clean the host of all that is not its own, once for each return."""
    row = state.hosts.get(host)
    if row is not None and row.state == "returned" and row.epoch == position and not row.resynced:
        keep = {port.port: port.generation for port in state.ports.on_host(host) if not port.unbound}
        yield Perform(ResyncHost(device=host, az=az, epoch=position, keep=keep))


def _started(state: AgentState, host: str, az: str, position: int) -> Iterable[Decision]:
    if state.hosts.cookie(host) == position:
        flows = {port.port: _flow(port) for port in state.ports.on_host(host) if _has_flows(port)}
        yield Perform(ResyncFlows(device=host, az=az, epoch=position, flows=flows))


def _audit(state: AgentState, host: str, az: str, position: int) -> Iterable[Decision]:
    if not state.hosts.claims(host):
        yield Emit(HostAudited(host=host, az=az, epoch=position, error=f"the host is {state.hosts.state(host)}"))
        return
    wanted = [port for port in state.ports.on_host(host) if _is_wanted(port)]
    vnics = {port.port: port.generation for port in wanted}
    flows = {port.port: _flow(port) for port in wanted if _has_flows(port)}
    policies = {port.port: port.policy_revision for port in wanted if port.policy_report == "ACTIVE"}
    yield Perform(AuditHost(device=host, az=az, epoch=position, vnics=vnics, flows=flows, policies=policies))


def _repair(state: AgentState, audited: HostAudited) -> Iterable[Decision]:
    """Mend the flows that still differ; nova-compute mends the vNICs."""
    for difference in audited.differences:
        if difference.part == "flows" and state.hosts.claims(audited.host):
            yield from _repair_flows(state, audited, difference)


def _repair_flows(state: AgentState, audited: HostAudited, difference: HostDifference) -> Iterable[Decision]:
    port = state.ports.get(difference.port)
    is_current = port is not None and (port.host, port.generation) == (audited.host, difference.generation)
    if port is not None and is_current and _has_flows(port):
        if difference.missing:
            yield Perform(_install(state, port))
    elif not difference.missing and not (port is not None and is_current and _is_wanted(port)):
        generation = difference.generation
        yield Perform(RemoveFlows(device=audited.host, port=difference.port, az=audited.az, generation=generation))


def _is_wanted(port: PortRow) -> bool:
    """Whether the port is to be on its host: nobody has begun to take it away."""
    return not (port.unbound or port.delete_requested or port.unplugged)


def _has_flows(port: PortRow) -> bool:
    return port.underlay_by == OVS_AGENT and _is_wanted(port) and port.plugged


def _flow(port: PortRow) -> FlowWish:
    return FlowWish(generation=port.generation, mac=port.mac, vlan=port.vlan)


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The report to the Neutron server: update port {underlay_status}; or on the host as a whole."""
    match effect:
        case InstallFlows(port=port, az=az, device=host, generation=generation):
            status = "ERROR" if result.error else "ACTIVE"
            report = PortUnderlayReported(
                port=port,
                az=az,
                host=host,
                generation=generation,
                status=status,  # type: ignore[arg-type]  # one of Status
                detected_us=result.started_us,
                reason=result.error,
            )
            return (report,)
        case RemoveFlows(port=port, az=az, device=host, generation=generation):
            return (PortUnderlayRemoved(port=port, az=az, host=host, generation=generation),)
        case ResyncHost(device=host, az=az, epoch=epoch):
            return (HostResynced(host=host, az=az, epoch=epoch, removed=len(result.found)),)
        case ResyncFlows():
            return ()
        case AuditHost(device=host, az=az, epoch=epoch):
            differences = tuple(one for one in result.found if isinstance(one, HostDifference))
            return (HostAudited(host=host, az=az, epoch=epoch, differences=differences, error=result.error),)
        case _:
            raise TypeError(f"the OVS agent did not ask for {effect}")


def due(state: AgentState, now: Now) -> Iterable[Due]:
    """The hosts whose last audit, or the start of this process, is AUDIT_EVERY_US ago."""
    state.watching_since_us = state.watching_since_us or now.time_us
    for host in state.world.hosts.values():
        row = state.hosts.get(host.host)
        audited_us = row.audited_us if row else 0
        if host.kind == BARE_METAL:
            continue
        if now.time_us - max(audited_us, state.watching_since_us) >= AUDIT_EVERY_US and state.hosts.claims(host.host):
            yield Due(HostAuditRequested(host=host.host, az=host.az), audited_us)


def wake(state: AgentState) -> Iterable[Event]:
    """The hosts whose flows an earlier run of the agent has installed."""
    for host in state.world.hosts.values():
        if any(_has_flows(port) for port in state.ports.on_host(host.host)):
            yield HostAgentStarted(host=host.host, az=host.az)


def knows(state: AgentState) -> list[str]:
    """All hosts that have an agent."""
    return [host.host for host in state.world.hosts.values() if host.kind != BARE_METAL]


WORKER = Worker(
    name="ovs-agent",
    state=AgentState,
    inputs=frozenset({PortPlugged, PortUnplugged, HostReturned, HostAgentStarted, HostAuditRequested, HostAudited}),
    says=frozenset({HostAudited}),
    decide=decide,
    settle=settle,
    due=due,
    wake=wake,
    per_host=True,
    beats=True,
    knows=knows,
)
