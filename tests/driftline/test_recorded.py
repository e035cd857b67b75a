"""The recorded logs of the repository: every event is read, and every worker decides what it decided then."""

from pathlib import Path

import pytest

from bus.recording import open_recording
from driftline.parts import all_workers
from projections.refold import refold
from workers.replayed import Replay

LOGS = sorted((Path(__file__).parent.parent / "recorded").glob("*.jsonl*"))


def test_there_are_logs() -> None:
    assert len(LOGS) > 5


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name.partition(".")[0])
async def test_today_decides_what_was_decided_then(path: Path) -> None:
    log = open_recording(path)
    records = []
    async for batch in log.read(0, await log.last_position()):
        assert batch.rejects == []
        records += batch.records
    assert len(records) > 100
    for worker in all_workers().values():
        assert Replay(worker, records).run().divergences == []


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name.partition(".")[0])
async def test_the_projections_can_be_built_from_it(path: Path) -> None:
    log = open_recording(path)
    views = await refold(log, await log.last_position())
    assert views.rows("hosts")
    assert not views.rows("skipped")
