"""Keeps one server as its child, and takes it down when whoever asked for it is gone: ``python -m bus.guard SPEC``.

The parent's end of our stdin closes however the parent dies, SIGKILL included; that end of file is the signal to stop.
Conversation, a line each way: we write ``{"tmp", "pid", "url"}`` (JSON) once the server is ready; the parent may write
``kill`` (SIGKILL to the server, for tests) or ``end``, each answered ``{}``, and then ``start`` (the same server again,
on the same port), answered like the first time. Standard library only, so that it starts in milliseconds.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

POLL_S = 0.01
STOP_S = 10.0
LOG_LINES = 20
PR_SET_PDEATHSIG = 1


class Spec(TypedDict):
    """What to run. ``{tmp}`` and ``{port}`` in texts stand for our temporary folder and the server's port."""

    command: list[str]
    prepare: list[str]  # run to its end before the first start, if not empty
    files: dict[str, str]  # written into the temporary folder before each start
    folders: list[str]  # made if absent, and given to the server's user
    lock: str  # a file that at most one guard holds; "" for none
    uid: int  # of the server, -1 for our own
    gid: int
    ready: str  # "nats" or "postgres"
    stop_signal: int
    timeout_s: float
    lock_s: float  # how long the lock is waited for
    staging: str  # a folder of the server's whose files need no disk; "" for none


#: A file system in memory, where there is one.
MEMORY = Path("/dev/shm")
#: How much room there must be in it, bytes. Docker gives 64 MiB, and PostgreSQL wants some of that.
MEMORY_MIN = 512 * 1024 * 1024
#: What PostgreSQL says while processes of its predecessor still run.
LINGERING = "pre-existing shared memory block"


class GuardError(Exception):
    """The server could not be started or has died."""


