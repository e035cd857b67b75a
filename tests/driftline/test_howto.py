"""The how-to's that show output: each command is run, and what it prints is what they show.

``UPDATE_HOWTO=1 pytest tests/driftline/test_howto.py`` writes it into them anew.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from driftline.cli.main import cli

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto" / "debug-a-stuck-port.md"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def run(line: str) -> str:
    """What the command prints, as a how-to shows it."""
    command, _, into = line.partition(" > ")
    arguments = shlex.split(command)
    assert arguments[0] == "driftline", line
    result = CliRunner().invoke(cli, arguments[1:], catch_exceptions=False)
    assert result.exit_code == 0, (line, result.output)
    if into:
        Path(into).write_text(result.stdout)
        return ""
    return "".join(f"{printed.rstrip()}\n" for printed in result.stdout.rstrip().splitlines())


def shown(block: str) -> str:
    """The block with the output that its commands have now."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{line}\n{run(line[2:])}" for line in commands)


def test_the_commands_of_the_howto_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    text = HOWTO.read_text()
    blocks = _BLOCK.findall(text)
    assert len(blocks) > 5
    now = {block: shown(block) for block in blocks}
    if os.environ.get("UPDATE_HOWTO"):
        HOWTO.write_text(_BLOCK.sub(lambda found: f"```console\n{now[found[1]]}```", text))
        return
    for block, printed in now.items():
        assert block == printed
