"""A log, or a part of it, in a file: a bug report that can be replayed anywhere.

JSON lines, packed by gzip if the name ends in ``.gz``. The first line is the header; each further one a message::

    {"driftline_log": 1, "identity": "DRIFTLINE 2026-…", "recorded_us": …, "log_last": 4711, "selection": {}, …}
    {"position": 12, "subject": "dl.port.web-0-0.az1.h3.allocated", "stored_us": …, "data": {"id": …, "event": {…}}}

Positions are those of the log that was recorded, holes and all: ids of events name them. What is no JSON is kept as
``base64`` instead of ``data``, so nothing is lost.
"""

import base64
import binascii
import errno
import gzip
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar, cast

import msgspec

from bus.decoding import Raw
from bus.envelope import Envelope
from bus.errors import BusError
from bus.log import Appended
from bus.memory import MemoryLog

FORMAT = 1
T = TypeVar("T")


class RecordingBroken(BusError):
    """The file is no recording, or not a whole one. Its text names the file, the line and what is wrong."""


class ReadOnly(BusError):
    """A recorded log takes no more events."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded: the log's identity, when (microseconds), where it ended, what was chosen and what is masked.

    ``selection`` is empty for a whole log, else e.g. ``{"correlation": "r1"}``.
    """

    driftline_log: int = FORMAT
    identity: str
    recorded_us: int
    log_last: int
    selection: dict[str, str] = {}
    masked: list[str] = []
    messages: int = 0


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    position: int
    subject: str
    stored_us: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    base64: str = ""


_ENCODER = msgspec.json.Encoder()
_HEADERS = msgspec.json.Decoder(Header)
_LINES = msgspec.json.Decoder(_Line)


class RecordedLog(MemoryLog):
    """A recording as a log: everything can be read and nothing written. Made by ``open_recording``."""

    def __init__(self, header: Header, identity: str, raws: Iterable[Raw]) -> None:
        super().__init__(identity, raws)
        self.header = header
        self._last = max(self._last, header.log_last if not header.selection else 0)

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        raise ReadOnly(f"{self._identity} is a recording: nothing can be appended to it")

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int:
        raise ReadOnly(f"{self._identity} is a recording: nothing can be appended to it")


def write_recording(path: Path, header: Header, raws: Sequence[Raw], *, force: bool = False) -> int:
    """Write ``raws``, in their order, under ``header``; returns the size of the file, bytes.

    The file appears whole or not at all. Raises OSError; FileExistsError as ``refuse_existing`` does.
    """
    refuse_existing(path, force=force)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with _writing(part, packed=path.suffix == ".gz") as file:
            file.write(_ENCODER.encode(msgspec.structs.replace(header, messages=len(raws))) + b"\n")
            for raw in raws:
                file.write(_ENCODER.encode(_line(raw)) + b"\n")
        refuse_existing(path, force=force)  # somebody may have come first while we wrote
        part.replace(path)
        return path.stat().st_size
    finally:
        part.unlink(missing_ok=True)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise FileExistsError if there is something at ``path`` that is not to be replaced; ``force``: a file may be."""
    if path.exists() and not (force and path.is_file()):
        raise FileExistsError(errno.EEXIST, "it exists already" if path.is_file() else "it is no file", str(path))


def open_recording(path: Path) -> RecordedLog:
    """The log in the file ``path``. Raises RecordingBroken."""
    digest = hashlib.sha256()
    with _reading(path) as file:
        lines = _lines(path, file, digest.update)
        number, first = next(lines, (1, b""))
        header = _decoded(path, number, _HEADERS.decode, first)
        if header.driftline_log > FORMAT:
            raise RecordingBroken(f"{path}: format {header.driftline_log} is newer than this program's, {FORMAT}")
        raws = list(_raws(path, lines))
    if len(raws) != header.messages:
        raise RecordingBroken(f"{path}: it holds {len(raws)} messages, and says {header.messages}: it is cut off")
    return RecordedLog(header, f"recording {digest.hexdigest()}", raws)


def _raws(path: Path, lines: Iterator[tuple[int, bytes]]) -> Iterator[Raw]:
    last = 0
    for number, text in lines:
        line = _decoded(path, number, _LINES.decode, text)
        if line.position <= last:
            raise RecordingBroken(f"{path}, line {number}: position {line.position} comes after {last}")
        last = line.position
        data = _decoded(path, number, base64.b64decode, line.base64) if line.base64 else bytes(line.data)
        yield Raw(line.position, line.subject, data, line.stored_us)


def _line(raw: Raw) -> _Line:
    line = _Line(position=raw.position, subject=raw.subject, stored_us=raw.stored_us)
    try:
        msgspec.json.decode(raw.data)
        whole = b"\n" not in raw.data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        whole = False
    if whole:
        line.data = msgspec.Raw(raw.data)
    else:
        line.base64 = base64.b64encode(raw.data).decode()
    return line


def _lines(path: Path, file: IO[bytes], seen: Callable[[bytes], object]) -> Iterator[tuple[int, bytes]]:
    try:
        for number, line in enumerate(file, 1):
            seen(line)
            yield number, line
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise RecordingBroken(f"{path}: it cannot be read to its end: {error}") from error


def _decoded(path: Path, number: int, decode: Callable[..., T], text: bytes | str) -> T:
    try:
        return decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error) as error:
        raise RecordingBroken(f"{path}, line {number}: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            yield cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if packed else plain
    except OSError as error:
        raise RecordingBroken(f"{path}: {error.strerror or error}") from error


@contextmanager
def _writing(path: Path, *, packed: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as plain:
        if packed:  # no name and no time within: the same log makes the same file
            with gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) as file:
                yield cast(IO[bytes], file)
        else:
            yield plain
        plain.flush()
        os.fsync(plain.fileno())
