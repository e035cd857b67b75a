"""Policies to what hosts hold: rules for each identity, compiled anew where something changed. PURE.

All ports of one identity have the same rules, so there are as many compilations as there are sets of labels.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import (
    PolicyCreated,
    PolicyDeleted,
    PolicyRule,
    PortAllocated,
    PortClaim,
    PortClaimed,
    PortDeleted,
)
from projections.fold import NOTHING, Fold, Touched, on
from projections.pod_labels import selects
from projections.policies import Member, Policies
from workers.policy_rules import HeldRule, HeldRules


class Compiled(NamedTuple):
    """The rules of one identity. ``revision`` is the log position at which they became so."""

    revision: int
    ingress: HeldRules
    egress: HeldRules


def compile_rules(policies: Policies, identity: int) -> tuple[HeldRules, HeldRules]:
    """The rules inwards and outwards for the ports of ``identity``; None where no policy governs the direction."""
    vpc, labels = policies.vpc_of[identity], policies.labels[identity]
    governing = [policy for policy in policies.of_vpc(vpc) if selects(policy.selects, labels)]
    inwards = [one for one in governing if one.ingress is not None]
    outwards = [one for one in governing if one.egress is not None]
    return (
        tuple(held for one in inwards for held in _held(policies, one, "ingress", one.ingress)) if inwards else None,
        tuple(held for one in outwards for held in _held(policies, one, "egress", one.egress)) if outwards else None,
    )


def _held(
    policies: Policies, policy: PolicyCreated, direction: str, rules: tuple[PolicyRule, ...] | None
) -> Iterable[HeldRule]:
    for number, rule in enumerate(rules or (), start=1):
        peers = policies.selected(policy.vpc, rule.labels) if rule.labels is not None else []
        inwards = direction == "ingress"
        addresses = [f"{member.ip}/32" for peer in peers for member in policies.members.get(peer, {}).values()]
        yield HeldRule(
            f"{policy.policy} {direction} rule {number}",
            any_peer=rule.labels is None and not rule.cidr,
            identities=tuple(peers) if inwards else (),
            cidrs=(rule.cidr,) if rule.cidr else () if inwards else tuple(sorted(addresses)),
            protocol=rule.protocol,
            ports=rule.ports,
            http=rule.http,
        )


class Plan(Fold):
    """What each identity's rules are now. Folds after ``policies``, which it reads."""

    def __init__(self, policies: Policies) -> None:
        super().__init__()
        self.compiled: dict[int, Compiled] = {}
        self._policies = policies
        #: By policy id and by port: what the last event on them concerned, for who decides on it.
        self._members: dict[str, Member] = {}

    def concerned_by(self, event: PolicyCreated | PolicyDeleted | PortClaim | PortDeleted) -> list[int]:
        """The identities whose rules ``event`` may have changed."""
        policies = self._policies
        if isinstance(event, PolicyCreated | PolicyDeleted):
            return policies.concerned(event.policy)
        member = self._members.get(event.port)
        if member is None:
            return []
        return sorted({member.identity, *self._peers_of(member)})

    def _peers_of(self, member: Member) -> Iterable[int]:
        """The identities under a policy that names the labels of ``member``."""
        labels = self._policies.labels[member.identity]
        for policy in self._policies.of_vpc(member.vpc):
            rules = (*(policy.ingress or ()), *(policy.egress or ()))
            if any(rule.labels is not None and selects(rule.labels, labels) for rule in rules):
                yield from self._policies.selected(policy.vpc, policy.selects)

    @on(PolicyCreated, PolicyDeleted)
    def _policy(self, r: Recorded, e: PolicyCreated | PolicyDeleted) -> tuple[Touched, ...]:
        return self._compile(r, self.concerned_by(e))

    @on(PortAllocated, PortClaimed, PortDeleted)
    def _port(self, r: Recorded, e: PortAllocated | PortClaimed | PortDeleted) -> tuple[Touched, ...]:
        member = self._policies.ports.get(e.port)
        if member is not None:
            if self._members.get(e.port) == member:
                return NOTHING
            self._members[e.port] = member
        return self._compile(r, self.concerned_by(e))

    def _compile(self, r: Recorded, identities: Iterable[int]) -> tuple[Touched, ...]:
        for identity in identities:
            ingress, egress = compile_rules(self._policies, identity)
            known = self.compiled.get(identity)
            if known is None or (known.ingress, known.egress) != (ingress, egress):
                self.compiled[identity] = Compiled(r.position, ingress, egress)
        return NOTHING
