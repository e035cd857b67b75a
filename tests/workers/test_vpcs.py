"""Whatever is asked of VPCs in whatever order: what is connected is disjoint, and every request has one answer."""

import ipaddress
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import Recorded
from bus.events import (
    AnyEvent,
    DirectConnectRefused,
    DirectConnectRequested,
    RegionAdded,
    TenantAdded,
    VpcConnected,
    VpcConnectRefused,
    VpcConnectRequested,
    VpcCreateRequested,
    VpcDisconnectRequested,
    VpcRefused,
)
from workers.ipam import WORKER
from workers.machine import Machine

CIDRS = ("10.1.0.0/16", "10.1.128.0/17", "10.2.0.0/16", "172.16.0.0/12", "172.17.0.0/16", "10.0.0.0/8")
NAMES = ("a", "b", "c", "d", "e")
names = st.sampled_from(NAMES)
requests = st.one_of(
    st.builds(
        VpcCreateRequested,
        vpc=names,
        tenant=st.just("t"),
        cidr=st.sampled_from(CIDRS),
        vrf=st.sampled_from((None, "shared")),
        global_vpc=st.sampled_from((None, "g")),
    ),
    st.builds(VpcConnectRequested, vpc=names, peer=names),
    st.builds(VpcDisconnectRequested, vpc=names, peer=names),
)


class Asked:
    """IPAM alone, with a log of its own."""

    def __init__(self) -> None:
        self.machine = Machine(WORKER)
        self.position = 0
        self.tell(RegionAdded(region="r1"))
        self.tell(RegionAdded(region="r2", kind="public"))
        self.tell(TenantAdded(tenant="t"))

    def tell(self, event: AnyEvent) -> list[AnyEvent]:
        """Have it on the log; returns what IPAM answers, which is then on the log too."""
        return self._step(event, f"q{self.position}", f"q{self.position}", "operator")

    def _step(self, event: AnyEvent, id: str, correlation: str, actor: str) -> list[AnyEvent]:
        self.position += 1
        output = self.machine.step(Recorded(self.position, id, event, "", correlation, actor, 1), 1)
        answers: list[AnyEvent] = []
        for envelope in output.envelopes if output else ():
            answers.append(envelope.event)
            self._step(envelope.event, envelope.id, envelope.correlation, "ipam")
        return answers


@settings(max_examples=150, deadline=None)
@given(st.lists(requests, max_size=30))
def test_what_is_connected_is_disjoint_whatever_was_asked(asked: list[AnyEvent]) -> None:
    ipam = Asked()
    for event in asked:
        assert ipam.tell(event), event
    state = ipam.machine.state
    world, vpcs = state.world, state.vpcs  # type: ignore[attr-defined]  # it is IPAM's
    for vrf in {row.vrf for row in world.vpcs.values()}:
        reached = {vrf, *vpcs.connected_vrfs(vrf)}
        seen = [row for row in world.vpcs.values() if row.vrf in reached]
        for one, other in combinations(seen, 2):
            assert not ipaddress.IPv4Network(one.cidr).overlaps(ipaddress.IPv4Network(other.cidr)), (one, other)


def test_a_refusal_names_both_cidrs() -> None:
    ipam = Asked()
    for name, cidr in (("a", "10.1.0.0/16"), ("b", "10.1.128.0/17")):
        ipam.tell(VpcCreateRequested(vpc=name, tenant="t", cidr=cidr))
    (refused,) = ipam.tell(VpcConnectRequested(vpc="a", peer="b"))
    assert isinstance(refused, VpcConnectRefused)
    assert refused.reason == "10.1.0.0/16 of VPC a and 10.1.128.0/17 of VPC b overlap"


def test_members_of_a_global_vpc_are_connected_and_disjoint() -> None:
    ipam = Asked()
    ipam.tell(VpcCreateRequested(vpc="a", tenant="t", cidr="10.1.0.0/16", global_vpc="g"))
    answers = ipam.tell(VpcCreateRequested(vpc="b", tenant="t", cidr="10.2.0.0/16", global_vpc="g"))
    assert VpcConnected(vpc="a", peer="b") in answers
    (refused,) = ipam.tell(VpcCreateRequested(vpc="c", tenant="t", cidr="10.2.9.0/24", global_vpc="g"))
    assert isinstance(refused, VpcRefused)
    assert (refused.field, refused.value) == ("cidr", "10.2.9.0/24")
    assert "10.2.0.0/16 of VPC b" in refused.reason


def test_a_vpc_that_joins_a_vrf_is_disjoint_from_what_that_is_connected_with() -> None:
    ipam = Asked()
    ipam.tell(VpcCreateRequested(vpc="a", tenant="t", cidr="10.1.0.0/16", vrf="shared"))
    ipam.tell(VpcCreateRequested(vpc="b", tenant="t", cidr="10.2.0.0/16"))
    ipam.tell(VpcConnectRequested(vpc="a", peer="b"))
    (refused,) = ipam.tell(VpcCreateRequested(vpc="c", tenant="t", cidr="10.2.0.0/24", vrf="shared"))
    assert isinstance(refused, VpcRefused)


def test_only_a_private_region_is_a_hub() -> None:
    ipam = Asked()
    (refused,) = ipam.tell(DirectConnectRequested(direct_connect="dc", spoke="r1", hub="r2"))
    assert isinstance(refused, DirectConnectRefused)
    assert (refused.field, refused.value) == ("hub", "r2")


def test_the_same_request_again_is_answered_once() -> None:
    ipam = Asked()
    event = VpcCreateRequested(vpc="a", tenant="t", cidr="10.1.0.0/16")
    assert ipam._step(event, "q", "q", "operator")
    assert not ipam._step(event, "q-copy", "q", "operator")
