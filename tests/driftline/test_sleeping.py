"""A worker that sleeps until there is something for it decides just what one does that never slept."""

import pytest

from bus.envelope import Recorded
from driftline.parts import all_workers
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from driftline.simulator.themes import THEMES
from workers.machine import Machine
from workers.worker import Worker

SLEEPERS = [worker for worker in all_workers().values() if worker.sleeps_through]
#: Each theme by the first seed that has it.
SEEDS = range(len(THEMES))


def decided(worker: Worker, records: list[Recorded]) -> tuple[list[object], int]:
    """All that ``worker`` decides on ``records``, and at which position it woke; -1: never."""
    machine, woke = Machine(worker), -1
    outputs: list[object] = []
    for r in records:
        outputs.append(machine.step(r, r.time_us))
        if woke < 0 and not machine.is_asleep:
            woke = r.position
    return outputs, woke


@pytest.mark.parametrize("worker", SLEEPERS, ids=lambda worker: worker.name)
def test_sleeping_changes_no_decision(worker: Worker) -> None:
    woke_at = []
    for seed in SEEDS:
        records = play(draw(seed)).records
        outputs, woke = decided(worker, records)
        assert outputs == decided(worker._replace(sleeps_through=frozenset()), records)[0]
        woke_at.append(woke)
        if woke < 0:
            assert not any(outputs)
    assert min(woke_at) < 0 < max(woke_at)  # some slept through a whole log, some woke
