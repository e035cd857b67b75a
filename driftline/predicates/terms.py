"""What a predicate consists of. PURE.

Some parts hold only at an event (``instant``: the event is such a one, a row leaves a state), the others as long as the
state is so. ``places`` says where the truth of a part can change at all, so that nobody need look at every event.
"""

import operator
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from bus.envelope import Recorded
from bus.events import tag_of
from projections.fold import Key, Row

#: What looks a row up: table and key.
Look = Callable[[str, Key], Row | None]
#: Of a row that does not exist.
NONE = "NONE"


class Moment(NamedTuple):
    """One event, the rows right before and right after it, and the invariants that it broke."""

    r: Recorded
    before: Look
    after: Look
    broken: Collection[int] = ()


class Place(NamedTuple):
    """Where to look: at events of this type (``type``), or at those that touched this row (``table``, ``key``)."""

    type: str = ""
    table: str = ""
    key: Key = ()


class Predicate(Protocol):
    """Holds, or does not, at each event of a log."""

    @property
    def instant(self) -> bool:
        """Whether it speaks of the event itself, and not only of the state after it."""
        ...

    @property
    def places(self) -> frozenset[Place] | None:
        """Where it can become true; None for anywhere. A row's place is also where it ceases to be so."""
        ...

    @property
    def momentary(self) -> bool:
        """Whether it holds nowhere but at its places."""
        ...

    @property
    def judges(self) -> bool:
        """Whether the invariants are to be checked for it."""
        ...

    def holds(self, at: Moment) -> bool:
        """Whether it does at this event. Raises nothing: what does not exist is not so."""
        ...


class _Part(msgspec.Struct, frozen=True):
    @property
    def instant(self) -> bool:
        return False

    @property
    def momentary(self) -> bool:
        return False

    @property
    def judges(self) -> bool:
        return False


class Both(_Part, frozen=True):
    """``and``."""

    parts: tuple[Predicate, ...]

    @property
    def instant(self) -> bool:
        return any(part.instant for part in self.parts)

    @property
    def judges(self) -> bool:
        return any(part.judges for part in self.parts)

    @property
    def places(self) -> frozenset[Place] | None:
        narrow = [part.places for part in self.parts if part.momentary and part.places is not None]
        if narrow:  # where one part holds at certain events only, all of it does
            return min(narrow, key=len)
        return _all_of(self.parts)

    @property
    def momentary(self) -> bool:
        return any(part.momentary for part in self.parts)

    def holds(self, at: Moment) -> bool:
        return all(part.holds(at) for part in self.parts)


class Either(_Part, frozen=True):
    """``or``."""

    parts: tuple[Predicate, ...]

    @property
    def instant(self) -> bool:
        return any(part.instant for part in self.parts)

    @property
    def judges(self) -> bool:
        return any(part.judges for part in self.parts)

    @property
    def places(self) -> frozenset[Place] | None:
        return _all_of(self.parts)

    @property
    def momentary(self) -> bool:
        return all(part.momentary for part in self.parts)

    def holds(self, at: Moment) -> bool:
        return any(part.holds(at) for part in self.parts)


class Not(_Part, frozen=True):
    """``not``."""

    part: Predicate

    @property
    def instant(self) -> bool:
        return self.part.instant

    @property
    def judges(self) -> bool:
        return self.part.judges

    @property
    def places(self) -> frozenset[Place] | None:
        return None if self.part.instant else self.part.places

    def holds(self, at: Moment) -> bool:
        return not self.part.holds(at)


class Field(msgspec.Struct, frozen=True):
    """``event.NAME``: a field of the event, or of its envelope."""

    name: str

    def value(self, at: Moment) -> Any:
        """What it is; None if the event has no such field."""
        if self.name == "type":
            return tag_of(type(at.r.event))
        return getattr(at.r.event, self.name, getattr(at.r, self.name, None))


class Column(msgspec.Struct, frozen=True):
    """``TABLE[KEY].NAME``: of a row after the event; before it, if it says so."""

    table: str
    key: Key
    name: str = ""
    when: Literal["before", "after"] = "after"

    def row(self, at: Moment) -> Row | None:
        """The row; None if it does not exist."""
        look = at.before if self.when == "before" else at.after
        return look(self.table, self.key)

    def value(self, at: Moment) -> Any:
        """What it is; None if there is no such row."""
        return getattr(self.row(at), self.name, None)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "contains": lambda have, wanted: wanted in have,
}
OPERATORS = tuple(_TESTS)


