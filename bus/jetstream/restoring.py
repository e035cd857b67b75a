"""Writing a recorded log into a stream, each message at the position that it had."""

from collections.abc import Callable, Sequence
from uuid import uuid4

from bus.decoding import Raw
from bus.errors import LogMismatch, LogUnavailable
from bus.jetstream.acks import Acks
from bus.jetstream.chunks import place
from bus.jetstream.connection import ANSWER_S, Connection, Outgoing

#: Messages in one atomic batch; the server takes 1,000.
_BATCH = 500


async def restore(
    connection: Connection, raws: Sequence[Raw], progress: Callable[[int, int], None] = lambda done, until: None
) -> int:
    """Append ``raws``, whose positions go on one by one where the stream ends; returns how many there were.

    Their times are those of now. Raises LogMismatch when one came to another position, because somebody else
    appends; LogUnavailable.
    """
    acks = Acks(connection)
    await acks.open()
    for start in range(0, len(raws), _BATCH):
        batch = raws[start : start + _BATCH]
        async with acks.expect(1) as replies:
            await connection.publish_all(_messages(batch, replies[0][0]))
            (ack,) = await acks.collect(replies, ANSWER_S)
        if ack.error is not None:
            raise LogUnavailable(f"the message at position {batch[0].position} or after: {ack.error.description}")
        if ack.seq != batch[-1].position:
            raise LogMismatch(f"the message of position {batch[-1].position} came to {ack.seq}: somebody else appends")
        progress(ack.seq, raws[-1].position)
    return len(raws)


def _messages(batch: Sequence[Raw], reply: str) -> list[Outgoing]:
    batch_id = uuid4().hex[:16]
    messages = []
    for at, raw in enumerate(batch, 1):
        answered = reply if at in (1, len(batch)) else ""
        messages.append(Outgoing(raw.subject, raw.data, answered, place(batch_id, at, len(batch))))
    return messages
