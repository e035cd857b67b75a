"""What hosts make of packets under policy, and what becomes of their rules."""

from typing import Any

import msgspec
import pytest

from bus.events import HostDifference
from tests.workers.devices.world import RED_1, RED_2, Port, audit_host, cabled, resync_host, unplug, wired, wiring
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.reachability import ping, trace
from workers.devices.simulated.tamper import AddVnic, DropPolicy
from workers.effects import AnyEffect, InstallPolicy, PlugVnic
from workers.policy_rules import Flow, HeldRule

#: Two on one host and network, one elsewhere in another network.
WEB, SIDE, DB = Port("web", "h1", RED_1, 5), Port("side", "h1", RED_1, 6), Port("db", "h3", RED_2, 7)
HTTP, SQL = Flow("tcp", 80), Flow("tcp", 5432)
FROM_WEB = HeldRule("db ingress rule 1", identities=(256,), protocol="tcp", ports=(5432,))


def rules(port: Port, identity: int, revision: int = 1, **held: Any) -> InstallPolicy:
    fields = {"device": port.host, "port": port.port, "az": "az1", "generation": 1, "revision": revision, **held}
    return InstallPolicy(**fields, identity=identity)


def under_policy(*policies: InstallPolicy) -> Fabric:
    """All three, under enforcement, with these rules."""
    fabric = cabled()
    for port in (WEB, SIDE, DB):
        for effect in wiring(port):
            is_vnic = isinstance(effect, PlugVnic)
            perform(fabric, msgspec.structs.replace(effect, enforced=True) if is_vnic else effect)
    for policy in policies:
        perform(fabric, policy)
    return fabric


def perform(fabric: Fabric, effect: AnyEffect) -> None:
    assert fabric.apply(effect) == ""


ALL = (rules(WEB, 256), rules(SIDE, 257), rules(DB, 258, ingress=(FROM_WEB,)))


def test_what_no_policy_governs_is_open() -> None:
    assert ping(under_policy(rules(WEB, 256), rules(DB, 258)), "web", "db").reachable


@pytest.mark.parametrize(
    ("installed", "way", "host"),
    [
        ((), ("web", "db"), "host h1: port web"),
        ((ALL[0],), ("web", "db"), "host h3: port db"),
        ((ALL[2],), ("web", "db"), "host h1: port web"),
        ((ALL[0],), ("web", "side"), "host h1: port side"),
    ],
)
def test_without_its_rules_a_vnic_passes_nothing(installed: tuple[InstallPolicy, ...], way: Any, host: str) -> None:
    path = trace(under_policy(*installed), *way, flow=SQL)
    assert path.reason == f"{host} is under enforcement, and its policy is not installed"


def test_the_rule_that_let_it_pass_is_told_where_it_did() -> None:
    path = trace(under_policy(*ALL), "web", "db", flow=SQL)
    assert path.reachable
    for way in path.ways:
        assert way[1] == "h1 policy egress tcp/5432: no policy"
        assert way[-2:] == ("h3 policy ingress tcp/5432: db ingress rule 1", "db@h3 vnic")


@pytest.mark.parametrize(
    ("source", "flow", "why"),
    [
        ("web", HTTP, "host h3: ingress of port db: tcp/80 from 10.0.1.5, identity 256: no rule allows it"),
        ("side", SQL, "host h3: ingress of port db: tcp/5432 from 10.0.1.6, identity 257: no rule allows it"),
        ("web", Flow(), "host h3: ingress of port db: icmp from 10.0.1.5, identity 256: no rule allows it"),
    ],
)
def test_what_no_rule_allows_is_dropped_with_the_reason(source: str, flow: Flow, why: str) -> None:
    assert trace(under_policy(*ALL), source, "db", flow=flow).reason == why


def test_outwards_it_is_the_senders_host_that_drops() -> None:
    to_db = HeldRule("web egress rule 1", cidrs=("10.0.2.7/32",))
    fabric = under_policy(rules(WEB, 256, egress=(to_db,)), *ALL[1:])
    assert trace(fabric, "web", "db", flow=SQL).reachable
    dropped = "host h1: egress of port web: icmp to 10.0.1.6: no rule allows it"
    assert trace(fabric, "web", "side").reason == dropped


def test_a_reply_passes_where_what_it_answers_passed_and_nowhere_else() -> None:
    closed = rules(WEB, 256, ingress=())
    fabric = under_policy(closed, *ALL[1:])
    assert not trace(fabric, "db", "web", flow=SQL).reachable  # db may not begin
    reply = Flow("tcp", 5432, reply=True)
    assert trace(fabric, "db", "web", flow=reply).reachable
    assert "a reply to tcp/80" in trace(fabric, "db", "web", flow=Flow("tcp", 80, reply=True)).reason


def test_an_identity_is_what_the_senders_host_holds() -> None:
    """A vNIC that nobody asked for carries no identity, whatever its address."""
    fabric = under_policy(*ALL[1:])
    fabric.tamper(AddVnic("h1", "web", WEB.mac, WEB.ip, 24, RED_1.gateway))
    assert "identity 0: no rule allows it" in trace(fabric, "web", "db", flow=SQL).reason


def test_newer_rules_stay_and_older_ones_change_nothing() -> None:
    fabric = under_policy(rules(DB, 258, revision=9, ingress=()), rules(DB, 258, revision=8))
    assert fabric.host("h3").policies["db"].ingress == ()


def test_rules_may_come_before_the_vnic_and_go_with_it() -> None:
    fabric = cabled()
    perform(fabric, rules(WEB, 256))
    assert fabric.leftovers().policies == 1
    perform(fabric, unplug(WEB))
    assert not fabric.leftovers()
    assert fabric.apply(rules(WEB, 256)) == "host h1: port web: generation 1 was withdrawn"


def test_a_host_that_is_cleaned_keeps_what_is_its_own_alone() -> None:
    fabric = under_policy(*ALL)
    perform(fabric, resync_host("h1", 9, {"web": 1}))
    assert set(fabric.host("h1").policies) == {"web"}
    late = msgspec.structs.replace(rules(SIDE, 257), claimed_at=5)
    assert "was withdrawn" in fabric.apply(late)
    assert fabric.apply(msgspec.structs.replace(rules(WEB, 256, 2), claimed_at=5)) == ""


def test_an_audit_finds_rules_that_are_gone_or_out_of_date() -> None:
    fabric = under_policy(*ALL)
    fabric.tamper(DropPolicy("h1", "web"))
    audit = audit_host("h1", {"web": 1, "side": 1}, {})
    wished = msgspec.structs.replace(audit, policies={"web": 1, "side": 2})
    found = [one for one in fabric.perform(wished).found if isinstance(one, HostDifference) and one.part == "policy"]
    assert [(one.port, one.missing) for one in found] == [("side", True), ("web", True)]
    with pytest.raises(ValueError, match="no policy of port web"):
        fabric.tamper(DropPolicy("h1", "web"))


def test_the_state_of_a_host_brings_its_rules_back() -> None:
    fabric, other = under_policy(*ALL), cabled()
    for state in fabric.states():
        other.restore(state)
    assert other.dump() == fabric.dump()
    assert trace(other, "web", "db", flow=SQL).reachable


def test_ports_that_are_under_no_enforcement_know_no_policy() -> None:
    assert ping(wired(WEB, DB), "web", "db").reachable
