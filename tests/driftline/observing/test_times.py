"""Durations in ranges: what is told of them lies within the range that they lie in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.observing.times import BOUNDS_S, Times, together
from tests.driftline.observing.given import times

SECONDS = st.floats(0, 9.99)
MANY = st.lists(SECONDS, min_size=1, max_size=50)


@given(MANY, st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_range_of_what_it_stands_for(many: list[float], share: float) -> None:
    exact = sorted(many)[min(int(share * len(many)), len(many) - 1)]
    lowest = sorted(many)[max(int(share * len(many)) - 1, 0)]
    told = times(*many).quantile_s(share)
    low = max((bound for bound in BOUNDS_S if bound < lowest), default=0.0)
    high = min(bound for bound in BOUNDS_S if bound >= exact)
    assert low <= told <= high


@given(MANY, MANY)
def test_parts_add_up(first: list[float], second: list[float]) -> None:
    whole = together([times(*first), times(*second)])
    assert whole.counts == times(*first, *second).counts
    assert whole.total_s == pytest.approx(sum(first) + sum(second))


@given(MANY, MANY)
def test_what_came_since(first: list[float], second: list[float]) -> None:
    since = times(*first, *second).since(times(*first))
    assert since.counts == times(*second).counts
    assert since.total_s == pytest.approx(sum(second), abs=1e-6)


def test_a_process_that_was_started_anew_tells_all_it_has() -> None:
    assert times(0.1).since(times(0.2, 0.3)) == times(0.1)


def test_of_nothing_nothing_is_told() -> None:
    assert (Times().quantile_s(0.99), Times().mean_s, Times().count, together([])) == (0.0, 0.0, 0, Times())


def test_what_takes_too_long_is_counted_and_what_ended_before_it_began_takes_no_time() -> None:
    found = times(1000.0, -5.0)
    assert (found.count, found.total_s, found.quantile_s(1.0)) == (2, 1000.0, BOUNDS_S[-1])
