"""How long things take: counted in ranges, as Prometheus does, so that processes and moments add up. PURE."""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

#: The upper ends of the ranges, seconds: from a fold's ten microseconds to a device that hangs.
BOUNDS_S = (*(float(f"{m}e{e}") for e in range(-5, 1) for m in (1, 2.5, 5)), 10.0)


class Times(msgspec.Struct):
    """How many durations lie in each range of BOUNDS_S, the last one open, and their sum in seconds."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration. What clocks of two machines make negative counts as none."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        if seconds > 0:
            self.total_s += seconds

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    @property
    def mean_s(self) -> float:
        """Their mean, seconds; 0 if there are none."""
        return self.total_s / (self.count or 1)

    def quantile_s(self, share: float) -> float:
        """What ``share`` of them lie below, seconds: exact to its range, even within it; 0 if there are none.

        What lies beyond the last bound is taken for it, as Prometheus' ``histogram_quantile`` does.
        """
        wanted = share * self.count
        below, low = 0, 0.0
        for count, bound in zip(self.counts, BOUNDS_S, strict=False):
            if count and below + count >= wanted:
                return low + (bound - low) * (wanted - below) / count
            below, low = below + count, bound
        return BOUNDS_S[-1] if self.count else 0.0

    def since(self, earlier: "Times") -> "Times":
        """Those that came after ``earlier`` was looked at; all of them if the process was started anew since."""
        counts = [now - before for now, before in zip(self.counts, earlier.counts, strict=True)]
        if min(counts) < 0:
            return self
        return Times(counts=counts, total_s=max(self.total_s - earlier.total_s, 0.0))


def together(many: Iterable[Times]) -> Times:
    """All of them as one."""
    found = list(many)
    if not found:
        return Times()
    counts = [sum(column) for column in zip(*(one.counts for one in found), strict=True)]
    return Times(counts=counts, total_s=sum(one.total_s for one in found))
