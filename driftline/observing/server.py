"""The HTTP server of a process: ``/metrics``, ``/healthz`` and ``/readyz``. Loaded only where it is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from aiohttp import web

from driftline.errors import UsageError
from driftline.observing.exposition import exposed
from driftline.observing.health import Readiness
from driftline.observing.look import ProcessLook
from driftline.observing.settings import Address


class Looked(Protocol):
    """What can be asked of a process."""

    async def look(self) -> ProcessLook:
        """How it stands now."""
        ...

    async def ready(self) -> Readiness:
        """Whether it is ready, or why not."""
        ...


@asynccontextmanager
async def serving(looked: Looked, address: Address) -> AsyncIterator[Address]:
    """Answer at ``address`` until the block ends; yields where, with the port that was free if 0 was asked for.

    Raises UsageError when the address cannot be had.
    """
    answers = _Answers(looked)
    application = web.Application()
    application.add_routes(
        [
            web.get("/metrics", answers.metrics),
            web.get("/healthz", answers.healthz),
            web.get("/readyz", answers.readyz),
        ]
    )
    # What waits for an answer when the process ends has waited in vain: nothing is lost by it.
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"--metrics {address}: {error.strerror or error}") from error
        yield Address(address.host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


class _Answers:
    """What is answered on each path."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked

    async def metrics(self, request: web.Request) -> web.Response:
        answer = exposed(await self._looked.look(), request.headers.get("Accept", ""))
        return web.Response(body=answer.body, headers={"Content-Type": answer.content_type})

    async def healthz(self, request: web.Request) -> web.Response:
        """Whoever reads this knows that the event loop answers, and that is all it says."""
        return web.Response(body=b'{"live": true}', content_type="application/json")

    async def readyz(self, request: web.Request) -> web.Response:
        readiness = await self._looked.ready()
        body = msgspec.json.encode(readiness)
        return web.Response(body=body, status=200 if readiness.ready else 503, content_type="application/json")
