"""``driftline scenario``: on real servers as in virtual time; what does not come is an error."""

import json
from pathlib import Path

import pytest

from tests.acceptance.harness import driftline

EXAMPLE = Path(__file__).parents[2] / "examples" / "spine-leaf.toml"


def first_steps(tmp_path: Path) -> Path:
    """Without the host that dies: nobody is to wait a minute for its silence."""
    path = tmp_path / "steps.toml"
    path.write_text(EXAMPLE.read_text().partition('[[step]]\nsay = "h2 loses')[0])
    return path
