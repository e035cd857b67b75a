import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.events import HostDifference
from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import (
    RED_1,
    RED_2,
    Port,
    audit_host,
    cabled,
    flows,
    leaf_vlan,
    plug,
    resync_flows,
    resync_host,
    unplug,
    wired,
    wiring,
    wish,
)
from workers.devices.protocol import Devices, Outcome
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import SetHosts
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
        (0.0, [Outcome(0, "host h1: no device of port a on br-int"), Outcome(1), Outcome(2), Outcome(3), Outcome(4)])
    ]


def test_nothing_to_do_yields_nothing() -> None:
    assert timed(devices_with(), []) == []


def test_outcomes_come_as_they_fall_due() -> None:
    devices = devices_with(LeafVlan=EffectFaults(latency=0.05), InstallFlows=EffectFaults(latency=0.02))

    assert timed(devices, wiring(A)) == [(0.0, [Outcome(0)]), (0.02, [Outcome(1)]), (0.05, [Outcome(2), Outcome(3)])]


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
    assert sorted(outcome.index for _, group in groups for outcome in group) == list(range(len(effects)))
    assert devices.fabric.leftovers().vnics == len(effects)


def test_a_failure_changes_nothing_and_a_lie_does() -> None:
    lying = devices_with(PlugVnic=EffectFaults(applied_fail=1))
    failing = devices_with(PlugVnic=EffectFaults(fail=1))

    assert timed(failing, [plug(A)]) == [(0.0, [Outcome(0, "h1: injected failure")])]
    assert not failing.fabric.leftovers()
    assert timed(lying, [plug(A)]) == [(0.0, [Outcome(0, "h1: injected failure after it was applied")])]
    assert lying.fabric.leftovers().vnics == 1
    assert timed(lying, [plug(A._replace(host="h9"))]) == [(0.0, [Outcome(0, "no device h9")])]


def test_a_device_that_never_answers_may_have_applied_it() -> None:
    devices = devices_with(PlugVnic=EffectFaults(timeout=1, latency=0.1))

    assert timed(devices, [plug(Port(f"p{n}", "h1", RED_1, n)) for n in range(2, 102)]) == []
    assert 0 < devices.fabric.leftovers().vnics < 100


def test_a_broken_device_can_be_mended() -> None:
    devices = SimulatedDevices(cabled(), FaultPlan(broken={"l1": "no power"}))
    effect = leaf_vlan("l1", "Ethernet1", RED_2)

    assert timed(devices, [effect]) == [(0.0, [Outcome(0, "l1: no power")])]
    devices.set_faults(FaultPlan())
    assert timed(devices, [effect]) == [(0.0, [Outcome(0)])]


def test_what_was_found_comes_with_the_outcome_unless_the_device_says_that_it_failed() -> None:
    lying = SimulatedDevices(wired(A), FaultPlan({"ResyncHost": EffectFaults(applied_fail=1)}))
    devices = SimulatedDevices(wired(A))
    found = tuple(HostDifference(part, "a", 1, missing=False) for part in ("vnic", "flows"))
    clean = resync_host("h1", 1, {})

    assert timed(devices, [audit_host("h1", {}, {}), clean, audit_host("h1", {}, {})]) == [
        (0.0, [Outcome(0, "", found), Outcome(1, "", found), Outcome(2)])
    ]
    assert timed(lying, [clean]) == [(0.0, [Outcome(0, "h1: injected failure after it was applied")])]
    assert lying.fabric.leftovers().vnics == 0


def test_a_late_effect_is_performed_when_nobody_waits_for_it_any_more() -> None:
    devices = devices_with(PlugVnic=EffectFaults(late=1, lateness=10))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert [group async for group in devices.apply([plug(A)])] == []
        assert (loop.time(), devices.on_their_way, devices.fabric.leftovers().vnics) == (0, 1, 0)
        await asyncio.sleep(10)
        assert (devices.on_their_way, devices.fabric.leftovers().vnics) == (0, 1)

    run(main())


