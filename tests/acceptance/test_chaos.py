"""``driftline load --chaos``: each part and each server is disturbed under load, and the oracle finds nothing amiss."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.harness import Site, site

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.timeout(300)]

FAULTS = "kill:nova@1,restart:nats@2,break:az1-leaf1@4+1.5,restart:postgres@5,pause:projector@6+1,kill:fabric@7"


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Site]:
    async with site() as one:
        yield one


async def test_every_fault_is_let_in_and_nothing_is_lost(place: Site) -> None:
    arguments = ("--profile", "churn", "--instances", "120", "--rate", "15", "--lives", "2", "--html", "page.html")
    report = await place.json("load", *arguments, "--chaos", FAULTS, timeout_s=200)
    assert report["faults"] == []
    assert report["requested"] == 120 == report["active"] + report["failed"]
    assert report["live"] == report["addresses_held"] == 0
    assert report["verify"]["equal"]
    assert report["audit"]["findings"] == []
    assert [mark["what"] for mark in report["marks"]] == [
        "kill nova",
        "restart nats",
        "break az1-leaf1 for 1.5 s",
        "restart postgres",
        "pause projector for 1 s",
        "kill fabric",
    ]
    assert "<td>restart nats</td>" in (place.folder / "page.html").read_text()
    assert {"nova", "ipam", "cnc", "projections"} <= report["samples"][-1]["lags"].keys()
    await place.nothing_left()


#: One network of another model than the fabric's, beside what ``examples/vlan.toml`` has.
VLAN = """
[[network]]
name = "n1"
vpc = "prod"
model = "vlan"
vlan = 100

[[subnet]]
name = "s1"
network = "n1"
cidr = "10.0.1.0/24"
"""


async def test_the_workers_that_a_world_of_ones_own_needs_are_parts_too(place: Site) -> None:
    example = Path(__file__).parents[2] / "examples" / "vlan.toml"
    given = [part for part in example.read_text().split("\n[[") if not part.startswith("step]]")]
    told = [line for line in "\n[[".join(given).splitlines() if not line.startswith(("title", "about"))]
    (place.folder / "world.toml").write_text("\n".join(told) + VLAN)
    report = await place.json(
        *("load", "--world", "world.toml", "--profile", "churn", "--instances", "30", "--rate", "10", "--lives", "1"),
        *("--chaos", "kill:core-router@0.5,pause:core-router@2+0.5"),
        timeout_s=200,
    )
    assert report["faults"] == []
    assert report["active"] == report["deleted"] == 30
    assert "core-router" in report["samples"][-1]["lags"]


async def test_a_leaf_pair_fails_with_all_below_it_and_comes_back(place: Site) -> None:
    """One of the pair is broken by chaos as well, and must stay so until both are over."""
    report = await place.json(
        *("load", "--profile", "storm", "--scope", "leaf-pair", "--hosts", "40", "--instances", "40"),
        *("--chaos", "break:az1-leaf1@0.5+3"),
        timeout_s=200,
    )
    assert report["faults"] == []
    assert report["drifted"] == report["latency"]["drift"]["count"] > 0
    assert "LeavesFail" in [mark["what"] for mark in report["marks"]]
    steps = {step["step"]: step["since_due"] for step in report["drift_steps"]}
    assert steps["7a"]["p50"] > steps["8"]["max"]  # the leaves took nothing until all had drifted
    assert steps["1"]["count"] == report["drifted"]


async def test_nothing_is_left_of_a_run_that_was_killed(place: Site) -> None:
    load = await place.start(
        "load", "--profile", "churn", "--instances", "900", "--rate", "5", "--chaos", "kill:nova@600"
    )
    await load.said("driftline load: churn on")
    os.kill(load.process.pid, signal.SIGKILL)
    await load.ended()
    await place.nothing_left()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--chaos", "kill:nova"], "--chaos 'kill:nova': not like kill:nova@10"),
        (["--chaos", "random"], "--chaos random: say with --for until when"),
        (["--chaos-every", "3"], "--chaos-every: only with --chaos random"),
        (
            ["--chaos", "kill:nova@1", "--nats", "nats://127.0.0.1:1"],
            "--chaos: it needs servers and devices of its own",
        ),
    ],
    ids=["clause", "no-end", "no-chaos", "servers"],
)
async def test_bad_chaos_is_refused_in_one_line(place: Site, arguments: list[str], says: str) -> None:
    assert says in await place.refused("load", "--instances", "3", *arguments)
