"""Request and replies over core NATS: one request, any number of replies, then an end.

A reply with the header ``Driftline-End`` ends them: ``ok``, or ``error`` with a text as its body.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from nats.aio.msg import Msg

from bus.errors import CallFailed, LogUnavailable, NoReply, NoResponder
from bus.jetstream.connection import Connection

END = "Driftline-End"

Handler = Callable[[bytes], AsyncIterator[bytes]]

log = structlog.get_logger("rpc")


async def serve(connection: Connection, subject: str, handler: Handler) -> None:
    """Answer the requests on ``subject`` until cancelled, each at once, however many there are.

    Several processes that serve a subject share its requests. An exception of ``handler`` is logged and told to the
    caller; the others are served on.
    """
    async with asyncio.TaskGroup() as tasks:

        async def take(message: Msg) -> None:
            tasks.create_task(_answer(connection, handler, message), name=f"answer {subject}")

        async with connection.inbox(subject, take, queue="driftline"):
            await asyncio.Event().wait()


async def _answer(connection: Connection, handler: Handler, message: Msg) -> None:
    try:
        async for reply in handler(message.data):
            await connection.publish(message.reply, reply)
        await connection.publish(message.reply, b"", headers={END: "ok"})
    except LogUnavailable as error:
        log.warning("cannot answer", subject=message.subject, reason=str(error))
    except Exception as error:
        # Whatever is wrong with one request is its caller's business; it must not end the service.
        log.exception("request failed", subject=message.subject)
        await connection.publish(message.reply, f"{type(error).__name__}: {error}".encode(), headers={END: "error"})


async def call(connection: Connection, subject: str, data: bytes, timeout: float) -> AsyncIterator[bytes]:
    """The replies to one request, as they come. ``timeout``: the longest wait for the next one, seconds.

    Raises:
        NoResponder: nobody serves the subject.
        NoReply: the replies have stopped coming; the request may have been carried out.
        CallFailed: the handler raised; the text is its error's.
        LogUnavailable: not connected.
    """
    await connection.ready(timeout)
    replies: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = connection.client.new_inbox()
    async with connection.inbox(inbox, replies.put):
        await connection.publish(subject, data, inbox)
        while True:
            try:
                async with asyncio.timeout(timeout):
                    message = await replies.get()
            except TimeoutError:
                raise NoReply(f"{subject}: no reply within {timeout:g} s") from None
            headers = message.headers or {}
            if headers.get("Status") == "503":
                raise NoResponder(f"nobody serves {subject}")
            end = headers.get(END)
            if end == "error":
                raise CallFailed(f"{subject}: {message.data.decode(errors='replace')}")
            if end is not None:
                return
            yield message.data
