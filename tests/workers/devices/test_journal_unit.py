import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import (
    CABLES,
    RED_1,
    Port,
    audit_host,
    flows,
    plug,
    resync_flows,
    resync_host,
    unplug,
    unwiring,
    wired,
    wiring,
    wish,
)
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import CableHost, Fabric, SetHosts
from workers.devices.simulated.faults import EffectFaults, FaultPlan
from workers.devices.simulated.journal import Journal, JournalBroken
from workers.devices.simulated.tamper import AddEntry, AddVnic, DropFlow
from workers.effects import AnyEffect

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h3", RED_1, 6)
NEVER_PLUGGED = Port("c", "h1", RED_1, 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fabric.jsonl"


def written(path: Path, *ports: Port) -> None:
    with Journal(path) as journal:
        journal.write(CABLES)
        for port in ports:
            journal.write(wiring(port))


async def performed(devices: SimulatedDevices, effects: Sequence[AnyEffect]) -> None:
    async for group in devices.apply(effects):
        assert all(outcome.error == "" for outcome in group)


def reopened(path: Path, compact_above_lines: int = 1000) -> Fabric:
    with Journal(path, compact_above_lines=compact_above_lines) as journal:
        return journal.fabric


def test_a_new_journal_tells_of_an_empty_fabric(path: Path) -> None:
    assert reopened(path).cables() == []
    assert path.read_bytes() == b""


def test_devices_come_back_as_they_were(path: Path) -> None:
    written(path, A, B)

    fabric = reopened(path)

    assert fabric.cables() == list(CABLES)
    assert list(fabric.states()) == list(wired(A, B).states())


def test_a_torn_last_line_is_dropped_and_writing_goes_on(path: Path) -> None:
    written(path, A)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])

    with Journal(path) as journal:
        journal.write(wiring(A)[-1:])

    assert path.read_bytes() == whole


def test_a_torn_first_line_leaves_nothing(path: Path) -> None:
    path.write_bytes(b'{"type":"Cab')

    assert reopened(path).cables() == []
    assert path.read_bytes() == b""


def test_a_broken_line_within_is_an_error_that_names_it(path: Path) -> None:
    written(path, A)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))

    with pytest.raises(JournalBroken, match=r"fabric\.jsonl: line 3: "):
        Journal(path)


def test_a_large_journal_is_compacted_and_says_the_same(path: Path) -> None:
    written(path, *[A] * 50, B)
    before = path.stat().st_size
    states = list(reopened(path).states())

    assert list(reopened(path, compact_above_lines=100).states()) == states

    assert path.stat().st_size < before / 5
    assert list(reopened(path).states()) == states
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_compacted_journal_still_knows_epochs(path: Path) -> None:
    written(path, A)
    with Journal(path) as journal:
        journal.write(unwiring(A, epoch=5))

    fabric = reopened(path, compact_above_lines=1)
    for effect in wiring(A, epoch=4)[2:]:
        assert fabric.apply(effect) == ""
    assert not fabric.leftovers()


@pytest.mark.parametrize("compact_above_lines", [1, 1000])
def test_a_journal_still_knows_what_was_withdrawn(path: Path, compact_above_lines: int) -> None:
    written(path, A, B)
    with Journal(path) as journal:
        journal.write([*unwiring(A), *unwiring(B)[:1], unplug(NEVER_PLUGGED)])
    reopened(path, compact_above_lines)

    fabric = reopened(path, compact_above_lines)

    for late in (plug(A), flows(A), plug(B), flows(B), plug(NEVER_PLUGGED)):
        assert fabric.apply(late).endswith(f"port {late.port}: generation 1 was withdrawn")
    assert fabric.apply(plug(A, 2)) == ""
    assert fabric.port_locations("b") == []


def test_fences_are_neither_left_over_nor_dumped(path: Path) -> None:
    written(path, A)
    with Journal(path) as journal:
        journal.write([*unwiring(A), unplug(NEVER_PLUGGED)])

    fabric = reopened(path, compact_above_lines=1)

    assert not fabric.leftovers()
    assert fabric.dump() == {"hosts": {}, "leaves": {}}


