"""IPAM on requests for policies: what is wrong is told by field and value, and changes nothing."""

from typing import Any

import pytest

from bus.events import (
    HttpRule,
    PolicyCreated,
    PolicyCreateRequested,
    PolicyDeleted,
    PolicyDeleteRequested,
    PolicyRefused,
    PolicyRule,
)
from tests.workers.playbook import By, case, given
from workers import ipam

OPEN = (PolicyRule(),)


def wanted(**says: Any) -> PolicyCreateRequested:
    return PolicyCreateRequested(**{"policy": "p", "vpc": "vpc1", "selects": {"app": "db"}, "ingress": OPEN, **says})


def created(revision: int = 1, **says: Any) -> PolicyCreated:
    return PolicyCreated(
        **{"policy": "p", "vpc": "vpc1", "selects": {"app": "db"}, "ingress": OPEN, **says}, revision=revision
    )


def refused(reason: str, field: str, value: str) -> PolicyRefused:
    return PolicyRefused(policy="p", reason=reason, field=field, value=value)


def test_a_policy_is_created_and_then_updated() -> None:
    book = given(ipam).when(wanted()).then(created()).when_decisions_come_back()
    book.when(wanted(ingress=())).then(created(2, ingress=()))
    book.when(wanted(revision=9)).then(created(9))


def test_a_redelivered_request_is_answered_once() -> None:
    request = By("q1", wanted(), "q1")
    given(ipam, request, By("q1", created(), "d1", "q1")).when_decided_again(request).then_nothing()


def test_a_deleted_policy_comes_back_with_a_higher_revision() -> None:
    book = given(ipam, created()).when(PolicyDeleteRequested(policy="p")).then(PolicyDeleted(policy="p", revision=2))
    book.when(wanted()).then(created(3))


def test_to_delete_what_is_not_there_is_refused() -> None:
    given(ipam).when(PolicyDeleteRequested(policy="p")).then(refused("unknown policy", "policy", "p"))


PROTOCOLS = "unknown protocol, none of any, tcp, udp, icmp"
EMPTY = 'the selector names no label; to select every pod say "all"'


@pytest.mark.parametrize(
    ("says", "why"),
    [
        case("vpc", {"vpc": "v9"}, ("unknown VPC", "vpc", "v9")),
        case("neither", {"ingress": None}, ("the policy governs neither direction", "ingress", "none")),
        case("empty", {"selects": {}}, (EMPTY, "selects", "{}")),
        case(
            "pod",
            {"selects": {"pod": "p-1"}},
            ("the label of a single pod is no part of an identity", "selects", "pod"),
        ),
        case("protocol", {"ingress": (PolicyRule(protocol="sctp"),)}, (PROTOCOLS, "ingress[1].protocol", "sctp")),
        case(
            "port",
            {"egress": (PolicyRule(), PolicyRule(protocol="tcp", ports=(80, 70000)))},
            ("no port from 1 to 65535", "egress[2].ports", "70000"),
        ),
        case("port 0", {"ingress": (PolicyRule(ports=(0,)),)}, ("no port from 1 to 65535", "ingress[1].ports", "0")),
        case(
            "icmp",
            {"ingress": (PolicyRule(protocol="icmp", ports=(8,)),)},
            ("icmp has no ports", "ingress[1].ports", "8"),
        ),
        case("peer", {"ingress": (PolicyRule(labels={}),)}, (EMPTY, "ingress[1].labels", "{}")),
        case(
            "both",
            {"ingress": (PolicyRule(labels="all", cidr="10.0.0.0/8"),)},
            ("a peer is named by labels or by a CIDR, not by both", "ingress[1].cidr", "10.0.0.0/8"),
        ),
        case(
            "cidr",
            {"ingress": (PolicyRule(cidr="10.0.0.1/8"),)},
            ("no IPv4 CIDR: 10.0.0.1/8 has host bits set", "ingress[1].cidr", "10.0.0.1/8"),
        ),
        case(
            "http",
            {"ingress": (PolicyRule(http=(HttpRule("GET"),)),)},
            ("http goes over tcp", "ingress[1].protocol", "any"),
        ),
        case(
            "path",
            {"ingress": (PolicyRule(protocol="tcp", http=(HttpRule("GET", "x"),)),)},
            ("a path begins with /", "ingress[1].http", "x"),
        ),
    ],
)
def test_what_is_wrong_is_told(says: dict[str, Any], why: tuple[str, str, str]) -> None:
    given(ipam).when(wanted(**says)).then(refused(*why))


def test_an_older_revision_is_refused() -> None:
    book = given(ipam, created(4))
    book.when(wanted(revision=4)).then(refused("the policy is at revision 4", "revision", "4"))


def test_a_policy_stays_in_its_vpc() -> None:
    book = given(ipam, created(vpc="old"))
    book.when(wanted()).then(refused("the policy is one of VPC old", "vpc", "vpc1"))
