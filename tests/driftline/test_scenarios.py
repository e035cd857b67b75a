"""Every scenario in ``examples/`` does what it says; and a scenario that does not is told."""

import tomllib
from pathlib import Path

import pytest

from driftline.scenario import ScenarioError, load
from driftline.scenario.virtual import play_virtually
from driftline.world import WorldError

EXAMPLES = Path(__file__).parents[2] / "examples"
SCENARIOS = [path for path in sorted(EXAMPLES.glob("*.toml")) if "step" in tomllib.loads(path.read_text())]
FIRST = EXAMPLES / "spine-leaf.toml"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_does_what_it_says(path: Path) -> None:
    played = play_virtually(load(path))
    assert played.failed is None
    assert len(played.steps) == len(load(path).steps)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = FIRST.read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new))
    return path


DRIFTED = 'type = "instance.drifted.v1", instance = "web-0", host = '
REACH = 'reach = [["web-0", "web-1"], ["db-0", "web-0"]]\n\n[[step]]\nsay = "A spawn'
UNREACHABLE = 'unreachable = [["web-0", "web-1"]]\n\n[[step]]\nsay = "A spawn'


@pytest.mark.parametrize(
    ("old", "new", "what", "why"),
    [
        (f'{DRIFTED}"h2"', f'{DRIFTED}"h3"', "event instance.drifted.v1", "host=h2"),
        ('has = { host = "h2", under', 'has = { host = "h1", under', "ports where port=web-0-0", "it is host=h2"),
        ('"no power"]]', '"smoke"]]', "does not reach", "not because of that"),
        (REACH, UNREACHABLE, "does not reach web-1", "it does"),
        ('via = ["vtep', 'hops = 3, via = ["vtep', "over 3 hops", "hops:"),
        ('fields = ["ip", "mac", "vni"]', 'fields = ["host"]', "keeps host", "it was [['h1']], it is [['h2']]"),
        ('instance = "lost" }, gone = true', 'instance = "web-0" }, gone = true', "is gone", "it is there"),
    ],
)  # fmt: skip
def test_what_does_not_come_is_told(tmp_path: Path, old: str, new: str, what: str, why: str) -> None:
    failed = play_virtually(load(changed(tmp_path, old, new))).failed
    assert failed is not None
    assert what in failed.what
    assert why in failed.why


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('type = "host.down.v1"', 'type = "host.dead.v1"', "step 4"),
        ('type = "host.down.v1"', 'type = "host.dead.v1"', "type: 'host.dead.v1' is no type of event"),
        ('table = "leaf_interfaces"', 'table = "leaves"', "table: 'leaves' is none of"),
        ("underlay = ", "undergrowth = ", "table ports: undergrowth: there is no such column"),
        ('power_off = ["h2"]', 'power_out = ["h2"]', "power_out"),
        ("within_s = 120", 'within_s = "long"', "within_s: 'long'"),
        ('field = "network", value', 'fields = "network", value', "fields: there is no such field"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_told(tmp_path: Path, old: str, new: str, text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(changed(tmp_path, old, new))
    assert text in str(caught.value)
    assert "changed.toml" in str(caught.value)


def test_a_world_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="vni"):
        load(changed(tmp_path, "vni = 5002", "vni = 5001"))


def test_a_world_alone_is_no_scenario() -> None:
    with pytest.raises(ScenarioError, match="step"):
        load(EXAMPLES / "world.toml")
