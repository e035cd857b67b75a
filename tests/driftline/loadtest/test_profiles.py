"""Profiles of load: found by themselves, repeatable, and at the rate that was asked for."""

import itertools
from pathlib import Path

import msgspec
import pytest

from driftline.errors import UsageError
from driftline.loadtest import profiles
from driftline.loadtest.profile import (
    Bulk,
    HostsFail,
    Instances,
    LeavesFail,
    Phase,
    PodsDrift,
    Shape,
    found,
    named,
    takes,
)
from driftline.trace import TraceRow, expected, plan
from driftline.world import generate
from projections.world import World
from tests.projections.given import record

TOY = """
from driftline.loadtest.profile import Instances
from driftline.trace import TraceRow

def phases(shape, world):
    return [Instances([TraceRow(line=1, name="toy", created_s=0.0)])]
"""


@pytest.fixture(scope="module")
def world() -> World:
    return described(azs=2, hosts=30)


def described(azs: int, hosts: int) -> World:
    made = World()
    for position, event in enumerate(generate(azs=azs, hosts=hosts, instances=100), 1):
        made.evolve(record(event, position))
    return made


def rows_of(phases: list[Phase]) -> list[TraceRow]:
    return [row for phase in phases if isinstance(phase, Instances) for row in phase.rows]


@pytest.mark.parametrize("name", sorted(set(found()) - {"trace", "bulk"}))
def test_every_profile_makes_a_plan_of_its_instances_again_alike(name: str, world: World) -> None:
    shape = Shape(instances=50, seed=3)
    phases = named(name)(shape, world)
    rows = rows_of(phases)
    assert expected(rows).spawns == 50
    assert phases == named(name)(shape, world)
    assert sum(request.kind == "spawn" for request in plan(rows, ["az1"])) == 50


def test_steady_comes_at_its_rate_and_not_in_equal_steps(world: World) -> None:
    times = [row.created_s for row in rows_of(named("steady")(Shape(instances=5000, rate=100), world))]
    assert times == sorted(times)
    assert 45 < times[-1] < 55
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert 0.8 < variance / mean**2 < 1.2  # an exponential's: 1; equal steps: 0


def test_churn_deletes_each_after_its_life(world: World) -> None:
    rows = rows_of(named("churn")(Shape(instances=20, lives_s=2.5), world))
    assert all(row.deleted_s == row.created_s + 2.5 for row in rows)


def test_rolling_keeps_as_many_as_there_were(world: World) -> None:
    before, after = named("rolling")(Shape(instances=40, rate=10), world)
    assert isinstance(before, Instances)
    assert isinstance(after, Instances)
    assert (before.fill, before.timed, after.fill, after.timed) == (True, False, False, True)
    assert [*after.gone_s] == [row.name for row in before.rows]
    changes = [(row.created_s, 1) for row in after.rows] + [(at_s, -1) for at_s in after.gone_s.values()]
    live = [*itertools.accumulate((change for _, change in sorted(changes)), initial=len(before.rows))]
    assert (len(before.rows), len(after.rows), live[-1]) == (20, 20, 20)
    assert 20 <= max(live) <= 21
    assert min(live) >= 19


def test_a_storm_hits_a_whole_rack_its_leaves_or_a_whole_zone(world: World) -> None:
    phases = named("storm")(Shape(instances=40), world)
    (failing,) = (phase.hosts for phase in phases if isinstance(phase, HostsFail))
    pairs = {(world.hosts[host].leaf_a, world.hosts[host].leaf_b) for host in failing}
    (pair,) = pairs
    assert sorted(failing) == sorted(h.host for h in world.hosts.values() if (h.leaf_a, h.leaf_b) in pairs)
    assert named("storm")(Shape(instances=40, scope="leaf-pair"), world)[1:] == [LeavesFail(pair, failing)]
    assert named("storm")(Shape(instances=40, scope="az"), world)[1:] == [PodsDrift("az1")]


def test_bulk_asks_for_all_ports_at_the_rate_of_ports(world: World) -> None:
    assert named("bulk")(Shape(instances=500, size=50, rate=100), world) == [Bulk(500, 50, 2.0)]


def test_a_trace_comes_at_its_times_or_flat_out(world: World) -> None:
    rows = [TraceRow(line=1, name="a", created_s=3.0)]
    assert named("trace")(Shape(instances=1, rows=rows), world) == [Instances(rows, timed=True)]
    assert named("trace")(Shape(instances=1, rows=rows, flat_out=True), world) == [Instances(rows, timed=False)]


def test_a_profile_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(profiles, "__path__", [*profiles.__path__, str(tmp_path)])
    assert [row.name for row in rows_of(named("toy")(Shape(instances=1), world))] == ["toy"]


def test_bad_input_is_named(world: World) -> None:
    with pytest.raises(UsageError, match="--profile: nosuch is none of bulk, burst, churn, rolling, steady"):
        named("nosuch")
    with pytest.raises(UsageError, match="instances: 0"):
        Shape(instances=0)
    with pytest.raises(UsageError, match="rate: nan"):
        Shape(instances=1, rate=float("nan"))
    with pytest.raises(UsageError, match="scope: spine is none of rack, leaf-pair, az"):
        Shape(instances=1, scope="spine")
    with pytest.raises(UsageError, match="give a file with --trace"):
        named("trace")(Shape(instances=1), world)
    one_rack = described(azs=1, hosts=10)
    for scope in ("rack", "leaf-pair"):
        with pytest.raises(UsageError, match=f"--scope {scope}: all hosts of az1 are below az1-leaf1 and az1-leaf2"):
            named("storm")(Shape(instances=1, scope=scope), one_rack)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('mine is broken')", "mine.py: phases: ValueError: mine is broken"),
        ("return []", r"mine.py: phases: gives \[\], not a list of one or more phases"),
        ("return ['x']", r"mine.py: phases: gives \['x'\], not a list of one or more phases"),
        ("return None", "mine.py: phases: TypeError"),
    ],
)
def test_a_profile_of_ones_own_that_is_wrong_is_named(tmp_path: Path, world: World, body: str, says: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def phases(shape, world):\n    {body}\n")
    with pytest.raises(UsageError, match=says):
        named(str(path))(Shape(instances=1), world)


@pytest.mark.parametrize("name", sorted(set(found()) - {"trace"}))
def test_a_profile_says_which_numbers_it_takes(name: str, world: World) -> None:
    """What it says to make use of makes a difference, and nothing else does."""
    others = {"rate": 7.0, "lives_s": 3.0, "size": 7, "scope": "az"}
    shape = Shape(instances=50)

    def differs(change: dict[str, object]) -> bool:
        return named(name)(msgspec.structs.replace(shape, **change), world) != named(name)(shape, world)

    used = {field for field, value in others.items() if differs({field: value})}
    assert used == takes(name)
