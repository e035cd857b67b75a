"""Instances that come as a Poisson process and live only a while."""

from driftline.loadtest.profile import Instances, Phase, Shape, poisson
from driftline.trace import TraceRow
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("rate", "lives_s")


def phases(shape: Shape, world: World) -> list[Phase]:
    """Instances ``shape.rate`` a second on average, each deleted ``shape.lives_s`` after it should have come."""
    rows = [
        TraceRow(line=index, name=str(index), created_s=created_s, deleted_s=created_s + shape.lives_s)
        for index, created_s in enumerate(poisson(shape), 1)
    ]
    return [Instances(rows)]
