"""What is refused of a profile before anything is asked for."""

import pytest

from driftline.errors import UsageError
from driftline.loadtest.checking import check
from driftline.loadtest.profile import Bulk, HostsFail, Instances, LeavesFail, Phase, PodsDrift, at_once
from driftline.trace import TraceRow
from driftline.world import generate
from projections.world import World
from tests.projections.given import record

BURST = Instances(at_once(3), timed=False)
WRONG: dict[str, tuple[Phase, str]] = {
    "name of an earlier phase": (Instances(at_once(1)), "Instances: rows: name: 1 comes twice"),
    "name twice": (Instances([TraceRow(4, "x", 0.0), TraceRow(5, "x", 0.0)]), "Instances: rows: name: x comes twice"),
    "no row": (Instances([-1.0]), "Instances: rows: -1.0 is no TraceRow"),  # type: ignore[list-item]
    "gone and never came": (Instances([], gone_s={"9": 1.0}), "Instances: gone_s: 9 does not come in a phase before"),
    "gone before it began": (Instances([], gone_s={"1": -1.0}), "Instances: gone_s: 1: -1.0 is not a finite number"),
    "gone at no time": (Instances([], gone_s={"1": float("nan")}), "Instances: gone_s: 1: nan is not a finite number"),
    "no ports": (Bulk(0, 10, 1.0), "Bulk: ports: 0 is less than 1"),
    "no size": (Bulk(10, 0, 1.0), "Bulk: size: 0 is less than 1"),
    "no rate": (Bulk(10, 10, 0.0), "Bulk: rate: 0.0 is not a finite number above 0"),
    "no such host": (HostsFail(["nosuch"]), "HostsFail: hosts: 'nosuch' is not in the world"),
    "no such leaf": (LeavesFail(["nosuch"], ["az1-h1"]), "LeavesFail: leaves: 'nosuch' is not in the world"),
    "no such zone": (PodsDrift("nosuch"), "PodsDrift: az: 'nosuch' is not in the world"),
}


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    for event in generate(1, 4):
        world.evolve(record(event))
    return world


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_named(world: World, what: str) -> None:
    phase, says = WRONG[what]
    with pytest.raises(UsageError) as raised:
        check([BURST, phase], world)
    assert str(raised.value).startswith(f"phase 2 of the profile, {says}")


def test_what_can_be_is_taken(world: World) -> None:
    host = min(world.hosts)
    leaf = world.hosts[host].leaf_a
    more = Instances(at_once(2, first=4), gone_s={"1": 0.5})
    check([BURST, more, Bulk(10, 5, 2.0), HostsFail([host]), LeavesFail([leaf], [host]), PodsDrift("az1")], world)
