"""Ports by the bulk API, before there are instances for them."""

from driftline.loadtest.profile import Bulk, Phase, Shape
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("rate", "size")


def phases(shape: Shape, world: World) -> list[Phase]:
    """``shape.instances`` ports, ``shape.size`` in a request, ``shape.rate`` ports a second in an open loop."""
    return [Bulk(shape.instances, shape.size, shape.rate / shape.size)]
