"""``driftline scenario``: on real servers as in virtual time; what does not come is an error."""

from pathlib import Path

import pytest

from tests.acceptance.harness import site

pytestmark = pytest.mark.processes

EXAMPLE = Path(__file__).parents[2] / "examples" / "spine-leaf.toml"


def first_steps(tmp_path: Path) -> Path:
    """Without the host that dies: nobody is to wait a minute for its silence."""
    path = tmp_path / "steps.toml"
    path.write_text(EXAMPLE.read_text().partition('[[step]]\nsay = "h2 loses')[0])
    return path


@pytest.mark.servers
async def test_it_plays_on_servers_of_its_own(tmp_path: Path) -> None:
    async with site() as place:
        document = await place.json("scenario", first_steps(tmp_path), "--on", "embedded")
    assert document["passed"]
    assert document["reach"]["web-0"] == {"db-0": True, "web-1": True}
    assert [step["step"] for step in document["steps"]] == [1, 2, 3]
    drifted = document["steps"][1]["events"]
    assert any(record["event"]["type"] == "instance.drifted.v1" for record in drifted)
    assert document["cleanup"] == [
        {"what": "every instance is deleted, and nothing of it is left", "holds": True, "why": ""}
    ]


async def test_it_explains_each_step_to_people() -> None:
    async with site() as place:
        ended = await place.run("scenario", EXAMPLE)
    for text in ("Step 4", "host.fenced h2", "✓ web-0 reaches web-1", "Who reaches whom", "nothing of it is left"):
        assert text in ended.stdout


async def test_what_does_not_come_is_an_error(tmp_path: Path) -> None:
    path = first_steps(tmp_path)
    old, new = 'keeps = [{ table = "ports"', 'never = [{ type = "port.claimed.v1" }]\nkeeps = [{ table = "ports"'
    path.write_text(path.read_text().replace(old, new))
    async with site() as place:
        ended = await place.run("scenario", path, code=1)
    assert "no event port.claimed.v1: it came" in ended.complaint


async def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    async with site() as place:
        assert "cannot be read" in await place.refused("scenario", tmp_path / "none.toml")
