"""Proof of no loss: publishers' ledgers, the stream, the workers and the projections held against each other. PURE.

Every position of the log is accounted for, and so is every entry of a ledger. What is not there is explained, by what
the store says, or by who still knows of it: an acknowledgement, a checkpoint, a projection, or an event that names it
as its cause.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from bus.envelope import Recorded, Rejected
from bus.log import Batch, StreamState
from bus.subjects import ROLES
from bus.upcasting import newest
from driftline.ledger import Entry, digest, type_of
from projections.requests import Requests

Fate = Literal[
    "accepted", "duplicate", "quarantined", "newer type", "not published", "lost", "changed", "at another position"
]
Gap = Literal["deleted", "expired", "removed at the front", "lost by the store", "unexplained", "truncated"]
#: What is all right: the event is in the log, or was never acknowledged and is not.
GOOD: frozenset[Fate] = frozenset({"accepted", "duplicate", "not published"})
#: How many of a kind of finding are told one by one.
_TOLD = 20


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Positions ``first`` to ``last`` that hold nothing, and why. ``known_by``: who still speaks of what was there."""

    first: int
    last: int
    gap: Gap
    known_by: list[str]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What one publisher or worker has in the log."""

    actor: str
    events: int
    requests: int
    done: int
    refused: int
    failed: int
    pending: int


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """How far a worker or the projections are done with the log. ``lag``: events behind its end."""

    name: str
    position: int
    lag: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it must be. ``position`` is 0 where there is none."""

    what: str
    position: int
    text: str


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The result. ``complete``: nothing is lost, and all is explained by how the log is kept."""

    identity: str
    first: int
    last: int
    events: int
    quarantined: int
    newer_types: dict[str, int]
    actors: list[Account]
    ledger: dict[Fate, int]
    readers: list[Reader]
    holes: list[Hole]
    findings: list[Finding]

    @property
    def complete(self) -> bool:
        """Whether every event is accounted for."""
        return not self.findings


class Audit:
    """Fed with the whole log, then asked. ``entries``: those of the publishers' ledgers."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._wanted = {entry.id for entry in entries}
        self._found: dict[str, tuple[int, str, str]] = {}
        self._ids: set[str] = set()
        self._causes: dict[str, int] = {}
        self._rejected: dict[int, Rejected] = {}
        self._newer: Counter[str] = Counter()
        self._by_actor: Counter[str] = Counter()
        self._requests = Requests()
        self._actor_of: dict[str, str] = {}
        self._holes: list[tuple[int, int]] = []
        self._position = 0

    def take(self, batch: Batch) -> None:
        """The next part of the log, read from its beginning."""
        items: list[Recorded | Rejected] = [*batch.records, *batch.rejects]
        for item in sorted(items, key=lambda one: one.position):
            if item.position > self._position + 1:
                self._holes.append((self._position + 1, item.position - 1))
            self._position = item.position
            if isinstance(item, Rejected):
                self._reject(item)
            else:
                self._event(item)

    def _reject(self, one: Rejected) -> None:
        self._rejected[one.position] = one
        if not one.malformed:
            self._newer[one.tag] += 1

    def _event(self, r: Recorded) -> None:
        self._ids.add(r.id)
        self._by_actor[r.actor] += 1
        if r.cause and r.cause not in self._ids and r.actor in ROLES:
            self._causes.setdefault(r.cause, r.position)
        if r.id in self._wanted:
            self._found.setdefault(r.id, (r.position, digest(r.event), type_of(r.event)))
        if self._requests.evolve(r) and r.id == r.correlation:
            self._actor_of[r.id] = r.actor

    def accounts(
        self,
        state: StreamState,
        checkpoints: Mapping[str, int],
        shown: Mapping[str, int],
        of_others: Mapping[str, str] | None = None,
    ) -> Accounts:
        """All of it. ``checkpoints``: of workers, ``shown``: of projections and books, by name.

        ``of_others``: which of those were made from another log than this one, and from which.
        """
        findings = [
            Finding(what="another log", position=0, text=f"{name} were made from {identity}, not from {state.identity}")
            for name, identity in (of_others or {}).items()
        ]
        fates = Counter(dict.fromkeys(GOOD, 0))
        for entry in self._entries:
            fate, text = self._fate(entry)
            fates[fate] += 1
            if fate not in GOOD:
                findings.append(Finding(what=fate, position=entry.position, text=text))
        holes = self._explained(state, {**checkpoints, **shown})
        gone = [hole for hole in holes if not _is_kept(hole)]
        findings += [Finding(what=hole.gap, position=hole.first, text=_told(hole)) for hole in gone]
        findings += self._lost_causes(holes)
        readers = [
            Reader(name=name, position=position, lag=max(state.last - position, 0))
            for name, position in sorted({**checkpoints, **shown}.items())
        ]
        return Accounts(
            identity=state.identity,
            first=state.first,
            last=state.last,
            events=sum(self._by_actor.values()),
            quarantined=sum(one.malformed for one in self._rejected.values()),
            newer_types=dict(self._newer),
            actors=list(self._actors()),
            ledger=dict(fates),
            readers=readers,
            holes=holes,
            findings=sorted(findings, key=lambda one: (one.position, one.what)),
        )

    def _fate(self, entry: Entry) -> tuple[Fate, str]:
        found = self._found.get(entry.id)
        if found is not None:
            position, content, tag = found
            # An event that was upcast is another text than was published: its type alone can be compared.
            if tag != newest(entry.type) or (tag == entry.type and content != entry.digest):
                return "changed", f"{entry.id} is at position {position} with another content than was published"
            if entry.position and not entry.duplicate and position != entry.position:
                return "at another position", f"{entry.id} was acknowledged at {entry.position}, and is at {position}"
            return ("duplicate" if entry.duplicate else "accepted"), ""
        rejected = self._rejected.get(entry.position)
        if rejected is not None:
            return ("quarantined" if rejected.malformed else "newer type"), f"{entry.id}: {rejected.reason}"
        if entry.position:
            return (
                "lost",
                f"{entry.id} ({entry.type}) was acknowledged at {entry.position}, and is not in the log",
            )
        return "not published", ""

    def _explained(self, state: StreamState, readers: Mapping[str, int]) -> list[Hole]:
        """Every stretch of positions that hold nothing, that at the end too: no event comes after it to show it."""
        known = self._known(readers)
        at_the_end = [(self._position + 1, state.last)] if self._position < state.last else []
        holes = [
            Hole(first=first, last=last, gap=gap, known_by=_speakers(known, first, last))
            for start, end in [*self._holes, *at_the_end]
            for first, last, gap in _parts(start, end, state)
        ]
        end = max((position for _, position in known), default=0)
        if end > state.last:
            known_by = _speakers(known, state.last + 1, end)
            holes.append(Hole(first=state.last + 1, last=end, gap="truncated", known_by=known_by))
        return holes

    def _known(self, readers: Mapping[str, int]) -> list[tuple[str, int]]:
        """Who speaks of which position."""
        of_ledgers = [
            (f"the ledger ({entry.id})", entry.position) for entry in self._entries if entry.id not in self._found
        ]
        of_causes = [(f"the event at {by} ({cause})", position) for cause, by, position in self._named_inputs()]
        return [*of_ledgers, *((f"the checkpoint of {name}", at) for name, at in readers.items()), *of_causes]

    def _named_inputs(self) -> Iterable[tuple[str, int, int]]:
        """Causes that are not in the log and whose ids say which position they were decided on: it was before them."""
        for cause, by in self._missing():
            parts = cause.split(":", 2)
            if len(parts) == 3 and parts[0] in ROLES and parts[1].isdecimal():
                yield cause, by, int(parts[1])

    def _missing(self) -> list[tuple[str, int]]:
        return sorted(
            ((cause, by) for cause, by in self._causes.items() if cause not in self._ids), key=lambda pair: pair[1]
        )

    def _lost_causes(self, holes: Sequence[Hole]) -> list[Finding]:
        """Events that others name as their cause and that are nowhere. Expired ones are not missed."""
        if any(hole.gap == "expired" for hole in holes):
            return []
        return [
            Finding(what="lost", position=by, text=f"{cause} is nowhere, and led to the event at position {by}")
            for cause, by in self._missing()[:_TOLD]
        ]

    def _actors(self) -> Iterable[Account]:
        states: dict[str, Counter[str]] = {}
        for row in self._requests.tables["requests"].values():
            states.setdefault(self._actor_of.get(row.request, ""), Counter())[row.state] += 1
        for actor in sorted(self._by_actor):
            of = states.get(actor, Counter())
            yield Account(
                actor=actor,
                events=self._by_actor[actor],
                requests=sum(of.values()),
                done=of["done"],
                refused=of["refused"],
                failed=of["failed"],
                pending=of["pending"],
            )


def _parts(first: int, last: int, state: StreamState) -> Iterable[tuple[int, int, Gap]]:
    """A stretch cut where the explanation changes."""
    start = first
    for position in range(first, last + 1):
        if position == last or _gap(position + 1, state) != _gap(position, state):
            yield start, position, _gap(start, state)
            start = position + 1


def _gap(position: int, state: StreamState) -> Gap:
    if position in state.lost:
        return "lost by the store"
    if position < state.first:
        return "expired" if state.expires else "removed at the front"
    return "deleted" if position in state.deleted else "unexplained"


def _speakers(known: Sequence[tuple[str, int]], first: int, last: int) -> list[str]:
    return [who for who, position in known if first <= position <= last][:_TOLD]


def _is_kept(hole: Hole) -> bool:
    """Whether the log is meant to be kept like this."""
    return hole.gap == "expired"


def _told(hole: Hole) -> str:
    where = f"position {hole.first}" if hole.first == hole.last else f"positions {hole.first} to {hole.last}"
    known = f"; known by {', '.join(hole.known_by)}" if hole.known_by else ""
    return f"{where}: {hole.gap}{known}"
