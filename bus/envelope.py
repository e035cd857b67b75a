"""The envelope around each event, its JSON codec, and what a reader of the log is handed.

Wire format (JSON, one object a message)::

    {"id": "nova:17:instance.scheduled:i1", "cause": "req-1", "correlation": "req-1", "actor": "nova",
     "time_us": 1760000000000000, "event": {"type": "instance.scheduled.v1", "instance": "i1", ...}}

Only ``id`` and ``event`` are required from an outside publisher: ``correlation`` defaults to the id (the request starts
its own story), ``time_us`` to the time at which the log stored the message. ``traceparent`` (W3C Trace Context) is
there only where somebody traces.
"""

import re
import time
import uuid
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from bus.errors import MalformedEvent, UnknownEventType
from bus.events import EVENT_TYPES, AnyEvent, Event, tag_of
from bus.events.base import TimeUs
from bus.upcasting import UPCASTERS, upcast


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event on its way to the log.

    ``id`` is unique for ever (sent as ``Nats-Msg-Id``); ``cause`` is the id of the event that led to this one;
    ``correlation`` is the id of the first request; ``actor`` is who publishes; ``time_us`` is when it happened.
    ``traceparent`` says in whose trace it is told, as W3C Trace Context has it. Nothing is decided by it.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    event: AnyEvent
    cause: Annotated[str, msgspec.Meta(max_length=256)] = ""
    correlation: Annotated[str, msgspec.Meta(max_length=256)] = ""
    actor: Annotated[str, msgspec.Meta(max_length=64)] = "external"
    time_us: TimeUs = 0
    traceparent: Annotated[str, msgspec.Meta(max_length=256)] | UnsetType = UNSET


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One event as the log holds it. ``position`` is its sequence number there, from 1, rising by one.

    ``time_us`` is what the publisher says, ``stored_us`` the log's own time: it never goes back. 0: not in a log.
    """

    position: int
    id: str
    event: Event
    cause: str
    correlation: str
    actor: str
    time_us: int
    stored_us: int = 0
    traceparent: str | UnsetType = UNSET


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the log that is no event: ``malformed`` (quarantined), or of a newer type (skipped and counted).

    ``tag`` is the newer type's, shortened; ``data`` may be cut off where it is kept.
    """

    position: int
    subject: str
    reason: str
    data: bytes
    malformed: bool
    tag: str = ""
    time_us: int = 0


class _Tagged(msgspec.Struct):
    type: str


class _Untyped(msgspec.Struct):
    """Just enough of an envelope to tell an unknown tag from a malformed event."""

    event: _Tagged


#: How much of an unknown tag is told.
TAG_MAX = 100
#: What decoding may raise: no JSON, not the right JSON, no UTF-8, JSON too deep for the stack.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Envelope)
_UNTYPED_DECODER = msgspec.json.Decoder(_Untyped)
_KNOWN_TAGS = frozenset(tag_of(event_type) for event_type in EVENT_TYPES)


def encode(envelope: Envelope) -> bytes:
    """The envelope as JSON."""
    return _ENCODER.encode(envelope)


def decode(data: bytes) -> Envelope:
    """The envelope in ``data``, its event in the newest version.

    Raises:
        UnknownEventType: the JSON is an envelope with a tag that this version does not know.
        MalformedEvent: anything else that is wrong, naming the field.
    """
    try:
        return _DECODER.decode(data)
    except _UNDECODABLE as error:
        tag = _unknown_tag(data)
        if tag in UPCASTERS:
            return _upcast(data)
        if tag is not None:
            raise UnknownEventType(tag) from error
        raise MalformedEvent(_said(error)) from error


def _said(error: Exception) -> str:
    """What is wrong, and where: an event says of its own identifiers where they are in it, msgspec where it is."""
    return re.sub(r" - at `\$([^`]*)` - at `\$([^`]*)`$", r" - at `$\2\1`", str(error))


def _upcast(data: bytes) -> Envelope:
    try:
        document = msgspec.json.decode(data)
        return msgspec.convert({**document, "event": upcast(document["event"])}, Envelope)
    except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
        raise MalformedEvent(f"not what its version says: {type(error).__name__}: {_said(error)}") from error


def _unknown_tag(data: bytes) -> str | None:
    try:
        tag = _UNTYPED_DECODER.decode(data).event.type
    except _UNDECODABLE:
        return None
    return tag[:TAG_MAX] if tag not in _KNOWN_TAGS else None


def recorded(envelope: Envelope, position: int, stored_us: int) -> Recorded:
    """``envelope`` as read from ``position``; ``stored_us`` is the log's own time for it (microseconds)."""
    return Recorded(
        position,
        envelope.id,
        envelope.event,
        envelope.cause,
        envelope.correlation or envelope.id,
        envelope.actor,
        envelope.time_us or stored_us,
        stored_us,
        envelope.traceparent,
    )


def request(
    event: AnyEvent, *, actor: str = "external", id: str | None = None, traceparent: str | UnsetType = UNSET
) -> Envelope:
    """An envelope for the first event of a story, stamped now. ``id`` makes a retry of the same request harmless."""
    number = id or uuid.uuid4().hex
    return Envelope(id=number, event=event, correlation=number, actor=actor, time_us=now_us(), traceparent=traceparent)


def now_us() -> int:
    """The wall clock in microseconds since the Unix epoch. Never called by ``decide`` or ``evolve``."""
    return time.time_ns() // 1000
