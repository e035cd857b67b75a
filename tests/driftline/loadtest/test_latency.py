"""Latencies: measured from when a request was due, and merged without loss."""

import pytest

from driftline.loadtest.latency import Latency


def test_a_stall_counts_against_every_request_that_was_due_in_it() -> None:
    latency = Latency()
    for due_ms in range(1000):  # all end together when a stall of one second is over
        latency.record(due_ms * 1000, 1_000_000)
    got = latency.percentiles()
    assert got is not None
    assert got.p50 == pytest.approx(500, rel=0.01)
    assert got.max == pytest.approx(1000, rel=0.01)


def test_merged_is_as_if_recorded_in_one() -> None:
    one, other, both = Latency(), Latency(), Latency()
    for value in range(1, 2000):
        (one if value % 3 else other).record(0, value * 100)
        both.record(0, value * 100)
    one.add(other)
    assert one.percentiles() == both.percentiles()


def test_nothing_recorded_has_no_percentiles() -> None:
    assert Latency().percentiles() is None
