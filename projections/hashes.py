"""Canonical hashes of tables, the same wherever they are computed. PURE.

What is digested of a row is its JSON object: its columns in order, no spaces, UTF-8 (RFC 8259; that is ``row_to_json``
in PostgreSQL). A row's digest is the SHA-256 (FIPS 180-4) of that; the hash of a range of rows, and of a table, is the
SHA-256 of its rows' digests in the order of the primary key.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from projections.fold import Key
from projections.sql import storable

#: How many rows are compared at a time.
RANGE_ROWS = 4096
DIGEST_BYTES = 32

_encode = msgspec.json.Encoder().encode


def row_digests(rows: Iterable[Any]) -> bytes:
    """The digests of ``rows`` (structs), one after the other."""
    sha256 = hashlib.sha256
    return b"".join([sha256(_encode(row)).digest() for row in rows])


def stored_digest(row: Any) -> bytes:
    """The digest of ``row`` as PostgreSQL can hold it."""
    return hashlib.sha256(_encode(storable(msgspec.structs.asdict(row)))).digest()


def hash_of(digests: bytes) -> str:
    """The hash of the rows with these digests, in hexadecimal."""
    return hashlib.sha256(digests).hexdigest()


def combined(hashes: Iterable[str]) -> str:
    """One hash for several tables."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


class TableHash:
    """Compares one table with what it should be, range by range. ``rows``: how many were found in all."""

    def __init__(self, expected: dict[Key, Any]) -> None:
        self._expected = expected
        self.keys: Sequence[Key] = sorted(expected)
        self.rows = 0
        self._hash = hashlib.sha256()
        #: Where the first range begins that is not as it should be, by number of rows; None while all are.
        self.differs_from: int | None = None

    def feed(self, count: int, found: bytes) -> None:
        """Take in the next ``count`` rows' digests."""
        self._hash.update(found)
        if self.differs_from is None and not self._equal(self.keys[self.rows : self.rows + count], found):
            self.differs_from = self.rows
        self.rows += count

    def end(self) -> str:
        """All was fed; returns the hash of what was found."""
        if self.differs_from is None and self.rows < len(self.keys):
            self.differs_from = self.rows
        return self._hash.hexdigest()

    def _equal(self, keys: Sequence[Key], found: bytes) -> bool:
        rows = [self._expected[key] for key in keys]
        if row_digests(rows) == found:
            return True
        # What PostgreSQL cannot hold is kept a little different.
        return b"".join([stored_digest(row) for row in rows]) == found
