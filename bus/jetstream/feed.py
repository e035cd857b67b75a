"""Reading a long stretch of the log through a process of its own, so that reading and folding use two cores.

The other process (``main``) reads as everybody does and writes what it has read to its standard output: frames of a
length (4 bytes, big-endian) and that many bytes of MessagePack, each a ``RawBatch``. It ends when it has read all, when
its standard input ends (whoever started it has gone), or when it fails; then the rest is read the usual way.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import structlog
import uvloop

from bus.decoding import Raw, RawBatch
from bus.errors import BusError

#: From so many events on it is worth a process.
FEED_MIN = 100_000
#: Messages in one frame, and how much is read ahead, bytes.
FRAME_MESSAGES = 1000
AHEAD_BYTES = 32 * 1024 * 1024
#: What a pipe may hold, bytes: what Linux lets everybody have.
PIPE_BYTES = 1024 * 1024

_LENGTH = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[Raw], int]).decode

log = structlog.get_logger("bus")


async def fed(url: str, after: int, until: int) -> AsyncGenerator[RawBatch, None]:
    """The messages at ``after < position <= until``, as long as the other process lives: it may end before that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from bus.jetstream.feed import main; main()", str(after), str(until)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=AHEAD_BYTES,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(url.encode() + b"\n")  # not among the arguments: it may hold a password
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while after < until:
                size = int.from_bytes(await process.stdout.readexactly(_LENGTH), "big")
                raws, after = _decode(await process.stdout.readexactly(size))
                yield RawBatch(raws, after)
    finally:
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if after < until:
        log.warning("reading on without the other process, which has ended", after=after)


async def _feed(url: str, after: int, until: int, output: int) -> None:
    from bus.jetstream.connection import connect  # noqa: PLC0415 - each imports the other
    from bus.jetstream.reader import Reader  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(output, "wb")
    )
    transport.set_write_buffer_limits(high=AHEAD_BYTES)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    async with connect(url, name="driftline feed") as connection:
        raws: list[Raw] = []
        async for batch in Reader(connection, "", 10.0).read(after, until):
            raws += batch.raws
            if len(raws) >= FRAME_MESSAGES or batch.last >= until:
                frame = _encode((raws, batch.last))
                writer.write(len(frame).to_bytes(_LENGTH, "big") + frame)
                raws = []
                await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _while_wanted(work: Any) -> None:
    """Run ``work`` until it is done or standard input ends."""
    loop = asyncio.get_running_loop()
    gone = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(gone), sys.stdin)
    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(gone.read())}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()


def main() -> None:
    """The other process: ``after`` and ``until`` are its arguments, the server's URL is its first line of input."""
    output = os.dup(1)
    os.dup2(2, 1)  # what anybody prints is no frame
    with contextlib.suppress(AttributeError, OSError):  # not on every system, and less will do
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    url = b""
    while not url.endswith(b"\n"):
        url += os.read(0, 1)
    after, until = map(int, sys.argv[1:3])
    try:
        uvloop.run(_while_wanted(_feed(url.decode().strip(), after, until, output)))
    except (BusError, OSError) as error:
        sys.stderr.write(f"reading ahead: {error}\n")
        sys.exit(1)
