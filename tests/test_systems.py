"""``docs/systems.md`` names files that there are, and every scenario and system test there is."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [
    re.findall(r"`((?:tests|examples)/[\w./-]+)`", line)
    for line in (ROOT / "docs" / "systems.md").read_text().splitlines()
    if line.startswith("| ") and "`tests/" in line
]


def test_each_row_names_a_test_and_a_scenario_that_there_are() -> None:
    assert ROWS
    for row in ROWS:
        assert len(row) >= 2, row
        for name in row:
            assert (ROOT / name).is_file(), name


def test_each_system_has_its_row() -> None:
    named = {name for row in ROWS for name in row}
    tests = {f"tests/acceptance/{path.name}" for path in (ROOT / "tests" / "acceptance").glob("test_system_*.py")}
    files = [path for path in (ROOT / "examples").glob("*.toml") if "step" in tomllib.loads(path.read_text())]
    assert tests <= named
    no_systems = {"examples/spine-leaf.toml", "examples/stuck-port.toml"}
    assert {f"examples/{path.name}" for path in files} - no_systems <= named
