"""What IPAM, which is the API server too, decides on requests for policies: created, deleted, or refused. PURE."""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from bus.events import (
    Event,
    PolicyCreated,
    PolicyCreateRequested,
    PolicyDeleted,
    PolicyDeleteRequested,
    PolicyRefused,
    PolicyRule,
)
from bus.events.policy import Rules, Selector
from projections.policies import PER_POD, Policies
from projections.world import World
from workers.ipam_state import IpamState
from workers.models.model import Refusal
from workers.policy_rules import PORT_MAX
from workers.worker import Decision, Emit

PROTOCOLS = ("any", "tcp", "udp", "icmp")


def create(state: IpamState, r: Recorded, request: PolicyCreateRequested) -> Iterable[Decision]:
    """Grant or refuse one request for a policy."""
    policies = state.policies
    if r.id in policies.answered:
        return
    refusal = check(state.world, policies, request)
    if refusal is not None:
        yield _refuse(request.policy, refusal)
        return
    created = PolicyCreated(
        policy=request.policy,
        vpc=request.vpc,
        selects=request.selects,
        ingress=request.ingress,
        egress=request.egress,
        revision=request.revision or policies.revisions.get(request.policy, 0) + 1,
    )
    yield Emit(created)


def delete(state: IpamState, r: Recorded, request: PolicyDeleteRequested) -> Iterable[Decision]:
    """Grant or refuse one request to delete a policy."""
    policies = state.policies
    if r.id in policies.answered:
        return
    if request.policy not in policies.live:
        yield _refuse(request.policy, Refusal("unknown policy", "policy", request.policy))
        return
    yield Emit(PolicyDeleted(policy=request.policy, revision=policies.revisions[request.policy] + 1))


def check(world: World, policies: Policies, request: PolicyCreateRequested) -> Refusal | None:
    """Why the policy cannot be; None if it can."""
    if (request.vpc,) not in world.tables["vpcs"]:
        return Refusal("unknown VPC", "vpc", request.vpc)
    old = policies.live.get(request.policy)
    if old is not None and old.vpc != request.vpc:
        return Refusal(f"the policy is one of VPC {old.vpc}", "vpc", request.vpc)
    last = policies.revisions.get(request.policy, 0)
    if request.revision and request.revision <= last:
        return Refusal(f"the policy is at revision {last}", "revision", str(request.revision))
    if request.ingress is None and request.egress is None:
        return Refusal("the policy governs neither direction", "ingress", "none")
    return (
        _selector("selects", request.selects)
        or _direction("ingress", request.ingress)
        or _direction("egress", request.egress)
    )


def _selector(field: str, selector: Selector) -> Refusal | None:
    if selector == "all":
        return None
    if not selector:
        return Refusal('the selector names no label; to select every pod say "all"', field, "{}")
    if PER_POD in selector:
        return Refusal("the label of a single pod is no part of an identity", field, PER_POD)
    return None


def _direction(name: str, rules: Rules) -> Refusal | None:
    refusals = (_rule(f"{name}[{number}]", rule) for number, rule in enumerate(rules or (), start=1))
    return next((refusal for refusal in refusals if refusal is not None), None)


def _rule(field: str, rule: PolicyRule) -> Refusal | None:
    if rule.labels is not None and rule.cidr:
        return Refusal("a peer is named by labels or by a CIDR, not by both", f"{field}.cidr", rule.cidr)
    problem = _selector(f"{field}.labels", rule.labels) if rule.labels is not None else _cidr(field, rule.cidr)
    return problem or _l4(field, rule) or _l7(field, rule)


def _cidr(field: str, cidr: str) -> Refusal | None:
    try:
        ipaddress.IPv4Network(cidr or "0.0.0.0/0")
    except ValueError as error:
        return Refusal(f"no IPv4 CIDR: {error}", f"{field}.cidr", cidr)
    return None


def _l4(field: str, rule: PolicyRule) -> Refusal | None:
    if rule.protocol not in PROTOCOLS:
        return Refusal(f"unknown protocol, none of {', '.join(PROTOCOLS)}", f"{field}.protocol", rule.protocol)
    if rule.ports and rule.protocol == "icmp":
        return Refusal("icmp has no ports", f"{field}.ports", str(rule.ports[0]))
    wrong = next((port for port in rule.ports if not 1 <= port <= PORT_MAX), None)
    return None if wrong is None else Refusal(f"no port from 1 to {PORT_MAX}", f"{field}.ports", str(wrong))


def _l7(field: str, rule: PolicyRule) -> Refusal | None:
    if rule.http and rule.protocol != "tcp":
        return Refusal("http goes over tcp", f"{field}.protocol", rule.protocol)
    wrong = next((one.path for one in rule.http if one.path and not one.path.startswith("/")), None)
    return None if wrong is None else Refusal("a path begins with /", f"{field}.http", wrong)


def _refuse(policy: str, why: Refusal) -> Emit:
    return Emit(PolicyRefused(policy=policy, reason=why.reason, field=why.field, value=why.value))


#: What IPAM does with each kind of request.
REQUESTS: dict[type[Event], Callable[[IpamState, Recorded, Any], Iterable[Decision]]] = {
    PolicyCreateRequested: create,
    PolicyDeleteRequested: delete,
}