def test_a_late_effect_that_was_withdrawn_meanwhile_is_refused() -> None:
    devices = devices_with(PlugVnic=EffectFaults(late=1))

    async def main() -> None:
        assert [group async for group in devices.apply([plug(A), unplug(A)])] == [[Outcome(1)]]
        await asyncio.sleep(10)
        assert devices.on_their_way == 0
        assert not devices.fabric.leftovers()

    run(main())


def test_a_late_effect_finds_the_host_as_it_is_then() -> None:
    devices = devices_with(PlugVnic=EffectFaults(late=1))

    async def main() -> None:
        assert [group async for group in devices.apply([plug(A)])] == []
        devices.set_hosts(SetHosts(power_off=("h1",)))
        await asyncio.sleep(10)
        assert not devices.fabric.leftovers()

    run(main())


def test_a_resync_that_dies_on_the_way_is_finished_when_tried_again() -> None:
    ports = [Port(f"p{n}", "h1", RED_1, n) for n in range(2, 102)]
    devices = SimulatedDevices(wired(A, *ports), FaultPlan({"ResyncFlows": EffectFaults(partial=1)}))
    resync = resync_flows("h1", 7, {port.port: wish(port) for port in ports})
    host = devices.fabric.host("h1")

    assert timed(devices, [resync]) == []
    assert {flow.cookie for flow in host.flows.values()} == {0, 7}
    assert "a" in host.flows
    devices.set_faults(FaultPlan())
    stale = HostDifference("flows", "a", 1, missing=False)
    assert timed(devices, [resync]) == [(0.0, [Outcome(0, "", (stale,))])]
    assert [flow.installed for flow in host.flows.values()] == list(range(2, 102))


def test_hosts_that_can_be_heard() -> None:
    devices = SimulatedDevices(cabled())
    devices.set_hosts(SetHosts(power_off=("h1",), cut_off=("h2",)))

    assert run(devices.alive(["h1", "h2", "h3", "h9"])) == {"h3"}
    assert timed(devices, [plug(A)]) == [(0.0, [Outcome(0, "host h1: no power")])]


FAULTY_RUN = """
import hashlib, msgspec
from tests.workers.devices.test_driver_unit import faulty_run
print(hashlib.sha256(msgspec.json.encode(faulty_run())).hexdigest())
"""


def faulty_run() -> list[object]:
    """All that came of a run in virtual time with every fault."""
    ports = [Port(f"p{n}", f"h{n % 4 + 1}", RED_1, n) for n in range(2, 60)]
    faults = EffectFaults(latency=0.01, jitter=1, fail=0.1, applied_fail=0.1, timeout=0.1, partial=0.1, late=0.2)
    plan = FaultPlan(
        dict.fromkeys(("PlugVnic", "InstallFlows", "LeafVlan", "ResyncFlows", "ResyncHost"), faults), seed=5
    )
    devices = SimulatedDevices(cabled(), plan)
    resyncs: list[AnyEffect] = [
        resync_flows("h1", 7, {p.port: wish(p) for p in ports}),
        resync_host("h2", 9, {"p5": 1}),
    ]

    async def main() -> list[object]:
        effects = [effect for port in ports for effect in wiring(port)] + resyncs * 3
        groups = [list(group) async for group in devices.apply(effects)]
        await asyncio.sleep(100)
        return [groups, list(devices.fabric.states())]

    return run(main())


def test_the_same_seed_is_the_same_run_for_every_hash_seed() -> None:
    here = [faulty_run(), faulty_run()]
    assert here[0] == here[1]
    elsewhere = [
        subprocess.run(
            [sys.executable, "-c", FAULTY_RUN],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert elsewhere[0] == elsewhere[1] != ""


def test_a_journal_brings_its_own_fabric(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, pytest.raises(ValueError, match="fabric: the journal brings its own"):
        SimulatedDevices(cabled(), journal=journal)
