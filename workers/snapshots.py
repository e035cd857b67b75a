"""Snapshots of what the workers of a process have folded, so that a restart need not fold the whole log again.

A snapshot holds the state at one position of the log, and with it what was decided then and was not on disk yet
(``Machine.ahead``). So it is true only if all of that is on disk later: it gets its name only then. It is written by a
copy of the process (fork), which sees everything as it was at one moment while the process goes on.

A snapshot is a pickle: reading one runs what it says. It is read only from a file that this user alone can write.
"""

import asyncio
import contextlib
import gc
import hashlib
import os
import pickle
import platform
import signal
import stat
import time
import warnings
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import psutil
import structlog

import bus
import projections
import workers
from workers.machine import Kept
from workers.worker import Commons

#: Of the file; raise it when it holds something else.
FORMAT = 1
#: So many events lie between two snapshots at least, and so many times as long as the last one took.
EVERY_EVENTS = 100_000
REST_TIMES = 10
#: When it is tried again if there could be no other process, seconds.
RETRY_S = 60.0
#: Why a file cannot be taken apart: cut off, damaged, or of code that is no more.
_UNREADABLE = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError)

log = structlog.get_logger("snapshots")


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is of, and only good for. ``log``: its identity; ``roles``: workers, with their hosts or None."""

    log: str
    subject: str
    roles: tuple[tuple[str, tuple[str, ...] | None], ...]

    @property
    def file_name(self) -> str:
        """Where it is kept: another one for each set of roles."""
        digest = hashlib.blake2b(msgspec.json.encode((self.subject, self.roles)), digest_size=6).hexdigest()
        first = self.roles[0][0] if len(self.roles) == 1 else "workers"
        return f"{first}-{digest}.snapshot"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of the file. ``size`` and ``checksum`` (CRC-32) are those of the pickle that comes after it."""

    format: int
    code: str
    whose: Whose
    position: int
    size: int
    checksum: int


class Snapshot(NamedTuple):
    """What was folded up to ``position``: what the workers have in common, and what each has of its own."""

    position: int
    commons: Commons
    kept: list[Kept]


class SnapshotWrong(Exception):
    """The log does not hold what the snapshot says: it is to be forgotten, and the log folded from its beginning."""


class Snapshots:
    """Those of one process, in ``folder``, which must be there. ``every_events``: how many lie between two at least."""

    def __init__(self, folder: Path, every_events: int = EVERY_EVENTS) -> None:
        self._folder = folder
        self._every_events = every_events
        self._whose: Whose | None = None
        self._last = 0
        self._not_before_s = float("-inf")
        self._taking = False

    @property
    def path(self) -> Path:
        """Where the snapshot is; only after ``load``, which says whose it is."""
        assert self._whose is not None, "no snapshot was looked for yet"
        return self._folder / self._whose.file_name

    def load(self, whose: Whose) -> Snapshot | None:
        """The snapshot, if there is one that is good for ``whose``; else None, and a line in the log says why."""
        self._whose = whose
        for left in self._folder.glob(f"{self.path.name}.*.tmp"):
            if not psutil.pid_exists(int(left.suffixes[-2][1:])):  # the process was killed
                left.unlink(missing_ok=True)
        try:
            with self.path.open("rb") as file:
                found = _read(file, whose)
        except FileNotFoundError:
            return None
        except OSError as error:
            found = str(error)
        if isinstance(found, str):
            log.warning("snapshot passed over", path=str(self.path), reason=found)
            return None
        self._last = found.position
        return found

    def discard(self) -> None:
        """Have the snapshot go: it may not be true."""
        self.path.unlink(missing_ok=True)
        self._last = 0

    def due(self, position: int) -> bool:
        """Whether it is time for one, at ``position``."""
        enough = position - self._last >= self._every_events
        return enough and not self._taking and time.monotonic() >= self._not_before_s

    def begin(self, snapshot: Snapshot) -> "Pending | None":
        """Write ``snapshot`` as it is now, in another process: what happens to it here from now on does no harm.

        None, and a line in the log, when there can be no other process.
        """
        assert self._whose is not None, "no snapshot was looked for yet"
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with warnings.catch_warnings():
            # Python 3.12 on warns of other threads; the copy uses none of what they may hold: it pickles and ends.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                pid = os.fork()
            except OSError as error:
                self._not_begun(snapshot.position, str(error))
                return None
        if pid == 0:
            _write_and_end(temporary, self._whose, snapshot)
        self._taking = True
        return Pending(pid, temporary, snapshot.position)

    def _not_begun(self, position: int, reason: str) -> None:
        self._not_before_s = time.monotonic() + RETRY_S
        log.warning("no snapshot", path=str(self.path), position=position, reason=reason)

    async def take(self, pending: "Pending", on_disk: Callable[[], Awaitable[None]]) -> None:
        """Keep ``pending`` once it is written and ``on_disk`` has returned; until then the one before stays.

        One that cannot be written is told of in the log.
        """
        began_s = time.monotonic()
        try:
            reason = await pending.written()
            if not reason:
                await on_disk()
                pending.temporary.replace(self.path)
                self._last = pending.position
        except OSError as error:
            reason = str(error)
        finally:
            await pending.end()
            took_s = time.monotonic() - began_s
            self._taking = False
            self._not_before_s = time.monotonic() + REST_TIMES * took_s
        if reason:
            log.warning("no snapshot", path=str(self.path), position=pending.position, reason=reason)
        else:
            log.info("snapshot", path=str(self.path), position=pending.position, seconds=round(took_s, 2))


