from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import CABLES, RED_1, Port, flows, plug, unplug, unwiring, wired, wiring
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import CableHost, Fabric
from workers.devices.simulated.journal import Journal, JournalBroken
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
        assert all(error == "" for _, error in group)


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


def test_a_cable_that_is_refused_does_not_lose_those_before_it(path: Path) -> None:
    with Journal(path) as journal, pytest.raises(ValueError, match="h1: cabled as"):
        SimulatedDevices(journal=journal).cable([*CABLES, CableHost("h1", "l1", "l2", "Ethernet9")])

    assert reopened(path).cables() == list(CABLES)
