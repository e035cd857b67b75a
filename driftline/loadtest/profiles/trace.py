"""What a real cluster did, from a file."""

from driftline.errors import UsageError
from driftline.loadtest.profile import Instances, Phase, Shape
from projections.world import World


def phases(shape: Shape, world: World) -> list[Phase]:
    """The rows of the trace, at their times unless it is to be flat out. Raises UsageError if there is none."""
    if not shape.rows:
        raise UsageError("--profile trace: give a file with --trace")
    return [Instances(shape.rows, timed=not shape.flat_out)]
