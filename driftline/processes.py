"""Roles of the control plane as processes of their own, which end with the one that started them.

They are leashed: a part ends in order when its standard input does, and that is a pipe which this process holds.
"""

import asyncio
import contextlib
import signal
import sys
from collections import deque
from collections.abc import Sequence

import structlog

from driftline.errors import NotDone

#: How long a part may take until it is at work, and until it has ended, seconds.
START_S, END_S = 60.0, 20.0
#: A part that ends sooner than that after its start, seconds, so many times in a row, is beyond help.
SHORT_S, SHORT_LIVES = 2.0, 5
#: So many of the last lines that a part says are kept.
_LINES_MAX = 20
_AT_WORK = (b"worker runs", b"projector started")

log = structlog.get_logger("process")


class Part:
    """One role as a process: ``driftline worker ROLE``. ``starts``: how often it was started."""

    def __init__(self, role: str, arguments: Sequence[str]) -> None:
        self.role = role
        self.starts = 0
        self._at_work = asyncio.Event()
        self._arguments = ("worker", role, "--leashed", *arguments)
        self._said: deque[bytes] = deque(maxlen=_LINES_MAX)
        self._process: asyncio.subprocess.Process | None = None

    async def at_work(self, within_s: float = START_S) -> None:
        """Return when it has begun. Raises NotDone if it does not within that time, with what it said last."""
        try:
            async with asyncio.timeout(within_s):
                await self._at_work.wait()
        except TimeoutError as error:
            raise NotDone(f"{self.role} is not at work within {within_s:g} s: {self._last_line()}") from error

    async def keep(self) -> None:
        """Run it for ever: it is started again when it ends, as a service manager would.

        Raises NotDone when it ends again and again as soon as it is started.
        """
        short = 0
        loop = asyncio.get_running_loop()
        while short < SHORT_LIVES:
            began = loop.time()
            code = await self._live()
            short = short + 1 if loop.time() - began < SHORT_S else 0
            log.info("part ended", role=self.role, code=code)
        raise NotDone(f"{self.role} ends as soon as it is started: {self._last_line()}")

    async def run(self) -> None:
        """Run it once, until cancelled. Raises NotDone if it ends by itself, with what it said last."""
        code = await self._live()
        raise NotDone(f"{self.role} has ended with {code}: {self._last_line()}")

    async def _live(self) -> int:
        """One life, from its start to its end."""
        self.starts += 1
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from driftline.cli.main import main; main()", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the process that holds the leash
        )
        try:
            assert process.stderr is not None
            async for line in process.stderr:
                self._said.append(line)
                if any(word in line for word in _AT_WORK):
                    self._at_work.set()
            return await process.wait()
        finally:
            await self._end(process)

    def _last_line(self) -> str:
        return self._said[-1].decode(errors="replace").strip() if self._said else "it said nothing"

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Let go of the leash; what does not end by itself is killed."""
        if process.returncode is not None:
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
