"""Given-when-then for folds: events in, rows out."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from bus.envelope import Recorded
from bus.events import Event
from projections.fold import Fold, Key
from projections.views import Views

F = TypeVar("F", bound=Fold)
#: Second 0 of the tests' time.
T0_US = 1_760_000_000_000_000


def record(event: Event, position: int = 1, time_us: int | None = None, correlation: str = "c") -> Recorded:
    """``event`` as read from the log; an event a second, if no time is given."""
    at_us = T0_US + position * 1_000_000 if time_us is None else time_us
    return Recorded(position, f"e{position}", event, "", correlation, "test", at_us)


def given(fold: F, *events: Event) -> F:
    """``fold`` after ``events``, at positions from 1."""
    for position, event in enumerate(events, 1):
        fold.evolve(record(event, position))
    return fold


def viewed(records: Iterable[Recorded]) -> Views:
    """The views after ``records``."""
    views = Views()
    for one in records:
        views.evolve(one)
    return views


def tuples(views: Views) -> dict[str, dict[Key, tuple[Any, ...]]]:
    """All rows by table and key, copied."""
    return {
        table.name: {key: msgspec.structs.astuple(row) for key, row in views.rows(table.name).items()}
        for table in views.tables()
    }


def row_of(fold: Fold, table: str, *key: str | int) -> Any:
    """One row; None if it does not exist."""
    return fold.tables[table].get(key)


def twice(records: Iterable[Recorded]) -> Iterator[Recorded]:
    """Each record, and at once again: what a follower would see of a redelivered message."""
    for one in records:
        yield one
        yield one
