"""All 4,094 VLANs are taken: the next network is refused, and nothing of it is left."""

from pathlib import Path

import pytest

from tests.acceptance.harness import site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes]

EXAMPLE = Path(__file__).parents[2] / "examples" / "vlan.toml"
VLANS = 4094


def full(text: str, vpc: str) -> str:
    """The world of ``text`` without its networks, and one of each VLAN but the last."""
    kept = [part for part in text.split("\n[[") if not part.startswith(("network]]", "subnet]]", "step]]"))]
    rows = [
        f'network]]\nname = "n{n}"\nvpc = "{vpc}"\nmodel = "vlan"\nvlan = {n}\n\n'
        f'[[subnet]]\nname = "s{n}"\nnetwork = "n{n}"\ncidr = "10.0.{n >> 6}.{4 * (n & 63)}/30"\n'
        for n in range(1, VLANS)
    ]
    lines = "\n[[".join([*kept, *rows]).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("title", "about")))


async def test_the_last_vlan_is_given_out_and_the_next_network_refused(tmp_path: Path) -> None:
    world = tmp_path / "world.toml"
    world.write_text(full(EXAMPLE.read_text(), "prod"))
    async with site() as place:
        await start_up(place, "--world", world)
        ask = ("network", "create", "--model", "vlan", "--vpc", "prod", "--cidr")
        assert f"VLAN {VLANS}" in (await place.run(*ask, "10.0.200.0/24", "last")).stdout
        refused = await place.run(*ask, "10.0.201.0/24", "more", code=1)
        assert "no VLAN is free, all are taken (vlan: any)" in refused.complaint
        networks = {row["network"] for row in await place.json("networks")}
        assert "last" in networks
        assert "more" not in networks
        assert (await place.run("spawn", "a", "--network", "last")).stdout.endswith("is active\n")
