"""A claim is refused before a leaf's table overflows; the refusal names the leaf, and nothing is left behind."""

from typing import Any

from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from bus.events import LeafAdded, PortAllocated, PortClaimRefused, PortDeleted, PortRefused
from tests.workers.playbook import (
    AZ,
    By,
    Playbook,
    allocated,
    claim_port,
    create_port,
    drift,
    drift_scheduled,
    given,
    living,
    port_deleted,
    unbound,
)
from workers import ipam

FULL = {"reason": "the table of the leaf is full", "field": "leaf", "value": "l2 (capacity 1)"}


def small(*history: Any, capacity: int = 1) -> Playbook:
    """Leaf l2 takes few entries, l1 many."""
    leaf = LeafAdded(leaf="l2", az=AZ, vtep="10.255.0.2", asn=65002, capacity=capacity)
    return given(ipam, leaf, *history)


def test_an_entry_that_is_there_is_shared() -> None:
    play = small(allocated("i1", network="net2")).when(create_port("i2", network="net2"))
    play.then(allocated("i2", network="net2", ip="10.0.2.3"))


def test_another_interface_or_vlan_would_overflow_the_leaf() -> None:
    refused = PortRefused(port="i2-0", az=AZ, host="h2", instance="i2", **FULL)
    small(allocated("i1", network="net2")).when(create_port("i2", "h2", network="net2")).then(refused)
    refused = PortRefused(port="i2-0", az=AZ, host="h1", instance="i2", **FULL)
    small(allocated("i1", network="net2")).when(create_port("i2", "h1")).then(refused)


def test_a_claim_that_is_over_and_not_cleared_still_counts() -> None:
    one = allocated("i1", network="net2")
    play = small(one, unbound()).when(create_port("i2"))
    play.then(PortRefused(port="i2-0", az=AZ, host="h1", instance="i2", **FULL))
    play = small(one, unbound(), port_deleted("i1", network="net2", ip=one.ip)).when(create_port("i2"))
    assert play.output is not None
    assert isinstance(play.output.envelopes[0].event, PortAllocated)


def test_a_drift_to_a_full_leaf_is_refused() -> None:
    play = small(*living("i1"), By("d", drift("i1")), By("d", drift_scheduled("i1")))
    play.when(By("d", claim_port("i1")))
    play.then(PortClaimRefused(port="i1-0", az=AZ, host="h2", instance="i1", **FULL))


STEPS = st.lists(
    st.tuples(st.sampled_from(("h1", "h2")), st.sampled_from(("net1", "net2")), st.booleans()), max_size=12
)


@settings(max_examples=60, deadline=None)
@drawn(STEPS, st.integers(1, 3))
def test_no_leaf_is_ever_promised_more_than_it_takes(steps: list[tuple[str, str, bool]], capacity: int) -> None:
    play = small(capacity=capacity)
    live: dict[str, PortAllocated] = {}
    for number, (host, network, takes_away) in enumerate(steps):
        if takes_away and live:
            _, gone = live.popitem()
            fields = {name: getattr(gone, name) for name in PortDeleted.__struct_fields__}
            play.given(PortDeleted(**fields))
        play.when(create_port(f"i{number}", host, network=network))
        assert play.output is not None
        (said,) = (envelope.event for envelope in play.output.envelopes)
        if isinstance(said, PortAllocated):
            live[said.port] = said
        play.when_decisions_come_back()
        entries = {(port.host, port.vlan) for port in live.values()}
        assert len(entries) <= capacity
        assert play.machine.state.capacity.promised("l2") == len(entries)  # type: ignore[attr-defined]
        if isinstance(said, PortRefused) and said.field == "leaf":
            assert len(entries) == capacity, "refused, and there was room"
