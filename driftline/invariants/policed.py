"""Invariant 24: what policy forbids never gets to a usable port, and nothing does before its rules are in place.

The auditor's own books of policies and pods, held against what hosts hold. A host may be behind: it is held to what was
said at, or after, the log position as of which its port reported its rules.
"""

from collections.abc import Iterable
from itertools import permutations
from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import (
    InstanceScheduled,
    PolicyApplied,
    PolicyCreated,
    PolicyCreateRequested,
    PolicyDeleted,
    PolicyDeleteRequested,
    PolicyRefused,
    PortDeleted,
    PortEvent,
)
from driftline.invariants.books import Claim
from driftline.invariants.ledger import FORGED
from driftline.invariants.policies import Pod, may_enter, may_leave, may_pass
from driftline.invariants.stories import Stories
from driftline.invariants.table import Violation
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.reachability import trace
from workers.policy_rules import NOBODY, Flow, HeldPolicy, verdict

NUMBER = 24
#: What is asked of every pair.
PROBES = (Flow(), Flow("tcp", 80), Flow("tcp", 80, "GET", "/a"), Flow("udp", 53))
_Policies = tuple[PolicyCreated, ...]


class Guarded(NamedTuple):
    """A usable port under enforcement, and what its host holds for it."""

    port: str
    claim: Claim
    pod: Pod
    held: HeldPolicy


