"""What was once written is read for ever, and what is newer than this program holds up nobody."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus import upcasting
from bus.decoding import decode_batch
from bus.envelope import decode
from bus.errors import MalformedEvent, UnknownEventType
from bus.events import EVENT_TYPES, RouterGatewayConfigured, tag_of
from bus.recording import open_recording
from bus.upcasting import UPCASTERS, Upcaster, upcast

RECORDED = Path(__file__).parent.parent / "recorded"
V1 = {
    "type": "router.gateway_configured.v1",
    **{"router": "core1", "network": "legacy", "vlan": 100, "address": "10.7.0.1/24", "epoch": 9},
}


def message(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"id": "x", "event": event})


def test_an_old_event_is_read_as_its_newest_version() -> None:
    assert decode(message(V1)).event == RouterGatewayConfigured(
        router="core1", network="legacy", vlan=100, ip="10.7.0.1", prefix_length=24, epoch=9
    )


def test_upcasting_leaves_what_it_is_given_and_what_is_new_as_they_are() -> None:
    before = dict(V1)
    newest = upcast(V1)
    assert before == V1
    assert upcast(newest) == newest
    assert newest["type"] == tag_of(RouterGatewayConfigured)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "10.7.0.1"},
        {"address": "10.7.0.1/many"},
        {"address": "here/24"},
        {"address": "10.7.0.1/33"},
        {"vlan": 4095},
        {"router": None},
    ],
)
def test_what_never_was_one_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvent):
        decode(message(V1 | wrong))
    with pytest.raises(MalformedEvent):
        decode(message({name: value for name, value in V1.items() if name not in wrong}))


def test_upcasters_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    older = Upcaster(
        "router.gateway_configured.v1", lambda event: {**event, "address": f"{event['address']}/{event.pop('length')}"}
    )
    monkeypatch.setitem(upcasting.UPCASTERS, "router.gateway_configured.v0", older)
    v0 = V1 | {"type": "router.gateway_configured.v0", "address": "10.7.0.1", "length": 24}
    assert decode(message(v0)) == decode(message(V1))


def test_each_ends_at_an_event_of_today_and_keeps_its_subject() -> None:
    known = {tag_of(event_type) for event_type in EVENT_TYPES}
    for old, upcaster in UPCASTERS.items():
        assert old not in known
        assert old.rpartition(".")[0] == upcaster.tag.rpartition(".")[0]
        tag = upcaster.tag
        while tag in UPCASTERS:
            tag = UPCASTERS[tag].tag
        assert tag in known


def test_every_tag_that_was_ever_written_can_be_read() -> None:
    """A tag that is not in the list is new: add it. One that cannot be read any more needs an upcaster."""
    written = {*(RECORDED / "tags.txt").read_text().split()}
    readable = {tag_of(event_type) for event_type in EVENT_TYPES} | {*UPCASTERS}
    assert written == readable


async def test_a_log_of_the_first_version_is_read_whole() -> None:
    log = open_recording(RECORDED / "v1-provider-networks.jsonl.gz")
    raws = [raw async for batch in log.read_raw(0, await log.last_position()) for raw in batch.raws]
    old = [raw for raw in raws if b'"router.gateway_configured.v1"' in raw.data]
    records, rejects = decode_batch(old)
    assert old
    assert rejects == []
    assert all(isinstance(r.event, RouterGatewayConfigured) for r in records)


def test_a_newer_version_is_unknown_and_no_fault() -> None:
    with pytest.raises(UnknownEventType, match="v3"):
        decode(message(V1 | {"type": "router.gateway_configured.v3"}))
