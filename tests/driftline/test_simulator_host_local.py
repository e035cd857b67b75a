"""Hosts with an IPAM of their own in the simulator: blocks come and go, and two hosts never make one name."""

import pytest

from driftline.simulator.run import play, simulate
from driftline.simulator.scenario import draw
from workers import nova

SEEDS = range(4)
THEME = ("host-local",)


def test_host_local_addresses_keep_the_invariants() -> None:
    outcomes = [simulate(seed, THEME) for seed in SEEDS]
    assert [outcome.failure for outcome in outcomes] == [None] * len(SEEDS)
    kinds = {kind for outcome in outcomes for kind in outcome.kinds}
    assert {"host.block_announced", "host.block_refused", "port.address_offered", "router.block_route_set"} <= kinds


def test_one_name_made_on_two_hosts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nova, "_is_free", lambda state, name, instance: True)
    failures = (play(draw(seed, THEME)).outcome.failure for seed in range(25))
    found = next((failure for failure in failures if failure is not None), None)
    assert found is not None
    assert found.number == 2
