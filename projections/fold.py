"""What every projection is: tables of rows, folded from events.

A fold's state *is* its rows (``tables[name][key]``), plus indexes it can rebuild from events. ``evolve`` changes it in
place and returns the rows it touched; it reads no clock, no randomness and no I/O. Duplicates change nothing.
The same folds are the state of the workers and what PostgreSQL holds.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MethodType
from typing import Any, ClassVar

import msgspec

from bus.envelope import Recorded
from bus.events import Event

#: A row's primary key, in the order of ``Table.key``.
Key = tuple[str | int, ...]
#: (table name, key) of a row that may have changed, appeared or gone.
Touched = tuple[str, Key]
NOTHING: tuple[Touched, ...] = ()
#: The position of what a worker has decided and the log has not taken yet: after all that was read so far.
AHEAD = 1 << 62


class Row(msgspec.Struct, kw_only=True, gc=False):
    """Base of all rows. Fields are the columns, in order: str, int, bool or list of str.

    Names are interned as rows are made (``sys.intern``): each comes in many rows, and in those of other folds. CPython
    3.12 never lets such a text go; ids that do not repeat among them stay in rows of what has ended anyway.
    """


class Table(msgspec.Struct, frozen=True):
    """A table of a projection: its name, the type of its rows and which fields are the primary key."""

    name: str
    row: type[Row]
    key: tuple[str, ...]


Handler = Callable[[Any, Recorded, Any], tuple[Touched, ...]]


def on(*event_types: type[Event]) -> Callable[[Handler], Handler]:
    """Mark a method of a fold as what handles these events: ``(self, recorded, event) -> touched rows``."""

    def mark(handler: Handler) -> Handler:
        handler.__dict__["handles"] = event_types
        return handler

    return mark


class Fold:
    """Base of all folds. Subclasses list ``TABLES`` and mark their handlers with ``@on(EventType)``.

    ``VERSION``: raise it when the same events make other rows; that the tables look different is noticed without it.
    """

    TABLES: ClassVar[tuple[Table, ...]] = ()
    VERSION: ClassVar[int] = 1
    _handlers: ClassVar[Mapping[type[Event], Handler]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._handlers = {
            event_type: handler
            for base in reversed(cls.__mro__)
            for handler in vars(base).values()
            for event_type in getattr(handler, "handles", ())
        }

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Any]] = {table.name: {} for table in self.TABLES}

    @classmethod
    def inputs(cls) -> Iterable[type[Event]]:
        """The event types that this fold handles; all others leave it as it is."""
        return cls._handlers.keys()

    def evolver(self, event_type: type[Event]) -> Callable[[Recorded, Any], tuple[Touched, ...]]:
        """What ``evolve`` does with events of a type that this fold handles, called with the event as well: faster."""
        if type(self).evolve is not Fold.evolve:
            return lambda recorded, event: self.evolve(recorded)
        return MethodType(self._handlers[event_type], self)

    def placed(self, recorded: Recorded) -> None:
        """An event that was folded ahead of the log, at position AHEAD, has come back: now its position is known."""

    def evolve(self, recorded: Recorded) -> tuple[Touched, ...]:
        """Take one event in; returns the rows it may have changed."""
        handler = self._handlers.get(type(recorded.event))
        return handler(self, recorded, recorded.event) if handler else NOTHING
