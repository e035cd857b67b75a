"""A connection to NATS that comes back by itself, and tells those who wait on it when it was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.errors import BusClosed, LogUnavailable, MalformedEvent
from bus.jetstream.parser import QuickParser, Take
from bus.jetstream.streams import STREAMS, check_server, ensure_stream

CONNECT_S = 5.0
ANSWER_S = 10.0
#: An append that waits for its answer, and whatever is sent while the server is away, is kept here (bytes).
PENDING_BYTES = 64 * 1024 * 1024

#: Bytes of headers around their lines: the version before, an empty line after.
HEADERS_EXTRA = len("NATS/1.0\r\n\r\n")

log = structlog.get_logger("bus")

Listener = Callable[[], None]


class Headers(dict[str, str]):
    """Message headers, taken apart when first looked at."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw

    def __bool__(self) -> bool:
        return bool(self._raw) or len(self) > 0

    def get(self, name: str, default: Any = None) -> Any:
        if self._raw:
            lines = (line.partition(":") for line in self._raw.decode("utf-8", "replace").split("\r\n"))
            for key, colon, value in lines:
                if colon:
                    self.setdefault(key.strip(), value.strip())
            self._raw = b""
        return super().get(name, default)


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message to be sent. ``reply``: where its answer shall go; empty for none.

    ``headers``: lines of ``Name: value``, each with its line end.
    """

    subject: str
    data: bytes
    reply: str
    headers: str

    def command(self) -> bytes:
        """The message as the protocol has it (HPUB). Subject and headers must be plain: nothing is escaped."""
        head = len(self.headers) + HEADERS_EXTRA
        sizes = f"{head} {head + len(self.data)}"
        line = f"HPUB {self.subject} {self.reply} {sizes}\r\nNATS/1.0\r\n{self.headers}\r\n"
        return b"%b%b\r\n" % (line.encode("ascii"), self.data)


class _Client(Client):
    """nats-py's client with lazy headers: reading them is half the cost of a message, and followers do not need them.

    Should nats-py stop calling this method, its own parser is used again, and all stays right.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = self.parser = QuickParser(self)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        return Headers(raw)

    async def publish_all(self, messages: Sequence[Outgoing]) -> None:
        """As ``publish`` for each, in one piece: a message alone costs four times as much (docs/performance.md)."""
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        commands = b"".join([message.command() for message in messages])
        if not self.is_connected and len(commands) + self._pending_data_size > self._max_pending_size:
            raise nats.errors.OutboundBufferLimitError
        if messages and max(len(message.data) for message in messages) > self.max_payload:
            raise nats.errors.MaxPayloadError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()


