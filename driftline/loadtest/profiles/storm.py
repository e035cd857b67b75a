"""A drift storm: a rack fails, or every pod of a zone drifts, with all instances running."""

from driftline.errors import UsageError
from driftline.loadtest.profile import HostsFail, Instances, Phase, PodsDrift, Shape, at_once
from projections.world import World


def phases(shape: Shape, world: World) -> list[Phase]:
    """A burst; once all is up, the first rack or zone is hit. Raises UsageError where nothing could go elsewhere."""
    first = world.hosts[min(world.hosts)]
    if shape.scope == "az":
        return [Instances(at_once(shape.instances), timed=False), PodsDrift(first.az)]
    rack = [row.host for row in world.hosts.values() if (row.leaf_a, row.leaf_b) == (first.leaf_a, first.leaf_b)]
    if not any(row.az == first.az and row.host not in rack for row in world.hosts.values()):
        raise UsageError(f"--scope rack: all hosts of {first.az} are below {first.leaf_a} and {first.leaf_b}")
    return [Instances(at_once(shape.instances), timed=False), HostsFail(sorted(rack))]
