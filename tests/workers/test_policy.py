"""The worker of policy: rules on the host before the port counts, and anew where something changes."""

from typing import Any

import msgspec
import pytest

from bus.events import (
    HostAgentStarted,
    HostAudited,
    HostDifference,
    HostReturned,
    HostUp,
    PolicyApplied,
    PolicyCreated,
    PolicyDeleted,
    PolicyRule,
    PortAllocated,
    PortClaimed,
    PortPolicyReported,
    PortUnbound,
)
from projections.policies import FIRST_IDENTITY
from tests.workers.playbook import (
    AZ,
    WORLD,
    allocated,
    claimed,
    given,
    host_down,
    port_deleted,
    say,
    scheduled,
    unbound,
)
from workers import policy
from workers.effects import InstallPolicy, Result
from workers.policy_rules import HeldRule

WEB, DB = FIRST_IDENTITY, FIRST_IDENTITY + 1
#: The position of the first event after the world.
FIRST = len(WORLD) + 1


def enforced(instance: str = "i1", host: str = "h1", ip: str = "10.0.1.2") -> PortAllocated:
    return msgspec.structs.replace(allocated(instance, host, ip=ip), policy_by="policy")


def drifted(instance: str = "i1", host: str = "h2") -> PortClaimed:
    return msgspec.structs.replace(claimed(instance, host), policy_by="policy")


def pod(instance: str, app: str, ip: str, host: str = "h1") -> tuple[Any, ...]:
    return scheduled(instance, host, labels={"app": app, "pod": instance}), enforced(instance, host, ip)


def created(revision: int = 1, **says: Any) -> PolicyCreated:
    return PolicyCreated(**{"policy": "db", "vpc": "vpc1", "selects": {"app": "db"}, "revision": revision, **says})


def reported(instance: str, revision: int, status: str = "ACTIVE", **rest: Any) -> PortPolicyReported:
    return say(PortPolicyReported, instance, **{"revision": revision, "status": status, **rest})


def install(instance: str, identity: int, revision: int, host: str = "h1", **held: Any) -> InstallPolicy:
    fields = {"device": host, "port": f"{instance}-0", "az": AZ, "generation": 1, **held}
    return InstallPolicy(**fields, identity=identity, revision=revision)


FROM_WEB = PolicyRule(labels={"app": "web"}, protocol="tcp", ports=(5432,))
HELD = HeldRule("db ingress rule 1", identities=(WEB,), protocol="tcp", ports=(5432,))
TWO = (*pod("i1", "web", "10.0.1.2"), *pod("i2", "db", "10.0.2.2"))
#: Where the log said of the two pods what their rules are.
OF_WEB, OF_DB = FIRST + 1, FIRST + 3
BOTH_KNOW = (reported("i1", OF_WEB), reported("i2", OF_DB))


def test_a_claim_has_its_rules_installed_at_once() -> None:
    given(policy, scheduled(labels={"app": "web"})).when(enforced()).then(install("i1", WEB, OF_WEB))


def test_a_port_that_is_under_no_enforcement_is_left_alone() -> None:
    given(policy, scheduled()).when(allocated()).then_nothing()


def test_a_redelivered_claim_that_was_acknowledged_yields_nothing() -> None:
    given(policy, scheduled(labels={"app": "web"}), enforced(), reported("i1", OF_WEB)).when(enforced()).then_nothing()


def test_a_policy_is_installed_on_those_it_concerns() -> None:
    where = install("i2", DB, FIRST + 6, ingress=(HELD,))
    given(policy, *TWO, *BOTH_KNOW).when(created(ingress=(FROM_WEB,))).then(where)


def test_a_policy_that_concerns_nobody_is_applied_at_once() -> None:
    given(policy, *TWO, *BOTH_KNOW).when(created(selects={"app": "none"}, ingress=())).then(
        PolicyApplied(policy="db", revision=1)
    )


def test_a_policy_is_applied_when_all_have_acknowledged() -> None:
    pods = (*TWO, *pod("i3", "db", "10.0.2.3", "h2"), *BOTH_KNOW, reported("i3", OF_DB, host="h2"))
    position = len(WORLD) + len(pods) + 1
    book = given(policy, *pods, created(ingress=()))
    book.when(reported("i2", position)).then_nothing()
    book.when(reported("i3", position, host="h2")).then(PolicyApplied(policy="db", revision=1))
    book.when_decisions_come_back()
    book.when(reported("i3", position, host="h2")).then_nothing()


