"""Policies, and the identities of pods: a number for each set of labels in a VPC, as in Cilium. PURE.

Numbers are given in the order of the log, so every reader gives the same, and a number is never given again.
"""

from collections.abc import Mapping

import msgspec

from bus.envelope import Recorded
from bus.events import (
    POLICY,
    InstanceDeleted,
    InstanceScheduled,
    PolicyApplied,
    PolicyCreated,
    PolicyDeleted,
    PolicyRefused,
    PolicyRule,
    PortAllocated,
    PortClaim,
    PortClaimed,
    PortDeleted,
)
from bus.events.policy import Selector
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.pod_labels import PodLabels, selects, told

#: Cilium's: the numbers below are reserved.
FIRST_IDENTITY = 256
#: The label that tells a pod from its siblings. It makes the name of its port unique and is no part of an identity, or
#: every pod had its own (Cilium filters such labels too).
PER_POD = "pod"


class PolicyRow(Row):
    """A policy that is in force, or whose end is not yet ``applied`` everywhere. The rules are told as text.

    ``state``: created or deleted, until all hosts have acknowledged it; then applied, or the row is gone.
    ``position`` is where the log says what it is now, ``request`` the story it belongs to.
    """

    policy: str
    vpc: str
    revision: int
    state: str
    selects: str
    ingress: list[str]
    egress: list[str]
    governs: list[str]
    position: int
    request: str


class IdentityRow(Row):
    """A set of labels of pods of a VPC, and the number that their packets carry."""

    identity: int
    vpc: str
    labels: list[str]


class Member(msgspec.Struct, frozen=True):
    """A port under enforcement: whose identity it has, and its address."""

    port: str
    vpc: str
    identity: int
    ip: str


