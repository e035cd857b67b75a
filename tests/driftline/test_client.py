"""What the Python client refuses to publish, before anything is sent."""

from typing import Any

import msgspec
import pytest

from bus.errors import MalformedEvent
from bus.events import SpawnRequested
from bus.memory import MemoryLog
from driftline.client import Client

GOOD = SpawnRequested(instance="i1", name="n1", az="az1", label="web")
WRONG: dict[str, tuple[Any, str]] = {
    "no event": ({"instance": "i1"}, "event: {'instance': 'i1'} is none of bus.events"),
    "no text": (msgspec.structs.replace(GOOD, kind="mainframe"), "kind: 'mainframe' does not fit"),
    "too long": (msgspec.structs.replace(GOOD, name="n" * 64), "name: 'n"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_no_reader_would_take_is_named_and_nothing_is_sent(what: str) -> None:
    event, says = WRONG[what]
    log = MemoryLog()
    with pytest.raises(MalformedEvent) as raised:
        await Client(log).publish_all([GOOD, event])
    assert says in str(raised.value)
    assert await log.last_position() == 0
