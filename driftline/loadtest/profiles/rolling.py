"""A rolling deployment: what runs is replaced, one instance after the other."""

from driftline.loadtest.profile import Instances, Phase, Shape
from driftline.trace import TraceRow
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("rate",)


def phases(shape: Shape, world: World) -> list[Phase]:
    """Half of the instances are old and due at second 0; then one by one a new one comes and an old one goes.

    ``shape.rate`` new ones a second; an old one is to go one interval after the new one that replaces it was due.
    """
    old = max(shape.instances // 2, 1)
    rows = [TraceRow(line=n, name=f"old-{n}", created_s=0.0, deleted_s=(n + 1) / shape.rate) for n in range(1, old + 1)]
    rows += [TraceRow(line=n, name=f"new-{n}", created_s=n / shape.rate) for n in range(1, shape.instances - old + 1)]
    return [Instances(rows)]
