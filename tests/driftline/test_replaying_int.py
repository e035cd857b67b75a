"""Loading a recording into a real log: interrupted, again, and into one that is somebody else's."""

from pathlib import Path

import pytest

from bus.decoding import Raw
from bus.embedded import EmbeddedServer
from bus.recording import RecordedLog, open_recording
from driftline.errors import UsageError
from driftline.replaying import load
from driftline.stack import Options, open_bus
from projections.refold import no_progress

RECORDED = Path(__file__).parent.parent / "recorded" / "v1-real-load.jsonl.gz"


class Interrupted(BaseException):
    """As by Ctrl-C."""


def interrupt(done: int, until: int) -> None:
    raise Interrupted


async def messages(log: RecordedLog) -> list[Raw]:
    return [raw async for batch in log.read_raw(0, await log.last_position()) for raw in batch.raws]


async def test_a_load_that_was_interrupted_goes_on(nats_server: EmbeddedServer) -> None:
    log, options = open_recording(RECORDED), Options(nats=nats_server.url)
    whole = await messages(log)
    with pytest.raises(Interrupted):
        await load(log, options, interrupt)
    async with open_bus(options) as bus:
        half = await bus.log.last_position()
        assert 0 < half < len(whole)
        other = RecordedLog(log.header, "other", [whole[0]._replace(data=b"{}"), *whole[1:]])
        with pytest.raises(UsageError, match=f"the log is not empty, it ends at position {half}"):
            await load(other, options, no_progress)
        assert await load(log, options, no_progress) == len(whole) - half
        found = [raw async for batch in bus.log.read_raw(0, len(whole)) for raw in batch.raws]
    assert [raw[:3] for raw in found] == [raw[:3] for raw in whole]
    with pytest.raises(UsageError, match=f"the log is not empty, it ends at position {len(whole)}"):
        await load(log, options, no_progress)
