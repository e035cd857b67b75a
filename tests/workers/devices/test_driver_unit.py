import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import RED_1, RED_2, Port, cabled, flows, leaf_vlan, plug, wiring
from workers.devices.protocol import Devices
from workers.devices.simulated.driver import Outcome, SimulatedDevices
from workers.devices.simulated.faults import EffectFaults, FaultPlan
from workers.devices.simulated.journal import Journal
from workers.effects import AnyEffect

A = Port("a", "h1", RED_1, 5)
Timed = list[tuple[float, list[Outcome]]]


def timed(devices: Devices, effects: Sequence[AnyEffect]) -> Timed:
    """The groups of outcomes, each with when it came (seconds of virtual time)."""

    async def collect() -> Timed:
        loop = asyncio.get_running_loop()
        return [(round(loop.time(), 6), list(group)) async for group in devices.apply(effects)]

    return run(collect())


def devices_with(**faults: EffectFaults) -> SimulatedDevices:
    return SimulatedDevices(cabled(), FaultPlan(faults))


def test_without_latency_all_outcomes_come_in_one_group_at_once() -> None:
    effects = [flows(A), *wiring(A)]

    assert timed(devices_with(), effects) == [
        (0.0, [(0, "host h1: no device of port a on br-int"), (1, ""), (2, ""), (3, ""), (4, "")])
    ]


def test_nothing_to_do_yields_nothing() -> None:
    assert timed(devices_with(), []) == []


def test_outcomes_come_as_they_fall_due() -> None:
    devices = devices_with(LeafVlan=EffectFaults(latency=0.05), InstallFlows=EffectFaults(latency=0.02))

    assert timed(devices, wiring(A)) == [(0.0, [(0, "")]), (0.02, [(1, "")]), (0.05, [(2, ""), (3, "")])]


def test_an_effect_is_performed_when_it_falls_due() -> None:
    devices = devices_with(LeafVlan=EffectFaults(latency=0.05))

    async def first_group() -> None:
        async for _ in devices.apply(wiring(A)):
            assert devices.fabric.leftovers().flows == 1
            assert devices.fabric.leftovers().leaf_entries == 0
            return

    run(first_group())


def test_jitter_gives_each_its_own_time() -> None:
    devices = devices_with(PlugVnic=EffectFaults(latency=0.1, jitter=0.5))
    effects = [plug(Port(f"p{n}", "h1", RED_1, n)) for n in range(2, 200)]

    groups = timed(devices, effects)

    assert len(groups) > 100
    assert 0.05 <= groups[0][0] < groups[-1][0] <= 0.15
    assert sorted(index for _, group in groups for index, _ in group) == list(range(len(effects)))
    assert devices.fabric.leftovers().vnics == len(effects)


def test_a_failure_changes_nothing_and_a_lie_does() -> None:
    lying = devices_with(PlugVnic=EffectFaults(applied_fail=1))
    failing = devices_with(PlugVnic=EffectFaults(fail=1))

    assert timed(failing, [plug(A)]) == [(0.0, [(0, "h1: injected failure")])]
    assert not failing.fabric.leftovers()
    assert timed(lying, [plug(A)]) == [(0.0, [(0, "h1: injected failure after it was applied")])]
    assert lying.fabric.leftovers().vnics == 1


def test_a_device_that_never_answers_may_have_applied_it() -> None:
    devices = devices_with(PlugVnic=EffectFaults(timeout=1, latency=0.1))

    assert timed(devices, [plug(Port(f"p{n}", "h1", RED_1, n)) for n in range(2, 102)]) == []
    assert 0 < devices.fabric.leftovers().vnics < 100


def test_a_broken_device_can_be_mended() -> None:
    devices = SimulatedDevices(cabled(), FaultPlan(broken={"l1": "no power"}))
    effect = leaf_vlan("l1", "Ethernet1", RED_2)

    assert timed(devices, [effect]) == [(0.0, [(0, "l1: no power")])]
    devices.set_faults(FaultPlan())
    assert timed(devices, [effect]) == [(0.0, [(0, "")])]


def test_a_journal_brings_its_own_fabric(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, pytest.raises(ValueError, match="fabric: the journal brings its own"):
        SimulatedDevices(cabled(), journal=journal)
