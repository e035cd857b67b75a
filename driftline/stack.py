"""The servers a command works with, found or started, and the connections to them.

In this order: the addresses given; a driftline that runs already; embedded servers, in ``--data`` or in a temporary
folder. Whatever was started here is stopped at the end.

What speaks to a server is loaded when it is connected to: a recording needs none, a question about the log no database.
"""

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import msgspec
import structlog

from bus.log import Beats, Checkpoints, Quarantine, RawLog
from bus.shared import shared
from driftline import discovery
from driftline.errors import UsageError

if TYPE_CHECKING:
    from bus.jetstream import Connection
    from projections.postgres import Database

log = structlog.get_logger("stack")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said about servers; empty or None where nothing was said."""

    nats: str = ""
    postgres: str = ""
    data: Path | None = None


def existing(options: Options) -> Options:
    """``options`` of a command on what is there already. Raises UsageError if nothing is.

    It makes no folder and no log: somebody whose driftline has just died would be told about an empty one.
    """
    if options.data is not None and not options.data.is_dir():
        raise UsageError(f"--data {options.data}: there is no such folder, and this command makes none")
    if not (options.data or options.nats or options.postgres) and discovery.find(None) is None:
        raise UsageError(
            "no driftline runs here: give --nats or --data, or --log where there is one (or start `driftline up`)"
        )
    return options


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """The servers in use. ``…_found``: it was there already, so others may work on it too; else it was started here.

    ``postgres`` is empty where none was asked for.
    """

    nats: str
    nats_found: bool
    postgres: str = ""
    postgres_found: bool = False
    data: Path | None = None


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """Open connections to NATS."""

    servers: Servers
    connection: "Connection"
    log: RawLog
    checkpoints: Checkpoints
    beats: Beats
    quarantine: Quarantine


class Stack(Bus, frozen=True, kw_only=True):
    """Open connections to NATS and PostgreSQL."""

    database: "Database"


@asynccontextmanager
async def open_bus(options: Options, *, join_running: bool = True) -> AsyncIterator[Bus]:
    """As ``open_stack``, for what needs no database."""
    async with AsyncExitStack() as exits:
        servers = await _servers(options, exits, join_running=join_running, database=False)
        yield Bus(**await _connect(servers, exits))


@asynccontextmanager
async def open_stack(options: Options, *, join_running: bool = True) -> AsyncIterator[Stack]:
    """Find or start the servers and connect to them. ``join_running``: use a driftline that runs already.

    Raises UsageError, LogUnavailable, DatabaseUnavailable or EmbeddedError, each naming the address or folder.
    """
    from projections.postgres import connect as connect_database

    async with AsyncExitStack() as exits:
        servers = await _servers(options, exits, join_running=join_running, database=True)
        database = await exits.enter_async_context(connect_database(servers.postgres))
        log.info("database", place=database.place)
        yield Stack(**await _connect(servers, exits), database=database)


class _Connected(TypedDict):
    servers: Servers
    connection: "Connection"
    log: RawLog
    checkpoints: Checkpoints
    beats: Beats
    quarantine: Quarantine


async def _connect(servers: Servers, exits: AsyncExitStack) -> _Connected:
    from bus import jetstream

    connection = await exits.enter_async_context(jetstream.connect(servers.nats))
    return {
        "servers": servers,
        "connection": connection,
        "log": await exits.enter_async_context(shared(jetstream.JetStreamLog(connection))),
        "checkpoints": jetstream.JetStreamCheckpoints(connection),
        "beats": jetstream.JetStreamBeats(connection),
        "quarantine": jetstream.JetStreamQuarantine(connection),
    }


async def _servers(options: Options, exits: AsyncExitStack, *, join_running: bool, database: bool) -> Servers:
    nats, postgres, data = options.nats, options.postgres, options.data
    if join_running and not (nats or postgres):
        running = discovery.find(data)
        if running is not None:
            return Servers(nats=running.nats, nats_found=True, postgres=running.postgres, postgres_found=True)
    from bus.embedded import embedded_nats, embedded_postgres_server

    if data is not None:
        exits.enter_context(_sole_user(data))
    if not nats:
        nats = (await exits.enter_async_context(embedded_nats(_part(data, "nats")))).url
    if database and not postgres:
        postgres = (await exits.enter_async_context(embedded_postgres_server(_part(data, "postgres")))).url
    log.info("servers", nats=nats, data=str(data or "temporary"))
    return Servers(
        nats=nats, nats_found=bool(options.nats), postgres=postgres, postgres_found=bool(options.postgres), data=data
    )


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