class Connection:
    """One NATS connection, shared by a process's logs, stores and calls. Made by ``connect``."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.client = _Client()
        self._name = name
        self._last_error = "no answer"
        self._up = asyncio.Event()
        self._closing = False
        self._lost: set[Listener] = set()

    async def open(self) -> None:
        """Connect. Raises LogUnavailable after CONNECT_S seconds, or when ``url`` is none."""
        _check_url(self.url)
        try:
            async with asyncio.timeout(CONNECT_S):  # nats-py can hang here, and would try for ever
                await _resolve(self.url)
                await self.client.connect(
                    self.url,
                    name=self._name,
                    connect_timeout=2,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]  # seconds; annotated int, passed to sleep()
                    ping_interval=10,
                    pending_size=PENDING_BYTES,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_lost,
                    reconnected_cb=self._on_restored,
                    closed_cb=self._on_closed,
                )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            await self.close()
            # When time is up, what went wrong at the last try says more.
            reason = self._last_error if isinstance(error, TimeoutError) else _text(error)
            raise LogUnavailable(f"{self.url}: {reason}") from error
        self._up.set()

    async def close(self) -> None:
        """Close for good. What waits for an answer fails with LogUnavailable."""
        self._closing = True
        self._tell_lost()
        if self.client.servers:  # none if the URL was no URL, and then it cannot be closed either
            await self.client.close()

    async def ready(self, timeout_s: float | None = ANSWER_S) -> None:
        """Wait until the connection is up. Raises LogUnavailable after ``timeout_s``, BusClosed when it has ended."""
        if self._closing:
            raise BusClosed(f"{self.url}: the connection has ended: {self._last_error}")
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError as error:
            raise LogUnavailable(f"{self.url}: not connected ({self._last_error})") from error

    def on_lost(self, listener: Listener) -> None:
        """Have ``listener`` called each time the connection is lost or closed."""
        self._lost.add(listener)

    def forget(self, listener: Listener) -> None:
        """Undo ``on_lost``."""
        self._lost.discard(listener)

    @property
    def is_up(self) -> bool:
        """Whether the server can be reached, as far as known."""
        return self._up.is_set() and not self._closing

    @property
    def is_closed(self) -> bool:
        """Whether it has ended for good."""
        return self._closing

    async def ask(self, subject: str, body: dict[str, object] | None = None, timeout_s: float = ANSWER_S) -> Msg:
        """One request and its reply.

        Raises LogUnavailable when there is none within ``timeout_s``, and at once when the connection is lost.
        """
        await self.ready(timeout_s)
        data = b"" if body is None else msgspec.json.encode(body)
        asking = asyncio.ensure_future(self.client.request(subject, data, timeout=timeout_s))
        lost = False

        def give_up() -> None:
            nonlocal lost
            lost = True
            asking.cancel()

        self.on_lost(give_up)
        try:
            # Shielded: with Python 3.11, nats-py takes no notice of being cancelled just when the answer comes.
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if not lost:
                raise
            raise LogUnavailable(f"{self.url}: the connection was lost while {subject} was asked") from None
        except nats.errors.NoRespondersError as error:
            raise LogUnavailable(f"{self.url}: nobody answers on {subject} (is JetStream enabled?)") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise LogUnavailable(f"{self.url}: no answer on {subject}: {_text(error)}") from error
        finally:
            self.forget(give_up)
            asking.cancel()

    async def api(self, name: str, body: dict[str, object] | None = None, timeout_s: float = ANSWER_S) -> Any:
        """The answer of the JetStream API ``$JS.API.<name>``, errors included (``{"error": {"err_code": …}}``)."""
        return msgspec.json.decode((await self.ask(f"$JS.API.{name}", body, timeout_s)).data)

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Send one message, without waiting for anything. Raises LogUnavailable when it cannot be sent."""
        with self._sending(subject):
            await self.client.publish(subject, data, reply, headers)

    async def publish_all(self, messages: Sequence[Outgoing]) -> None:
        """Send these messages in their order, as ``publish`` does.

        Raises LogUnavailable, and MalformedEvent when one is larger than the server takes: then none is sent.
        """
        with self._sending(f"{len(messages)} messages"):
            await self.client.publish_all(messages)

    @contextmanager
    def _sending(self, what: str) -> Iterator[None]:
        try:
            yield
        # RuntimeError: uvloop's word for a transport that has just been closed.
        except (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError, RuntimeError) as error:
            raise LogUnavailable(f"{self.url}: cannot send: {_text(error)}") from error
        except nats.errors.MaxPayloadError as error:
            raise MalformedEvent(f"{what}: more bytes than the server takes in one message") from error

    @asynccontextmanager
    async def inbox(self, subject: str, take: Callable[[Msg], Awaitable[None]], queue: str = "") -> AsyncIterator[None]:
        """Have ``take`` called for each message on ``subject``. No limit: ask for no more than you can hold.

        Those with the same ``queue`` share the messages.
        """
        # nats-py drops messages above its limits; 0 is none.
        subscription = await self.client.subscribe(subject, queue, cb=take, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            yield
        finally:
            if not self.client.is_closed:
                await subscription.unsubscribe()

    @asynccontextmanager
    async def raw_inbox(self, subject: str, take: Take) -> AsyncIterator[None]:
        """Have ``take`` called for each message on ``subject`` as it comes in: for bulk reading.

        No limit: ask for no more than you can hold.
        """
        subscription = await self.tap(subject, take)
        try:
            yield
        finally:
            del self.client.parser.takers[_number(subscription)]
            if not self.client.is_closed:
                await subscription.unsubscribe()

    async def tap(self, subject: str, take: Take) -> Subscription:
        """As ``raw_inbox``, for as long as the connection lives."""
        subscription = await self.client.subscribe(subject, cb=_never)
        self.client.parser.takers[_number(subscription)] = take
        return subscription

    def _tell_lost(self) -> None:
        for listener in list(self._lost):
            listener()

    async def _on_error(self, error: Exception) -> None:
        self._last_error = _text(error)
        if self._up.is_set() and not self._closing:
            log.warning("nats error", url=self.url, reason=self._last_error)

    async def _on_lost(self) -> None:
        if self._up.is_set() and not self._closing:
            log.warning("nats connection lost", url=self.url)
        self._up.clear()
        self._tell_lost()

    async def _on_restored(self) -> None:
        log.info("nats connection restored", url=self.url)
        self._up.set()

    async def _on_closed(self) -> None:
        if not self._closing:
            self._closing = True
            log.error("nats connection closed by the server", url=self.url, reason=self._last_error)
            self._tell_lost()


def _number(subscription: Subscription) -> bytes:
    """What the server calls it."""
    return str(subscription._id).encode()


async def _never(message: Msg) -> None:
    """Messages of a raw inbox do not come this way."""


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise LogUnavailable(f"{url!r} is no NATS URL, e.g. nats://127.0.0.1:4222")


async def _resolve(url: str) -> None:
    """Raise OSError if the host has no address: nats-py would ask again and again, and leave an answer unheard."""
    parts = urlsplit(url)
    await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


@asynccontextmanager
async def connect(url: str, *, name: str = "driftline", replicas: int = 1) -> AsyncIterator[Connection]:
    """A connection to the NATS server(s) at ``url``, with driftline's streams there, made if absent.

    ``name`` is shown in the server's monitoring. Loss of the connection later on is not an error: it is logged, and
    tried again for ever.

    Raises:
        LogUnavailable: no server within CONNECT_S seconds, or JetStream is not enabled.
        LogMismatch: the server is too old, or a stream of the right name is there and cannot serve as ours.
    """
    connection = Connection(url, name)
    await connection.open()
    try:
        server = connection.client.connected_server_version
        check_server((server.major, server.minor, server.patch))
        for stream in STREAMS:
            await ensure_stream(connection.api, stream, replicas)
        yield connection
    finally:
        await connection.close()
