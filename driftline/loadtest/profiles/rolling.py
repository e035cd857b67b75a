"""A rolling deployment: what runs is replaced, one instance after the other."""

from driftline.loadtest.profile import Instances, Phase, Shape
from driftline.trace import TraceRow
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("rate",)


def phases(shape: Shape, world: World) -> list[Phase]:
    """A burst of the old half; once that runs, one by one a new one comes and an old one goes.

    ``shape.rate`` new ones a second; an old one is to go one interval after the new one that replaces it was due.
    """
    old = max(shape.instances // 2, 1)
    before = [TraceRow(line=n, name=f"old-{n}", created_s=0.0) for n in range(1, old + 1)]
    after = [TraceRow(line=n, name=f"new-{n}", created_s=n / shape.rate) for n in range(shape.instances - old)]
    gone_s = {row.name: (n + 1) / shape.rate for n, row in enumerate(before)}
    return [Instances(before, timed=False, fill=True), Instances(after, gone_s=gone_s)]