class Pending:
    """A snapshot that another process, ``pid``, writes to ``temporary``."""

    def __init__(self, pid: int, temporary: Path, position: int) -> None:
        self.temporary = temporary
        self.position = position
        self._pid = pid
        self._ended = asyncio.ensure_future(asyncio.to_thread(os.waitpid, pid, 0))

    async def written(self) -> str:
        """Wait until it is; what has gone wrong, or nothing."""
        _, status = await asyncio.shield(self._ended)
        return f"its process ended with {os.waitstatus_to_exitcode(status)}" if status else ""

    async def end(self) -> None:
        """Have nothing left of it: neither the process, nor what it wrote and nobody kept."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            await asyncio.shield(self._ended)
        self.temporary.unlink(missing_ok=True)


def _write_and_end(path: Path, whose: Whose, snapshot: Snapshot) -> None:
    """In the copy: write, and be gone without a trace of the process that this is a copy of."""
    code = 1
    try:
        gc.disable()
        os.closerange(
            3, os.sysconf("SC_OPEN_MAX")
        )  # its connections; whoever waits for these to be closed need not wait
        write(path, whose, snapshot)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is: nothing of the process may run in its copy
        os.write(2, f"snapshot {path}: {error!r}\n".encode())
    finally:
        os._exit(code)


def write(path: Path, whose: Whose, snapshot: Snapshot) -> None:
    """Write ``snapshot`` to ``path``, on disk when this returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        data = pickle.dumps((snapshot.commons, snapshot.kept), pickle.HIGHEST_PROTOCOL)
        header = Header(
            format=FORMAT,
            code=fingerprint(),
            whose=whose,
            position=snapshot.position,
            size=len(data),
            checksum=zlib.crc32(data),
        )
        file.write(msgspec.json.encode(header) + b"\n")
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(file: IO[bytes], whose: Whose) -> Snapshot | str:
    """The snapshot in ``file``, or why it is no good. Raises OSError."""
    status = os.fstat(file.fileno())
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may have written it"
    try:
        header = msgspec.json.decode(file.readline(), type=Header)
    except msgspec.DecodeError as error:
        return f"its first line: {error}"
    reason = _other(header, whose)
    if reason:
        return reason
    data = file.read()
    if (len(data), zlib.crc32(data)) != (header.size, header.checksum):
        return "damaged"
    collecting = gc.isenabled()
    gc.disable()  # nothing of what comes in is garbage, and looking for some takes half of the time
    try:
        return Snapshot(header.position, *pickle.loads(data))
    except _UNREADABLE as error:
        return f"{type(error).__name__}: {error}"
    finally:
        if collecting:
            gc.enable()


def _other(header: Header, whose: Whose) -> str:
    """In what the file is not what is wanted; empty if it is."""
    if header.format != FORMAT:
        return f"it has format {header.format}, not {FORMAT}"
    if header.code != fingerprint():
        return "it was written by other code"
    if header.whose.log != whose.log:
        return f"it is of the log {header.whose.log}"
    if header.whose != whose:
        return "it is of other workers"
    return ""


@cache
def fingerprint() -> str:
    """What tells this code from any other that may fold or decide differently, or keep it differently."""
    digest = hashlib.blake2b(digest_size=16)
    for package in (bus, projections, workers):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package.__name__}/{path.relative_to(root)}\n".encode())
            digest.update(path.read_bytes())
    return f"{digest.hexdigest()} Python {platform.python_version()} msgspec {msgspec.__version__}"


def whose_of(identity: str, subject: str, roles: Sequence[tuple[str, frozenset[str] | None]]) -> Whose:
    """What a snapshot of these workers over the log ``identity`` is good for."""
    told = tuple((name, None if hosts is None else tuple(sorted(hosts))) for name, hosts in roles)
    return Whose(log=identity, subject=subject, roles=told)
