"""What an answer is made from: rows and events as of one position, and who is how far behind."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from bus.envelope import Recorded, Rejected
from bus.events import Event
from projections.fold import Key, Row
from projections.hosts import HostStateRow
from projections.instances import ENDED, InstanceRow
from projections.port_rows import PortRow
from projections.world import HostRow

E = TypeVar("E", bound=Event)


class Source(Protocol):
    """What the rows and events are read from: a ``driftline.book.Book``."""

    def row(self, table: str, key: Key, position: int) -> Row | None:
        """One row right after ``position``."""
        ...

    def rows(self, table: str, position: int, where: Mapping[str, Any] | None) -> list[Row]:
        """The rows right after ``position`` whose columns equal ``where``."""
        ...

    def concerning(self, kind: str, key: str, after: int, until: int) -> list[Recorded]:
        """The events that name the aggregate."""
        ...

    def of_type(self, tag: str, after: int, until: int) -> list[Recorded]:
        """The events with this tag."""
        ...

    def event(self, position: int) -> Recorded | None:
        """The event at ``position``."""
        ...

    def rejects(self, after: int, until: int) -> list[Rejected]:
        """What is no event at these positions."""
        ...


class Subject(NamedTuple):
    """What is asked about: an instance, its port, or both. ``port`` is the id, also of one that is gone or refused."""

    instance: InstanceRow | None
    port: str


class Facts:
    """All that is known as of ``position``. ``behind``: by how many events each worker is, empty if nobody knows."""

    def __init__(self, source: Source, position: int, now_us: int, behind: Mapping[str, int] | None = None) -> None:
        self._source = source
        self.position, self.now_us = position, now_us
        self.behind = behind or {}

    def row(self, table: str, *key: str | int) -> Any:
        """A row, None if there is none."""
        return self._source.row(table, key, self.position)

    def rows(self, table: str, **where: Any) -> list[Any]:
        """The rows whose columns equal ``where``."""
        return self._source.rows(table, self.position, where)

    def port(self, port: str) -> PortRow | None:
        """The port, None if it does not exist or not any more."""
        return cast(PortRow | None, self.row("ports", port))

    def host(self, host: str) -> HostRow | None:
        """The host as it is cabled."""
        return cast(HostRow | None, self.row("hosts", host))

    def host_state(self, host: str) -> HostStateRow:
        """What was last said of the host; a host of which nothing was ever said is up."""
        return cast(HostStateRow | None, self.row("host_states", host)) or HostStateRow(host=host, az="")

    def about(self, kind: str, key: str, after: int = 0) -> list[Recorded]:
        """The events that concern the aggregate, oldest first."""
        return self._source.concerning(kind, key, after, self.position)

    def of_type(self, tag: str) -> list[Recorded]:
        """The events with this tag, oldest first."""
        return self._source.of_type(tag, 0, self.position)

    def last(self, kind: str, key: str, *event_types: type[Event], after: int = 0) -> Recorded | None:
        """The newest event of these types that concerns the aggregate."""
        return next((r for r in reversed(self.about(kind, key, after)) if isinstance(r.event, event_types)), None)

    def newest(self, kind: str, key: str) -> Recorded | None:
        """The newest event that concerns the aggregate."""
        return next(reversed(self.about(kind, key)), None)

    def at(self, position: int) -> Recorded | None:
        """The event at ``position``."""
        return self._source.event(position) if position else None

    def unread(self, name: str) -> list[Rejected]:
        """The messages on a subject with this token that nobody could read."""
        return [one for one in self._source.rejects(0, self.position) if name in one.subject.split(".")]


def find(facts: Facts, name: str) -> Subject | None:
    """What ``name`` is: the id of a port, the id or name of an instance, or the name of a port; None if nothing is."""
    port = facts.port(name)
    if port is not None:
        return Subject(facts.row("instances", port.instance), port.port)
    instance = facts.row("instances", name)
    if instance is None and facts.about("port", name):  # one that is gone, or was refused
        owner = next((str(e) for r in facts.about("port", name) if (e := getattr(r.event, "instance", ""))), "")
        return Subject(facts.row("instances", owner), name)
    for column in ("name", "port_name"):
        if instance is None:
            found = facts.rows("instances", **{column: name})
            instance = max(found, key=lambda row: (row.state not in ENDED, row.requested_us), default=None)
    if instance is not None:
        return Subject(instance, instance.port)
    return _prepared(facts, name)


def _prepared(facts: Facts, name: str) -> Subject | None:
    """A port that was asked for in bulk, before its instance."""
    item = next(iter(facts.rows("operation_items", instance=name)), None)
    return None if item is None else Subject(None, item.port)
