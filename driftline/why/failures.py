"""What went wrong with a port, its instance, and the leaves it depends on: by what events say."""

from collections.abc import Iterator

from bus.envelope import Recorded
from bus.events import LeafMacCleared, LeafMacDuplicateDetected, LeafVlanEvent, LeafVlanFailed, tag_of
from driftline.why.answer import Failure
from driftline.why.facts import Facts, Subject
from projections.port_rows import PortRow

#: How many of them are told, the newest.
TOLD_MAX = 5


def failures(facts: Facts, subject: Subject) -> list[Failure]:
    """The newest that are known, oldest first."""
    found = {one.position: one for one in _all(facts, subject)}
    return [found[position] for position in sorted(found)][-TOLD_MAX:]


def leaves_of(facts: Facts, host: str) -> list[tuple[str, str]]:
    """The (leaf, interface) pairs of a host; none if it is unknown."""
    row = facts.host(host)
    return [(leaf, row.interface) for leaf in (row.leaf_a, row.leaf_b)] if row is not None else []


def failed_on_leaf(facts: Facts, leaf: str, interface: str, vlan: int, after: int) -> list[Recorded]:
    """What the leaf could not be brought to, on this interface and VLAN, since ``after``."""
    return [
        r
        for r in facts.about("leaf", leaf, after)
        if isinstance(r.event, LeafVlanFailed) and (r.event.interface, r.event.vlan) == (interface, vlan)
    ]


def frozen(facts: Facts, port: PortRow) -> list[Recorded]:
    """The leaves' findings that the port's MAC is a duplicate, of which it was not cleared."""
    cleared = max(
        (
            r.position
            for r in facts.of_type(tag_of(LeafMacCleared))
            if isinstance(r.event, LeafMacCleared)
            and (r.event.vni, r.event.mac, r.event.error) == (port.vni, port.mac, "")
        ),
        default=0,
    )
    return [
        r
        for r in facts.of_type(tag_of(LeafMacDuplicateDetected))
        if r.position > cleared
        and isinstance(r.event, LeafMacDuplicateDetected)
        and any((one.vni, one.mac) == (port.vni, port.mac) for one in r.event.duplicates)
    ]


def _all(facts: Facts, subject: Subject) -> Iterator[Failure]:
    records = list(facts.about("port", subject.port)) if subject.port else []
    if subject.instance is not None:
        records += facts.about("instance", subject.instance.instance)
    port = facts.port(subject.port)
    if port is not None:
        for leaf, interface in leaves_of(facts, port.host):
            records += failed_on_leaf(facts, leaf, interface, port.vlan, port.claimed_at)
    for r in records:
        text = _said(r)
        if text:
            yield _failure(r, text)
    names = [subject.port, subject.instance.instance if subject.instance else ""]
    for name in filter(None, names):
        for one in facts.unread(name):
            kind = "a message that is no event" if one.malformed else f"an event of a newer type, {one.tag}"
            yield Failure(position=one.position, time_us=one.time_us, actor="", type=kind, text=one.reason)


def _said(r: Recorded) -> str:
    """Why something did not work, if the event says that."""
    event = r.event
    text = str(getattr(event, "reason", "") or getattr(event, "error", ""))
    field = getattr(event, "field", "")
    what = f" ({field}: {getattr(event, 'value', '')})" if text and field else ""
    where = f"{event.leaf} {event.interface} VLAN {event.vlan}: " if text and isinstance(event, LeafVlanEvent) else ""
    return f"{where}{text}{what}"


def _failure(r: Recorded, text: str) -> Failure:
    return Failure(position=r.position, time_us=r.time_us, actor=r.actor, type=tag_of(type(r.event)), text=text)
