"""Profiles of load: found by themselves, repeatable, and at the rate that was asked for."""

import itertools
from pathlib import Path

import pytest

from driftline.errors import UsageError
from driftline.loadtest import profiles
from driftline.loadtest.profile import Shape, found, named
from driftline.trace import expected, plan

TOY = """
from driftline.trace import TraceRow

def rows(shape):
    return [TraceRow(line=1, name="toy", created_s=0.0)]
"""


@pytest.mark.parametrize("name", sorted(found()))
def test_every_profile_makes_a_plan_of_its_instances_again_alike(name: str) -> None:
    shape = Shape(instances=50, seed=3)
    rows = named(name)(shape)
    assert expected(rows).spawns == 50
    assert rows == named(name)(shape)
    assert sum(request.kind == "spawn" for request in plan(rows, ["az1"])) == 50


def test_steady_comes_at_its_rate_and_not_in_equal_steps() -> None:
    times = [row.created_s for row in named("steady")(Shape(instances=5000, rate=100))]
    assert times == sorted(times)
    assert 45 < times[-1] < 55
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert 0.8 < variance / mean**2 < 1.2  # an exponential's: 1; equal steps: 0


def test_churn_deletes_each_after_its_life() -> None:
    rows = named("churn")(Shape(instances=20, lives_s=2.5))
    assert all(row.deleted_s == row.created_s + 2.5 for row in rows)


def test_a_profile_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(profiles, "__path__", [*profiles.__path__, str(tmp_path)])
    assert [row.name for row in named("toy")(Shape(instances=1))] == ["toy"]


def test_bad_input_is_named() -> None:
    with pytest.raises(UsageError, match="profile: nosuch is none of burst, churn, steady"):
        named("nosuch")
    with pytest.raises(UsageError, match="instances: 0"):
        Shape(instances=0)
    with pytest.raises(UsageError, match="rate: nan"):
        Shape(instances=1, rate=float("nan"))
