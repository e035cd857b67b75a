"""When a run counts as failed, however fast it was."""

from typing import Any

import msgspec
import pytest

from driftline.loadtest.oracle import Accounted, Invariants
from driftline.loadtest.report import Report, faults_of, this_machine
from projections.port_states import PAIRS
from projections.verify import Verdict

EQUAL = Verdict(
    equal=True,
    generation="driftline_g1",
    position=9,
    rows={},
    total=0,
    seconds=0.1,
    hashes={},
    differing=[],
    difference=None,
    first_touched=None,
    last_touched=None,
)
HOLD = Invariants(scope="quiet", exercised={}, violation="")
ALL_THERE = Accounted(events=99, requests=9, holes=0, findings=[])


def good() -> Report:
    """Ten spawns: seven came about, two were refused, one of the seven was deleted."""
    counts = {
        name: 0
        for name, kind in Report.__annotations__.items()
        if kind is int or kind is float  # the rest is not a number
    }
    given: dict[str, Any] = {
        **counts,
        **{"requested": 9, "active": 7, "refused": 2, "deleted": 1, "live": 6, "addresses_held": 6},
        **{"reachable_pairs_checked": 6, "reachable_pairs_ok": 6, "isolated_pairs_checked": 3, "isolated_pairs_ok": 3},
        "machine": this_machine(),
        "port_states": {**dict.fromkeys(PAIRS, 0), "ACTIVE_ACTIVE": 6},
        **{"latency": {}, "curves": {}, "steps": [], "drift_steps": [], "samples": [], "costs": []},
        **{"marks": [], "problems": []},
        **{"verify": EQUAL, "invariants": HOLD, "audit": ALL_THERE},
    }
    return Report(**given)


def test_a_good_run_has_no_fault() -> None:
    assert faults_of(good()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"twice": 1}, "a request ended more than once"),
        ({"requested": 10, "failed": 1}, "a spawn failed"),
        ({"requested": 10}, "a request has no outcome"),
        ({"delete_refused": 1}, "a delete was refused"),
        ({"drift_failed": 1}, "a drift failed"),
        ({"bulk_refused": 1}, "a bulk request was refused"),
        ({"addresses_held": 7}, "an address leaked"),
        ({"live": 7}, "a live instance has no usable port"),
        ({"reachable_pairs_ok": 5}, "a pair that should reach each other does not"),
        ({"isolated_pairs_ok": 2}, "a pair that should be isolated is not"),
        ({"leftovers": 1}, "a device holds what no port needs"),
        ({"verify": msgspec.structs.replace(EQUAL, equal=False)}, "the projections differ from the log"),
        (
            {"invariants": msgspec.structs.replace(HOLD, violation="7 at 9: no")},
            "invariant 7 at 9: no",
        ),
        ({"audit": msgspec.structs.replace(ALL_THERE, findings=["lost: e1"])}, "lost, or amiss: lost: e1"),
    ],
)
def test_each_thing_that_is_wrong_is_a_fault(change: dict[str, Any], fault: str) -> None:
    assert faults_of(msgspec.structs.replace(good(), **change)) == [fault]


def test_where_devices_were_broken_on_purpose_a_request_may_fail_and_nothing_else() -> None:
    run = msgspec.structs.replace(good(), requested=10, failed=1, drift_failed=1)
    assert faults_of(run, may_fail=True) == []
    assert faults_of(msgspec.structs.replace(run, addresses_held=7), may_fail=True) == ["an address leaked"]
