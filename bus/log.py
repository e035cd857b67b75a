"""The log: one totally ordered, append-only sequence of events, numbered from 1.

Two homes pass one contract suite (``tests/bus/test_log_contract.py``): ``bus.memory`` and ``bus.jetstream``.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

import msgspec

from bus.decoding import RawBatch
from bus.envelope import Envelope, Recorded, Rejected


class Appended(msgspec.Struct, frozen=True):
    """Where an envelope ended up. ``duplicate``: its id was in the log already, and nothing was added."""

    position: int
    duplicate: bool


class Batch(msgspec.Struct, frozen=True):
    """What one read brought. ``last`` is the position up to which the log has now been read, rejects and all."""

    records: list[Recorded]
    rejects: list[Rejected]
    last: int


class Log(Protocol):
    """An ordered log of events.

    Event types with ``once`` are appended at most one time per aggregate, whoever tries.
    """

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        """Append all, in order; once this returns they are on disk.

        An envelope whose id is in the log already counts as appended (``duplicate``).

        Raises:
            Conflict: an ``once`` event of the batch is in the log under another id. The envelopes before it may
                have been appended, it and those after it may not.
            LogUnavailable: no answer; any part may have been appended. Appending the same envelopes again is safe.
        """
        ...

    async def last_position(self) -> int:
        """The position of the newest event; 0 for an empty log. Raises LogUnavailable."""
        ...

    async def identity(self) -> str:
        """A text that no other log has: what a checkpoint is only valid for. Raises LogUnavailable."""
        ...

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        """The events at positions ``after < position <= until``, oldest first, then end.

        ``subject`` filters (a NATS subject filter); empty reads whole, which is much faster than a broad filter.
        """
        ...

    def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        """The events after position ``after``, then new ones as they come, for ever.

        Survives a restart of the server: goes on where it was.
        """
        ...


class RawLog(Log, Protocol):
    """A log whose messages can be read as they are stored."""

    def read_raw(self, after: int, until: int) -> AsyncIterator[RawBatch]:
        """As ``read``, whole, every message as it is stored: events, newer ones and what is no event alike."""
        ...


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What the store of a log says about it as a whole.

    ``first``, ``last``: the positions of the oldest and the newest message; ``deleted``: positions between them that
    hold nothing; ``lost``: those that the store could not read any more; ``expires``: whether old messages are dropped
    by age, number or size.
    """

    identity: str
    first: int
    last: int
    deleted: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    expires: bool = False


class Checkpoints(Protocol):
    """How far each worker has got. A checkpoint that is too old costs time and never correctness."""

    async def load(self, name: str) -> int:
        """The saved position of ``name``, 0 if there is none."""
        ...

    async def save(self, name: str, position: int) -> None:
        """Remember ``position`` for ``name``."""
        ...


class Beats(Protocol):
    """When each host's agent was last heard. Not in the log: nobody replays a heartbeat."""

    async def beat(self, agent: str, hosts: Iterable[str], time_us: int) -> None:
        """``agent`` says that these hosts are alive at ``time_us``. Raises LogUnavailable."""
        ...

    async def heard(self) -> dict[str, int]:
        """The newest beat of each host, microseconds. Raises LogUnavailable."""
        ...


class Quarantine(Protocol):
    """Where messages that are no events are kept, with the reason."""

    async def put(self, rejected: Sequence[Rejected]) -> None:
        """Keep each of them, once per position."""
        ...

    async def list(self) -> "list[Rejected]":
        """All that is kept, oldest first."""
        ...
