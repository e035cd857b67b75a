"""What the projector would have written, and whether it is what a rebuild gives; and whether workers believe the log.

Rows are taken as PostgreSQL gets them (``Views.cut``), in batches of any size, so a row that a fold changed without
saying so shows as a difference. Invariant 7.
"""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from bus.envelope import Recorded
from bus.subjects import matches, subject_of
from driftline.simulator.process import Process
from projections.fold import Fold, Key, Touched
from projections.views import Views
from workers.machine import Machine

_decode = msgspec.json.decode


class Mirror:
    """All tables as a projector with batches of up to ``BATCH_MAX`` events keeps them."""

    BATCH_MAX = 25

    def __init__(self, chance: random.Random) -> None:
        self.views = Views()
        self._chance = chance
        self._keys = {table.name: table.key for table in self.views.tables()}
        self._rows: dict[str, dict[Key, Any]] = {name: {} for name in self._keys}
        self._touched: dict[Touched, None] = {}
        self._left = 1

    def take(self, r: Recorded) -> None:
        """Take one event in."""
        self._touched |= dict.fromkeys(self.views.evolve(r))
        self._left -= 1
        if not self._left:
            self._left = self._chance.randint(1, self.BATCH_MAX)
            self._write()

    def difference(self, records: Sequence[Recorded], *, twice: bool = False) -> str:
        """Where what was written is not what a rebuild from ``records`` gives; empty if nowhere.

        ``twice``: the rebuild is delivered each event twice.
        """
        self._write()
        rebuilt = Views()
        for r in records:
            rebuilt.evolve(r)
            if twice:
                rebuilt.evolve(r)
        how = "as rebuilt with each event delivered twice" if twice else "as rebuilt"
        for name, rows in self._rows.items():
            wanted = {key: msgspec.to_builtins(row) for key, row in rebuilt.rows(name).items()}
            found = _first_difference(rows, wanted)
            if found:
                return f"table {name}, as written and {how}: {found}"
        return ""

    def _write(self) -> None:
        touched, self._touched = self._touched, {}
        for table, upserts, deletes in self.views.cut(touched):
            rows, key = self._rows[table.name], self._keys[table.name]
            for row in _decode(upserts) if upserts else ():
                rows[tuple(row[field] for field in key)] = row
            for row in _decode(deletes) if deletes else ():
                rows.pop(tuple(row[field] for field in key), None)


def beliefs(process: Process, records: Sequence[Recorded]) -> str:
    """Where what the worker believes is not what a fresh replay of the log gives; empty if nowhere."""
    if process.state is None:
        return ""
    fresh = Machine(process.worker, process.hosts)
    for r in records:
        if not process.subject or matches(process.subject, subject_of(r.event)):
            fresh.replay(r)
    for name, fold in vars(fresh.state).items():
        if isinstance(fold, Fold):
            live = getattr(process.state, name)
            for table, rows in fold.tables.items():
                found = _first_difference(_timeless(live.tables[table]), _timeless(rows))
                if found:
                    return f"{process.name}.{name}.{table}, live and replayed: {found}"
    return ""


def _timeless(rows: dict[Key, Any]) -> dict[Key, Any]:
    """Without times: what was decided twice has the time of the one decision here, and of the other in the log."""
    plain = {key: msgspec.to_builtins(row) for key, row in rows.items()}
    return {key: {name: row[name] for name in row if not name.endswith("_us")} for key, row in plain.items()}


def _first_difference(have: dict[Key, Any], want: dict[Key, Any]) -> str:
    if have == want:
        return ""
    for key in [*have, *want]:
        one, other = have.get(key), want.get(key)
        if one != other:
            return f"{key}: {_fields(one, other)}"
    return ""


def _fields(one: Any, other: Any) -> str:
    """Where two rows differ; one of them whole if there is no other."""
    if one is None or other is None:
        return f"{one} ≠ {other}"
    return ", ".join(f"{name} {one[name]!r} ≠ {other[name]!r}" for name in one if one[name] != other[name])
