"""The log on JetStream when things go wrong, and what of the server's behaviour it relies on."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import nats
import pytest
import stamina
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from bus.embedded import EmbeddedServer, embedded_nats
from bus.envelope import Envelope, Rejected, encode
from bus.errors import BusClosed, CallFailed, LogMismatch, LogUnavailable, NoReply, NoResponder
from bus.jetstream import (
    Connection,
    JetStreamBeats,
    JetStreamCheckpoints,
    JetStreamLog,
    JetStreamQuarantine,
    connect,
    consumer,
    rpc,
)
from bus.jetstream import connection as connection_module
from bus.jetstream.log import BATCH_MIN
from bus.jetstream.streams import LOG, check_server
from bus.log import Appended
from bus.subjects import host_filter, subject_of
from tests.bus.given import active, gather, plugged


@stamina.retry(on=LogUnavailable, attempts=None, timeout=30, wait_initial=0.02, wait_max=0.1)
async def append(log: JetStreamLog, envelopes: list[Envelope]) -> list[Appended]:
    return await log.append(envelopes)


@pytest.fixture
def in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a server gives up soon."""
    monkeypatch.setattr(connection_module, "CONNECT_S", 1.0)


@pytest.mark.usefixtures("in_a_second")
async def test_no_server_is_a_clear_error_and_soon() -> None:
    started = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"nats://127\.0\.0\.1:1"):
        async with connect("nats://127.0.0.1:1"):
            pytest.fail("connected to nothing")
    assert time.monotonic() - started < 3


@pytest.mark.usefixtures("in_a_second")
@pytest.mark.parametrize("patient", [False, True])
async def test_a_silent_server_is_a_clear_error(patient: bool) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if patient:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(LogUnavailable, match=f"nats://{host}:{port}"):
            async with connect(f"nats://{host}:{port}"):
                pytest.fail("connected to nothing")


async def test_an_orderly_restart_of_the_server(nats_server: EmbeddedServer) -> None:
    async with connect(nats_server.url) as connection:
        log = JetStreamLog(connection)
        batches = log.follow(0)
        await log.append([plugged(0)])
        assert (await anext(batches)).last == 1
        await nats_server.end()
        await nats_server.start()
        await append(log, [plugged(1)])
        assert (await anext(batches)).last == 2


