"""The rows of whole tables as PostgreSQL takes them in fastest: COPY in its text format. PURE.

https://www.postgresql.org/docs/current/sql-copy.html, "Text Format": a line a row, tabs between columns, backslash
escapes what would be mistaken.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from projections.fold import Key, Table
from projections.sql import storable

#: How many rows are encoded at a time.
CHUNK_ROWS = 2000

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_chunks(table: Table, rows: dict[Key, Any], *, careful: bool = False) -> Iterator[bytes]:
    """All ``rows`` of ``table`` in key order. ``careful``: also what PostgreSQL cannot hold, made storable."""
    encode = _encoder(table, careful=careful)
    keys = iter(sorted(rows))
    while chunk := list(islice(keys, CHUNK_ROWS)):
        yield "".join([encode(msgspec.structs.astuple(rows[key])) for key in chunk]).encode()


def _encoder(table: Table, *, careful: bool) -> Callable[[tuple[Any, ...]], str]:
    fields = msgspec.structs.fields(table.row)
    lists = [i for i, field in enumerate(fields) if field.type not in (str, int, bool)]
    tabs = len(fields) - 1

    def encode(values: tuple[Any, ...]) -> str:
        if careful:
            values = tuple(storable(value) for value in values)
        if lists:
            values = _with_arrays(values, lists)
        line = "\t".join(map(str, values))
        if "\\" in line or "\n" in line or "\r" in line or line.count("\t") != tabs:
            line = "\t".join([str(value).translate(_ESCAPES) for value in values])
        return line + "\n"

    return encode


def _with_arrays(values: tuple[Any, ...], lists: Iterable[int]) -> tuple[Any, ...]:
    changed = list(values)
    for i in lists:
        changed[i] = _array(changed[i])
    return tuple(changed)


def _array(values: list[str]) -> str:
    """An array literal: each element in quotes, so that none is taken for NULL or for several."""
    if not values:
        return "{}"
    return "{" + ",".join(['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]) + "}"
