"""The servers a command works with, found or started, and the connections to them.

In this order: the addresses given; a driftline that runs already; embedded servers, in ``--data`` or in a temporary
folder. Whatever was started here is stopped at the end.
"""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from bus import jetstream
from bus.embedded import embedded_nats, embedded_postgres_server
from bus.log import Checkpoints, Log, Quarantine
from bus.shared import shared
from driftline import discovery
from driftline.errors import UsageError
from projections.postgres import Database
from projections.postgres import connect as connect_database

log = structlog.get_logger("stack")

#: Where the servers come from: named by the person, a running driftline, or started here.
Origin = Literal["given", "running", "data", "temporary"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said about servers; empty or None where nothing was said."""

    nats: str = ""
    postgres: str = ""
    data: Path | None = None


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """The servers in use. ``workers_run``: somebody else runs workers on them."""

    nats: str
    postgres: str
    origin: Origin
    data: Path | None = None

    @property
    def workers_run(self) -> bool:
        """Whether workers can be expected to run elsewhere."""
        return self.origin in ("given", "running")


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Open connections to the servers."""

    servers: Servers
    connection: jetstream.Connection
    log: Log
    checkpoints: Checkpoints
    quarantine: Quarantine
    database: Database


@asynccontextmanager
async def open_stack(options: Options, *, join_running: bool = True) -> AsyncIterator[Stack]:
    """Find or start the servers and connect to them. ``join_running``: use a driftline that runs already.

    Raises UsageError, LogUnavailable, DatabaseUnavailable or EmbeddedError, each naming the address or folder.
    """
    async with AsyncExitStack() as exits:
        servers = await _servers(options, exits, join_running=join_running)
        connection = await exits.enter_async_context(jetstream.connect(servers.nats))
        database = await exits.enter_async_context(connect_database(servers.postgres))
        yield Stack(
            servers=servers,
            connection=connection,
            log=await exits.enter_async_context(shared(jetstream.JetStreamLog(connection))),
            checkpoints=jetstream.JetStreamCheckpoints(connection),
            quarantine=jetstream.JetStreamQuarantine(connection),
            database=database,
        )


async def _servers(options: Options, exits: AsyncExitStack, *, join_running: bool) -> Servers:
    if options.nats and options.postgres:
        return Servers(nats=options.nats, postgres=options.postgres, origin="given")
    if join_running and not (options.nats or options.postgres):
        running = discovery.find(options.data)
        if running is not None:
            return Servers(nats=running.nats, postgres=running.postgres, origin="running")
    if options.data is not None:
        exits.enter_context(_sole_user(options.data))
    nats, postgres = options.nats, options.postgres
    if not nats:
        nats = (await exits.enter_async_context(embedded_nats(_part(options.data, "nats")))).url
    if not postgres:
        postgres = (await exits.enter_async_context(embedded_postgres_server(_part(options.data, "postgres")))).url
    origin: Origin = "given" if options.nats else "data" if options.data else "temporary"
    log.info("servers started", nats=nats, postgres=postgres, data=str(options.data or "temporary"))
    return Servers(nats=nats, postgres=postgres, origin=origin, data=options.data)


def _part(data: Path | None, name: str) -> Path | None:
    return data.resolve() / name if data else None


@contextmanager
def _sole_user(data: Path) -> Iterator[None]:
    """Hold the folder: two servers on one store would destroy it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = (data / "lock").open("w")
    except OSError as error:
        raise UsageError(f"--data {data}: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"--data {data}: the folder is in use by another driftline") from error
        yield