def test_a_journal_from_before_the_fences_can_be_read(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(CABLES)
    with path.open("ab") as file:
        file.write(b'{"type":"HostState","host":"h1","vnics":{},"flows":{},"trunk":[]}\n')

    assert reopened(path).apply(plug(A)) == ""


def test_a_journal_from_before_the_generations_of_vnics_can_be_read(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(CABLES)
    vnic = b'{"mac":"fa:16:3e:00:0b:05","ip":"10.0.1.5","prefix_length":24,"gateway":"10.0.1.1"}'
    with path.open("ab") as file:
        file.write(b'{"type":"HostState","host":"h1","vnics":{"a":' + vnic + b'},"flows":{},"trunk":[]}\n')

    fabric = reopened(path)
    assert fabric.apply(flows(A)) == ""
    assert fabric.answers("h1")


def test_a_compacted_journal_keeps_the_torn_line_out(path: Path) -> None:
    written(path, A)
    path.write_bytes(path.read_bytes() + b'{"type":')

    states = list(reopened(path, compact_above_lines=1).states())

    assert states == list(wired(A).states())
    assert list(reopened(path).states()) == states


def test_devices_with_a_journal_survive_their_process(path: Path) -> None:
    with Journal(path) as journal:
        devices = SimulatedDevices(journal=journal)
        devices.cable(CABLES)
        devices.cable(CABLES)  # told again, written once
        run(performed(devices, wiring(A)))

    assert len(path.read_bytes().splitlines()) == len(CABLES) + 4
    with Journal(path) as journal:
        assert SimulatedDevices(journal=journal).fabric.dump() == wired(A).dump()


@pytest.mark.parametrize("compact_above_lines", [1, 1000])
def test_power_partitions_and_what_was_done_by_hand_are_remembered(path: Path, compact_above_lines: int) -> None:
    written(path, A, B)
    with Journal(path) as journal:
        devices = SimulatedDevices(journal=journal)
        devices.set_hosts(SetHosts(power_off=("h1",), cut_off=("h2", "h3")))
        devices.set_hosts(SetHosts(reconnect=("h2",)))
        with pytest.raises(ValueError, match="no host h9"):
            devices.set_hosts(SetHosts(power_on=("h9",)))
        foreign = AddVnic("h2", "x", "fa:16:3e:00:00:01", "10.0.1.99", 24, "10.0.1.1")
        with pytest.raises(ValueError, match="h9"):  # those before it are done
            devices.tamper([foreign, DropFlow("h3", "b"), DropFlow("h9", "b"), DropFlow("h1", "a")])
        devices.tamper([AddEntry("l1", "Ethernet2", 13, 5013, "blue", "10.0.1.1/24")])
    reopened(path, compact_above_lines)

    fabric = reopened(path, compact_above_lines)

    assert [fabric.answers(host) for host in fabric.hosts] == [False, True, False, True]
    assert list(fabric.states()) == list(devices.fabric.states())
    assert fabric.port_locations("x") == ["h2"]
    assert fabric.flow_locations("b") == []
    assert fabric.leaf("l1").entry("Ethernet2", 13) is not None


def test_a_value_that_no_journal_could_hold_is_refused(path: Path) -> None:
    written(path)
    foreign = AddVnic("h1", "not a token", "fa:16:3e:00:00:01", "10.0.1.99", 24, "10.0.1.1")
    with Journal(path) as journal, pytest.raises(ValueError, match=r"AddVnic: .*port"):
        SimulatedDevices(journal=journal).tamper([foreign])

    assert not reopened(path).leftovers()


@pytest.mark.parametrize(
    "resync", [resync_flows("h1", 7, {"a": wish(A), "c": wish(NEVER_PLUGGED)}), resync_host("h1", 7, {})]
)
def test_a_resync_that_died_on_the_way_is_remembered_as_far_as_it_came(path: Path, resync: AnyEffect) -> None:
    written(path, A, NEVER_PLUGGED)
    with Journal(path) as journal:
        devices = SimulatedDevices(
            journal=journal, plan=FaultPlan({type(resync).__name__: EffectFaults(partial=1)}, seed=3)
        )
        before = list(devices.fabric.states())
        run(performed(devices, [resync]))
        assert list(devices.fabric.states()) != before

    assert list(reopened(path).states()) == list(devices.fabric.states())


def test_what_reached_no_device_and_what_only_looked_is_not_written(path: Path) -> None:
    written(path, A)
    size = path.stat().st_size
    with Journal(path) as journal:
        devices = SimulatedDevices(journal=journal)
        run(performed(devices, [audit_host("h1", {"a": 1}, {})]))
        assert path.stat().st_size == size
        devices.set_hosts(SetHosts(power_off=("h1",)))
        size = path.stat().st_size
        for _ in range(3):
            assert run(refused(devices, unplug(A))) == "host h1: no power"
        assert path.stat().st_size == size


async def refused(devices: SimulatedDevices, effect: AnyEffect) -> str:
    (outcome,) = [outcome async for group in devices.apply([effect]) for outcome in group]
    return outcome.error


def test_late_effects_are_remembered_and_die_with_the_devices(path: Path) -> None:
    written(path)
    late = FaultPlan({"PlugVnic": EffectFaults(late=1)})

    async def main() -> None:
        with Journal(path) as journal:
            devices = SimulatedDevices(journal=journal, plan=late)
            await performed(devices, [plug(A)])
            await asyncio.sleep(10)
            await performed(devices, [plug(NEVER_PLUGGED)])
        await asyncio.sleep(10)
        assert devices.on_their_way == 0
        assert list(devices.fabric.host("h1").vnics) == ["a"]

    run(main())
    assert list(reopened(path).host("h1").vnics) == ["a"]


def test_a_cable_that_is_refused_does_not_lose_those_before_it(path: Path) -> None:
    with Journal(path) as journal, pytest.raises(ValueError, match="h1: cabled as"):
        SimulatedDevices(journal=journal).cable([*CABLES, CableHost("h1", "l1", "l2", "Ethernet9")])

    assert reopened(path).cables() == list(CABLES)