class Policies(Fold):
    """Policies by id, identities by labels, and the ports under enforcement by identity."""

    TABLES = (
        Table("policies", PolicyRow, ("policy",)),
        Table("identities", IdentityRow, ("identity",)),
    )

    def __init__(self) -> None:
        super().__init__()
        #: What each policy says now.
        self.live: dict[str, PolicyCreated] = {}
        #: What each policy that is not applied yet selected before: VPCs and selectors.
        self._before: dict[str, tuple[tuple[str, Selector], ...]] = {}
        #: The last revision of each id, also of policies that are gone.
        self.revisions: dict[str, int] = {}
        self.labels: dict[int, Mapping[str, str]] = {}
        self.vpc_of: dict[int, str] = {}
        self.members: dict[int, dict[str, Member]] = {}
        self.ports: dict[str, Member] = {}
        #: The ids of the requests that have their answer.
        self.answered: set[str] = set()
        self._numbers: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        self._pods = PodLabels()
        #: By port: the generation of its newest claim.
        self._newest: dict[str, int] = {}
        self._gone: set[str] = set()

    def of_vpc(self, vpc: str) -> list[PolicyCreated]:
        """The policies in force for pods of ``vpc``, in the order of their ids."""
        return [self.live[name] for name in sorted(self.live) if self.live[name].vpc == vpc]

    def identities_of(self, vpc: str) -> list[int]:
        """The identities of a VPC, in order."""
        return [identity for identity, home in self.vpc_of.items() if home == vpc]

    def selected(self, vpc: str, selector: Selector) -> list[int]:
        """The identities of ``vpc`` that ``selector`` selects, in order."""
        return [identity for identity in self.identities_of(vpc) if selects(selector, self.labels[identity])]

    def pending(self) -> list[PolicyRow]:
        """The policies, and ends of policies, that not all hosts have acknowledged."""
        return [row for row in self.tables["policies"].values() if row.state != "applied"]

    def concerned(self, policy: str) -> list[int]:
        """The identities that the last change of ``policy`` concerns: what it selected before, and what it does now."""
        live = self.live.get(policy)
        now = ((live.vpc, live.selects),) if live is not None else ()
        selectors = (*self._before.get(policy, ()), *now)
        return sorted({identity for vpc, selector in selectors for identity in self.selected(vpc, selector)})

    @on(PolicyCreated)
    def _created(self, r: Recorded, e: PolicyCreated) -> tuple[Touched, ...]:
        self.answered.add(r.cause)
        if e.revision <= self.revisions.get(e.policy, 0):
            return NOTHING
        self._note_before(e.policy)
        self.live[e.policy], self.revisions[e.policy] = e, e.revision
        self.tables["policies"][e.policy,] = PolicyRow(
            policy=e.policy,
            vpc=e.vpc,
            revision=e.revision,
            state="created",
            selects=told(e.selects),
            ingress=[_rule_told(rule) for rule in e.ingress or ()],
            egress=[_rule_told(rule) for rule in e.egress or ()],
            governs=[name for name, rules in (("ingress", e.ingress), ("egress", e.egress)) if rules is not None],
            position=r.position,
            request=r.correlation,
        )
        return (("policies", (e.policy,)),)

    @on(PolicyDeleted)
    def _deleted(self, r: Recorded, e: PolicyDeleted) -> tuple[Touched, ...]:
        self.answered.add(r.cause)
        if e.policy not in self.live or e.revision <= self.revisions[e.policy]:
            return NOTHING
        self._note_before(e.policy)
        del self.live[e.policy]
        self.revisions[e.policy] = e.revision
        row: PolicyRow = self.tables["policies"][e.policy,]
        row.state, row.revision, row.position, row.request = "deleted", e.revision, r.position, r.correlation
        return (("policies", (e.policy,)),)

    def _note_before(self, policy: str) -> None:
        old = self.live.get(policy)
        if old is not None:
            self._before[policy] = (*self._before.get(policy, ()), (old.vpc, old.selects))

    @on(PolicyApplied)
    def _applied(self, r: Recorded, e: PolicyApplied) -> tuple[Touched, ...]:
        row: PolicyRow | None = self.tables["policies"].get((e.policy,))
        if row is None or row.revision != e.revision or row.state == "applied":
            return NOTHING
        self._before.pop(e.policy, None)
        if row.state == "deleted":
            del self.tables["policies"][e.policy,]
        else:
            row.state = "applied"
        return (("policies", (e.policy,)),)

    @on(PolicyRefused)
    def _refused(self, r: Recorded, e: PolicyRefused) -> tuple[Touched, ...]:
        self.answered.add(r.cause)
        return NOTHING

    def placed(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, PolicyCreated | PolicyDeleted):
            row: PolicyRow | None = self.tables["policies"].get((recorded.event.policy,))
            if row is not None and row.revision == recorded.event.revision:
                row.position = recorded.position

    @on(InstanceScheduled, InstanceDeleted)
    def _instance(self, r: Recorded, e: InstanceScheduled | InstanceDeleted) -> tuple[Touched, ...]:
        return self._pods.evolve(r)

    @on(PortAllocated, PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaim) -> tuple[Touched, ...]:
        """A port under enforcement comes, or gets another address with its claim."""
        held = self.ports.get(e.port)
        if e.policy_by != POLICY or (held is None) != isinstance(e, PortAllocated) or e.port in self._gone:
            return NOTHING
        if e.generation <= self._newest.get(e.port, 0):
            return NOTHING
        self._newest[e.port] = e.generation
        if held is not None:
            self._join(Member(e.port, held.vpc, held.identity, e.ip))
            return NOTHING
        identity, touched = self._identity(e.vpc, self._pods.of(e.instance))
        self._join(Member(e.port, e.vpc, identity, e.ip))
        return touched

    @on(PortDeleted)
    def _port_deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        self._gone.add(e.port)
        self._newest.pop(e.port, None)
        member = self.ports.pop(e.port, None)
        if member is not None:
            del self.members[member.identity][e.port]
        return NOTHING

    def _join(self, member: Member) -> None:
        self.ports[member.port] = member
        self.members.setdefault(member.identity, {})[member.port] = member

    def _identity(self, vpc: str, labels: Mapping[str, str]) -> tuple[int, tuple[Touched, ...]]:
        """The number of this set of labels, a new one if it was not seen before."""
        key = (vpc, tuple(sorted((name, value) for name, value in labels.items() if name != PER_POD)))
        known = self._numbers.get(key)
        if known is not None:
            return known, NOTHING
        identity = self._numbers[key] = FIRST_IDENTITY + len(self._numbers)
        self.labels[identity], self.vpc_of[identity] = dict(key[1]), vpc
        row = IdentityRow(identity=identity, vpc=vpc, labels=[f"{name}={value}" for name, value in key[1]])
        self.tables["identities"][identity,] = row
        return identity, (("identities", (identity,)),)


def _rule_told(rule: PolicyRule) -> str:
    peer = rule.cidr or ("any" if rule.labels is None else told(rule.labels))
    ports = ",".join(map(str, rule.ports))
    http = "; ".join(f"{one.method or '*'} {one.path or '*'}" for one in rule.http)
    return " ".join(part for part in (peer, rule.protocol, ports, f"http {http}" if http else "") if part)