class Compare(_Part, frozen=True):
    """A field or column, an operator and a value. What does not exist equals nothing, and differs from nothing."""

    term: Field | Column
    test: str
    wanted: Any

    @property
    def instant(self) -> bool:
        return isinstance(self.term, Field) or self.term.when == "before"

    @property
    def places(self) -> frozenset[Place] | None:
        if isinstance(self.term, Field):
            narrow = self.term.name == "type" and self.test == "=="
            return frozenset({Place(type=self.wanted)}) if narrow else None
        row = frozenset({Place(table=self.term.table, key=self.term.key)})
        return None if self.term.when == "before" else row

    @property
    def momentary(self) -> bool:
        return isinstance(self.term, Field) and self.places is not None

    def holds(self, at: Moment) -> bool:
        have = self.term.value(at)
        try:
            return have is not None and _TESTS[self.test](have, self.wanted)
        except TypeError:  # a field that is of another type in this event
            return False


class Exists(_Part, frozen=True):
    """The row is there."""

    row: Column

    @property
    def places(self) -> frozenset[Place] | None:
        return frozenset({Place(table=self.row.table, key=self.row.key)}) if self.row.when == "after" else None

    @property
    def instant(self) -> bool:
        return self.row.when == "before"

    def holds(self, at: Moment) -> bool:
        return self.row.row(at) is not None


class Changes(_Part, frozen=True):
    """The row, or one column of it, is not what it was before the event."""

    row: Column

    @property
    def momentary(self) -> bool:
        return True

    @property
    def instant(self) -> bool:
        return True

    @property
    def places(self) -> frozenset[Place] | None:
        return frozenset({Place(table=self.row.table, key=self.row.key)})

    def holds(self, at: Moment) -> bool:
        before, after = at.before(self.row.table, self.row.key), at.after(self.row.table, self.row.key)
        if not self.row.name:
            return before != after
        return getattr(before, self.row.name, None) != getattr(after, self.row.name, None)


#: By kind: the table whose row has its state.
STATE_TABLES = {
    "port": "ports",
    "instance": "instances",
    "host": "host_states",
    "request": "requests",
    "operation": "operations",
    "policy": "policies",
}


def in_state(kind: str, row: Row | None) -> str:
    """The state of a thing of this kind; a port's is Figure 8's pair (``ACTIVE_DOWN``). NONE: there is no such row."""
    if row is None:
        return "up" if kind == "host" else NONE  # nothing was ever said of the host
    if kind == "port":
        return f"{getattr(row, 'underlay')}_{getattr(row, 'overlay')}"  # noqa: B009  rows of any table come as Row
    return str(getattr(row, "state"))  # noqa: B009


class Moves(_Part, frozen=True):
    """A thing ``leaves`` a state, or enters it."""

    kind: str
    key: Key
    state: str
    leaves: bool

    @property
    def momentary(self) -> bool:
        return True

    @property
    def instant(self) -> bool:
        return True

    @property
    def places(self) -> frozenset[Place] | None:
        return frozenset({Place(table=STATE_TABLES[self.kind], key=self.key)})

    def holds(self, at: Moment) -> bool:
        table = STATE_TABLES[self.kind]
        was = in_state(self.kind, at.before(table, self.key)) == self.state
        now = in_state(self.kind, at.after(table, self.key)) == self.state
        return was and not now if self.leaves else now and not was


class Breaks(_Part, frozen=True):
    """An invariant breaks at this event; 0: any of them."""

    number: int

    @property
    def momentary(self) -> bool:
        return True

    @property
    def instant(self) -> bool:
        return True

    @property
    def judges(self) -> bool:
        return True

    @property
    def places(self) -> frozenset[Place] | None:
        return None

    def holds(self, at: Moment) -> bool:
        return self.number in at.broken if self.number else bool(at.broken)


def _all_of(parts: tuple[Predicate, ...]) -> frozenset[Place] | None:
    found: set[Place] = set()
    for part in parts:
        places = part.places
        if places is None:
            return None
        found |= places
    return frozenset(found)
