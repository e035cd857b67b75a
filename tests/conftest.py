"""Servers for the tests: a nats-server each, one PostgreSQL for all."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
import structlog
from hypothesis import settings

from bus.embedded import EmbeddedServer, embedded_nats, embedded_postgres_server
from bus.jetstream import Connection, connect

# A shell ignores Ctrl-C for what it starts in the background (`make test &`), and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about what else runs on the machine than about the code. Every run of a commit
# draws the same examples, so that red means the commit; new ones are looked for with `--hypothesis-profile=search`.
settings.register_profile("driftline", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile("driftline")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests often wait, for servers and for processes."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that a test calls sets up logs for its whole process; the next test starts from what is usual."""
    yield
    structlog.reset_defaults()


@pytest_asyncio.fixture
async def nats_server() -> AsyncIterator[EmbeddedServer]:
    """An empty nats-server of the test's own; it starts in well under a second."""
    async with embedded_nats() as server:
        yield server


@pytest_asyncio.fixture
async def connection(nats_server: EmbeddedServer) -> AsyncIterator[Connection]:
    async with connect(nats_server.url) as connection:
        yield connection


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[EmbeddedServer]:
    async with embedded_postgres_server() as server:
        yield server


@pytest_asyncio.fixture
async def postgres_dsn(postgres_server: EmbeddedServer) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(postgres_server.url)
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(postgres_server.url)._replace(path=f"/{name}"))
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()
