"""The names we import are ours: `bus`, `workers` and the others are common enough for somebody else's package."""

import importlib.util
from pathlib import Path

import pytest

import driftline

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["bus", "projections", "workers", "driftline", "driftline.cli", "bus.jetstream"])
def test_a_package_is_found_in_this_repository(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin) == ROOT.joinpath(*name.split("."), "__init__.py")


def test_driftline_exports_what_a_publisher_needs() -> None:
    names = {"connect", "Client", "Published", "Outcome", "SpawnRequested", "InstanceDeleteRequested", "LogUnavailable"}
    assert names <= set(driftline.__all__)
    assert all(hasattr(driftline, name) for name in driftline.__all__)
