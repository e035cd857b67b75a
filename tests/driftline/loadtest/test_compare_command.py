"""``driftline load compare``: its verdict, and that a wrong run fails."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from driftline.cli.load import load
from driftline.errors import NotDone
from driftline.loadtest.compare import Run


def test_a_wrong_run_is_shown_and_fails(tmp_path: Path) -> None:
    for name, faults in (("a", []), ("b", ["an address leaked"])):
        run = Run(spawns_per_second=100.0, seconds=1.0, projected_seconds=1.0, faults=faults)
        (tmp_path / name).write_bytes(msgspec.json.encode(run))
    good = CliRunner().invoke(load, ["compare", str(tmp_path / "a"), str(tmp_path / "a"), "--json"])
    assert msgspec.json.decode(good.output)["verdict"] == "alike"
    wrong = CliRunner().invoke(load, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    assert '"wrong"' in wrong.output
    with pytest.raises(NotDone, match="an address leaked"):
        raise wrong.exception or AssertionError("it did not fail")
