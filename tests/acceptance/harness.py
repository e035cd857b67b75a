"""The real command line as processes: started, watched, killed and cleared away, whatever a test does.

A ``Site`` is a place to run commands in: a temporary folder and a runtime folder of its own, so that tests neither find
each other's servers nor leave anything behind. All that it starts carries a mark in its environment, by which processes
that outlive their parents are found.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bus.embedded import EmbeddedServer, embedded_nats, embedded_postgres_server
from bus.jetstream import JetStreamLog, connect
from tests.acceptance.forks import Forked, fork

DRIFTLINE = Path(sysconfig.get_path("scripts")) / "driftline"
ROLES = ("fabric", "nova", "compute", "ovs-agent", "cnc", "ipam", "liveness", "projector")
WAIT_S = 60.0
POLL_S = 0.05
#: How many commands are run at once: as many as keep two cores busy.
AT_ONCE = 3


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = WAIT_S) -> None:
    """Wait for something outside this process: there is nothing but asking that would tell."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(POLL_S)


class Ended:
    """What a command left: its exit code and all it wrote."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)

    @property
    def complaint(self) -> str:
        """The one line on stderr that a failed command leaves."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("driftline: "), self.stderr
        return lines[0].removeprefix("driftline: ")


class Command:
    """A command that runs. Its output goes to files, so it can be looked at at any time and never blocks."""

    def __init__(self, name: str, process: asyncio.subprocess.Process | Forked, stdout: Path, stderr: Path) -> None:
        self.name = name
        self.process = process
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stdout(self) -> str:
        return self._stdout.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    async def said(self, text: str) -> None:
        """Wait until it has written ``text`` to stderr."""

        def look() -> bool:
            assert self.process.returncode is None, f"{self.name} ended: {self.stderr}"
            return text in self.stderr

        await until(look, f"{self.name} says {text!r}")

    async def end(self, number: int = signal.SIGTERM) -> Ended:
        """Send it a signal and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self, timeout_s: float = WAIT_S) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(timeout_s):
            code = await self.process.wait()
        return Ended(code, self.stdout, self.stderr)


class Site:
    """A place to run commands in. Made by ``site``."""

    def __init__(self, *, from_the_shell: bool) -> None:
        self._from_the_shell = from_the_shell
        self.folder = Path(tempfile.mkdtemp(prefix="dl-test-"))  # short: a socket's name must fit
        self.tmp = self.folder / "tmp"
        self.runtime = self.folder / "run"
        self._mark = f"DRIFTLINE_TEST={uuid.uuid4().hex}"
        self._commands: list[Command] = []
        self._numbers = itertools.count(1)
        self._cleared = False
        self._at_once = asyncio.Semaphore(AT_ONCE)
        for made in (self.folder, self.tmp, self.runtime):
            made.mkdir(exist_ok=True)
            made.chmod(0o755)  # where this is root, PostgreSQL runs as another user

    async def start(self, *arguments: str | Path, env: dict[str, str] | None = None) -> Command:
        """Start ``driftline`` with these arguments."""
        assert not self._cleared, "the test is over"
        name = f"{next(self._numbers)}-{arguments[0]}"
        stdout, stderr = self.folder / f"{name}.out", self.folder / f"{name}.err"
        stdout.touch()
        stderr.touch()
        environment = self._environment() | (env or {})
        start = self._start if self._from_the_shell else self._fork
        process = await start([*map(str, arguments)], environment, stdout, stderr)
        command = Command(" ".join(map(str, arguments)), process, stdout, stderr)
        self._commands.append(command)
        return command

    async def _start(
        self, arguments: list[str], environment: dict[str, str], stdout: Path, stderr: Path
    ) -> asyncio.subprocess.Process:
        with stdout.open("wb") as out, stderr.open("wb") as err:
            return await asyncio.create_subprocess_exec(
                *(str(DRIFTLINE), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
            )

    async def _fork(self, arguments: list[str], environment: dict[str, str], stdout: Path, stderr: Path) -> Forked:
        return await fork(
            {
                "arguments": arguments,
                "environment": environment,
                "folder": str(self.folder),
                "stdout": str(stdout),
                "stderr": str(stderr),
            }
        )

    async def run(self, *arguments: str | Path, code: int = 0, timeout_s: float = WAIT_S) -> Ended:
        """Run ``driftline`` with these arguments to its end, which must be exit ``code``."""
        async with self._at_once:
            command = await self.start(*arguments)
            ended = await command.ended(timeout_s)
        assert ended.code == code, f"{command.name} ended with {ended.code}\n{ended.stdout}\n{ended.stderr}"
        return ended

    async def json(self, *arguments: str | Path, code: int = 0, timeout_s: float = WAIT_S) -> Any:
        """Run it with ``--json``; returns its document."""
        return (await self.run(*arguments, "--json", code=code, timeout_s=timeout_s)).document

    async def refused(self, *arguments: str | Path) -> str:
        """Run what must fail; returns the one line that it says, on stderr alone."""
        async with self._at_once:
            command = await self.start(*arguments)
            ended = await command.ended()
        assert ended.code in (1, 2), f"{command.name} ended with {ended.code}\n{ended.stdout}\n{ended.stderr}"
        assert ended.stdout == ""
        return ended.complaint

    def note(self) -> dict[str, Any]:
        """What the one ``driftline up`` that runs here has left for others: its servers' addresses."""
        (note,) = self.runtime.glob("*/*.json")
        found: dict[str, Any] = json.loads(note.read_text())
        return found

    def processes(self) -> list[str]:
        """All that was started here and still runs, also what lost its parent."""
        found = [f"{one.process.pid} {one.name}" for one in self._commands if one.process.returncode is None]
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                    if self._mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                        found.append(f"{process.name} {(process / 'cmdline').read_bytes()[:200]!r}")
        return found

    def left_over(self) -> list[str]:
        """Processes and files that should not be there once every command has ended."""
        files = [str(path) for folder in (self.tmp, self.runtime) for path in folder.iterdir()]
        return self.processes() + files

    async def nothing_left(self) -> None:
        """Wait until nothing is left of what was started here."""
        with contextlib.suppress(AssertionError):
            await until(lambda: not self.left_over(), "nothing is left over", 15)
        assert self.left_over() == []

    async def clear(self) -> None:
        """Kill what still runs, and remove the folder. What embedded servers it had are stopped by their guards."""
        self._cleared = True
        for command in self._commands:
            if command.process.returncode is None:
                os.killpg(command.process.pid, signal.SIGKILL)
            await command.process.wait()
        try:
            await until(lambda: not self.processes(), "all processes end", 15)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("DRIFTLINE_", "COLUMNS"))}
        name, _, value = self._mark.partition("=")
        cache = {"DRIFTLINE_CACHE": str(self.folder / "cache")}
        return own | cache | {name: value, "TMPDIR": str(self.tmp), "XDG_RUNTIME_DIR": str(self.runtime)}


