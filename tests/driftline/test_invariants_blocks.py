"""Which block is free, as the invariants see it, and how much work it is to say that none is."""

import ipaddress
import sys
from types import FrameType

from hypothesis import given
from hypothesis import strategies as st

from bus.events import HostBlockAssigned, HostBlockRefused, HostBlockRequested, NetworkCreated, SubnetCreated
from driftline.invariants.blocks import free_block
from tests.driftline.test_invariants_tale import AZ, Tale

LENGTH = 29


def networks(shortest: int) -> st.SearchStrategy[ipaddress.IPv4Network]:
    """In and around 10.0.8.0/23, so that many meet."""
    first = int(ipaddress.IPv4Address("10.0.7.0"))
    return st.builds(
        lambda address, length: ipaddress.IPv4Network((address, length), strict=False),
        st.integers(first, first + 1023),
        st.integers(shortest, 32),
    )


@given(networks(24), st.integers(23, 32), st.lists(networks(20), max_size=12))
def test_the_first_block_that_meets_none_is_free(
    subnet: ipaddress.IPv4Network, length: int, busy: list[ipaddress.IPv4Network]
) -> None:
    blocks = subnet.subnets(new_prefix=length) if length >= subnet.prefixlen else iter(())
    free = (block for block in blocks if not any(block.overlaps(one) for one in busy))
    assert free_block(subnet, length, busy) == next(free, None)


def refused(count: int) -> int:
    """How many calls it takes to judge that a host is refused a block where ``count``, which are all, are taken."""
    tale = Tale()
    subnet = ipaddress.IPv4Network(f"10.1.0.0/{LENGTH - count.bit_length() + 1}")
    tale.say(NetworkCreated(network="n2", vpc="v1", model="host-local-bgp", block_length=LENGTH))
    tale.say(SubnetCreated(subnet="s2", network="n2", cidr=str(subnet), gateway="10.1.0.1"))
    for block in subnet.subnets(new_prefix=LENGTH):
        assigned = HostBlockAssigned(
            host="h1",
            az=AZ,
            network="n2",
            subnet="s2",
            vpc="v1",
            vrf="vrf1",
            model="host-local-bgp",
            cidr=str(block),
            gateway=str(block.network_address + 1),
        )
        tale.say(assigned)
    tale.say(HostBlockRequested(host="h2", az=AZ, network="n2"), id="asked")
    calls = 0

    def called(frame: FrameType, what: str, arg: object) -> None:
        nonlocal calls
        calls += what == "call"

    exhausted = HostBlockRefused(host="h2", az=AZ, network="n2", reason="exhausted", field="network", value="n2")
    sys.setprofile(called)
    try:
        tale.say(exhausted, cause="asked")
    finally:
        sys.setprofile(None)
    assert tale.auditor.exercised[17] == 1
    return calls


def test_twice_the_blocks_are_at_most_twice_the_work() -> None:
    assert refused(32) <= 2 * refused(16)
