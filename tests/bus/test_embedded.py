"""Our own servers: they come up, survive a crash, and never outlive us."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from bus import embedded, guard
from bus.embedded import EmbeddedServer, embedded_nats, embedded_postgres_server
from bus.errors import EmbeddedError
from bus.jetstream import JetStreamLog, connect
from bus.jetstream.log import BATCH_MIN
from bus.jetstream.streams import LOG
from tests.bus.given import gather, plugged

PARENT = """
import asyncio, json, sys
from bus.embedded import embedded_nats, embedded_postgres_server

async def main():
    async with embedded_nats() as nats, embedded_postgres_server() as postgres:
        pids = [pid for server in (nats, postgres) for pid in (server.guard_pid, server.server_pid)]
        sys.stdout.write(json.dumps({"pids": pids, "folders": [str(nats.folder), str(postgres.folder)]}) + "\\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie (in a container nobody may reap it)."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)


def start_parent() -> tuple[subprocess.Popen[str], list[int], list[Path]]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdout is not None
    told = json.loads(parent.stdout.readline())
    folders = [Path(folder) for folder in told["folders"]]
    return parent, told["pids"], [*folders, guard.in_memory(folders[0])]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_is_left_of_a_parent_that_was_killed(number: signal.Signals) -> None:
    parent, pids, folders = await asyncio.to_thread(start_parent)
    with parent:
        assert all(map(is_running, pids))
        assert all(folder.exists() for folder in folders)
        os.killpg(parent.pid, number)  # as Ctrl-C does: the whole group
        await asyncio.to_thread(parent.wait)
    await until(lambda: not any(map(is_running, pids)))
    await until(lambda: not any(folder.exists() for folder in folders))


async def test_a_killed_guard_takes_its_server_along(nats_server: EmbeddedServer) -> None:
    os.kill(nats_server.guard_pid, signal.SIGKILL)
    await until(lambda: not is_running(nats_server.server_pid))
    await nats_server.stop()
    assert not nats_server.folder.exists()
    assert not guard.in_memory(nats_server.folder).exists()


async def test_ctrl_c_does_not_reach_the_servers(nats_server: EmbeddedServer) -> None:
    os.kill(nats_server.guard_pid, signal.SIGINT)
    async with connect(nats_server.url) as connection:
        assert await JetStreamLog(connection).last_position() == 0
    assert is_running(nats_server.guard_pid)


async def test_sigterm_to_the_guard_stops_all(nats_server: EmbeddedServer) -> None:
    os.kill(nats_server.guard_pid, signal.SIGTERM)
    await until(lambda: not is_running(nats_server.server_pid))
    await until(lambda: not nats_server.folder.exists())


async def test_a_dead_server_ends_its_guard() -> None:
    async with embedded_nats() as server:
        os.kill(server.server_pid, signal.SIGKILL)
        await until(lambda: not is_running(server.guard_pid))
        with pytest.raises(EmbeddedError, match="nats died"):
            await server.ready()


async def test_nats_keeps_its_data(tmp_path: Path) -> None:
    for run in range(2):
        async with embedded_nats(tmp_path / "log") as server, connect(server.url) as connection:
            log = JetStreamLog(connection)
            await log.append([plugged(run)])
            assert len(await gather(log.read(0, 9))) == run + 1
        assert not server.folder.exists()


@pytest.mark.skipif(not os.access(guard.MEMORY, os.W_OK), reason="there is no file system in memory")
async def test_batches_are_staged_in_memory_whatever_the_server_does(tmp_path: Path) -> None:
    staging = tmp_path / "jetstream" / "$G" / "streams" / LOG / "batches"
    async with embedded_nats(tmp_path) as server, connect(server.url) as connection:
        log = JetStreamLog(connection)
        memory = guard.in_memory(server.folder)
        for start in (0, BATCH_MIN):
            assert staging.readlink() == memory
            await log.append([plugged(number) for number in range(start, start + BATCH_MIN)])
            await server.restart()
        assert len(await gather(log.read(0, 2 * BATCH_MIN))) == 2 * BATCH_MIN
    assert not staging.is_symlink()
    assert not memory.exists()


@pytest.mark.skipif(not os.access(guard.MEMORY, os.W_OK), reason="there is no file system in memory")
async def test_a_link_that_a_killed_guard_has_left_is_replaced(tmp_path: Path) -> None:
    staging = tmp_path / "jetstream" / "$G" / "streams" / LOG / "batches"
    staging.parent.mkdir(parents=True)
    staging.symlink_to(tmp_path / "gone")
    async with embedded_nats(tmp_path) as server, connect(server.url) as connection:
        assert staging.readlink() == guard.in_memory(server.folder)
        await JetStreamLog(connection).append([plugged(number) for number in range(BATCH_MIN)])


async def test_a_data_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    async with embedded_nats(tmp_path):
        with pytest.raises(EmbeddedError, match="another driftline uses"):
            async with embedded_nats(tmp_path):
                pytest.fail("two servers on one store")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can reach. Not tmp_path: every other pytest run closes that to others again."""
    with tempfile.TemporaryDirectory(prefix="driftline-test-") as name:
        yield Path(name)


async def test_postgres_survives_a_crash_and_keeps_its_data(folder: Path) -> None:
    async with embedded_postgres_server(folder / "db") as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE t (n int)")
        await connection.execute("SET synchronous_commit = on; INSERT INTO t VALUES (1)")
        connection.terminate()
        await server.restart()
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT sum(n) FROM t") == 1
        await connection.close()
        os.kill(server.guard_pid, signal.SIGKILL)  # a power cut, as far as the files go
        await until(lambda: not is_running(server.server_pid))
    async with embedded_postgres_server(folder / "db") as server:
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT sum(n) FROM t") == 1
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW listen_addresses") == ""
        await connection.close()


async def test_each_test_has_its_own_database(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    assert str(await connection.fetchval("SELECT current_database()")).startswith("test_")
    await connection.close()


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EmbeddedError, match="file"):
        async with embedded_nats(tmp_path / "file"):
            pytest.fail("started on a file")


async def test_the_last_log_lines_are_in_the_error(folder: Path) -> None:
    async with embedded_postgres_server(folder / "db"):
        pass
    (folder / "db" / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(EmbeddedError, match="nonsense"):
        async with embedded_postgres_server(folder / "db"):
            pytest.fail("started with nonsense")


def test_the_guard_needs_the_standard_library_only() -> None:
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", Path(guard.__file__).read_text().partition("if __name__")[0]], check=True
    )
