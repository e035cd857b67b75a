"""What an event can be found by. PURE.

A term is a kind and a value: ``("port", "web-0-0")``, ``("host", "az1-h3")``, ``("cause", "nova:17:…")``. The index
holds terms as 64-bit digests, so that it is small and all lookups are one.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from bus.envelope import Recorded
from bus.events import EVENT_TYPES, Event, tag_of

#: Kinds that nearly every event names: an index of them would only list the log.
_TOO_BROAD = frozenset({"az", "region"})
#: Fields that name an aggregate of another kind than their own name says.
_ROLES = {
    "from_host": "host",
    "node": "host",
    "leaf_a": "leaf",
    "leaf_b": "leaf",
    "one": "vpc",
    "other": "vpc",
    "hub": "vpc",
    "spoke": "vpc",
    "global_vpc": "vpc",
}
#: The kinds of aggregates that an event can be asked for.
KINDS = frozenset(tag_of(event_type).split(".")[0] for event_type in EVENT_TYPES) - _TOO_BROAD

Term = tuple[str, str]


def terms_of(recorded: Recorded) -> Iterable[Term]:
    """All that ``recorded`` is found by: its id, cause, correlation, type, and the aggregates that it names."""
    event = recorded.event
    found = {("id", recorded.id), ("correlation", recorded.correlation), ("type", tag_of(type(event)))}
    if recorded.cause:
        found.add(("cause", recorded.cause))
    found.update((kind, value) for kind, value in _named_by(event) if value)
    return found


def digest(kind: str, value: str) -> int:
    """The term as a signed integer of 64 bits, the same in every process."""
    return int.from_bytes(blake2b(f"{kind}\0{value}".encode(), digest_size=8).digest(), "big", signed=True)


def _kind_of(field: str) -> str:
    kind = _ROLES.get(field, field)
    return kind if kind in KINDS else ""


def _names(event_type: type[Event]) -> Callable[[Any], list[Term]]:
    fields = [(_kind_of(field), field) for field in event_type.__struct_fields__ if _kind_of(field)]

    def named(event: Any) -> list[Term]:
        return [(kind, value) for kind, field in fields if isinstance(value := getattr(event, field), str)]

    return named


_NAMES: dict[type[Event], Callable[[Any], list[Term]]] = {event_type: _names(event_type) for event_type in EVENT_TYPES}


def _named_by(event: Event) -> list[Term]:
    return _NAMES[type(event)](event)
