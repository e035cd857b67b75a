"""``driftline top``: over the processes of a real bus, and the picture alone."""

import asyncio
import io
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from rich.console import Console

import driftline
from bus.embedded import EmbeddedServer
from bus.envelope import request
from bus.jetstream import Connection, JetStreamCheckpoints, JetStreamLog, connect, rollcall
from driftline.cli.top import picture
from driftline.errors import UsageError
from driftline.observing.observer import Observing
from driftline.observing.overview import overview
from driftline.observing.process import SUBJECT, looked_at
from driftline.observing.settings import Settings
from driftline.projecting import running
from tests.driftline.observing.given import look, worker
from tests.driftline.observing.test_server import got
from tests.workers.fakes import FakeDevices
from tests.workers.site import ROLES, spawn, world
from workers.runner import Runner

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Ended(NamedTuple):
    """What ``driftline top`` left, a process of its own: what the workers of this one log is not among it."""

    code: int | None
    stdout: str
    stderr: str


async def top(*arguments: str, **environment: str) -> Ended:
    code = "from driftline.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "top", *arguments), stdout=PIPE, stderr=PIPE, env={**os.environ, **environment}
    )
    stdout, stderr = await process.communicate()
    return Ended(process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def workers(connection: Connection) -> AsyncIterator[JetStreamLog]:
    """Workers as ``driftline worker`` runs them, over devices that do as they are told."""
    log = JetStreamLog(connection)
    observing = Observing("worker all", has_workers=True, has_projector=False)
    watched, watch = observing.workers(log)
    runner = Runner(watched, JetStreamCheckpoints(connection), observing.devices(FakeDevices()), ROLES, watch=watch)
    async with looked_at(observing, Settings(), connection, log), running() as start:
        start(runner.run())
        await runner.ready.wait()
        yield log


def drawn(renderable: object) -> str:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.servers
async def test_it_shows_the_workers_of_a_bus(nats_server: EmbeddedServer) -> None:
    async with connect(nats_server.url) as connection, workers(connection) as log:
        await log.append([request(event) for event in (*world(), spawn(0))])  # type: ignore[arg-type]  # of any type
        found = await top("--nats", nats_server.url, "--json", "--every", "0.5", "--once")
        assert found.code == 0, found.stderr
        document = json.loads(found.stdout)
        assert [one["process"] for one in document["processes"]] == ["worker all"]
        assert {one["part"] for one in document["parts"]} == {role.worker.name for role in ROLES}
        assert {one["events_per_s"] is not None for one in document["parts"]} == {True}
        assert 0 < document["log_last"] <= await log.last_position()
        table = await top("--nats", nats_server.url, "--once", "--every", "0.5")
        assert table.code == 0, table.stderr
        assert "worker all" in table.stdout
        assert "ipam" in table.stdout


@pytest.mark.servers
async def test_a_bus_on_which_nobody_answers_is_named(nats_server: EmbeddedServer) -> None:
    found = await top("--nats", nats_server.url, "--once")
    assert (found.code, found.stdout) == (1, "")
    assert f"answers at {nats_server.url}" in found.stderr


@pytest.mark.servers
async def test_what_another_version_says_is_counted(nats_server: EmbeddedServer) -> None:
    async def say() -> bytes:
        return b'{"of": "the future"}'

    async with connect(nats_server.url) as connection, rollcall.answering(connection, SUBJECT, say):
        found = await top("--nats", nats_server.url, "--once")
        assert "(1 of another version)" in found.stderr
        async with workers(connection):
            found = await top("--nats", nats_server.url, "--json")
            assert json.loads(found.stdout)["not_understood"] == 1


@pytest.mark.servers
async def test_a_publisher_that_serves_metrics_is_counted_and_shown(nats_server: EmbeddedServer) -> None:
    async with driftline.connect(nats_server.url, actor="k8s", metrics="127.0.0.1:0") as bus:
        asked = await bus.publish(spawn(0), id="once")
        assert (await bus.publish(spawn(0), id="once")).position == asked.position
        found = await top("--nats", nats_server.url, "--json")
        (shown,) = json.loads(found.stdout)["processes"]
        assert (shown["process"], shown["published_per_s"]) == ("publisher k8s", 0)


@pytest.mark.servers
async def test_the_metrics_of_a_publisher_are_served_where_it_says(
    nats_server: EmbeddedServer, unused_tcp_port: int
) -> None:
    place = f"127.0.0.1:{unused_tcp_port}"
    async with driftline.connect(nats_server.url, metrics=place) as bus:
        for _ in range(2):
            await bus.publish(spawn(0), id="once")
        _, text = await asyncio.to_thread(got, f"http://{place}/metrics")
        assert "driftline_publisher_requests_total 2.0" in text
        assert "driftline_publisher_duplicates_total 1.0" in text
        with pytest.raises(UsageError, match=place):
            async with driftline.connect(nats_server.url, metrics=place):
                pass


@pytest.mark.servers
async def test_a_request_carries_the_trace_of_its_publisher(nats_server: EmbeddedServer) -> None:
    async with driftline.connect(nats_server.url) as bus, connect(nats_server.url) as connection:
        await bus.publish(spawn(0), traceparent=TRACEPARENT)
        (record,) = [r async for batch in JetStreamLog(connection).read(0, 1) for r in batch.records]
        assert record.traceparent == TRACEPARENT
        with pytest.raises(driftline.BusError, match="traceparent: 'mine'"):
            await bus.publish(spawn(1), traceparent="mine")


@pytest.mark.processes
@pytest.mark.parametrize("arguments", [(), ("--data", "nowhere")])
async def test_where_nothing_runs_nothing_is_started(arguments: Sequence[str], tmp_path: Path) -> None:
    found = await top(*arguments, XDG_RUNTIME_DIR=str(tmp_path), TMPDIR=str(tmp_path))
    assert found.code == 2
    assert "no driftline runs here" in found.stderr
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


def test_the_picture_has_all_that_was_told() -> None:
    now = replace(look(at_s=101.0), workers=[worker("compute[red]", folded=30)])
    text = drawn(picture(overview([now], [look()], not_understood=1), "nats://here"))
    for wanted in (
        "nats://here",
        "log at 100",
        "compute[red]",
        "projector",
        "PlugVnic",
        "1 of another version",
        "p99 ms",
    ):
        assert wanted in text
    states = [line.split() for line in text.splitlines() if line.startswith(("ACTIVE ", "DOWN "))]
    assert states == [["ACTIVE", "3", "0"], ["DOWN", "0", "1"]]


def test_a_picture_that_is_not_of_now_says_so() -> None:
    text = drawn(picture(overview([look()]), "nats://here", "no process answers"))
    assert "no process answers" in text
    assert "projector" in text
