"""Where books are kept, which there are, and how they go. A book is one SQLite file and what lies beside it."""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from platformdirs import user_cache_path

from driftline.errors import NotDone, UsageError

#: The environment variable that names another folder than the user's cache.
VARIABLE = "DRIFTLINE_CACHE"
_SUFFIX = ".book"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A book. ``log``: the identity of its log, empty if the file is torn; ``position``: up to where it has the log.

    ``used_us``: when it was last opened, microseconds since 1970; ``bytes``: of all its files.
    """

    book: str
    log: str
    position: int
    bytes: int
    used_us: int


def books_folder() -> Path:
    """Where books are kept: ``$DRIFTLINE_CACHE``, else the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or user_cache_path("driftline")) / "books"


def path_of(identity: str, folder: Path | None = None) -> Path:
    """The file of the book of the log with this identity. Creates the folder if need be, or raises NotDone."""
    folder = folder or books_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise NotDone(f"the folder of books {folder}: {error.strerror}; ${VARIABLE} names another one") from error
    return folder / _name(identity)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else opens, makes or removes the book at ``path`` meanwhile."""
    while True:
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock.fileno(), Path(f"{path}.lock")):  # else it was removed while we waited for it
                os.utime(lock.fileno())  # when the book was last opened
                yield
                return


def known_last(identity: str, folder: Path | None = None) -> int:
    """How far the book of the log with this identity goes; 0 if there is none on this machine."""
    return _said((folder or books_folder()) / _name(identity))[1]


def kept(folder: Path | None = None) -> list[Kept]:
    """All books, the one that was used last first."""
    found = []
    for path in (folder or books_folder()).glob(f"*{_SUFFIX}"):
        log, position = _said(path)
        sizes = [part.stat() for part in _parts(path)]
        lock = Path(f"{path}.lock")
        used = lock if lock.exists() else path
        found.append(
            Kept(
                book=path.stem,
                log=log,
                position=position,
                bytes=sum(one.st_size for one in sizes),
                used_us=int(used.stat().st_mtime * 1_000_000),
            )
        )
    return sorted(found, key=lambda one: -one.used_us)


def remove(book: str, folder: Path | None = None) -> Kept:
    """Remove the book of this name, with all of its files. Returns what it was.

    Raises UsageError (there is none), NotDone (it is open somewhere, or cannot be removed).
    """
    folder = folder or books_folder()
    found = next((one for one in kept(folder) if one.book == book), None)
    if found is None:
        raise UsageError(f"BOOK {book}: there is none of this name in {folder}")
    path = folder / f"{book}{_SUFFIX}"
    try:
        with alone(path):
            _refuse_open(path)
            for part in sorted(_parts(path)):  # the lock after what it guards
                part.unlink(missing_ok=True)
    except OSError as error:
        raise NotDone(f"the book {path}: {error.strerror or error}") from error
    return found


def _refuse_open(path: Path) -> None:
    """Raise NotDone if a program has the book open: SQLite leaves the mode of a write-ahead log only when alone."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            raise NotDone(f"the book {path} is open in another driftline: {error}") from error
        except sqlite3.DatabaseError:  # torn: nobody can use it
            return


def _said(path: Path) -> tuple[str, int]:
    """What a book says: the identity of its log and how far it goes; ``("", 0)`` if it is none, or torn."""
    if not path.exists():
        return "", 0
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            said = dict(db.execute("SELECT name, value FROM about"))
    except sqlite3.DatabaseError:  # torn, or being made
        return "", 0
    return str(said.get("identity", "")), int(said.get("events_to", 0))


def _parts(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{path.name}*"))


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _name(identity: str) -> str:
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}{_SUFFIX}"
