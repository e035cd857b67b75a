"""How the envelopes of one append are cut into messages that can go together, and what holds these together."""

from collections.abc import Iterator, Sequence

from bus.envelope import Envelope
from bus.subjects import once_filter

#: The server's limit for an atomic batch.
CHUNK_MAX = 1000


def chunks(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """Parts that may each be one atomic batch, in order.

    Two envelopes for the same thing that happens only once come into two parts: within a batch the server does not
    check the second against the first.
    """
    chunk: list[Envelope] = []
    once: dict[str, str] = {}
    for envelope in envelopes:
        key = once_filter(envelope.event) if envelope.event.once else ""
        if len(chunk) == CHUNK_MAX or (key and once.get(key, envelope.id) != envelope.id):
            yield chunk
            chunk, once = [], {}
        chunk.append(envelope)
        if key:
            once[key] = envelope.id
    if chunk:
        yield chunk


def segments(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """Parts that may each be sent without waiting for the answers in between, in order.

    A part ends with an event that happens only once: if that is refused, nothing after it may be stored.
    """
    segment: list[Envelope] = []
    for envelope in envelopes:
        segment.append(envelope)
        if envelope.event.once:
            yield segment
            segment = []
    if segment:
        yield segment


def place(batch_id: str, number: int, last: int) -> str:
    """The headers of message ``number``, from 1, of an atomic batch of ``last`` messages."""
    commit = "Nats-Batch-Commit: 1\r\n" if number == last else ""
    return f"Nats-Batch-Id: {batch_id}\r\nNats-Batch-Sequence: {number}\r\n{commit}"
