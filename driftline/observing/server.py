"""The HTTP server of a process: ``/metrics``, ``/healthz`` and ``/readyz``. Loaded only where it is asked for.

The standard library's, in threads: no client that hangs holds up the event loop, which is asked for no more than it has
to say, and a web framework would be loaded by every command (nats-py imports aiohttp wherever there is one).
"""

import asyncio
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec

from driftline.errors import UsageError
from driftline.observing.exposition import exposed
from driftline.observing.health import Readiness
from driftline.observing.look import ProcessLook
from driftline.observing.settings import Address

#: How long the event loop may take to answer, and a client to ask, seconds.
LOOP_S, CLIENT_S = 2.0, 5.0
JSON = "application/json"

T = TypeVar("T")


class Looked(Protocol):
    """What can be asked of a process, on its event loop."""

    async def told(self) -> bytes:
        """How it stands now: a ProcessLook as JSON."""
        ...

    async def ready(self) -> Readiness:
        """Whether it is ready, or why not."""
        ...


class Answer(NamedTuple):
    """What is answered to a request."""

    body: bytes
    content_type: str = JSON
    status: HTTPStatus = HTTPStatus.OK


@asynccontextmanager
async def serving(looked: Looked, address: Address) -> AsyncIterator[Address]:
    """Answer at ``address`` until the block ends; yields where, with the port that was free if 0 was asked for.

    Raises UsageError when the address cannot be had.
    """
    answers = _Answers(looked, asyncio.get_running_loop())
    try:
        server = await asyncio.to_thread(_Server, address, answers)
    except OSError as error:
        raise UsageError(f"--metrics {address}: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_address[1])
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Answers:
    """What is answered on each path; called in threads, asks on ``loop``."""

    def __init__(self, looked: Looked, loop: asyncio.AbstractEventLoop) -> None:
        self._looked = looked
        self._loop = loop
        self.of_path: dict[str, Callable[[str], Answer]] = {
            "/metrics": self.metrics,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
        }

    def metrics(self, accept: str) -> Answer:
        """Only the numbers are taken on the loop; what is made of them is made here."""
        look = msgspec.json.decode(self._asked(self._looked.told()), type=ProcessLook)
        return Answer(*exposed(look, accept))

    def healthz(self, accept: str) -> Answer:
        """Whoever reads this knows that the event loop answers, and that is all it says."""
        return Answer(msgspec.json.encode({"live": self._asked(_true())}))

    def readyz(self, accept: str) -> Answer:
        readiness = self._asked(self._looked.ready())
        status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(msgspec.json.encode(readiness), status=status)

    def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        """What the loop says. Raises TimeoutError, or CancelledError when the process is ending."""
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(LOOP_S)


async def _true() -> bool:
    return True


class _Server(ThreadingHTTPServer):
    def __init__(self, address: Address, answers: _Answers) -> None:
        self.address_family = AF_INET6 if ":" in address.host else AF_INET
        self.answers = answers
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the DNS for a name that nobody needs here


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = CLIENT_S
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answering = self.server.answers.of_path.get(path)
        if answering is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain="There are /metrics, /healthz and /readyz.")
            return
        try:
            answer = answering(self.headers.get("Accept", ""))
        except TimeoutError:
            said = f"the event loop has not answered within {LOOP_S:g} s"
            answer = Answer(msgspec.json.encode({"error": said}), status=HTTPStatus.SERVICE_UNAVAILABLE)
        except CancelledError:
            answer = Answer(b'{"error": "the process is ending"}', status=HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: probes ask every few seconds."""
