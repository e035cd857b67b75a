"""The modelled fabric is cabled as the folds understand the world; no fact can end it."""

import pytest
from structlog.testing import capture_logs

from bus.envelope import Recorded
from bus.events import AnyEvent, HostAdded, LeafAdded
from driftline.plane import cable
from projections.world import World
from workers.devices.simulated.driver import SimulatedDevices

LEAVES = [LeafAdded(leaf=f"l{n}", az="az1", vtep=f"10.255.0.{n}", asn=65000 + n) for n in (1, 2, 3)]


def host(name: str, leaf_b: str = "l2", interface: str = "e1") -> HostAdded:
    return HostAdded(host=name, az="az1", leaf_a="l1", leaf_b=leaf_b, interface=interface)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(host("h2", leaf_b="l9", interface="e2"), id="a leaf in another pair, and unknown"),
        pytest.param(host("h2", leaf_b="l3", interface="e2"), id="a leaf in another pair"),
        pytest.param(host("h2"), id="an interface that is taken"),
        pytest.param(host("h2", leaf_b="l1", interface="e2"), id="one leaf twice"),
        pytest.param(host("h1", interface="e9"), id="cabled otherwise"),
        pytest.param(LeafAdded(leaf="l1", az="az1", vtep="10.255.9.9", asn=1), id="another leaf of the name"),
    ],
)
def test_a_contradiction_is_told_and_stands_in_nobodys_way(wrong: AnyEvent) -> None:
    names, told = cabled(*LEAVES, host("h1"), wrong, host("h2", interface="e2"))
    assert names == ["h1", "h2"]
    assert told == ["e5"]


def test_a_host_of_an_unknown_leaf_is_told_and_left_out() -> None:
    names, told = cabled(host("h1"), *LEAVES, host("h2", interface="e2"))
    assert names == ["h2"]
    assert told == ["e1"]


def cabled(*events: AnyEvent) -> tuple[list[str], list[str]]:
    """The hosts that hang on the fabric, and the ids of the facts that were told to be left out."""
    devices = SimulatedDevices()
    records = [Recorded(n, f"e{n}", event, "", "c", "test", 0) for n, event in enumerate(events, 1)]
    with capture_logs() as logs:
        cable(devices, World(), records)
    return devices.fabric.hosts, [line["id"] for line in logs if line["log_level"] == "warning"]
