"""A drift storm: a rack or its leaves fail, or every pod of a zone drifts, with all instances running."""

from driftline.errors import UsageError
from driftline.loadtest.profile import HostsFail, Instances, LeavesFail, Phase, PodsDrift, Shape, at_once
from projections.world import World

#: The numbers that it makes use of, beside how many.
TAKES = ("scope",)


def phases(shape: Shape, world: World) -> list[Phase]:
    """A burst; once all is up, the first rack, leaf pair or zone is hit.

    Raises UsageError where nothing could go elsewhere.
    """
    return [Instances(at_once(shape.instances), timed=False, fill=True), _hit(shape.scope, world)]


def _hit(scope: str, world: World) -> Phase:
    first = world.hosts[min(world.hosts)]
    if scope == "az":
        return PodsDrift(first.az)
    leaves = (first.leaf_a, first.leaf_b)
    below = sorted(row.host for row in world.hosts.values() if (row.leaf_a, row.leaf_b) == leaves)
    if not any(row.az == first.az and row.host not in below for row in world.hosts.values()):
        raise UsageError(f"--scope {scope}: all hosts of {first.az} are below {' and '.join(leaves)}")
    return HostsFail(below) if scope == "rack" else LeavesFail(leaves, below)
