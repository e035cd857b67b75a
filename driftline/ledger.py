"""The ledger of a publisher: what it meant to publish, written down before, and where the log says that it is.

A file of JSON lines that only grows; several processes may share one. An entry without an acknowledgement is one that
was not answered, or whose publisher died: whether it is in the log is looked up by its id (``driftline audit``).
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from bus.envelope import Envelope
from bus.log import Appended
from driftline.errors import UsageError

#: The file that publishers of this process write to, if they are given none.
VARIABLE = "DRIFTLINE_LEDGER"
#: How much of the file is looked at in one go for the end of its last whole line, in bytes.
_CHUNK = 4096


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event. ``position`` is 0 until it is acknowledged; ``digest`` is of the event alone, as JSON."""

    id: str
    type: str = ""
    digest: str = ""
    at_us: int = 0
    position: int = 0
    duplicate: bool = False


class Ledger:
    """Writes to the file at ``path``. Raises UsageError, naming it, when that cannot be done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_environment(cls) -> "Ledger | None":
        """The ledger that ``$DRIFTLINE_LEDGER`` names, None if it names none."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path)) if path else None

    def intend(self, envelopes: Sequence[Envelope]) -> None:
        """Write down what is about to be published. It is on disk once this returns."""
        entries = [
            Entry(id=one.id, type=type_of(one.event), digest=digest(one.event), at_us=one.time_us) for one in envelopes
        ]
        self._write(entries, durable=True)

    def acknowledge(self, envelopes: Sequence[Envelope], appended: Sequence[Appended]) -> None:
        """Write down where it is. If this is lost, it can be looked up."""
        pairs = zip(envelopes, appended, strict=True)
        self._write(
            [Entry(id=one.id, position=at.position, duplicate=at.duplicate) for one, at in pairs], durable=False
        )

    def _write(self, entries: Sequence[Entry], *, durable: bool) -> None:
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        try:
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _drop_torn_line(file)
                file.write(lines)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"ledger {self._path}: {error.strerror}; nothing more is published") from error


def _drop_torn_line(file: BinaryIO) -> None:
    """Cut off a last line without its end: who wrote it died, and what it would have said was not published.

    Else the next entry would go on in that line, and neither could be read. The file must be locked.
    """
    end = file.seek(0, os.SEEK_END)
    keep = end
    while keep:
        start = max(keep - _CHUNK, 0)
        file.seek(start)
        newline = file.read(keep - start).rfind(b"\n")
        if newline >= 0:
            keep = start + newline + 1
            break
        keep = start
    if keep < end:
        file.truncate(keep)


def read_ledger(path: Path) -> list[Entry]:
    """All that was intended, in order, with what is known of each. Raises UsageError, naming file and line.

    A last line that was cut off by a crash is left out: what it would have said was not published yet.
    """
    entries: dict[str, Entry] = {}
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"--ledger {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.MsgspecError as error:
            raise UsageError(f"--ledger {path}, line {number}: {error}") from error
        _note(entries, entry)
    return list(entries.values())


def _note(entries: dict[str, Entry], entry: Entry) -> None:
    known = entries.setdefault(entry.id, entry)
    if entry.position and not known.position:
        known.position, known.duplicate = entry.position, entry.duplicate


def digest(event: object) -> str:
    """A short text that another event does not have."""
    return hashlib.sha256(msgspec.json.encode(event)).hexdigest()[:16]


def type_of(event: object) -> str:
    """The wire tag of an event."""
    return str(type(event).__struct_config__.tag)  # type: ignore[attr-defined]


def merged(ledgers: Iterable[Sequence[Entry]]) -> list[Entry]:
    """The entries of several ledgers as one: who tried again elsewhere has published once."""
    entries: dict[str, Entry] = {}
    for ledger in ledgers:
        for entry in ledger:
            _note(entries, entry)
    return list(entries.values())
