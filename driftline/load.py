"""The load harness: publishes a plan of requests, follows how each ends, and says what came of it."""

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import stamina

from bus.envelope import now_us
from bus.errors import LogUnavailable
from bus.events import InstanceDeleteRequested, SpawnRequested
from bus.log import Log
from driftline.client import Client
from driftline.errors import NotDone
from driftline.outcomes import Outcome, RequestKind, outcome_of
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
    """What came of a plan, so far or in the end. ``requested`` counts spawns; every spawn and delete ends once.

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
    skipped: int = 0
    twice: int = 0
    events: int = 0
    first_us: int = 0
    last_us: int = 0
    last_position: int = 0
    problems: list[str] = []

    @property
    def seconds(self) -> float:
        """From the first request to the last outcome."""
        return max(self.last_us - self.first_us, 1) / 1e6

    @property
    def in_flight(self) -> int:
        """Requests without an outcome."""
        spawns = self.requested - self.active - self.refused - self.failed
        return spawns + self.delete_requested - self.deleted - self.delete_refused


class Harness:
    """Drives one plan against a log. A delete is published once the spawn of its instance has ended.

    ``timed``: requests are published when they are due; if not, as fast as ``in_flight_max`` allows, in their order.
    """

    def __init__(
        self,
        log: Log,
        plan: Sequence[TimedRequest],
        *,
        in_flight_max: int = 2000,
        timed: bool = False,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self._log = log
        self._plan = plan
        self._in_flight_max = in_flight_max
        self._timed = timed
        self._on_progress = on_progress
        self._client = Client(log, actor="load")
        self._changed = asyncio.Condition()
        self._outgoing: deque[TimedRequest] = deque()
        self._planned_all = False
        self._ended: dict[str, str] = {}
        self._waiting_deletes: dict[str, TimedRequest] = {}
        self._requests: dict[str, RequestKind] = {}
        self._answered: set[str] = set()
        self.tally = Tally(first_us=now_us())

    async def run(self) -> Tally:
        """Publish the whole plan and wait until every request has ended.

        Raises LogUnavailable after RETRY_S, NotDone when nothing happens any more.
        """
        after = await self._log.last_position()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(after))
            tasks.create_task(self._release())
            await self._publish()
            await self._wait(lambda: self.tally.in_flight == 0 and not self._waiting_deletes)
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
        event = request.event
        if isinstance(event, SpawnRequested):
            self._outgoing.append(request)
        elif event.instance in self._ended:
            self._after_spawn(request, self._ended[event.instance])
        else:
            self._waiting_deletes[event.instance] = request

    def _after_spawn(self, delete: TimedRequest, ended: str) -> None:
        if ended == "active":
            self._outgoing.append(delete)
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
                    self._count_request(request)
            await self._append(batch, [self._number(r) for r in batch])

    @stamina.retry(on=LogUnavailable, attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0)
    async def _append(self, batch: Sequence[TimedRequest], ids: Sequence[str]) -> None:
        await self._client.publish_all([request.event for request in batch], ids=ids)

    def _number(self, request: TimedRequest) -> str:
        """An id for the request, noted before it is published: its outcome may be read before its acknowledgement."""
        number = uuid.uuid4().hex
        self._requests[number] = "spawn" if isinstance(request.event, SpawnRequested) else "delete"
        return number

    def _can_publish(self) -> bool:
        if self._outgoing:
            return self.tally.in_flight < self._in_flight_max
        return self._planned_all and not self._waiting_deletes

    def _count_request(self, request: TimedRequest) -> None:
        match request.event:
            case SpawnRequested():
                self.tally.requested += 1
            case InstanceDeleteRequested():
                self.tally.delete_requested += 1

    async def _follow(self, after: int) -> None:
        async for batch in self._log.follow(after):
            self.tally.events += len(batch.records)
            outcomes = [outcome for outcome in map(outcome_of, batch.records) if outcome is not None]
            async with self._changed:
                for outcome in outcomes:
                    self._take(outcome)
                self.tally.last_position = batch.last
                self._changed.notify_all()
            self._on_progress(self.tally)

    def _take(self, outcome: Outcome) -> None:
        if self._requests.get(outcome.request) != outcome.ends:
            return  # somebody else's, a drift, or the clean-up of a failed spawn
        if outcome.request in self._answered:
            self.tally.twice += 1
            return
        self._answered.add(outcome.request)
        self._count_outcome(outcome)
        if outcome.ends == "spawn":
            self._ended[outcome.instance] = outcome.kind
            delete = self._waiting_deletes.pop(outcome.instance, None)
            if delete is not None:
                self._after_spawn(delete, outcome.kind)

    def _count_outcome(self, outcome: Outcome) -> None:
        tally = self.tally
        setattr(tally, outcome.kind, getattr(tally, outcome.kind) + 1)
        tally.last_us = max(tally.last_us, outcome.time_us)
        if outcome.reason and len(tally.problems) < EXAMPLES_MAX:
            tally.problems.append(f"{outcome.instance} {outcome}")
