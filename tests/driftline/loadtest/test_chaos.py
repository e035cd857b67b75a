"""Which faults are let in when: as said, or drawn so that a seed gives the same again."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import UsageError
from driftline.loadtest.chaos import SERVERS, Fault, drawn, parse_chaos

ROLES, LEAVES = ("nova", "projector"), ("az1-leaf1", "az1-leaf2")


def test_faults_are_read_in_order_of_their_time() -> None:
    text = "restart:nats@20, kill:nova@10,break:az1-leaf1@15+5,pause:projector@2.5+0.5"
    assert parse_chaos(text, ROLES, LEAVES) == [
        Fault(2.5, "pause", "projector", 0.5),
        Fault(10, "kill", "nova"),
        Fault(15, "break", "az1-leaf1", 5),
        Fault(20, "restart", "nats"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kill:nova", "--chaos 'kill:nova': not like kill:nova@10"),
        ("explode:nova@3", "'explode:nova@3': not like"),
        ("kill:nobody@3", "nobody is none of nova, projector"),
        ("restart:nova@3", "nova is none of nats, postgres"),
        ("break:az9-leaf1@3+1", "az9-leaf1 is none of az1-leaf1, az1-leaf2"),
        ("pause:nova@3", "break and pause, and only they, last"),
        ("kill:nova@3+2", "break and pause, and only they, last"),
        ("kill:nova@3,", "--chaos ''"),
    ],
)
def test_a_clause_that_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_chaos(text, ROLES, LEAVES)
    assert says in str(raised.value)


@given(seed=st.integers(0, 1000), every_s=st.floats(0.5, 20), until_s=st.floats(0, 400))
def test_drawn_faults_come_in_turn_and_are_the_same_again(seed: int, every_s: float, until_s: float) -> None:
    faults = drawn(seed, every_s, until_s, ROLES, LEAVES)
    assert faults == drawn(seed, every_s, until_s, ROLES, LEAVES)
    assert faults == sorted(faults, key=lambda fault: fault.at_s)
    for number, fault in enumerate(faults):
        assert 3.0 + number * every_s - 0.001 <= fault.at_s <= min(3.0 + (number + 1) * every_s, until_s) + 0.001
    assert len(faults) >= (until_s - 3.0) / every_s - 1
    kinds = Counter(fault.what if fault.what != "restart" else fault.target for fault in faults)
    counts = [kinds[kind] for kind in ("kill", "break", "pause", *SERVERS)]
    assert max(counts) - min(counts) <= 1
    for fault in faults:
        lasts = f"+{fault.for_s:g}" if fault.for_s else ""
        (again,) = parse_chaos(f"{fault.what}:{fault.target}@1{lasts}", ROLES, LEAVES)
        assert (again.what, again.target, again.for_s) == (fault.what, fault.target, fault.for_s)


def test_drawn_faults_come_at_random_times() -> None:
    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(drawn(1, 5, 300, ROLES, LEAVES))]
    assert max(gaps) - min(gaps) > 2
    assert drawn(1, 5, 300, ROLES, LEAVES) != drawn(2, 5, 300, ROLES, LEAVES)
