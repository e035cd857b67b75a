"""``driftline demo``: what a newcomer sees first."""

import re

import pytest

from driftline.figures import STEPS
from projections.port_states import PAIRS
from tests.acceptance.harness import site

pytestmark = [pytest.mark.servers, pytest.mark.processes]

INSTANCES = 60
NUMBERS = ("requested", "active", "failed", "events", "seconds", "spawns_per_second")
PROOF = ("port_states", "reachable_pairs_checked", "reachable_pairs_ok", "verify")


async def test_the_json_document_is_whole_consistent_and_alone() -> None:
    async with site(from_the_shell=True) as place:
        report = await place.json("demo", "--instances", str(INSTANCES))
        await place.nothing_left()
    assert {*NUMBERS, *PROOF} <= set(report)
    assert (report["requested"], report["active"], report["failed"]) == (INSTANCES, INSTANCES, 0)
    assert set(report["port_states"]) == set(PAIRS)
    assert len(PAIRS) == 9
    assert report["port_states"]["ACTIVE_ACTIVE"] == sum(report["port_states"].values()) == INSTANCES
    assert report["reachable_pairs_ok"] == report["reachable_pairs_checked"] >= INSTANCES - 2
    assert report["isolated_pairs_ok"] == report["isolated_pairs_checked"] > 0
    assert report["addresses_held"] == report["live"] == INSTANCES
    assert report["leftovers"] == 0
    assert report["events"] >= INSTANCES * 10  # thirteen steps; what is decided by another's event adds none
    assert report["spawns_per_second"] == pytest.approx(INSTANCES / report["seconds"], rel=0.01)
    verdict = report["verify"]
    assert verdict["equal"] is True
    assert verdict["total"] == sum(verdict["rows"].values())
    assert verdict["rows"]["instances"] == verdict["rows"]["ports"] == verdict["rows"]["spawns"] == INSTANCES


async def test_people_see_figure_10_in_order_of_time_figure_8_the_proof_and_the_verdict() -> None:
    async with site(from_the_shell=True) as place:
        shown = (await place.run("demo", "--instances", str(INSTANCES))).stdout
        await place.nothing_left()
    steps = re.findall(r"^ *\+(\d+\.\d\d) ms .*?[▶◀●├┤─ ](\d{1,2}) ([a-z].*?)(?: *[│─▶◀├┤]|$)", shown, re.MULTILINE)
    assert sorted(int(number) for _, number, _ in steps) == [step.number for step in STEPS]
    times = [float(at) for at, _, _ in steps]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert steps[-1][1:] == ("13", "active")
    for pair in PAIRS:
        count = INSTANCES if pair == "ACTIVE_ACTIVE" else 0
        assert re.search(rf"{pair} +│ +{count} │ +{100 if count else 0}\.00 %", shown), pair
    assert f"{INSTANCES} of {INSTANCES} pairs reach each other" in shown
    assert re.search(r"^equal: \d+ rows", shown, re.MULTILINE)
