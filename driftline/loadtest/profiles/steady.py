"""Instances that come as a Poisson process and stay."""

from driftline.loadtest.profile import Instances, Phase, Shape, poisson
from driftline.trace import TraceRow
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("rate",)


def phases(shape: Shape, world: World) -> list[Phase]:
    """Instances ``shape.rate`` a second on average, in an open loop."""
    times = enumerate(poisson(shape), 1)
    return [Instances([TraceRow(line=n, name=str(n), created_s=created_s) for n, created_s in times])]
