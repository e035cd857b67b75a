"""nats-py by itself, with nothing of ours: what our own appending and reading is measured against."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import nats
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from bus.errors import LogUnavailable
from bus.jetstream.streams import LOG

#: How long an answer is waited for, seconds.
ANSWER_S = 10.0


class Message(NamedTuple):
    """What an outside publisher sends. ``id`` goes as ``Nats-Msg-Id``."""

    subject: str
    data: bytes
    id: str


class Plain:
    """The stream of the log as nats-py's own calls see it. Made by ``plain``. All raise LogUnavailable."""

    def __init__(self, stream: JetStreamContext) -> None:
        self._stream = stream

    async def append(self, message: Message) -> None:
        """One message, and wait for its acknowledgement."""
        try:
            await self._stream.publish(message.subject, message.data, headers={"Nats-Msg-Id": message.id})
        except nats.errors.Error as error:
            raise LogUnavailable(f"append by nats-py: {error}") from error

    async def append_all(self, messages: Sequence[Message]) -> None:
        """All of them, without waiting in between, and then wait for all acknowledgements."""
        try:
            answers = [
                await self._stream.publish_async(one.subject, one.data, headers={"Nats-Msg-Id": one.id})
                for one in messages
            ]
            for answer in answers:
                await answer
        except nats.errors.Error as error:
            raise LogUnavailable(f"append by nats-py: {error}") from error

    async def fetch(self, count: int, size: int) -> AsyncIterator[int]:
        """Read the first ``count`` messages, ``size`` at a time, each fetch after the other; how many each brought."""
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        try:
            consumer = await self._stream.pull_subscribe("", stream=LOG, config=config)
            while count > 0:
                messages = await consumer.fetch(min(size, count), timeout=ANSWER_S)
                count -= len(messages)
                yield len(messages)
            await consumer.unsubscribe()
        except nats.errors.Error as error:
            raise LogUnavailable(f"fetch by nats-py: {error}") from error


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Plain]:
    """nats-py's client at ``url``, where our stream is already. Raises LogUnavailable."""
    try:
        client = await nats.connect(url)
    except (nats.errors.Error, OSError) as error:
        raise LogUnavailable(f"{url}: {error}") from error
    try:
        yield Plain(client.jetstream())
    finally:
        await client.close()