# The client drops a transport unclosed when the server dies just as it has connected again.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function StreamWriter:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("size", [1, 5, 30])
async def test_server_killed_under_a_follower_and_an_appender(nats_server: EmbeddedServer, size: int) -> None:
    total = size * 60
    async with connect(nats_server.url) as connection:
        log = JetStreamLog(connection)
        half_way = asyncio.Event()

        async def write() -> None:
            for start in range(0, total, size):
                make = active if (start // size) % 2 else plugged
                await append(log, [make(n) for n in range(start, start + size)])
                if start >= total // 3:
                    half_way.set()

        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(gather(log.follow(0), total))
            part = tasks.create_task(gather(log.follow(0, host_filter("h1")), total))
            tasks.create_task(write())
            await half_way.wait()
            for _ in range(2):
                await nats_server.restart()

        assert [r.position for r in whole.result()] == list(range(1, total + 1))
        assert len({r.id for r in whole.result()}) == total
        assert part.result() == whole.result()
        assert await log.last_position() == total
        assert len(await gather(log.read(0, total))) == total


async def test_a_follower_goes_on_after_a_pause_without_a_server(nats_server: EmbeddedServer) -> None:
    async with connect(nats_server.url) as connection:
        log, impatient = JetStreamLog(connection), JetStreamLog(connection, timeout_s=0.3)
        await log.append([plugged(0)])
        batches = log.follow(0)
        assert (await anext(batches)).last == 1
        await nats_server.kill()
        with pytest.raises(LogUnavailable):
            await impatient.append([plugged(1)])
        await nats_server.start()
        await append(log, [plugged(1)])
        assert [r.id for r in (await anext(batches)).records] == ["plugged:1"]


async def test_a_consumer_that_is_gone_is_replaced(connection: Connection) -> None:
    log = JetStreamLog(connection)
    await log.append([plugged(0)])
    batches = log.follow(0)
    assert (await anext(batches)).last == 1
    for name in (await connection.api("CONSUMER.NAMES.DRIFTLINE"))["consumers"]:
        await connection.api(f"CONSUMER.DELETE.DRIFTLINE.{name}")
    with capture_logs() as logs:
        await log.append([plugged(1)])
        assert (await anext(batches)).last == 2
    assert [entry["event"] for entry in logs] == ["reading on with a new consumer"]


async def test_requests_that_run_out_are_renewed(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "EXPIRES_S", 0.2)
    monkeypatch.setattr(consumer, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(consumer, "SILENCE_S", 0.5)
    log = JetStreamLog(connection)
    batches = log.follow(0)
    with capture_logs() as logs:
        for n in range(4):
            taken = asyncio.ensure_future(anext(batches))
            async with asyncio.timeout(10):
                done, _ = await asyncio.wait([taken], timeout=0.35)  # longer than a request lives
            assert not done
            await log.append([plugged(n)])
            assert (await taken).last == n + 1
    assert logs == []


async def test_a_reader_leaves_no_consumer_behind(connection: Connection) -> None:
    log = JetStreamLog(connection)
    await log.append([plugged(n) for n in range(20)])
    await gather(log.read(0, 20))
    async with asyncio.timeout(10):
        while (await connection.api("CONSUMER.NAMES.DRIFTLINE"))["total"]:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.01)


async def test_who_asks_can_be_cancelled_just_when_the_answer_comes(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()

    async def request(subject: str, data: bytes, *, timeout: float) -> str:
        asked.set()
        return await asyncio.wait_for(answer, timeout)

    monkeypatch.setattr(connection.client, "request", request)
    asking = asyncio.create_task(connection.ask("anything"))
    await asked.wait()
    await asyncio.sleep(0)  # until it waits for the answer
    answer.set_result("here it is")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_truncated_log_is_a_mismatch(connection: Connection) -> None:
    log = JetStreamLog(connection)
    await log.append([plugged(n) for n in range(3)])
    with pytest.raises(LogMismatch, match="ends at 3, before position 4"):
        await gather(log.follow(4))
    with pytest.raises(LogMismatch):
        await gather(log.read(4, 9))


async def test_another_log_at_the_same_address_is_a_mismatch(connection: Connection) -> None:
    log = JetStreamLog(connection)
    identity = await log.identity()
    await log.append([plugged(0)])
    batches = log.follow(0)
    await anext(batches)
    await connection.api("STREAM.DELETE.DRIFTLINE")
    async with connect(connection.url) as again:
        assert await JetStreamLog(again).identity() != identity
        await JetStreamLog(again).append([plugged(1), plugged(2)])
        with pytest.raises(LogMismatch, match="made anew"):
            await anext(batches)


async def test_a_stream_that_cannot_serve_is_a_mismatch(nats_server: EmbeddedServer) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="DRIFTLINE", subjects=["dl.>"])
    await client.close()
    with pytest.raises(LogMismatch, match="allow_atomic is"):
        async with connect(nats_server.url):
            pytest.fail("took a stream without atomic batches")


@pytest.mark.parametrize("version", [(2, 12, 0), (2, 11, 9), (0, 9, 0)])
def test_a_server_that_is_too_old_is_named(version: tuple[int, int, int]) -> None:
    with pytest.raises(
        LogMismatch, match=f"nats-server {'.'.join(map(str, version))} is too old, driftline needs 2.12.1"
    ):
        check_server(version)


@pytest.mark.parametrize("version", [(2, 12, 1), (2, 15, 1), (3, 0, 0), (0, 0, 0)])
def test_a_server_that_will_do_is_taken(version: tuple[int, int, int]) -> None:
    check_server(version)


async def test_a_hole_in_the_log_stops_nobody(connection: Connection) -> None:
    log = JetStreamLog(connection)
    await log.append([plugged(n) for n in range(30)])
    config = (await connection.api("STREAM.INFO.DRIFTLINE"))["config"]
    await connection.api("STREAM.DELETE.DRIFTLINE")
    await connection.api("STREAM.CREATE.DRIFTLINE", {**config, "deny_delete": False})
    await log.append([plugged(n, id=f"again:{n}") for n in range(30)])
    for position in (4, 5, 19, 20, 30):
        await connection.api("STREAM.MSG.DELETE.DRIFTLINE", {"seq": position})

    with capture_logs() as logs:
        async with asyncio.timeout(10):
            records = await gather(log.read(0, 20))
            everything = await gather(log.read(0, 30))
    assert [r.position for r in records] == [n for n in range(1, 19) if n not in (4, 5)]
    assert [r.position for r in everything] == [n for n in range(1, 30) if n not in (4, 5, 19, 20)]
    assert {entry["event"] for entry in logs} >= {"the log has a hole"}


async def test_a_plain_nats_client_can_publish(connection: Connection, nats_server: EmbeddedServer) -> None:
    client = await nats.connect(nats_server.url)
    ack = await client.jetstream().publish(subject_of(active(1).event), encode(active(1)))
    await client.close()
    log = JetStreamLog(connection)

    assert ack.seq == 1
    assert [r.id for r in await gather(log.read(0, 1))] == ["active:1"]
    assert await log.append([active(1)]) == [Appended(1, True)]  # known though it came without an id header


@pytest.mark.parametrize("answer", [b"hello", b"{}", b'{"seq": "x"}'])
async def test_whoever_else_answers_on_the_logs_subjects_is_not_believed(
    connection: Connection, nats_server: EmbeddedServer, answer: bytes
) -> None:
    async def meddle(message: Msg) -> None:
        await message.respond(answer)

    client = await nats.connect(nats_server.url)
    await client.subscribe("dl.>", cb=meddle)
    await client.flush()
    log = JetStreamLog(connection)
    for size in (1, BATCH_MIN):
        before = await log.last_position()
        appended = await append(log, [plugged(number, id=f"{size}:{number}") for number in range(size)])
        assert [one.position for one in appended] == list(range(before + 1, before + size + 1))
    await client.close()


async def test_without_a_stream_an_append_fails_at_once(connection: Connection) -> None:
    await connection.api(f"STREAM.DELETE.{LOG}")
    async with asyncio.timeout(5):
        with pytest.raises(LogUnavailable, match="no stream takes what was published"):
            await JetStreamLog(connection).append([plugged(0)])


async def test_ids_that_no_header_can_carry(connection: Connection) -> None:
    log = JetStreamLog(connection)
    ids = [" a", "a", "a ", "a\r\nb", "a  b", "ä", "a%20", "%", ":"]
    assert [a.duplicate for a in await log.append([plugged(0, id=one) for one in ids])] == [False] * len(ids)
    assert [a.position for a in await log.append([plugged(0, id=one) for one in ids])] == list(range(1, len(ids) + 1))


async def test_closing_ends_a_follower(nats_server: EmbeddedServer) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with connect(nats_server.url) as connection:
            log = JetStreamLog(connection)
            await log.append([plugged(0)])
            reached = asyncio.Event()

            async def follow() -> None:
                async for _ in log.follow(0):
                    reached.set()

            follower = tasks.create_task(ended(follow()))
            await reached.wait()
        with pytest.raises(BusClosed, match="ended"):
            await log.append([plugged(1)])
    assert "ended" in follower.result()


async def ended(work: Coroutine[None, None, None]) -> str:
    with pytest.raises(BusClosed) as caught:
        await work
    return str(caught.value)


async def test_checkpoints(connection: Connection) -> None:
    checkpoints = JetStreamCheckpoints(connection)
    names = ["nova", "ovs-agent.h1.h2", "odd name * >", "many." + ".".join(f"h{n}" for n in range(400))]
    for index, name in enumerate(names):
        assert await checkpoints.load(name) == 0
        await checkpoints.save(name, 5)
        await checkpoints.save(name, index)
    assert [await JetStreamCheckpoints(connection).load(name) for name in names] == [0, 1, 2, 3]


async def test_quarantine(tmp_path: Path) -> None:
    rejects = [
        Rejected(position=n, subject="dl.x", reason="no JSON", data=b"\xff\x00", malformed=True, time_us=n)
        for n in (7, 3)
    ]
    for _ in range(2):
        async with embedded_nats(tmp_path) as server, connect(server.url) as connection:
            quarantine = JetStreamQuarantine(connection)
            await quarantine.put(rejects)
            await quarantine.put(rejects)
            await quarantine.put([])
            assert await quarantine.list() == rejects[::-1]


@pytest.mark.parametrize("data", [b"garbage", b"{}", b"\xff"])
async def test_what_anybody_puts_beside_the_log_holds_up_nobody(connection: Connection, data: bytes) -> None:
    beats, checkpoints = JetStreamBeats(connection), JetStreamCheckpoints(connection)
    quarantine = JetStreamQuarantine(connection)
    rejected = Rejected(position=7, subject="dl.x", reason="no JSON", data=b"x", malformed=True, time_us=7)
    await beats.beat("one", ["h1"], 5)
    await quarantine.put([rejected])
    for subject in ("beat.x", "quarantine.x", "checkpoint.nova"):
        await connection.publish(subject, data)
    await connection.client.flush()
    with capture_logs() as told:
        for _ in range(2):
            assert await beats.heard() == {"h1": 5}
            assert await quarantine.list() == [rejected]
            assert await checkpoints.load("nova") == 0
    assert [one["subject"] for one in told if one["event"] == "a beat that is none"] == ["beat.x"]
    await checkpoints.save("nova", 3)
    assert await checkpoints.load("nova") == 3


async def test_rpc(connection: Connection) -> None:
    async def handler(data: bytes) -> AsyncIterator[bytes]:
        if data == b"fail":
            raise ValueError("no such switch")
        for n in range(int(data)):
            yield f"{n}".encode()
        if data == b"3":
            await asyncio.Event().wait()

    with pytest.raises(NoResponder, match="nobody serves fabric"):
        await anext(rpc.call(connection, "fabric", b"1", 5))
    service = asyncio.ensure_future(rpc.serve(connection, "fabric", handler))
    try:
        await asyncio.sleep(0)  # it subscribes before it waits, and the server keeps the order
        stuck = rpc.call(connection, "fabric", b"3", 2)
        assert [await anext(stuck) for _ in range(3)] == [b"0", b"1", b"2"]
        assert [r async for r in rpc.call(connection, "fabric", b"0", 5)] == []
        assert len([r async for r in rpc.call(connection, "fabric", b"500", 5)]) == 500  # while the first one hangs
        with capture_logs(), pytest.raises(CallFailed, match="ValueError: no such switch"):
            await anext(rpc.call(connection, "fabric", b"fail", 5))
        with pytest.raises(NoReply, match="no reply within 2 s"):
            await anext(stuck)
    finally:
        service.cancel()
        await asyncio.wait([service])
