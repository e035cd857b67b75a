"""All instances at once."""

from driftline.loadtest.profile import Instances, Phase, Shape, at_once
from projections.world import World


def phases(shape: Shape, world: World) -> list[Phase]:
    """Instances that are all due at second 0 and stay; as many under way as is allowed."""
    return [Instances(at_once(shape.instances), timed=False)]
