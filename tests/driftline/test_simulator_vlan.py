"""Provider networks in the simulator: they survive, and a fence that does not shut interfaces is found."""

import pytest

from driftline.simulator.run import simulate
from driftline.simulator.themes import THEMES
from projections.trunks import Trunks

SEEDS = 3


def seeds_of(theme: str, count: int) -> list[int]:
    """Themes go in turn."""
    return [number * len(THEMES) + list(THEMES).index(theme) for number in range(count)]


@pytest.mark.parametrize("theme", ["provider networks", "provider hosts"])
def test_provider_networks_keep_the_invariants(theme: str) -> None:
    outcomes = [simulate(seed) for seed in seeds_of(theme, SEEDS)]
    assert [outcome.failure for outcome in outcomes] == [None] * SEEDS
    kinds = {kind for outcome in outcomes for kind in outcome.kinds}
    assert {"network.created", "network.refused", "network.gateway_changed", "router.gateway_configured"} <= kinds
    assert theme != "provider hosts" or {"leaf.interface_shut", "leaf.interface_opened", "host.fenced"} <= kinds


def test_a_host_that_is_called_fenced_before_its_interfaces_are_shut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = seeds_of("provider hosts", 20)
    with monkeypatch.context() as patch:
        patch.setattr(Trunks, "is_cut_off", lambda self, host: True)
        failures = ((seed, simulate(seed).failure) for seed in seeds)
        found = next(((seed, failure) for seed, failure in failures if failure is not None), None)
    assert found is not None
    assert found[1] is not None
    assert "does not shut" in found[1].text
    assert simulate(found[0]).failure is None
