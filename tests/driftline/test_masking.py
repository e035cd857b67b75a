"""Masking: nothing that was to be masked is left, and every question can still be asked."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Recorded, encode
from bus.events import InstanceDeleteRequested, PortAllocated, SpawnRequested, SubnetCreated
from bus.memory import MemoryLog
from bus.recording import open_recording
from bus.subjects import subject_of
from driftline.errors import UsageError
from driftline.masking import FIELDS, _Mask, masked
from driftline.parts import all_workers
from projections.refold import refold
from workers.replayed import Replay

RECORDED = Path(__file__).parent.parent / "recorded"
LOGS = ("v1-real-load", "v1-policies", "v1-bulk", "v1-vpcs", "v1-host-local")


async def raws_of(name: str) -> list[Raw]:
    log = open_recording(RECORDED / f"{name}.jsonl.gz")
    return [raw async for batch in log.read_raw(0, await log.last_position()) for raw in batch.raws]


def records_of(raws: list[Raw]) -> list[Recorded]:
    records, rejects = decode_batch(raws)
    assert rejects == []
    return records


@pytest.mark.parametrize("name", LOGS)
async def test_nothing_is_left_and_the_story_is_the_same(name: str) -> None:
    raws = await raws_of(name)
    hidden = masked(raws, FIELDS)
    before, after = records_of(raws), records_of(hidden)
    assert [(type(r.event), r.position, r.actor) for r in before] == [
        (type(r.event), r.position, r.actor) for r in after
    ]
    everything = b"\n".join(raw.subject.encode() + raw.data for raw in hidden)
    spawns = [r.event for r in before if isinstance(r.event, SpawnRequested)]
    secrets = {text for event in spawns for text in (event.name, event.instance) if len(text) > 3}
    secrets |= {r.event.ip for r in before if isinstance(r.event, PortAllocated)}
    assert secrets
    assert [text for text in secrets if text.encode() in everything] == []
    by_id = {one.id: other.id for one, other in zip(before, after, strict=True)}
    assert len({*by_id.values()}) == len({*by_id})
    assert [by_id.get(r.cause, r.cause) for r in before] == [r.cause for r in after]
    story = dict(zip((r.correlation for r in before), (r.correlation for r in after), strict=True))
    assert len({*story.values()}) == len(story)


@pytest.mark.parametrize("name", LOGS)
async def test_the_projections_have_as_many_rows_and_addresses_lie_in_their_subnets(name: str) -> None:
    raws = await raws_of(name)
    hidden = masked(raws, FIELDS)
    last = raws[-1].position
    plain, covered = await refold(MemoryLog(raws=raws), last), await refold(MemoryLog(raws=hidden), last)
    for table in plain.tables():
        assert len(plain.rows(table.name)) == len(covered.rows(table.name)), table.name
    subnets = {r.event.subnet: r.event.cidr for r in records_of(hidden) if isinstance(r.event, SubnetCreated)}
    for r in records_of(hidden):
        if isinstance(r.event, PortAllocated) and r.event.subnet in subnets:
            assert ipaddress.IPv4Address(r.event.ip) in ipaddress.IPv4Network(subnets[r.event.subnet])
            assert bytes.fromhex(r.event.mac.replace(":", ""))[2:] == ipaddress.IPv4Address(r.event.ip).packed


async def test_only_what_was_chosen_is_masked_and_each_time_otherwise() -> None:
    raws = await raws_of("v1-real-load")
    one, other = masked(raws, ["names"]), masked(raws, ["names"])
    assert [raw.data for raw in one] != [raw.data for raw in other]
    ips = [[r.event.ip for r in records_of(some) if isinstance(r.event, PortAllocated)] for some in (raws, one)]
    assert ips[0] == ips[1]


async def test_what_is_no_event_is_emptied() -> None:
    raws = [*await raws_of("v1-real-load"), Raw(9999, "dl.secret", b"not an event: secret", 1)]
    assert masked(raws, ["names"])[-1][1:3] == ("masked", b"masked")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="--mask colours"):
        masked([], ["colours"])


async def test_a_name_may_be_a_word_of_the_language() -> None:
    raws = await raws_of("v1-real-load")
    position = raws[-1].position + 1
    event = b'{"type": "instance.delete_requested.v1", "instance": "port", "az": "az1"}'
    data = b'{"id": "q", "event": %b, "actor": "nova"}' % event
    hidden = masked([*raws, Raw(position, "dl.instance.port.az1._.delete_requested", data, 1)], ["names"])
    last = records_of(hidden)[-1]
    assert isinstance(last.event, InstanceDeleteRequested)
    assert (last.event.instance != "port", last.actor) == (True, "nova")


@pytest.mark.parametrize("name", ["port", "nova", "7", "10", "fa", "allocated"])
async def test_what_an_id_says_of_worker_position_and_event_stays_whatever_names_there_are(name: str) -> None:
    raws = await raws_of("v1-real-load")
    event = SpawnRequested(instance=name, name=name, az="az1", label="web")
    spawn = Envelope(id="q", event=event, cause="", correlation="q", actor="me", time_us=1)
    raws.append(Raw(raws[-1].position + 1, subject_of(event), encode(spawn), 1))
    hidden = records_of(masked(raws, ["names"]))
    said = [(r.id, other.id) for r, other in zip(records_of(raws), hidden, strict=True) if r.id.startswith("ipam:")]
    assert len(said) > 10
    assert [one.split(":")[:3] for one, _ in said] == [other.split(":")[:3] for _, other in said]
    for worker in ("nova", "compute", "ipam", "cnc"):
        assert Replay(all_workers()[worker], hidden[:-1]).run().equal


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_keep_exactly_the_prefix_they_share(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> None:
    mask = _Mask(["addresses"])
    hidden = [int(ipaddress.IPv4Address(mask._ip(str(address)))) for address in (one, other)]
    assert [int(one) & 255, int(other) & 255] == [address & 255 for address in hidden]
    assert (int(one) ^ int(other)).bit_length() == (hidden[0] ^ hidden[1]).bit_length()
