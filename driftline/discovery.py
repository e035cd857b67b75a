"""How state commands find a running ``driftline up``: it leaves a note of its addresses while it runs."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from driftline.errors import UsageError


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running driftline's servers are. ``data``: the folder it keeps its data in, empty for a temporary one."""

    pid: int
    nats: str
    postgres: str
    data: str = ""


@contextmanager
def announced(running: Running) -> Iterator[None]:
    """Leave the note while the body runs."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    note = folder / f"{running.pid}.json"
    written = note.with_suffix(".new")
    written.write_bytes(msgspec.json.encode(running))
    written.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
        _remove_if_empty(folder)


def find(data: Path | None = None) -> Running | None:
    """The running driftline, or the one that keeps its data in ``data``; None if there is none.

    Raises UsageError when several run, naming them. Notes of processes that have ended are cleared away.
    """
    found = [r for r in _all() if data is None or (r.data and Path(r.data) == data.resolve())]
    if len(found) > 1:
        names = ", ".join(f"pid {r.pid} ({r.nats})" for r in found)
        raise UsageError(f"several driftlines are running: {names}; choose one with --nats and --postgres, or --data")
    return found[0] if found else None


def _all() -> list[Running]:
    folder = _folder()
    if not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return []
    alive = []
    for note in sorted(folder.glob("*.json")):
        try:
            running = msgspec.json.decode(note.read_bytes(), type=Running)
        except FileNotFoundError:  # it ended just now
            continue
        if _is_alive(running.pid):
            alive.append(running)
        else:
            note.unlink(missing_ok=True)
    _remove_if_empty(folder)
    return alive


def _folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"driftline-{os.getuid()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # somebody has just left a note, or removed the folder
        folder.rmdir()
