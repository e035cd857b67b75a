"""Policy as the books of the auditor say it: from labels and policies straight to a verdict, without identities."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bus.events import HttpRule, PolicyCreated, PolicyRule
from bus.events.policy import Selector
from workers.policy_rules import Flow


class Pod(NamedTuple):
    """A pod as policy sees it."""

    vpc: str
    labels: Mapping[str, str]
    ip: str


def may_pass(policies: Sequence[PolicyCreated], source: Pod, target: Pod, flow: Flow) -> bool:
    """Whether a packet of ``flow`` may go from ``source`` to ``target``: out of the one, and into the other."""
    return may_leave(policies, source, target, flow) and may_enter(policies, source, target, flow)


def may_leave(policies: Sequence[PolicyCreated], source: Pod, target: Pod, flow: Flow) -> bool:
    """Whether the policies of ``source`` let it out."""
    governing = [p for p in policies if p.egress is not None and _governs(p, source)]
    return not governing or any(_allows(p, rule, target, flow) for p in governing for rule in p.egress or ())


def may_enter(policies: Sequence[PolicyCreated], source: Pod, target: Pod, flow: Flow) -> bool:
    """Whether the policies of ``target`` let it in."""
    governing = [p for p in policies if p.ingress is not None and _governs(p, target)]
    return not governing or any(_allows(p, rule, source, flow) for p in governing for rule in p.ingress or ())


def _governs(policy: PolicyCreated, pod: Pod) -> bool:
    return policy.vpc == pod.vpc and _fits(policy.selects, pod)


def _allows(policy: PolicyCreated, rule: PolicyRule, peer: Pod, flow: Flow) -> bool:
    if rule.cidr and ipaddress.IPv4Address(peer.ip) not in ipaddress.IPv4Network(rule.cidr):
        return False
    if rule.labels is not None and not (peer.vpc == policy.vpc and _fits(rule.labels, peer)):
        return False
    if rule.protocol not in ("any", flow.protocol) or (rule.ports and flow.port not in rule.ports):
        return False
    return not rule.http or any(_is_asked(one, flow) for one in rule.http)


def _is_asked(one: HttpRule, flow: Flow) -> bool:
    if not flow.method or one.method not in ("", flow.method):
        return False
    if one.path.endswith("*"):
        return flow.path.startswith(one.path[:-1])
    return one.path in ("", flow.path)


def _fits(selector: Selector, pod: Pod) -> bool:
    return selector == "all" or all(pod.labels.get(name) == value for name, value in dict(selector).items())