@asynccontextmanager
async def site(*, from_the_shell: bool = False) -> AsyncIterator[Site]:
    """A place to run commands in, gone afterwards with all that was started there.

    ``from_the_shell``: the installed script is started anew each time, else a process that has loaded it is forked.
    """
    place = Site(from_the_shell=from_the_shell)
    try:
        yield place
    finally:
        await place.clear()


async def start_up(place: Site, *arguments: str | Path) -> Command:
    """A ``driftline up`` that is ready."""
    up = await place.start("up", *arguments)
    await up.said("driftline is up")
    return up


class Cluster:
    """Servers, and each role as a process of its own on them. Made by ``cluster``."""

    def __init__(self, place: Site, nats: EmbeddedServer, postgres: EmbeddedServer, log: JetStreamLog) -> None:
        self.place = place
        self.nats = nats
        self.postgres = postgres
        self.log = log
        self.servers = ("--nats", nats.url, "--postgres", postgres.url)
        self._roles: dict[str, Command] = {}

    async def start(self, role: str, *options: str | Path) -> Command:
        """Start a worker, the fabric or the projector; its state, if it keeps any, is where it was."""
        if role == "fabric":
            options = ("--journal", self.place.folder / "fabric.jsonl", *options)
        command = await self.place.start("worker", role, *self.servers, *options)
        self._roles[role] = command
        return command

    async def kill(self, role: str) -> None:
        """SIGKILL it, wherever it is."""
        ended = await self._roles.pop(role).end(signal.SIGKILL)
        assert ended.code == -signal.SIGKILL, f"{role} had ended by itself: {ended.stderr}"

    async def at_work(self) -> None:
        """Wait until all that was started has caught up."""
        for role, command in self._roles.items():
            await command.said("projector started" if role == "projector" else "worker runs")

    async def reached(self, position: int) -> None:
        """Wait until the log is this long."""

        async def look() -> bool:
            return await self.log.last_position() >= position

        await until(look, f"the log reaches {position}")


@asynccontextmanager
async def cluster(roles: Sequence[str] = ROLES, *world: str | Path) -> AsyncIterator[Cluster]:
    """Servers with a world on them, and these roles at work."""
    async with (
        embedded_nats() as nats,
        embedded_postgres_server() as postgres,
        connect(nats.url) as connection,
        site() as place,
    ):
        one = Cluster(place, nats, postgres, JetStreamLog(connection))
        await place.run("world", "--nats", nats.url, *world)
        await asyncio.gather(*[one.start(role) for role in roles])
        await one.at_work()
        yield one