class Policed:
    """The checks of policy."""

    def __init__(self, stories: Stories) -> None:
        self.stories, self.ledger = stories, stories.ledger
        self.exercised = stories.exercised
        #: What all policies said, from each log position at which that changed.
        self._versions: list[tuple[int, _Policies]] = [(0, ())]
        self._labels: dict[str, dict[str, str]] = {}
        #: (VPC, address) → the pods that had it, and up to which log position.
        self._former: dict[tuple[str, str], list[tuple[int, Pod]]] = {}
        self._revisions: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._dirty = True

    def take(self, r: Recorded) -> None:
        """Note one record, before the ledger has taken it."""
        e = r.event
        match e:
            case PolicyCreateRequested() | PolicyDeleteRequested() if not r.id.startswith(FORGED):
                self._asked.setdefault(r.id, r.position)
            case PolicyRefused():
                self._asked.pop(r.cause, None)
            case PolicyCreated() | PolicyDeleted():
                self._changed(r, e)
            case PolicyApplied():
                if self._revisions.get(e.policy) == e.revision:
                    self._waiting.pop(e.policy, None)
            case InstanceScheduled():
                self._labels.setdefault(e.instance, dict(e.labels))
            case PortDeleted() if e.port in self.ledger.live:
                pod = self._pod(self.ledger.live[e.port].current)
                self._former.setdefault((pod.vpc, pod.ip), []).append((r.position, pod))
            case _:
                pass
        self._dirty = self._dirty or isinstance(e, PortEvent | PolicyCreated | PolicyDeleted)

    def check(self, fabric: Fabric, excused: Iterable[str]) -> None:
        """At every moment: rules are where they must be, and let nothing pass that they must not. Raises Violation."""
        if not self._dirty:
            return
        self._dirty = False
        self._closed(fabric, excused)
        guarded = list(self._guarded(fabric, excused))
        self._identities(guarded)
        for source, target in permutations(guarded, 2):
            for flow in PROBES:
                self._pair(source, target, flow)

    def check_quiet(self, fabric: Fabric, excused: Iterable[str]) -> None:
        """At rest: packets fare exactly as the policies say, and every request came to an end. Raises Violation."""
        self._dirty = True
        self.check(fabric, excused)
        self._ended()
        policies = self._versions[-1][1]
        for source, target in permutations(self._guarded(fabric, excused), 2):
            for flow in PROBES if source.claim.event.vrf == target.claim.event.vrf else ():
                path = trace(fabric, source.port, target.port, flow=flow)
                allowed = may_pass(policies, source.pod, target.pod, flow)
                self.exercised[NUMBER] += 1
                if path.reachable != allowed:
                    what = "passes" if path.reachable else f"is stopped ({path.reason})"
                    raise Violation(NUMBER, f"{flow} from {source.port} {what}, against policy", target.port)

    def _changed(self, r: Recorded, e: PolicyCreated | PolicyDeleted) -> None:
        self._asked.pop(r.cause, None)
        if e.revision <= self._revisions.get(e.policy, 0):
            return
        self._revisions[e.policy] = e.revision
        self._waiting.setdefault(e.policy, r.position)
        rest = tuple(one for one in self._versions[-1][1] if one.policy != e.policy)
        self._versions.append((r.position, (*rest, e) if isinstance(e, PolicyCreated) else rest))

    def _pod(self, claim: Claim) -> Pod:
        e = claim.event
        return Pod(e.vpc, self._labels.get(e.instance, {}), e.ip)

    def _closed(self, fabric: Fabric, excused: Iterable[str]) -> None:
        """The vNIC of a port under enforcement passes nothing by itself, whoever made it and whenever."""
        for name, known in self.ledger.live.items():
            if not known.identity.policy_by:
                continue
            for place in fabric.places_of_port(name):
                if not place.vnic.enforced and place.host.host not in excused:
                    raise Violation(NUMBER, f"its vNIC on {place.host.host} is open without rules", name)

    def _guarded(self, fabric: Fabric, excused: Iterable[str]) -> Iterable[Guarded]:
        """The usable ports under enforcement. Raises Violation for one whose rules are not there."""
        for name, known in sorted(self.ledger.live.items()):
            claim = known.current
            leaving = self.stories.is_leaving(known.identity.instance)
            if not (claim.event.policy_by and claim.usable) or leaving or claim.host in excused:
                continue
            held = fabric.host(claim.host).policies.get(name)
            self.exercised[NUMBER] += 1
            if held is None or held.generation != claim.generation or held.revision < claim.policy_revision:
                raise Violation(NUMBER, f"usable on {claim.host}, which holds {held} for it", name)
            yield Guarded(name, claim, self._pod(claim), held)

    def _identities(self, guarded: Iterable[Guarded]) -> None:
        """An identity is one set of labels of one VPC."""
        seen: dict[int, object] = {}
        for one in guarded:
            labels = {key: value for key, value in one.pod.labels.items() if key != "pod"}
            if seen.setdefault(one.held.identity, (one.pod.vpc, labels)) != (one.pod.vpc, labels):
                raise Violation(NUMBER, f"identity {one.held.identity} is of other labels too", one.port)

    def _pair(self, source: Guarded, target: Guarded, flow: Flow) -> None:
        """What the two hosts let pass, some policies let pass that were in force since they reported."""
        self.exercised[NUMBER] += 1
        out = verdict(source.held.egress, NOBODY, target.pod.ip, flow)[0]
        into = verdict(target.held.ingress, source.held.identity, source.pod.ip, flow)[0]
        if out and not any(
            may_leave(said, source.pod, peer, flow)
            for said in self._since(source)
            for peer in self._had_address(source, target)
        ):
            raise Violation(NUMBER, f"{source.claim.host} lets {flow} out to {target.port}", source.port)
        if into and not any(may_enter(said, source.pod, target.pod, flow) for said in self._since(target)):
            raise Violation(NUMBER, f"{target.claim.host} lets {flow} in from {source.port}", target.port)

    def _since(self, one: Guarded) -> Iterable[_Policies]:
        """What policies said at the position as of which the port reported its rules, and at any later time.

        What was replaced by a change that is applied holds nowhere any more.
        """
        starts = [start for start, _ in self._versions]
        floor = min(self._waiting.values(), default=starts[-1] + 1) - 1
        for (_, said), until in zip(self._versions, [*starts[1:], 1 << 62], strict=True):
            if until > max(one.claim.policy_revision, floor):
                yield said

    def _had_address(self, source: Guarded, target: Guarded) -> Iterable[Pod]:
        """Whoever has, or had since ``source`` reported its rules, the address of ``target``: rules go by addresses."""
        yield target.pod
        for until, pod in self._former.get((target.pod.vpc, target.pod.ip), ()):
            if until > source.claim.policy_revision:
                yield pod

    def _ended(self) -> None:
        for request, position in self._asked.items():
            raise Violation(NUMBER, f"the request {request} for a policy has no answer", position=position)
        broken = [name for name, known in self.ledger.live.items() if "ERROR" in known.current.pair]
        for policy, position in self._waiting.items():
            if not broken:
                raise Violation(NUMBER, f"the change of policy {policy} is never applied", position=position)
