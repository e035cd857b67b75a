"""A control plane whose parts are processes of their own, on servers of their own: what can be killed one by one.

A part that ends is started again. All of it ends with this process, however that ends: the servers have guards, and
the parts are leashed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bus.embedded import EmbeddedServer, embedded_nats, embedded_postgres_server
from bus.errors import first_error
from driftline.processes import Part

#: The parts that the SDN fabric needs. The modelled fabric is first: nothing is performed without it.
FABRIC_ROLES = ("fabric", "nova", "compute", "ovs-agent", "cnc", "ipam", "liveness", "projector")


class Cluster:
    """The servers and the parts. Made by ``cluster``."""

    def __init__(self, nats: EmbeddedServer, postgres: EmbeddedServer, folder: Path, roles: Sequence[str]) -> None:
        self.nats = nats
        self.postgres = postgres
        self.restarting = asyncio.Lock()
        servers = ("--nats", nats.url, "--postgres", postgres.url)
        self.parts = {role: Part(role, _arguments(role, servers, folder)) for role in roles}

    async def at_work(self) -> None:
        """Wait until every part has begun. Raises NotDone."""
        for part in self.parts.values():
            await part.at_work()


def _arguments(role: str, servers: Sequence[str], folder: Path) -> list[str]:
    if role == "projector":
        return [*servers]
    kept = ("--journal", folder / "fabric.jsonl") if role == "fabric" else ("--snapshots", folder / "snapshots")
    return [*servers, *map(str, kept)]


@asynccontextmanager
async def cluster(roles: Sequence[str] = FABRIC_ROLES) -> AsyncIterator[Cluster]:
    """Servers and a part for each of ``roles``, started; gone with all that they kept at the end.

    ``at_work`` says when they can be used.
    """
    async with AsyncExitStack() as exits:
        nats = await exits.enter_async_context(embedded_nats())
        folder = nats.folder / "parts"  # its guard removes it, however this process ends
        folder.mkdir()
        postgres = await exits.enter_async_context(embedded_postgres_server())
        one = Cluster(nats, postgres, folder, roles)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(part.keep(), name=part.role) for part in one.parts.values()]
                try:
                    yield one
                finally:
                    for task in running:
                        task.cancel()
        except BaseExceptionGroup as group:  # the caller catches errors by their type
            raise first_error(group) from group