class Guard:
    """One server, its temporary folder and its lock."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.tmp = Path(tempfile.mkdtemp(prefix="driftline-", dir=_short_tmp()))
        self.log = self.tmp / "server.log"
        self.port = "-1"
        self.memory = in_memory(self.tmp)
        self.staging = Path(self._fill(spec["staging"]))
        self.server: subprocess.Popen[bytes] | None = None
        self._lock_fd = -1

    def prepare(self) -> None:
        """Folders, lock and the one-time preparation (initdb). Raises GuardError."""
        self.tmp.chmod(0o711)  # the server's user must get through, and see nothing
        for folder in map(self._fill, self.spec["folders"]):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.spec["uid"] >= 0:
                os.chown(folder, self.spec["uid"], self.spec["gid"])
        if self.spec["lock"]:
            self._take_lock(self._fill(self.spec["lock"]))
        if self.spec["prepare"]:
            process = self._spawn(self.spec["prepare"])
            if process.wait(self.spec["timeout_s"]) != 0:
                raise GuardError(f"{Path(self.spec['prepare'][0]).name} failed:\n{self.tail()}")

    def start(self) -> str:
        """Start the server, wait until it is ready; its URL (NATS) or socket folder (PostgreSQL). Raises GuardError."""
        for name, text in self.spec["files"].items():
            (self.tmp / name).write_text(self._fill(text))
        probe = {"nats": self._nats_url, "postgres": self._postgres_socket}[self.spec["ready"]]
        url = self._spawn_until_ready(probe)
        if self.spec["ready"] == "nats":
            self.port = url.rpartition(":")[2]
        self._stage_in_memory()
        return url

    def _stage_in_memory(self) -> None:
        """Have the server keep what it stages in memory, if there is room; if that cannot be had, it does so on disk.

        At its start it has removed the folder that there was.
        """
        if not self.spec["staging"]:
            return
        self._unstage()  # also where there is no room now: a link that leads nowhere would fail each batch
        if not _has_room():
            return
        with contextlib.suppress(OSError):  # no such links there, or a client was quicker: on disk until the next start
            self.memory.mkdir(mode=0o700)
            self.staging.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.staging.symlink_to(self.memory)

    def _unstage(self) -> None:
        """Remove what is left in memory, and the link to it, which may also be of a guard that was killed."""
        if self.staging.is_symlink():
            self.staging.unlink()
        shutil.rmtree(self.memory, ignore_errors=True)

    def _spawn_until_ready(self, probe: Callable[[int], str | None]) -> str:
        deadline = time.monotonic() + self.spec["timeout_s"]
        while True:
            self.server = self._spawn(self.spec["command"])
            try:
                return self._wait_for(probe)
            except GuardError:
                # The processes of a killed PostgreSQL end by themselves, a little after it.
                if LINGERING not in self.tail() or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def end(self) -> None:
        """End the server, the hard way if it does not listen."""
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(self.spec["stop_signal"])
            try:
                self.server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        self.server = None

    def stop(self) -> None:
        """End the server, remove the temporary folder and give back the lock."""
        self.end()
        if self.spec["staging"]:
            self._unstage()
        shutil.rmtree(self.tmp, ignore_errors=True)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)

    def died(self) -> bool:
        """Whether the server ended without being told to."""
        return self.server is not None and self.server.poll() is not None

    def tail(self) -> str:
        """The last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def _fill(self, text: str) -> str:
        return text.replace("{tmp}", str(self.tmp)).replace("{port}", self.port)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        uid, gid = self.spec["uid"], self.spec["gid"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._fill(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.tmp,
                user=uid if uid >= 0 else None,
                group=gid if uid >= 0 else None,
                extra_groups=[] if uid >= 0 else None,
                # One thread only, so this is safe; it must come after the change of user, which clears the setting.
                preexec_fn=_die_with_parent(self.spec["stop_signal"]),  # noqa: PLW1509
            )

    def _take_lock(self, path: str) -> None:
        # A guard of the same folder may still be stopping its server.
        self._lock_fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self.spec["lock_s"]
        while True:
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GuardError(f"another driftline uses {Path(path).parent}") from None
                time.sleep(POLL_S)
            else:
                return

    def _wait_for(self, probe: Callable[[int], str | None]) -> str:
        assert self.server is not None
        deadline = time.monotonic() + self.spec["timeout_s"]
        while time.monotonic() < deadline:
            if self.died():
                raise GuardError(f"{self.spec['ready']} ended with code {self.server.returncode}:\n{self.tail()}")
            found = probe(self.server.pid)
            if found is not None:
                return found
            time.sleep(POLL_S)
        raise GuardError(f"{self.spec['ready']} is not ready after {self.spec['timeout_s']} s:\n{self.tail()}")

    def _nats_url(self, pid: int) -> str | None:
        path = self.tmp / f"nats-server_{pid}.ports"
        try:
            return str(json.loads(path.read_text())["nats"][0])
        except (FileNotFoundError, ValueError):  # ValueError: seen half written
            return None

    def _postgres_socket(self, pid: int) -> str | None:
        # postmaster.pid: line 1 is the pid, line 5 the socket folder, line 8 the status.
        folder = Path(self._fill(self.spec["command"][self.spec["command"].index("-D") + 1]))
        try:
            lines = (folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        is_ready = len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].startswith("ready")
        return lines[4].strip() if is_ready else None


def _has_room() -> bool:
    """Whether a file system in memory is there, with room for what is staged at once."""
    return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_MIN


def in_memory(tmp: Path) -> Path:
    """The folder in memory that goes with a temporary folder."""
    return MEMORY / tmp.name


def _short_tmp() -> str:
    """A temporary folder whose path leaves room for a Unix socket's name (107 bytes in all)."""
    path = tempfile.gettempdir()
    return path if len(path) < 60 else "/tmp"


def _die_with_parent(number: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, number)

    return ask_kernel


def _tell(guard: Guard, url: str) -> None:
    assert guard.server is not None
    sys.stdout.write(json.dumps({"tmp": str(guard.tmp), "pid": guard.server.pid, "url": url}) + "\n")
    sys.stdout.flush()


def _serve(guard: Guard, wakeup: int) -> None:
    """Obey the parent until its end of file or SIGTERM. Raises GuardError when the server dies."""
    while True:
        readable, _, _ = select.select([0, wakeup], [], [])
        if wakeup in readable:
            numbers = os.read(wakeup, 64)
            if signal.SIGTERM in numbers:
                return
            if guard.died():
                raise GuardError(f"{guard.spec['ready']} died:\n{guard.tail()}")
        if 0 in readable:
            line = os.read(0, 64)
            if not line:
                return
            if line == b"kill\n":
                guard.kill()
                _tell_done()
            elif line == b"end\n":
                guard.end()
                _tell_done()
            elif line == b"start\n":
                _tell(guard, guard.start())


def _tell_done() -> None:
    sys.stdout.write("{}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the server that the JSON in ``argv[1]`` describes; 0 when stopped by the parent, 1 when the server failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide on
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # a handler of its own, or nothing is written to the wakeup pipe
    guard = Guard(json.loads(sys.argv[1]))
    try:
        guard.prepare()
        _tell(guard, guard.start())
        _serve(guard, reading)
    except (GuardError, OSError, subprocess.SubprocessError) as error:
        with contextlib.suppress(OSError):  # the parent may be gone
            sys.stderr.write(f"{error}\n")
        return 1
    finally:
        guard.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
