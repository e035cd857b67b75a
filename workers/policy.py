"""The worker of policy: has the rules of each port on the port's host before the port counts, and keeps them so.

Rules go there as soon as the port is claimed, beside its vNIC and its flows. What changes a policy, or who has which
labels, has them put there anew on all that it concerns; a change is ``applied`` when all have acknowledged. There is
nothing to take away: the rules of a claim go with its vNIC, and a host drops what has none.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    POLICY,
    Event,
    HostAgentStarted,
    HostAudited,
    HostDown,
    HostUp,
    PolicyApplied,
    PolicyCreated,
    PolicyDeleted,
    PortAllocated,
    PortClaimed,
    PortDeleted,
    PortDeleteRequested,
    PortPolicyReported,
    PortUnbound,
    PortUnplugged,
)
from projections.hosts import Hosts
from projections.policies import Policies, PolicyRow
from projections.port_rows import PortRow
from projections.ports import Ports
from workers.effects import AnyEffect, InstallPolicy, Result
from workers.policy_compiler import Compiled, Plan
from workers.worker import Decision, Emit, Folds, Perform, State, Worker


class PolicyState(State):
    """The policies, what they come to for each identity, the ports, and which hosts live."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.policies, self.ports, self.hosts = self.fold(Policies), self.fold(Ports), self.fold(Hosts)
        self.plan = self.own(Plan(self.policies))


def decide(state: PolicyState, r: Recorded) -> Iterable[Decision]:
    """What is to be installed, and what is done, now that ``r`` is so."""
    match r.event:
        case PolicyCreated() | PolicyDeleted() | PortAllocated() | PortClaimed() | PortDeleted() as event:
            yield from _changed(state, event)
        case HostUp(host=host) | HostAgentStarted(host=host):
            yield from _host_again(state, host)
        case HostAudited() as audited:
            yield from _repair(state, audited)
        case _:
            pass
    yield from _applied(state)


def _changed(
    state: PolicyState, event: PolicyCreated | PolicyDeleted | PortAllocated | PortClaimed | PortDeleted
) -> Iterable[Decision]:
    """All ports whose rules ``event`` may have changed, and that do not hold what they are to hold."""
    members = (state.policies.members.get(identity, {}) for identity in state.plan.concerned_by(event))
    for name in [name for ports in members for name in ports]:
        port = state.ports.get(name)
        if port is not None and _lags(state, port):
            yield from _install(state, port)


def _host_again(state: PolicyState, host: str) -> Iterable[Decision]:
    """Whatever the host still holds, it is told again; ports that it had lost count again when it has acknowledged."""
    for port in state.ports.on_host(host):
        yield from _install(state, port)


def _repair(state: PolicyState, audited: HostAudited) -> Iterable[Decision]:
    """What an audit found lacking, and what could not be installed before."""
    lacking = {one.port for one in audited.differences if one.part == "policy" and one.missing}
    for port in state.ports.on_host(audited.host):
        if port.port in lacking or port.policy_report == "ERROR":
            yield from _install(state, port)


def _install(state: PolicyState, port: PortRow) -> Iterable[Decision]:
    member, compiled = state.policies.ports.get(port.port), _compiled(state, port)
    if member is None or compiled is None or not _is_wanted(state, port):
        return
    effect = InstallPolicy(
        device=port.host,
        port=port.port,
        az=port.az,
        generation=port.generation,
        revision=compiled.revision,
        identity=member.identity,
        ingress=compiled.ingress,
        egress=compiled.egress,
        claimed_at=port.claimed_at,
    )
    yield Perform(effect, port.correlation)


def _compiled(state: PolicyState, port: PortRow) -> Compiled | None:
    member = state.policies.ports.get(port.port)
    return state.plan.compiled[member.identity] if member is not None else None


def _is_wanted(state: PolicyState, port: PortRow) -> bool:
    """Whether the port is to be on its host, and the host can be asked."""
    over = port.unbound or port.unplugged or port.delete_requested
    return port.policy_by == POLICY and not over and state.hosts.claims(port.host)


def _lags(state: PolicyState, port: PortRow) -> bool:
    """Whether the port's host has not acknowledged what the port's rules are now."""
    compiled = _compiled(state, port)
    return compiled is not None and (port.policy_report != "ACTIVE" or port.policy_revision < compiled.revision)


def _applied(state: PolicyState) -> Iterable[Decision]:
    """The changes that all whom they concern have acknowledged."""
    for row in state.policies.pending():
        if not any(_waits_for(state, row, name) for name in _concerned(state, row)):
            yield Emit(PolicyApplied(policy=row.policy, revision=row.revision), row.request)


def _concerned(state: PolicyState, row: PolicyRow) -> Iterable[str]:
    for identity in state.policies.concerned(row.policy):
        yield from state.policies.members.get(identity, ())


def _waits_for(state: PolicyState, row: PolicyRow, name: str) -> bool:
    """Whether the change is not in place on this port: one that was claimed since has it from the start."""
    port, compiled = state.ports.get(name), None
    if port is not None:
        compiled = _compiled(state, port)
    if port is None or compiled is None or not _is_wanted(state, port) or port.claimed_at > row.position:
        return False
    return port.policy_report != "ACTIVE" or port.policy_revision < min(compiled.revision, row.position)


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """The report on a port's rules: in place, or not, and then the port is not usable."""
    if not isinstance(effect, InstallPolicy):
        raise TypeError(f"policy did not ask for {effect}")
    report = PortPolicyReported(
        port=effect.port,
        az=effect.az,
        host=effect.device,
        generation=effect.generation,
        status="ERROR" if result.error else "ACTIVE",
        revision=effect.revision,
        reason=result.error,
    )
    return (report,)


WORKER = Worker(
    name=POLICY,
    state=PolicyState,
    inputs=frozenset(
        {
            *(PolicyCreated, PolicyDeleted, PortAllocated, PortClaimed, PortDeleted, PortPolicyReported),
            *(PortUnbound, PortUnplugged, PortDeleteRequested),
            *(HostUp, HostDown, HostAgentStarted, HostAudited),
        }
    ),
    says=frozenset({PolicyApplied}),
    decide=decide,
    settle=settle,
)
