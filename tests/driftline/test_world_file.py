"""The world from a TOML file: what is read is what was written, and what is wrong is named with its table."""

import tomllib
from pathlib import Path

import pytest

from driftline import scenario
from driftline.world import WorldError, check, load, world_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "world.toml"


def test_the_example_is_sound_and_shows_every_table() -> None:
    events = load(EXAMPLE)
    assert len(check(events)) == len(events)
    world = world_of(check(events))
    assert sorted(world.hosts) == ["az1-h1", "az1-h2", "az1-h3", "az1-h4", "az1-h5", "rack7-node1", "rack7-node2"]
    assert world.hosts["az1-h5"].interface == "Ethernet5"
    assert world.by_label["prod-env"] == ["prod-net1", "prod-net2"]
    assert world.tables["vpcs"]["lab",].vrf == "lab"
    assert world.tables["subnets"]["prod-net2-a",].gateway == "10.0.4.1"
    tables = tomllib.loads(EXAMPLE.read_text())
    assert set(tables) == {"region", "az", "leaf", "leaf_pair", "host", "tenant", "vpc", "network", "subnet"}


VPC = '[[vpc]]\nname = "v"\ntenant = "t"\ncidr = "{}"\n'
SUBNET = '[[subnet]]\nname = "s"\nnetwork = "n"\ncidr = "{}"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file describes nothing"),
        ("[[region]\n", "is not TOML: "),
        ("[[regions]]\n", "Object contains unknown field `regions`"),
        ('[[region]]\nname = "r"\nsite = "x"\n', "region: #1: Object contains unknown field `site`"),
        ('[[region]]\nname = "r"\n[[region]]\n', "region: #2: Object missing required field `name`"),
        ('[[region]]\nname = "a b"\n', "region: #1: name: 'a b': Expected `str` matching"),
        ('region = "r"\n', "region: 'r': Expected `array`, got `str`"),
        (
            '[[leaf_pair]]\naz = "a"\nleaves = ["l1"]\nhosts = 1\n',
            "leaf_pair: #1: leaves: Expected `array` of length 2",
        ),
        (
            '[[leaf_pair]]\naz = "a"\nleaves = ["l1", "l2"]\nhosts = 0\n',
            "leaf_pair: #1: hosts: 0: Expected `int` >= 1",
        ),
        ('[[network]]\nname = "n"\nvpc = "v"\nvni = -1\n', "network: #1: vni: -1: Expected `int` >= 0"),
        (VPC.format("10.0.0.0"), "vpc: #1: cidr: '10.0.0.0': Expected `str` matching"),
        (VPC.format("10.0.0.1/8"), "vpc v: cidr: 10.0.0.1/8 has host bits set"),
        (SUBNET.format("10.0.0.300/24"), "subnet s: cidr: Octet 300"),
        (SUBNET.format("10.0.0.1/24"), "subnet s: cidr: 10.0.0.1/24 has host bits set"),
        (SUBNET.format("10.0.0.0/31"), "subnet s: cidr: 10.0.0.0/31 has no room"),
        (SUBNET.format("10.0.0.0/24") + 'gateway = "10.0.1.1"\n', "subnet s: gateway: 10.0.1.1 is no host address of"),
        (SUBNET.format("10.0.0.0/24") + 'gateway = "x"\n', "subnet s: gateway: x is no IPv4 address"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_table(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "world.toml"
    path.write_text(text)
    with pytest.raises(WorldError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {problem}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"nothing\.toml: cannot be read: No such file or directory$"):
        load(tmp_path / "nothing.toml")
    with pytest.raises(WorldError, match=r"cannot be read: Is a directory$"):
        load(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "\xe9"')
    with pytest.raises(WorldError, match=r"is not UTF-8 text: .* at byte 8$"):
        load(latin)


@pytest.mark.parametrize("path", sorted(EXAMPLE.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_of_a_scenario_its_world_is_read(path: Path) -> None:
    world = world_of(check(load(path)))
    assert world.hosts
    if path != EXAMPLE:
        assert check(load(path)) == list(scenario.load(path).world)


def test_the_parts_of_a_scenario_are_an_error_where_there_is_no_step(tmp_path: Path) -> None:
    path = tmp_path / "world.toml"
    path.write_text('title = "x"\n[[tenant]]\nname = "t"\n')
    with pytest.raises(WorldError, match="unknown field `title`"):
        load(path)
