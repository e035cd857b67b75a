"""Drives a plan: publishes its requests when they are due, follows how each ends, and says what came of it."""

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import stamina

from bus.envelope import Recorded, now_us
from bus.errors import LogUnavailable
from bus.events import OperationCompleted, OperationRefused
from bus.log import Log
from driftline.client import Client
from driftline.errors import NotDone
from driftline.ledger import Entry, digest, type_of
from driftline.loadtest.latency import Latency
from driftline.outcomes import Outcome, outcome_of
from driftline.trace import TimedRequest

#: Requests in one append.
PUBLISH_MAX = 500
#: How many refusals and failures are kept word for word.
EXAMPLES_MAX = 20
#: A run in which nothing happens for this long, seconds, is given up.
STALLED_S = 120.0
#: How long a log that is away is tried again, seconds. Below its duplicate window: a request is published once.
RETRY_S = 100.0


class Tally(msgspec.Struct, kw_only=True):
    """What came of a plan, so far or in the end. ``requested`` counts spawns; every request ends once.

    ``seconds`` runs from the first request to the last outcome. ``skipped`` are deletes of instances that never became
    active, so there was nothing to delete; ``twice`` are requests that ended more than once, which must not be.
    """

    requested: int = 0
    active: int = 0
    refused: int = 0
    failed: int = 0
    delete_requested: int = 0
    deleted: int = 0
    delete_refused: int = 0
    drift_requested: int = 0
    drifted: int = 0
    drift_refused: int = 0
    drift_failed: int = 0
    bulk_requested: int = 0
    bulk_done: int = 0
    bulk_refused: int = 0
    skipped: int = 0
    twice: int = 0
    events: int = 0
    first_us: int = 0
    last_us: int = 0
    spawned_us: int = 0
    last_position: int = 0
    problems: list[str] = []

    @property
    def seconds(self) -> float:
        """From the first request to the last outcome."""
        return max(self.last_us - self.first_us, 1) / 1e6

    @property
    def spawns_per_second(self) -> float:
        """Spawns that came about, from the first request to the last outcome of a spawn."""
        return self.active / max((self.spawned_us - self.first_us) / 1e6, 1e-6)

    @property
    def in_flight(self) -> int:
        """Requests without an outcome."""
        spawns = self.requested - self.active - self.refused - self.failed
        deletes = self.delete_requested - self.deleted - self.delete_refused
        drifts = self.drift_requested - self.drifted - self.drift_refused - self.drift_failed
        return spawns + deletes + drifts + self.bulk_requested - self.bulk_done - self.bulk_refused


#: What counts a request of each kind.
_REQUESTED = {"spawn": "requested", "delete": "delete_requested", "drift": "drift_requested", "bulk": "bulk_requested"}


class _Sent(msgspec.Struct, frozen=True, gc=False):
    """A request that was published. ``due_us``: when it should have been."""

    kind: str
    due_us: int


