"""A real moto server process, and a proxy in front of it that throttles, is slow and loses answers on request.

The server dies with its parent, also when that is killed (PR_SET_PDEATHSIG, as ``bus.guard`` does it).
"""

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs

import pytest

#: What the client's own chain finds: moto takes anything.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
REGION = "us-east-1"
READY_S = 60.0

#: Ask the kernel to end us with our parent, then be moto's server on any free port.
_LAUNCH = """
import ctypes, os, runpy, signal, sys
parent = int(sys.argv[1])
if sys.platform.startswith("linux"):
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != parent:
    sys.exit("the parent is gone")
sys.argv = ["moto_server", "-H", "127.0.0.1", "-p", "0"]
runpy.run_module("moto.server", run_name="__main__")
"""
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code><Message>injected</Message>'
    "</Error></Errors><RequestID>0</RequestID></Response>"
)


@asynccontextmanager
async def moto_server() -> AsyncIterator[str]:
    """The URL of a moto server that is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _LAUNCH, str(os.getpid())),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(READY_S):
            url = ""
            while not url:
                line = await process.stderr.readline()
                assert line, "moto ended"
                found = re.search(rb"Running on (http://127\.0\.0\.1:\d+)", line)
                url = found[1].decode() if found else ""
        reading = asyncio.create_task(_drain(process.stderr))
        yield url
        reading.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


class Proxy:
    """In front of an EC2 endpoint. ``calls`` counts actions that came; the rest is what goes wrong with them."""

    def __init__(self, behind: str) -> None:
        self._host, _, port = behind.removeprefix("http://").partition(":")
        self._port = int(port)
        self.url = ""
        self.calls: Counter[str] = Counter()
        #: Action → how many of the next ones are throttled, or done without an answer.
        self.throttled: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        #: Action → the code with which all are refused.
        self.refused: dict[str, str] = {}
        #: How long an ENI is "attaching", seconds.
        self.attach_s = 0.0
        self._attached_at: dict[str, float] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Give up what is being served: a client may have gone without a word."""
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request: the client is told to come again."""
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [b"", b"0"])[1])
            body = await reader.readexactly(length)
            await self._answer(writer, head, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
        form = parse_qs(body.decode())
        action = form.get("Action", [""])[0]
        self.calls[action] += 1
        if self.throttled[action] > 0:
            self.throttled[action] -= 1
            self._write(writer, b"503 Service Unavailable", _ERROR.format(code="RequestLimitExceeded").encode())
        elif action in self.refused:
            self._write(writer, b"400 Bad Request", _ERROR.format(code=self.refused[action]).encode())
        else:
            status, answer = await self._forward(head, body)
            if action == "AttachNetworkInterface" and status.startswith(b"200"):
                self._attached_at[form["NetworkInterfaceId"][0]] = time.monotonic()
            if self.unanswered[action] > 0:
                self.unanswered[action] -= 1
                return
            self._write(writer, status, self._as_slow(answer))
        await writer.drain()

    def _as_slow(self, answer: bytes) -> bytes:
        """EC2 says "attaching" at first; moto attaches at once."""
        now = time.monotonic()
        recent = [eni for eni, at in self._attached_at.items() if now - at < self.attach_s]
        if not any(eni.encode() in answer for eni in recent):
            return answer
        return answer.replace(b"<status>attached</status>", b"<status>attaching</status>")

    async def _forward(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
        await writer.drain()
        try:
            answer = await reader.read()
        finally:
            writer.close()
        answer_head, _, answer_body = answer.partition(b"\r\n\r\n")
        return answer_head.partition(b"\r\n")[0].partition(b" ")[2], answer_body

    @staticmethod
    def _write(writer: asyncio.StreamWriter, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/xml\r\nConnection: close\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


@asynccontextmanager
async def proxied(behind: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port of the loopback."""
    proxy = Proxy(behind)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
        await proxy.end()


def use_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """For drivers in this process."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
