"""Instances that come as a Poisson process and live only a while."""

from driftline.loadtest.profile import Shape, poisson
from driftline.trace import TraceRow


def rows(shape: Shape) -> list[TraceRow]:
    """Instances ``shape.rate`` a second on average, each deleted ``shape.lives_s`` after it should have come."""
    return [
        TraceRow(line=index, name=str(index), created_s=created_s, deleted_s=created_s + shape.lives_s)
        for index, created_s in enumerate(poisson(shape), 1)
    ]
