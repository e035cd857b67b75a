"""Reading the projections for people: one way for all commands, whether they are read as they are or as they were."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from driftline.book import Book
from driftline.errors import UsageError
from projections.fold import Row
from projections.instances import ENDED, InstanceRow
from projections.sql import Value


class State(Protocol):
    """The rows of all projections, as of one moment."""

    async def rows(self, table: str, where: Mapping[str, Value] | None = None) -> list[Row]:
        """The rows of ``table`` whose columns equal ``where``, in key order. Raises KeyError for an unknown name."""
        ...


class Then(NamedTuple):
    """Implements ``State``: what a book says of the time right after ``position``."""

    book: Book
    position: int

    async def rows(self, table: str, where: Mapping[str, Value] | None = None) -> list[Row]:
        return self.book.rows(table, self.position, where)


async def find_instance(state: State, name_or_id: str) -> InstanceRow:
    """The instance with this id or name: the live one, else the newest. Raises UsageError if there is none."""
    found = await state.rows("instances", {"instance": name_or_id})
    if not found:
        found = await state.rows("instances", {"name": name_or_id})
    instances = [row for row in found if isinstance(row, InstanceRow)]
    if not instances:
        raise UsageError(f"instance: there is none with the id or name {name_or_id}")
    return max(instances, key=lambda row: (row.state not in ENDED, row.requested_us))
