"""The history of a port as people read it: what the log says of it, its instance and its hosts, line by line."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bus.envelope import Recorded
from bus.events import Event
from bus.events.port import PortEvent
from bus.subjects import key_of, name_of
from driftline.simulator.loop import START_US

#: Without a port to speak of, this many events before and after the position are told.
AROUND = 20
#: What each line says by itself already, or nobody needs.
_LEFT_OUT = frozenset({"az", "host", "generation", "port", "instance", "name"})


class Line(msgspec.Struct, frozen=True):
    """One event. ``about`` is the key of its aggregate, ``said`` its other fields."""

    position: int
    at_s: float
    event: str
    about: str
    host: str
    generation: int
    actor: str
    said: str

    def __str__(self) -> str:
        claim = f"{self.host or '-'}/{self.generation or '-'}"
        return (
            f"{self.position:5} {self.at_s:9.3f}s {self.event:26} {self.about:8} {claim:6} {self.actor:10} {self.said}"
        )


def whole(records: Iterable[Recorded]) -> list[Line]:
    """The whole log."""
    return [_line(r) for r in records]


def history(records: Sequence[Recorded], port: str, position: int = 0) -> list[Line]:
    """All that was said of ``port`` and its instance, and of its hosts as a whole; or what is around ``position``."""
    if not port:
        first = max(0, (position or len(records)) - AROUND)
        return whole(records[first : first + 2 * AROUND])
    return whole(_of_port(records, port))


def _of_port(records: Iterable[Recorded], port: str) -> Iterator[Recorded]:
    records = list(records)
    mine = [r.event for r in records if isinstance(r.event, PortEvent) and r.event.port == port]
    hosts = {e.host for e in mine}
    instances = {port.rpartition("-")[0]} | {e.instance for e in mine if hasattr(e, "instance")}
    for r in records:
        e = r.event
        about = name_of(type(e)).partition(".")[0]
        is_mine = (
            (isinstance(e, PortEvent) and e.port == port)
            or (about == "instance" and key_of(e) in instances)
            or (about == "host" and key_of(e) in hosts and name_of(type(e)) != "host.added")
        )
        if is_mine:
            yield r


def _line(r: Recorded) -> Line:
    return Line(
        position=r.position,
        at_s=(r.time_us - START_US) / 1_000_000,
        event=name_of(type(r.event)),
        about=key_of(r.event),
        host=getattr(r.event, "host", None) or "",
        generation=getattr(r.event, "generation", 0),
        actor=r.actor,
        said=_said(r.event),
    )


def _said(event: Event) -> str:
    fields = [field for field in event.__struct_fields__ if field not in _LEFT_OUT]
    return " ".join(f"{field}={value}" for field in fields if (value := getattr(event, field)) not in (None, "", ()))
