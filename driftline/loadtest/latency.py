"""Latencies in HDR histograms, from the moment a request should have started (no coordinated omission)."""

from typing import Self

import msgspec
from hdrh.histogram import HdrHistogram

#: What a histogram can tell apart: 1 µs to an hour, to three significant digits.
LOWEST_US, HIGHEST_US, DIGITS = 1, 3_600_000_000, 3


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds below which that share of the latencies lies; ``count`` latencies in all."""

    count: int
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


#: Where a curve of latencies is drawn through, percent.
CURVE = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99)


class Latency:
    """The latencies of one step, or end to end."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    def record(self, due_us: int, ended_us: int) -> None:
        """Note what was due at ``due_us``, however late it was sent, and ended at ``ended_us``; held to the range."""
        self._histogram.record_value(min(max(ended_us - due_us, LOWEST_US), HIGHEST_US))

    def add(self, other: Self) -> None:
        """Take in all the latencies of ``other``."""
        self._histogram.add(other._histogram)

    def percentiles(self) -> Percentiles | None:
        """None if nothing was recorded."""
        if not self._histogram.get_total_count():
            return None
        p50, p90, p99, p99_9, most = (
            round(float(self._histogram.get_value_at_percentile(share)) / 1000, 3) for share in (50, 90, 99, 99.9, 100)
        )
        count = int(self._histogram.get_total_count())
        return Percentiles(count=count, p50=p50, p90=p90, p99=p99, p99_9=p99_9, max=most)

    def curve(self) -> list[tuple[float, float]]:
        """(percent, milliseconds below which that share of the latencies lies); empty if nothing was recorded."""
        if not self._histogram.get_total_count():
            return []
        return [(share, round(float(self._histogram.get_value_at_percentile(share)) / 1000, 3)) for share in CURVE]