class Harness:
    """Drives one plan against a log. What concerns an instance waits until its spawn has ended.

    ``timed``: requests are published when they are due; if not, as fast as ``in_flight_max`` allows, in their order.
    ``latencies``: by kind of request, from when each was due; what was refused or failed is a kind of its own.
    ``for_s``: what is due later than that is left out.
    """

    def __init__(
        self,
        log: Log,
        plan: Sequence[TimedRequest],
        *,
        tally: Tally | None = None,
        latencies: dict[str, Latency] | None = None,
        in_flight_max: int = 2000,
        timed: bool = False,
        for_s: float | None = None,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self._log = log
        self._plan = [request for request in plan if for_s is None or request.at_s <= for_s]
        self._in_flight_max = in_flight_max
        self._timed = timed
        self._on_progress = on_progress
        self._client = Client(log, actor="load")
        self._changed = asyncio.Condition()
        self._outgoing: deque[TimedRequest] = deque()
        self._planned_all = False
        self._spawned_here = {request.instance for request in self._plan if request.kind == "spawn"}
        self._ended: dict[str, str] = {}
        self._waiting: dict[str, list[TimedRequest]] = {}
        self._sent: dict[str, _Sent] = {}
        self._answered: set[str] = set()
        self._started_us = now_us()
        #: When each spawn (by its instance) and each drift (by its request) should have been asked for.
        self.spawns_due_us: dict[str, int] = {}
        self.drifts_due_us: dict[str, int] = {}
        #: What was published, and where the log has it: for the accounts at the end.
        self.entries: list[Entry] = []
        self.latencies = latencies if latencies is not None else {}
        self.tally = tally or Tally(first_us=self._started_us)

    @property
    def active(self) -> list[str]:
        """The instances whose spawn came about."""
        return [instance for instance, ended in self._ended.items() if ended == "active"]

    async def run(self) -> Tally:
        """Publish the whole plan and wait until every request has ended.

        Raises LogUnavailable after RETRY_S, NotDone when nothing happens any more.
        """
        after = self.tally.last_position = await self._log.last_position()
        self._started_us = now_us()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(after))
            tasks.create_task(self._release())
            await self._publish()
            await self._wait(lambda: self.tally.in_flight == 0 and not self._waiting)
            until = await self._log.last_position()
            await self._wait(lambda: self.tally.last_position >= until)  # a second outcome may come after the first
            following.cancel()
        return self.tally

    async def _wait(self, done: Callable[[], bool]) -> None:
        """Return when ``done``. Raises NotDone when nothing has happened for STALLED_S."""
        while True:
            before = self.tally.events
            try:
                async with asyncio.timeout(STALLED_S), self._changed:
                    await self._changed.wait_for(done)
                    return
            except TimeoutError:
                if self.tally.in_flight and self.tally.events == before:
                    raise NotDone(
                        f"{self.tally.in_flight} requests have no outcome, and nothing happened for {STALLED_S:g} s"
                    ) from None

    async def _release(self) -> None:
        """Hand requests to the publisher when they are due."""
        start = asyncio.get_running_loop().time()
        for at_s, due in itertools.groupby(self._plan, key=lambda request: request.at_s if self._timed else 0.0):
            if self._timed:
                await asyncio.sleep(start + at_s - asyncio.get_running_loop().time())
            async with self._changed:
                for request in due:
                    self._admit(request)
                self._changed.notify_all()
        async with self._changed:
            self._planned_all = True
            self._changed.notify_all()

    def _admit(self, request: TimedRequest) -> None:
        if request.kind in ("spawn", "bulk") or request.instance not in self._spawned_here:
            self._outgoing.append(request)
        elif request.instance in self._ended:
            self._after_spawn(request, self._ended[request.instance])
        else:
            self._waiting.setdefault(request.instance, []).append(request)

    def _after_spawn(self, request: TimedRequest, ended: str) -> None:
        if ended == "active":
            self._outgoing.append(request)
        else:
            self.tally.skipped += 1

    async def _publish(self) -> None:
        while True:
            await self._wait(self._can_publish)
            async with self._changed:
                room = self._in_flight_max - self.tally.in_flight
                count = min(len(self._outgoing), room, PUBLISH_MAX)
                batch = [self._outgoing.popleft() for _ in range(count)]
                if not batch:
                    return
                for request in batch:
                    counter = _REQUESTED[request.kind]
                    setattr(self.tally, counter, getattr(self.tally, counter) + 1)
            await self._append(batch, [self._number(request) for request in batch])

    @stamina.retry(on=LogUnavailable, attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0)
    async def _append(self, batch: Sequence[TimedRequest], ids: Sequence[str]) -> None:
        events = [request.event for request in batch]
        for event, one in zip(events, await self._client.publish_all(events, ids=ids), strict=True):
            self.entries.append(
                Entry(
                    id=one.request,
                    type=type_of(event),
                    digest=digest(event),
                    position=one.position,
                    duplicate=one.duplicate,
                )
            )

    def _number(self, request: TimedRequest) -> str:
        """An id for the request, noted before it is published: its outcome may be read before its acknowledgement."""
        number = uuid.uuid4().hex
        due_us = self._started_us + round(request.at_s * 1e6 if self._timed else 0)
        self._sent[number] = _Sent(request.kind, due_us)
        if request.kind == "spawn":
            self.spawns_due_us[request.instance] = due_us
        elif request.kind == "drift":
            self.drifts_due_us[number] = due_us
        return number

    def _can_publish(self) -> bool:
        if self._outgoing:
            return self.tally.in_flight < self._in_flight_max
        return self._planned_all and not self._waiting

    async def _follow(self, after: int) -> None:
        async for batch in self._log.follow(after):
            self.tally.events += len(batch.records)
            async with self._changed:
                for r in batch.records:
                    self._take(r)
                self.tally.last_position = batch.last
                self._changed.notify_all()
            self._on_progress(self.tally)

    def _take(self, r: Recorded) -> None:
        outcome = outcome_of(r)
        if outcome is not None:
            if self._end(r, outcome.ends, outcome.kind, outcome.reason and f"{outcome.instance} {outcome}"):
                self._spawn_ended(outcome)
        elif isinstance(r.event, OperationCompleted):
            done = r.event.outcome == "done"
            why = "" if done else f"operation {r.event.operation} {r.event.outcome}"
            self._end(r, "bulk", "bulk_done" if done else "bulk_refused", why)
        elif isinstance(r.event, OperationRefused):
            self._end(r, "bulk", "bulk_refused", f"operation {r.event.operation} refused")

    def _end(self, r: Recorded, ends: str, kind: str, problem: str) -> bool:
        """Count that a request of this run has ended; False if it is none, or had ended before.

        Somebody else's request, a drift nobody here asked for and the clean-up of a failed spawn are none of this run.
        """
        sent = self._sent.get(r.correlation)
        if sent is None or sent.kind != ends:
            return False
        tally = self.tally
        if r.correlation in self._answered:
            tally.twice += 1
            return False
        self._answered.add(r.correlation)
        setattr(tally, kind, getattr(tally, kind) + 1)
        tally.last_us = max(tally.last_us, r.time_us)
        if ends == "spawn":
            tally.spawned_us = max(tally.spawned_us, r.time_us)
        how = kind.rpartition("_")[2]
        timed_as = f"{ends} {how}" if how in ("refused", "failed") else ends
        if timed_as not in self.latencies:  # a histogram is large: none is made to be thrown away
            self.latencies[timed_as] = Latency()
        self.latencies[timed_as].record(sent.due_us, r.time_us)
        if problem and len(tally.problems) < EXAMPLES_MAX:
            tally.problems.append(problem)
        return True

    def _spawn_ended(self, outcome: Outcome) -> None:
        if outcome.ends == "spawn":
            self._ended[outcome.instance] = outcome.kind
            for request in self._waiting.pop(outcome.instance, ()):
                self._after_spawn(request, outcome.kind)
