"""What is compiled for hosts says the same of every packet as the policies themselves, read in the plainest way."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import Recorded
from bus.events import (
    Event,
    HttpRule,
    InstanceScheduled,
    PolicyCreated,
    PolicyDeleted,
    PolicyRule,
    PortAllocated,
    PortDeleted,
)
from driftline.invariants.policies import Pod, may_enter, may_leave, may_pass
from projections.policies import FIRST_IDENTITY, Policies
from workers.policy_compiler import Plan
from workers.policy_rules import NOBODY, Flow, HeldRules, verdict

VPCS = ("v1", "v2")
KEYS, VALUES = ("app", "tier"), ("a", "b")
SELECTORS = st.one_of(st.just("all"), st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), min_size=1))
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
PATHS = ("", "/a", "/a/*", "/b")


@st.composite
def rules(draw: Any) -> PolicyRule:
    protocol = draw(st.sampled_from(("any", "tcp", "udp", "icmp")))
    peer: dict[str, Any] = draw(
        st.one_of(
            st.just({}),
            SELECTORS.map(lambda labels: {"labels": labels}),
            st.sampled_from(("10.0.0.0/30", "10.0.0.4/30", "0.0.0.0/0")).map(lambda cidr: {"cidr": cidr}),
        )
    )
    ports = () if protocol == "icmp" else draw(st.lists(st.sampled_from((80, 443)), max_size=2, unique=True).map(tuple))
    asked = st.builds(HttpRule, st.sampled_from(("", "GET")), st.sampled_from(PATHS))
    http = draw(st.lists(asked, max_size=2).map(tuple)) if protocol == "tcp" else ()
    return PolicyRule(**peer, protocol=protocol, ports=ports, http=http)


DIRECTIONS = st.one_of(st.none(), st.lists(rules(), max_size=3).map(tuple))
FLOWS = st.one_of(
    st.builds(Flow, st.sampled_from(("tcp", "udp")), st.sampled_from((80, 443, 8080))),
    st.builds(
        Flow, st.just("tcp"), st.just(80), st.sampled_from(("GET", "PUT")), st.sampled_from(("/a", "/a/x", "/b"))
    ),
    st.just(Flow()),
)


class Change(NamedTuple):
    """A pod comes or goes, or a policy."""

    kind: str
    number: int
    vpc: str
    labels: dict[str, str]
    policy: dict[str, Any]


CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(("pod", "pod", "policy", "policy", "no pod", "no policy")),
        st.integers(1, 4),
        st.sampled_from(VPCS),
        LABELS,
        st.fixed_dictionaries({"selects": SELECTORS, "ingress": DIRECTIONS, "egress": DIRECTIONS}),
    ),
    max_size=12,
)


class Log:
    """The folds of the worker, and beside them what is so in plain dicts."""

    def __init__(self) -> None:
        self.policies = Policies()
        self.plan = Plan(self.policies)
        self.pods: dict[str, Pod] = {}
        self.live: dict[str, PolicyCreated] = {}
        self.position = 0

    def take(self, event: Event) -> None:
        self.position += 1
        r = Recorded(self.position, f"e{self.position}", event, "", "", "", 0)
        self.policies.evolve(r)
        self.plan.evolve(r)

    def change(self, change: Change) -> None:
        match change.kind:
            case "pod":
                self.pod(f"i{self.position}", change.vpc, change.labels)
            case "no pod":
                for port in sorted(self.pods)[: change.number % 2]:
                    self.gone(port)
            case "policy":
                self.policy(f"p{change.number}", change.vpc, change.policy)
            case _:
                self.no_policy(f"p{change.number}")

    def pod(self, instance: str, vpc: str, labels: dict[str, str]) -> None:
        scheduled = InstanceScheduled(instance=instance, name=instance, az="az1", host="h1", network="n", labels=labels)
        self.take(scheduled)
        held = {pod.ip for pod in self.pods.values()}
        ip = next(ip for ip in (f"10.0.0.{n}" for n in range(1, 99)) if ip not in held)
        port = f"{instance}-0"
        self.take(allocated(port, instance, vpc, ip))
        self.pods[port] = Pod(vpc, labels, ip)

    def gone(self, port: str) -> None:
        at = {"port": port, "az": "az1", "host": "h1", "instance": port[:-2]}
        self.take(PortDeleted(**at, subnet="s", ip=self.pods[port].ip, physical_network="l1-l2", vni=1))
        del self.pods[port]

    def policy(self, name: str, vpc: str, says: dict[str, Any]) -> None:
        revision = self.policies.revisions.get(name, 0) + 1
        created = PolicyCreated(policy=name, vpc=vpc, **says, revision=revision)
        self.live[name] = created
        self.take(created)

    def no_policy(self, name: str) -> None:
        if self.live.pop(name, None) is not None:
            self.take(PolicyDeleted(policy=name, revision=self.policies.revisions[name] + 1))

    def held(self, port: str) -> tuple[int, HeldRules, HeldRules]:
        identity = self.policies.ports[port].identity
        compiled = self.plan.compiled[identity]
        return identity, compiled.ingress, compiled.egress


def allocated(port: str, instance: str, vpc: str, ip: str, policy_by: str = "policy") -> PortAllocated:
    return PortAllocated(
        port=port,
        az="az1",
        host="h1",
        name=port,
        instance=instance,
        network="n",
        subnet="s",
        vpc=vpc,
        vrf=vpc,
        ip=ip,
        prefix_length=24,
        gateway="10.0.0.254",
        mac="fa:16:0a:00:00:01",
        physical_network="l1-l2",
        vlan=1,
        vni=1,
        policy_by=policy_by,
    )


@settings(deadline=None)  # as slow as the machine is busy
@given(CHANGES, FLOWS)
def test_hosts_decide_as_the_policies_say(changes: list[Change], flow: Flow) -> None:
    log = Log()
    for change in changes:
        log.change(change)
    policies = list(log.live.values())
    for one, source in log.pods.items():
        for other, target in log.pods.items():
            identity, _, egress = log.held(one)
            _, ingress, _ = log.held(other)
            assert verdict(egress, NOBODY, target.ip, flow)[0] == may_leave(policies, source, target, flow)
            assert verdict(ingress, identity, source.ip, flow)[0] == may_enter(policies, source, target, flow)


@settings(deadline=None)
@given(CHANGES)
def test_the_revision_of_rules_is_where_they_last_changed(changes: list[Change]) -> None:
    """What is compiled step by step is what is compiled at once, and its revision moves exactly when it changes."""
    log = Log()
    before: dict[int, Any] = {}
    for change in changes:
        log.change(change)
        now = dict(log.plan.compiled)
        for identity, compiled in now.items():
            old = before.get(identity)
            if old is not None:
                assert (old.revision == compiled.revision) == (old[1:] == compiled[1:])
        before = now
    anew = Plan(log.policies)
    for port in log.pods:
        identity, ingress, egress = log.held(port)
        anew._compile(Recorded(1, "", PolicyDeleted(policy="p", revision=1), "", "", "", 0), [identity])
        assert anew.compiled[identity][1:] == (ingress, egress)


def test_an_identity_is_a_number_for_a_set_of_labels_of_a_vpc() -> None:
    log = Log()
    log.pod("i1", "v1", {"app": "web", "pod": "web-1"})
    log.pod("i2", "v1", {"pod": "web-2", "app": "web"})
    log.pod("i3", "v1", {"app": "db"})
    log.pod("i4", "v2", {"app": "web"})
    assert [log.held(f"i{n}-0")[0] for n in (1, 2, 3, 4)] == [FIRST_IDENTITY + n for n in (0, 0, 1, 2)]
    log.gone("i3-0")
    log.pod("i5", "v1", {"app": "new"})
    assert log.held("i5-0")[0] == FIRST_IDENTITY + 3  # a number is never given again


def test_another_pod_with_known_labels_changes_no_rule_inwards() -> None:
    log = Log()
    log.pod("i1", "v1", {"app": "web", "pod": "web-1"})
    log.pod("i2", "v1", {"app": "db"})
    log.policy("db", "v1", {"selects": {"app": "db"}, "ingress": (PolicyRule(labels={"app": "web"}),), "egress": None})
    before = dict(log.plan.compiled)
    log.pod("i3", "v1", {"app": "web", "pod": "web-2"})
    assert log.plan.compiled == before


def test_a_port_that_is_under_no_enforcement_has_no_identity() -> None:
    log = Log()
    log.take(allocated("x-0", "x", "v1", "10.0.0.9", policy_by=""))
    assert not log.policies.ports
    assert not log.plan.compiled


OPEN = PolicyRule()
WEB = {"selects": {"app": "web"}}
A, B = Pod("v1", {"app": "web"}, "10.0.0.1"), Pod("v1", {"app": "db"}, "10.0.0.2")


def policy(**says: Any) -> PolicyCreated:
    return PolicyCreated(**{"policy": "p", "vpc": "v1", "selects": "all", "revision": 1, **says})


@pytest.mark.parametrize(
    ("policies", "flow", "passes"),
    [
        ([], Flow(), True),  # selected by none: open
        ([policy(ingress=())], Flow(), False),  # selected, and nothing is allowed
        ([policy(egress=())], Flow(), False),
        ([policy(**WEB, ingress=())], Flow(), True),  # of the sender, inwards: says nothing of the receiver
        ([policy(ingress=()), policy(policy="q", ingress=(OPEN,))], Flow(), True),  # rules add up
        ([policy(vpc="v2", ingress=())], Flow(), True),  # another VPC's
        ([policy(ingress=(PolicyRule(protocol="tcp", ports=(80,)),))], Flow("tcp", 80), True),
        ([policy(ingress=(PolicyRule(protocol="tcp", ports=(80,)),))], Flow("tcp", 81), False),
        ([policy(ingress=(PolicyRule(protocol="tcp", ports=(80,)),))], Flow("udp", 80), False),
        ([policy(ingress=(PolicyRule(protocol="any", ports=(80,)),))], Flow(), False),  # icmp has no ports
        ([policy(ingress=(PolicyRule(labels={"app": "db"}),))], Flow(), False),
        ([policy(ingress=(PolicyRule(cidr="10.0.0.1/32"),))], Flow(), True),
    ],
)
def test_the_reference_itself(policies: list[PolicyCreated], flow: Flow, passes: bool) -> None:
    assert may_pass(policies, A, B, flow) is passes


GET_X = PolicyRule(protocol="tcp", ports=(80,), http=(HttpRule("GET", "/x"),))


@pytest.mark.parametrize(
    ("flow", "passes"),
    [
        (Flow("tcp", 80, "GET", "/x"), True),
        (Flow("tcp", 80, "PUT", "/x"), False),
        (Flow("tcp", 80, "GET", "/y"), False),
        (Flow("tcp", 80), False),  # the connection alone: the proxy lets no more through
    ],
)
def test_http_is_a_property_of_the_packet_asked_for(flow: Flow, passes: bool) -> None:
    assert may_pass([policy(ingress=(GET_X,))], A, B, flow) is passes
