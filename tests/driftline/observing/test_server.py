"""Metrics, health and readiness of a process over HTTP, with servers that come and go."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus.embedded import EmbeddedServer, embedded_postgres_server
from bus.jetstream import Connection, JetStreamCheckpoints, JetStreamLog, connect
from bus.memory import MemoryLog, MemoryQuarantine
from driftline.errors import UsageError
from driftline.observing import server as http
from driftline.observing.health import readiness
from driftline.observing.observer import Observing
from driftline.observing.process import Looked
from driftline.observing.server import serving
from driftline.observing.settings import Address
from driftline.projecting import running
from projections.postgres import connect as connect_database
from projections.runner import Projector
from tests.workers.fakes import FakeDevices
from tests.workers.site import ROLES, Site, spawn, world
from workers.runner import Runner

ANY = Address("127.0.0.1", 0)


async def get(address: Address, path: str) -> tuple[int, Any]:
    return await asyncio.to_thread(got, f"http://{address}{path}")


def got(url: str) -> tuple[int, Any]:
    try:
        answer = urllib.request.urlopen(url, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text


async def until(answers: Callable[[], Awaitable[tuple[int, Any]]], status: int) -> Any:
    """What is said once the answer has this status: nothing tells when that is."""
    async with asyncio.timeout(30):
        while True:
            found, said = await answers()
            if found == status:
                return said


@asynccontextmanager
async def workers(connection: Connection) -> AsyncIterator[tuple[Observing, JetStreamLog, Runner]]:
    log = JetStreamLog(connection)
    observing = Observing("worker", has_workers=True, has_projector=False, timed=True)
    watched, watch = observing.workers(log)
    devices = observing.devices(FakeDevices())
    runner = Runner(watched, JetStreamCheckpoints(connection), devices, ROLES, watch=watch)
    yield observing, log, runner


@pytest.mark.servers
async def test_workers_are_ready_once_they_have_folded_the_log_and_while_nats_answers(
    nats_server: EmbeddedServer,
) -> None:
    async with (
        connect(nats_server.url) as connection,
        workers(connection) as (observing, log, runner),
        serving(Looked(observing, log, None), ANY) as address,
    ):
        status, said = await get(address, "/readyz")
        assert (status, said["ready"]) == (503, False)
        assert said["reasons"] == ["workers: still folding the log from its beginning"]
        assert await get(address, "/healthz") == (200, {"live": True})
        async with running() as start:
            start(runner.run())
            await runner.ready.wait()
            assert (await until(lambda: get(address, "/readyz"), 200))["reasons"] == []
            await nats_server.kill()
            said = await until(lambda: get(address, "/readyz"), 503)
            assert said["checks"]["NATS"] != "ok"
            status, text = await get(address, "/metrics")
            assert status == 200
            assert "driftline_log_reachable 0.0" in text
            assert (await get(address, "/healthz"))[0] == 200
            await nats_server.start()
            await until(lambda: get(address, "/readyz"), 200)


@pytest.mark.servers
async def test_a_projector_is_ready_while_postgresql_answers() -> None:
    log = MemoryLog()
    await Site(log).ask(world())
    observing = Observing("worker projector", has_workers=False, has_projector=True)
    async with (
        embedded_postgres_server() as postgres,
        connect_database(postgres.url) as database,
        running() as start,
    ):
        projector = Projector(log, database, MemoryQuarantine(), watch=observing.projector())
        start(projector.run())
        await projector.wait_for(await log.last_position())
        assert (await readiness(observing, log, database)).ready
        await postgres.kill()
        try:
            async with asyncio.timeout(20):  # for a moment, what serves a connection outlives its server
                while (said := await readiness(observing, log, database)).ready:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
        finally:
            await postgres.start()
        assert said.reasons[0].startswith("PostgreSQL: PostgreSQL at")
        assert said.checks["projector"] == "ok"
        await Site(log).ask([spawn(0)])
        await projector.wait_for(await log.last_position())
        assert (await readiness(observing, log, database)).ready


async def test_one_that_has_fallen_behind_is_not_ready() -> None:
    place = Site()
    await place.ask(world())
    observing = Observing("worker", has_workers=True, has_projector=False)
    log, watch = observing.workers(place.log)
    runner = Runner(log, place.checkpoints, place.devices, ROLES, watch=watch)
    watch.began(runner)
    runner.position = await place.log.last_position() - 3
    said = await readiness(observing, place.log, None)
    assert said.reasons == ["workers: 3 events behind the log"]


async def test_an_address_that_is_taken_is_named() -> None:
    looked = Looked(Observing("x", has_workers=False, has_projector=False), MemoryLog(), None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(UsageError, match=f"--metrics {address}: .*in use"):
            async with serving(looked, address):
                pass


def nobody() -> Looked:
    return Looked(Observing("x", has_workers=False, has_projector=False), MemoryLog(), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_each_path_answers_in_its_own_type_and_others_are_not_found(host: str) -> None:
    async with serving(nobody(), Address(host, 0)) as address:
        assert await get(address, "/healthz?verbose") == (200, {"live": True})
        assert await get(address, "/readyz") == (
            200,
            {"what": "x", "ready": True, "reasons": [], "checks": {"NATS": "ok"}},
        )
        status, text = await get(address, "/metrics")
        assert (status, 'driftline_process{what="x"} 1.0' in text) == (200, True)
        assert (await get(address, "/"))[0] == 404


async def test_a_process_whose_event_loop_hangs_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LOOP_S", 0.1)
    async with serving(nobody(), ANY) as address:
        with ThreadPoolExecutor() as another:
            status, said = another.submit(got, f"http://{address}/healthz").result()  # the loop hangs until then
    assert (status, said["error"]) == (503, "the event loop has not answered within 0.1 s")


async def test_a_client_that_hangs_holds_up_nobody() -> None:
    async with serving(nobody(), ANY) as address:
        with socket.create_connection((address.host, address.port)) as hanging:
            hanging.sendall(b"GET /metr")
            assert (await get(address, "/healthz"))[0] == 200
