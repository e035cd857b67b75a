"""What is watched costs only those who ask for it: also to load."""

import subprocess
import sys

import pytest

HEAVY = ("prometheus_client", "opentelemetry", "http.server")


@pytest.mark.parametrize("module", ["driftline.cli.main", "driftline.cli.run", "driftline.cli.top", "driftline.client"])
def test_a_command_that_is_not_watched_loads_no_exporter(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
