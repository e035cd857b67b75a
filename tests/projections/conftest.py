"""An empty database for each test, and a projector that is stopped at its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio

from projections.postgres import Database, connect
from projections.runner import Projector


@pytest_asyncio.fixture
async def database(postgres_dsn: str) -> AsyncIterator[Database]:
    async with connect(postgres_dsn) as database:
        yield database


@asynccontextmanager
async def running(projector: Projector) -> AsyncIterator["asyncio.Task[None]"]:
    """``projector`` while the block lasts; its error, if any, is raised at the end."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(projector.run())
        yield task
        await projector.stop()
