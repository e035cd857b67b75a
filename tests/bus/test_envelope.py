"""The envelope's codec: what goes in comes out, and what is wrong is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.decoding import SENT_MAX, Raw, Sent, decode_batch
from bus.envelope import Envelope, decode, encode, recorded, request
from bus.errors import MalformedEvent, UnknownEventType
from bus.subjects import subject_of
from tests.bus.given import plugged
from tests.bus.strategies import envelopes


@given(envelopes())
def test_what_goes_in_comes_out(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@given(st.lists(envelopes(), max_size=5))
def test_a_batch_on_its_own_subjects_is_read_whole(batch: list[Envelope]) -> None:
    raws = [Raw(n, subject_of(one.event), encode(one), 99) for n, one in enumerate(batch, 1)]
    records, rejects = decode_batch(raws)
    assert rejects == []
    assert records == [recorded(one, n, 99) for n, one in enumerate(batch, 1)]


@given(st.lists(envelopes(), max_size=5), st.lists(st.booleans(), min_size=5, max_size=5))
def test_what_was_sent_from_here_is_read_as_from_anybody(batch: list[Envelope], ours: list[bool]) -> None:
    sent = Sent()
    raws = [Raw(n, subject_of(one.event), encode(one), 99) for n, one in enumerate(batch, 1)]
    for raw, one, own in zip(raws, batch, ours, strict=False):
        if own:
            sent.note(raw.subject, raw.data, one)
    assert decode_batch(raws, sent) == decode_batch(raws)
    assert decode_batch(raws, sent) == decode_batch(raws)  # it is forgotten, and decoded


def test_what_was_sent_is_nobodys_on_another_subject() -> None:
    envelope, sent = plugged(1), Sent()
    sent.note(subject_of(envelope.event), encode(envelope), envelope)
    raws = [Raw(1, "dl.port.i2-0.az1.h1.plugged", encode(envelope), 0)]
    assert decode_batch(raws, sent) == decode_batch(raws)
    assert len(decode_batch(raws)[1]) == 1


def test_the_oldest_of_what_was_sent_is_forgotten() -> None:
    sent = Sent()
    for number in range(SENT_MAX + 1):
        sent.note("dl.x", b"%d" % number, plugged(number))
    assert sent.back("dl.x", b"0") is None
    assert sent.back("dl.x", b"1") == plugged(1)
    assert sent.back("dl.x", b"1") is None


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    records, rejects = decode_batch([Raw(1, "dl.x", data, 0)])
    assert (len(records), len(rejects)) == (0, 1)


@given(envelopes(), st.data())
def test_a_cut_message_is_malformed(envelope: Envelope, data: st.DataObject) -> None:
    whole = encode(envelope)
    with pytest.raises(MalformedEvent):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"id": "", "event": {"type": "port.registered.v1"}}', r"\$\.id|event"),
        (
            b'{"id": "x", "event": {"type": "port.registered.v1", "port": "a.b", "az": "z", "host": "h"}}',
            r"\$\.event\.port",
        ),
        (b'{"id": "x", "event": {"type": "port.registered.v1", "port": "p", "az": "z"}}', "`host`"),
        (b'{"event": {"type": "tenant.added.v1", "tenant": "t"}}', "`id`"),
        (
            b'{"id": "x", "event": {"type": "vpc.created.v1", "vpc": "v", "tenant": "t", "vrf": "r", "cidr": "10"}}',
            "cidr",
        ),
        (b"[]", "object"),
        (b"\xff", "(?i)utf|malformed|invalid"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, field: str) -> None:
    with pytest.raises(MalformedEvent, match=field):
        decode(data)


def test_a_newer_event_is_unknown_not_malformed() -> None:
    with pytest.raises(UnknownEventType, match=r"port\.allocated\.v2"):
        decode(b'{"id": "x", "event": {"type": "port.allocated.v2", "port": 5}}')


def test_a_new_field_is_ignored() -> None:
    assert decode(b'{"id": "x", "new": 1, "event": {"type": "tenant.added.v1", "tenant": "t", "new": 2}}').id == "x"


def test_defaults_of_an_outside_publisher() -> None:
    envelope = decode(b'{"id": "x", "event": {"type": "tenant.added.v1", "tenant": "t"}}')
    record = recorded(envelope, 4, stored_us=123)
    assert (record.position, record.correlation, record.cause, record.time_us) == (4, "x", "", 123)
    assert recorded(plugged(1), 5, stored_us=123).time_us == 7


def test_a_request_starts_its_own_story() -> None:
    one, other = request(plugged(1).event), request(plugged(1).event)
    assert one.id != other.id
    assert (one.correlation, one.cause) == (one.id, "")
    assert one.time_us > 0
    assert request(plugged(1).event, id="mine").id == "mine"


def test_the_trace_is_on_the_wire_only_where_there_is_one() -> None:
    plain = request(plugged(1).event, id="q")
    assert b"traceparent" not in encode(plain)
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced = request(plugged(1).event, id="q", traceparent=traceparent)
    assert decode(encode(traced)).traceparent == traceparent
    assert recorded(decode(encode(traced)), 1, 2).traceparent == traceparent
