"""Raw messages of the log to events: one bad message never holds up the others."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from bus.envelope import Envelope, Recorded, Rejected, decode, recorded
from bus.errors import MalformedEvent, UnknownEventType
from bus.subjects import subject_of


class Raw(NamedTuple):
    """A stored message before it is understood. ``stored_us``: the log's own time for it, microseconds."""

    position: int
    subject: str
    data: bytes
    stored_us: int


#: How much of what was sent is kept until it is read back: some batches, as one append is on its way at a time.
SENT_MAX = 4000


class RawBatch(NamedTuple):
    """What one read brought, not decoded yet. ``last`` is the position up to which the log has now been read."""

    raws: list[Raw]
    last: int


class Sent:
    """What a process has sent to the log and not read back yet. The same bytes on the same subject need no decoding.

    At most SENT_MAX are kept, the newest: a process that reads nothing back would keep them for ever. Whether a worker
    says what the codec takes is for its tests and the simulator, which decode all of it.
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[bytes, tuple[str, Envelope]] = OrderedDict()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._sent)

    def note(self, subject: str, data: bytes, envelope: Envelope) -> None:
        """``envelope`` goes to the log as ``data`` on ``subject``."""
        sent = self._sent
        sent[data] = subject, envelope
        if len(sent) > SENT_MAX:
            sent.popitem(last=False)

    def back(self, subject: str, data: bytes) -> Envelope | None:
        """The envelope that ``data`` is, if it was sent from here on ``subject``; it is forgotten then."""
        sent = self._sent.pop(data, None)
        return sent[1] if sent is not None and sent[0] == subject else None


def decode_batch(raws: Iterable[Raw], sent: Sent | None = None) -> tuple[list[Recorded], list[Rejected]]:
    """Split ``raws`` into the events and the rest. What was ``sent`` from here is not decoded again.

    A message on another subject than its event's own is malformed: permissions are granted by subject, so a
    publisher could otherwise speak for an aggregate or a host that is not its own.
    """
    records: list[Recorded] = []
    rejects: list[Rejected] = []
    note = records.append
    back = sent.back if sent else None
    for raw in raws:
        position, subject, data, stored_us = raw
        own = back(subject, data) if back is not None else None
        if own is not None:
            note(recorded(own, position, stored_us))
            continue
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
