"""A control plane whose parts are processes of their own, on servers of their own: what can be killed one by one.

A part that ends is started again, as a service manager would. All of it ends with this process, however that ends: the
servers have guards, and the parts are leashed (they end when their standard input does).
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from bus.embedded import EmbeddedServer, embedded_nats, embedded_postgres_server
from bus.errors import first_error
from driftline.errors import NotDone

#: The parts that every network needs. The fabric is first: nothing is performed without it.
ROLES = ("fabric", "nova", "compute", "ovs-agent", "cnc", "ipam", "liveness", "projector")
#: How long a part may take until it is at work, and until it has ended, seconds.
START_S, END_S = 60.0, 20.0
#: A part that ends sooner than that after its start, seconds, so many times in a row, is beyond help.
SHORT_S, SHORT_LIVES = 2.0, 5
_AT_WORK = (b"worker runs", b"projector started")

log = structlog.get_logger("cluster")


class Part:
    """One role as a process. ``starts``: how often it was started."""

    def __init__(self, role: str, arguments: Sequence[str], output: Path) -> None:
        self.role = role
        self.starts = 0
        self.at_work = asyncio.Event()
        self._arguments = arguments
        self._output = output
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep it running for ever. Raises NotDone when it ends again and again as soon as it is started."""
        short = 0
        loop = asyncio.get_running_loop()
        while short < SHORT_LIVES:
            began = loop.time()
            code = await self._live()
            short = short + 1 if loop.time() - began < SHORT_S else 0
            log.info("part ended", role=self.role, code=code)
        last = self._output.read_text(errors="replace").splitlines()[-1:]
        raise NotDone(f"{self.role} ends as soon as it is started: {''.join(last)}")

    async def _live(self) -> int:
        """One life, from its start to its end."""
        self.starts += 1
        with self._output.open("ab") as output:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from driftline.cli.main import main; main()", *self._arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                assert process.stderr is not None
                async for line in process.stderr:
                    output.write(line)
                    if any(word in line for word in _AT_WORK):
                        self.at_work.set()
                return await process.wait()
            finally:
                await self._end()

    async def _end(self) -> None:
        """Let go of the leash; what does not end by itself is killed."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self.resume()
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """SIGKILL it; it is started again."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Have it stand still, as if its machine had no time for it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class Cluster:
    """The servers and the parts. Made by ``cluster``."""

    def __init__(self, nats: EmbeddedServer, postgres: EmbeddedServer, folder: Path) -> None:
        self.nats = nats
        self.postgres = postgres
        self.restarting = asyncio.Lock()
        servers = ("--nats", nats.url, "--postgres", postgres.url)
        self.parts = {role: Part(role, _arguments(role, servers, folder), folder / f"{role}.log") for role in ROLES}

    async def at_work(self) -> None:
        """Wait until every part has begun. Raises NotDone, naming those that have not."""
        try:
            async with asyncio.timeout(START_S):
                for part in self.parts.values():
                    await part.at_work.wait()
        except TimeoutError as error:
            late = [part.role for part in self.parts.values() if not part.at_work.is_set()]
            raise NotDone(f"not at work within {START_S:g} s: {', '.join(late)}") from error


def _arguments(role: str, servers: Sequence[str], folder: Path) -> list[str]:
    journal = ("--journal", str(folder / "fabric.jsonl")) if role == "fabric" else ()
    return ["worker", role, "--leashed", *servers, *journal]


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Servers and parts, started; gone with all that they kept at the end. ``at_work`` says when they can be used."""
    async with AsyncExitStack() as exits:
        nats = await exits.enter_async_context(embedded_nats())
        folder = nats.folder / "parts"  # its guard removes it, however this process ends
        folder.mkdir()
        postgres = await exits.enter_async_context(embedded_postgres_server())
        one = Cluster(nats, postgres, folder)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(part.run(), name=part.role) for part in one.parts.values()]
                try:
                    yield one
                finally:
                    for task in running:
                        task.cancel()
        except BaseExceptionGroup as group:  # the caller catches errors by their type
            raise first_error(group) from group
