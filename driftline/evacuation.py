"""What requests about hosts lead to: all that was on them drifts away, and each drift ends."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import msgspec

from bus.envelope import Recorded
from bus.events import (
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostRefused,
    InstanceDeleted,
    InstanceDriftScheduled,
    InstanceTerminating,
)
from driftline.client import Client
from driftline.current import rows, wait_projected
from driftline.errors import NotDone
from driftline.plane import Plane
from driftline.stack import Stack
from projections.drifts import DriftRow, Drifts
from projections.instances import MOVABLE, InstanceRow


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """How one instance fared. ``outcome``: drifted, failed or refused; ``ms`` since the request of its last drift."""

    instance: str
    name: str
    from_host: str
    to_host: str
    outcome: str
    reason: str
    ms: float


class Evacuation:
    """Follows the log: which instances drift because of ``requests`` (their ids), and how that ends. PURE.

    An instance may drift more than once, when the host that it went to fails as well; its last drift counts.
    """

    def __init__(self, requests: Iterable[str]) -> None:
        self.refusals: list[HostRefused] = []
        self._requests = frozenset(requests)
        self._unanswered = set(self._requests)
        self._drifts = Drifts()
        self._last: dict[str, DriftRow] = {}
        self._from: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._expected: set[str] | None = None
        self._leaving: set[str] = set()
        self._gone: set[str] = set()

    @property
    def leaving(self) -> set[str]:
        """The hosts that were declared down or draining."""
        return self._leaving

    @property
    def answered(self) -> bool:
        """Whether each host was declared down or draining, or the request refused."""
        return not self._unanswered

    @property
    def expects(self) -> bool:
        """Whether ``expect`` was called."""
        return self._expected is not None

    @property
    def total(self) -> int:
        """How many instances drift or are still to begin, as far as is known."""
        return len(self._last.keys() | (self._expected or set()))

    @property
    def is_over(self) -> bool:
        """Whether all that was expected has drifted or ended otherwise, as far as was read."""
        begun = self._expected is not None and self._expected <= self._last.keys()
        return self.answered and begun and all(map(self._is_final, self._last.values()))

    def count(self, outcome: str) -> int:
        """How many instances' last drift ended so."""
        return sum(row.outcome == outcome for row in self._last.values())

    def rows(self) -> list[DriftRow]:
        """The last drift of each instance."""
        return list(self._last.values())

    def moves(self) -> list[Move]:
        """How each instance fared, in the order in which they began."""
        return [_move(row, self._from[row.instance]) for row in self._last.values()]

    def expect(self, instances: Iterable[str]) -> None:
        """Say what is on the hosts still, after all requests were answered."""
        self._expected = set(instances)

    def take(self, r: Recorded) -> None:
        """Take in the next event."""
        match r.event:
            case HostRefused() as refusal if r.correlation in self._unanswered:
                self.refusals.append(refusal)
                self._unanswered.discard(r.correlation)
            case HostDown(host=host) | HostDraining(host=host) if r.correlation in self._unanswered:
                self._leaving.add(host)
                self._unanswered.discard(r.correlation)
            case InstanceTerminating(instance=instance) | InstanceDeleted(instance=instance):
                self._expect_no_more(instance)
            case InstanceDriftScheduled(instance=instance) if r.correlation not in self._requests:
                self._expect_no_more(instance)
        for _, key in self._drifts.evolve(r):
            self._changed((str(key[0]), str(key[1])))

    def _is_final(self, row: DriftRow) -> bool:
        """Whether the drift has ended, and not on a host that is itself about to be left."""
        stays = row.outcome != "drifted" or row.host not in self._leaving or row.instance in self._gone
        return bool(row.outcome) and stays

    def _changed(self, key: tuple[str, str]) -> None:
        if key[1] in self._requests and key not in self._seen:
            self._seen.add(key)
            row: DriftRow = self._drifts.tables["drifts"][key]
            self._last[row.instance] = row
            self._from.setdefault(row.instance, row.from_host)

    def _expect_no_more(self, instance: str) -> None:
        """Somebody else moves it or takes it down."""
        self._gone.add(instance)
        if self._expected is not None:
            self._expected.discard(instance)


def _move(row: DriftRow, from_host: str) -> Move:
    return Move(
        instance=row.instance,
        name=row.name,
        from_host=from_host,
        to_host=row.host,
        outcome=row.outcome,
        reason=row.reason,
        ms=round((row.ended_us - row.step_01_us) / 1000, 2),
    )


async def evacuate(
    stack: Stack,
    plane: Plane,
    requests: Sequence[HostFailRequested | HostDrainRequested],
    timeout_s: float,
    on_progress: Callable[[Evacuation], None],
) -> Evacuation:
    """Publish ``requests`` and return when all that was on their hosts has ended its drift and that is projected.

    Raises NotDone when that has not come about within ``timeout_s``.
    """
    after = await stack.log.last_position()
    published = await Client(stack.log, actor="cli").publish_all(requests)
    evacuation = Evacuation(one.request for one in published)
    try:
        async with asyncio.timeout(timeout_s):
            await _follow(stack, plane, evacuation, after, on_progress)
    except TimeoutError as error:
        raise NotDone(_unfinished(evacuation, timeout_s)) from error
    return evacuation


def _unfinished(evacuation: Evacuation, timeout_s: float) -> str:
    if not evacuation.answered:
        return f"not all hosts were declared down or draining within {timeout_s:g} s (does the worker liveness run?)"
    ended = sum(bool(row.outcome) for row in evacuation.rows())
    return f"{ended} of {evacuation.total} instances have ended their drift within {timeout_s:g} s; the rest goes on"


async def _follow(
    stack: Stack, plane: Plane, evacuation: Evacuation, after: int, on_progress: Callable[[Evacuation], None]
) -> None:
    """Read on until it is over as of a position that was the log's end after it first seemed to be."""
    until = 0
    async for batch in stack.log.follow(after):
        for r in batch.records:
            evacuation.take(r)
        if evacuation.answered and not evacuation.expects:
            evacuation.expect(await _still_on(stack, plane, batch.last, evacuation))
        on_progress(evacuation)
        if evacuation.is_over:
            until = until or await stack.log.last_position()
            if batch.last >= until:
                await wait_projected(stack, plane.projector, batch.last)
                return
        else:
            until = 0


async def _still_on(stack: Stack, plane: Plane, position: int, evacuation: Evacuation) -> list[str]:
    """The instances that are on the hosts as of ``position`` or later."""
    await wait_projected(stack, plane.projector, position)
    found: list[InstanceRow] = []
    for host in sorted(evacuation.leaving):
        found += cast(list[InstanceRow], await rows(stack.database, "instances", {"host": host}))
    return [row.instance for row in found if row.state in MOVABLE and not row.delete_request]
