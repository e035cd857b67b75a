"""Raw messages of the log to events: one bad message never holds up the others."""

from collections.abc import Iterable
from typing import NamedTuple

from bus.envelope import Recorded, Rejected, decode, recorded
from bus.errors import MalformedEvent, UnknownEventType
from bus.subjects import subject_of


class Raw(NamedTuple):
    """A stored message before it is understood. ``stored_us``: the log's own time for it, microseconds."""

    position: int
    subject: str
    data: bytes
    stored_us: int


class RawBatch(NamedTuple):
    """What one read brought, not decoded yet. ``last`` is the position up to which the log has now been read."""

    raws: list[Raw]
    last: int


def decode_batch(raws: Iterable[Raw]) -> tuple[list[Recorded], list[Rejected]]:
    """Split ``raws`` into the events and the rest.

    A message on another subject than its event's own is malformed: permissions are granted by subject, so a
    publisher could otherwise speak for an aggregate or a host that is not its own.
    """
    records: list[Recorded] = []
    rejects: list[Rejected] = []
    note = records.append
    for raw in raws:
        position, subject, data, stored_us = raw
        try:
            envelope = decode(data)
        except UnknownEventType as error:
            rejects.append(_reject(raw, f"unknown event type {error}", malformed=False, tag=str(error)))
        except MalformedEvent as error:
            rejects.append(_reject(raw, str(error), malformed=True))
        else:
            belongs = subject_of(envelope.event)
            if belongs == subject:
                note(recorded(envelope, position, stored_us))
            else:
                reason = f"subject: the event belongs on {belongs}, not on {subject}"
                rejects.append(_reject(raw, reason, malformed=True))
    return records, rejects


def _reject(raw: Raw, reason: str, *, malformed: bool, tag: str = "") -> Rejected:
    return Rejected(
        position=raw.position,
        subject=raw.subject,
        reason=reason,
        data=raw.data,
        malformed=malformed,
        tag=tag,
        time_us=raw.stored_us,
    )
