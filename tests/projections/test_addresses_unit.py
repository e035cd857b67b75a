"""Addresses and VLANs: nothing is given out twice, and the counts always add up (invariants 3 and 9)."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.events import PortAllocated, PortClaimed, SubnetCreated
from projections.addresses import Addresses, dotted
from projections.fold import NOTHING
from tests.projections.events import SUBNET, TENANCY, allocated, deleted
from tests.projections.given import given, record, row_of

PAIRS = ("leaf1-leaf2", "leaf3-leaf4")


def offered(fold: Addresses) -> str | None:
    """The address of net1 that would be given out next."""
    offer = fold.offer("net1", "vrf1")
    return offer[1] if offer else None


class Ipam(RuleBasedStateMachine):
    """Ports come and go as IPAM decides, sometimes with an address out of turn, as another replica might give out."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = given(Addresses(), *TENANCY, SUBNET)
        self.live: dict[str, PortAllocated] = {}
        self.number = 0

    @precondition(lambda self: offered(self.fold) is not None)
    @rule(pair=st.sampled_from(PAIRS), vni=st.sampled_from([5001, 5002, 5003]))
    def allocate_in_turn(self, pair: str, vni: int) -> None:
        ip = offered(self.fold)
        assert ip is not None
        self._allocate(ip, pair, vni)

    @precondition(lambda self: offered(self.fold) is not None)
    @rule(data=st.data())
    def allocate_out_of_turn(self, data: st.DataObject) -> None:
        held = {port.ip for port in self.live.values()}
        free = [ip for ip in (f"10.0.0.{i}" for i in range(2, 7)) if ip not in held]
        self._allocate(data.draw(st.sampled_from(free)), PAIRS[0], 5001)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        port = self.live.pop(data.draw(st.sampled_from(sorted(self.live))))
        self._twice(lambda: self.fold.evolve(record(deleted(port))))

    @invariant()
    def the_counts_add_up(self) -> None:
        row = row_of(self.fold, "pools", "s1")
        assert row.allocated + row.free + row.reserved == row.size == 8
        assert row.allocated == len(self.live)

    @invariant()
    def every_address_has_the_one_port_that_holds_it(self) -> None:
        rows = self.fold.tables["addresses"].values()
        assert {(row.ip, row.port) for row in rows} == {(port.ip, port.port) for port in self.live.values()}
        assert len(rows) == len(self.live)

    @invariant()
    def a_vlan_is_one_vni_on_a_leaf_pair(self) -> None:
        rows = list(self.fold.tables["segments"].values())
        assert len({(row.physical_network, row.vlan) for row in rows}) == len(rows)
        assert len({(row.physical_network, row.vni) for row in rows}) == len(rows)
        assert sum(row.ports for row in rows) == len(self.live)

    @invariant()
    def what_is_offered_is_free(self) -> None:
        ip = offered(self.fold)
        assert (ip is None) == (len(self.live) == 5)
        assert ip not in {port.ip for port in self.live.values()}
        assert ip not in {"10.0.0.0", "10.0.0.1", "10.0.0.7"}

    def _allocate(self, ip: str, pair: str, vni: int) -> None:
        self.number += 1
        vlan = self.fold.vlan_for(pair, vni)
        assert vlan is not None
        port = allocated(f"p{self.number}", ip, vlan=vlan, vni=vni, pair=pair)
        self.live[port.port] = port
        self._twice(lambda: self.fold.evolve(record(port)))

    def _twice(self, evolve: Callable[[], object]) -> None:
        """Each event comes twice: the second time changes nothing."""
        evolve()
        assert evolve() == NOTHING


TestIpam = Ipam.TestCase
TestIpam.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_addresses_go_out_from_the_lowest_and_come_back_last() -> None:
    fold = given(Addresses(), *TENANCY, SUBNET, allocated("p1", "10.0.0.2"), allocated("p2", "10.0.0.3"))
    fold.evolve(record(deleted(allocated("p1", "10.0.0.2"))))
    given_out = []
    while (ip := offered(fold)) is not None:
        given_out.append(ip)
        fold.evolve(record(allocated(f"p-{ip.replace('.', '-')}", ip)))
    assert given_out == ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]


def test_a_vlan_is_free_again_when_its_last_port_goes() -> None:
    one, two = allocated("p1", "10.0.0.2", vlan=1), allocated("p2", "10.0.0.3", vlan=1)
    fold = given(Addresses(), *TENANCY, SUBNET, one, two, deleted(one))
    assert fold.vlan_for("leaf1-leaf2", 9) == 2
    assert fold.vlan_for("leaf1-leaf2", one.vni) == 1
    fold.evolve(record(deleted(two)))
    assert fold.vlan_for("leaf1-leaf2", 9) == 1
    assert fold.tables["segments"] == {}


def test_no_vlan_is_left_when_all_4094_are_taken() -> None:
    subnet = SubnetCreated(subnet="s1", network="net1", cidr="10.0.0.0/16", gateway="10.0.0.1")
    ports = (allocated(f"p{i}", f"10.0.{i // 256}.{i % 256}", vlan=i, vni=i) for i in range(1, 4095))
    fold = given(Addresses(), *TENANCY, subnet, *ports)
    assert fold.vlan_for("leaf1-leaf2", 9999) is None
    assert fold.vlan_for("leaf3-leaf4", 9999) == 1


def test_a_second_holder_of_an_address_is_not_believed() -> None:
    fold = given(Addresses(), *TENANCY, SUBNET, allocated("p1"), allocated("p2"), deleted(allocated("p2")))
    assert row_of(fold, "addresses", "vrf1", "10.0.0.2").port == "p1"
    assert row_of(fold, "pools", "s1").allocated == 1


def test_what_was_given_out_is_given_back_whatever_the_deletion_says() -> None:
    wrong = msgspec.structs.replace(deleted(allocated()), subnet="s9", ip="10.9.9.9", physical_network="x", vni=7)
    fold = given(Addresses(), *TENANCY, SUBNET, allocated(), wrong)
    assert row_of(fold, "pools", "s1").free == 5
    assert fold.tables["addresses"] == fold.tables["segments"] == {}


def test_an_allocation_from_an_unknown_subnet_changes_nothing() -> None:
    fold = given(Addresses(), allocated(), deleted(allocated()))
    assert all(rows == {} for rows in fold.tables.values())


@pytest.mark.parametrize("foreign", ["10.0.0.1", "10.0.0.0", "10.0.0.7", "10.9.9.9"])
def test_an_address_that_is_not_the_pools_own_does_not_come_back_into_it(foreign: str) -> None:
    port = allocated("p1", foreign)
    fold = given(Addresses(), *TENANCY, SUBNET, port, deleted(port))
    assert list(fold.pools["s1"].free()) == [f"10.0.0.{last}" for last in range(2, 7)]


@for_all(st.integers(0, (1 << 32) - 1))
def test_dotted_is_what_ipaddress_says(address: int) -> None:
    octets = address.to_bytes(4, "big")
    assert dotted(address) == ".".join(str(octet) for octet in octets)


def test_a_claim_of_an_address_from_an_unknown_subnet_moves_nothing() -> None:
    """A forged one must not end whoever folds it."""
    fold = given(Addresses(), *TENANCY, SUBNET, allocated())
    claimed = {**msgspec.structs.asdict(allocated()), "generation": 2, "subnet": "s9", "ip": "10.9.9.9"}
    fold.evolve(record(PortClaimed(**claimed, from_host="h1")))
    assert ("vrf1", "10.9.9.9") not in fold.tables["addresses"]
