"""Old events in today's words: what was once written is read for ever (docs/howto/evolve-an-event.md). PURE.

An upcaster takes the event of one version, as plain data, and gives that of the next. Several follow one another, so
each is written once and never touched again. Events of today cost nothing: only an unknown tag is looked for here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Document = dict[str, Any]


class Upcaster(NamedTuple):
    """``tag`` is what the event becomes. ``upcast`` raises KeyError, TypeError or ValueError for what never was one."""

    tag: str
    upcast: Callable[[Document], Document]


def _gateway_configured_v2(event: Document) -> Document:
    """``address`` had its prefix length in it, as nowhere else; each reader had to take it apart."""
    ip, _, length = str(event.pop("address")).partition("/")
    return {**event, "ip": ip, "prefix_length": int(length)}


UPCASTERS: dict[str, Upcaster] = {
    "router.gateway_configured.v1": Upcaster("router.gateway_configured.v2", _gateway_configured_v2),
}


def newest(tag: str) -> str:
    """The tag that an event written as ``tag`` is read as."""
    while (upcaster := UPCASTERS.get(tag)) is not None:
        tag = upcaster.tag
    return tag


def upcast(event: Document) -> Document:
    """``event`` in its newest version; as it is if there is none newer. Its ``type`` says which version it is.

    Raises KeyError, TypeError or ValueError when it is not what its tag says.
    """
    while (upcaster := UPCASTERS.get(event["type"])) is not None:
        event = upcaster.upcast(dict(event)) | {"type": upcaster.tag}
    return event
