"""A question to all who listen, over core NATS: none, one or many answer, and nobody knows how many there are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from nats.aio.msg import Msg

from bus.errors import LogUnavailable
from bus.jetstream.connection import Connection

#: How long the first answer may take, and how long each further one may be behind the one before, seconds: more than
#: what a busy process needs to say how it stands.
FIRST_S, NEXT_S = 1.0, 0.45

log = structlog.get_logger("rollcall")


@asynccontextmanager
async def answering(
    connection: Connection, subject: str, answer: Callable[[], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Answer each question on ``subject`` until the block ends, whoever else does so."""

    async def take(message: Msg) -> None:
        try:
            await connection.publish(message.reply, await answer())
        except LogUnavailable as error:  # whoever asked will ask again
            log.warning("cannot answer", subject=subject, reason=str(error))

    async with connection.inbox(subject, take):
        yield


async def ask_all(connection: Connection, subject: str) -> list[bytes]:
    """What all say who listen on ``subject``; nothing if nobody does. Raises LogUnavailable when not connected."""
    await connection.ready(FIRST_S)
    replies: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = connection.client.new_inbox()
    answers: list[bytes] = []
    async with connection.inbox(inbox, replies.put):
        await connection.publish(subject, b"", inbox)
        while True:
            try:
                async with asyncio.timeout(NEXT_S if answers else FIRST_S):
                    message = await replies.get()
            except TimeoutError:
                return answers
            if (message.headers or {}).get("Status") == "503":
                return answers
            answers.append(message.data)