def test_a_policy_waits_for_a_port_in_error() -> None:
    book = given(policy, *TWO, *BOTH_KNOW, created(ingress=()))
    book.when(reported("i2", FIRST + 6, "ERROR", reason="no")).then_nothing()
    book.when(say(PortUnbound, "i2", vlan=1, vni=5001)).then(PolicyApplied(policy="db", revision=1))


def test_a_policy_does_not_wait_for_who_came_later() -> None:
    book = given(policy, *TWO, *BOTH_KNOW, created(ingress=()), *pod("i3", "db", "10.0.2.3", "h2"))
    book.when(reported("i2", FIRST + 6)).then(PolicyApplied(policy="db", revision=1))


def test_the_end_of_a_policy_opens_those_it_had_selected() -> None:
    history = (*TWO, *BOTH_KNOW, created(ingress=()), reported("i2", FIRST + 6), PolicyApplied(policy="db", revision=1))
    book = given(policy, *history)
    book.when(PolicyDeleted(policy="db", revision=2)).then(install("i2", DB, FIRST + 9))
    book.when(reported("i2", FIRST + 9)).then(PolicyApplied(policy="db", revision=2))


def test_an_identity_that_is_new_changes_the_rules_that_name_its_labels() -> None:
    book = given(policy, *pod("i2", "db", "10.0.2.2"), created(ingress=(FROM_WEB,)), scheduled(labels={"app": "web"}))
    new = HeldRule("db ingress rule 1", identities=(WEB + 1,), protocol="tcp", ports=(5432,))
    at = FIRST + 4
    book.when(enforced()).then(install("i2", WEB, at, ingress=(new,)), install("i1", WEB + 1, at))


def test_a_pod_that_goes_is_no_address_to_send_to_any_more() -> None:
    to_web = PolicyRule(labels={"app": "web"})
    history = (*TWO, *BOTH_KNOW, created(egress=(to_web,)), reported("i2", FIRST + 6))
    rule = HeldRule("db egress rule 1")
    book = given(policy, *history, PolicyApplied(policy="db", revision=1))
    book.when(port_deleted(ip="10.0.1.2")).then(install("i2", DB, FIRST + 9, egress=(rule,)))


def test_a_drift_takes_the_rules_to_the_new_host() -> None:
    book = given(policy, scheduled(labels={"app": "web"}), enforced(), reported("i1", OF_WEB))
    book.when(drifted()).then(install("i1", WEB, OF_WEB, "h2", generation=2))


def test_a_host_that_is_back_is_told_again_and_counts_then() -> None:
    book = given(policy, scheduled(labels={"app": "web"}), enforced(), reported("i1", OF_WEB))
    book.given(host_down())
    assert book.machine.state.ports.get("i1-0").policy_report == ""  # type: ignore[attr-defined]
    up = HostUp(host="h1", az=AZ)
    book.given(HostReturned(host="h1", az=AZ)).when(up).then(install("i1", WEB, OF_WEB))


def test_an_agent_that_starts_is_told_again() -> None:
    book = given(policy, scheduled(labels={"app": "web"}), enforced(), reported("i1", OF_WEB))
    book.when(HostAgentStarted(host="h1", az=AZ)).then(install("i1", WEB, OF_WEB))


def test_what_an_audit_finds_lacking_is_installed_again_and_so_is_what_had_failed() -> None:
    history = (*TWO, reported("i1", OF_WEB), reported("i2", OF_DB, "ERROR", reason="no"))
    lacks = HostDifference("policy", "i1-0", 1, missing=True)
    audited = HostAudited(host="h1", az=AZ, epoch=1, differences=(lacks,))
    given(policy, *history).when(audited).then(install("i1", WEB, OF_WEB), install("i2", DB, OF_DB))


def test_a_claim_that_is_over_gets_nothing() -> None:
    book = given(policy, *TWO, *BOTH_KNOW, unbound("i2"))
    book.when(created(ingress=())).then(PolicyApplied(policy="db", revision=1))


@pytest.mark.parametrize(("error", "status"), [("", "ACTIVE"), ("no room", "ERROR")])
def test_what_became_of_the_rules(error: str, status: str) -> None:
    said = policy.settle(install("i1", WEB, 7), Result(error))
    assert said == (reported("i1", 7, status, reason=error),)
