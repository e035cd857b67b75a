"""Instances that come as a Poisson process and stay."""

from driftline.loadtest.profile import Shape, poisson
from driftline.trace import TraceRow


def rows(shape: Shape) -> list[TraceRow]:
    """Instances ``shape.rate`` a second on average, in an open loop."""
    return [
        TraceRow(line=index, name=str(index), created_s=created_s) for index, created_s in enumerate(poisson(shape), 1)
    ]
