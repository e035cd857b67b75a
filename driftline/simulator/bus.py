"""The log, checkpoints and beats as each simulated process sees them: slow, deaf, forgetful, each by its own chance.

There is one ``Store``, the truth. Each process has a ``Client`` of its own. What a process has sent may land when that
process is long dead. What one process appended and was told of never changes places; those of several processes do.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Recorded, encode
from bus.errors import Conflict, LogUnavailable
from bus.log import Appended, Batch
from bus.subjects import matches, once_filter, subject_of
from driftline.simulator.loop import now_us

#: Ids of records that no worker and no client wrote: copies and forgeries.
COPY = "copy-"


class BusFaults(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen between a process and the log. Times in seconds (the most it takes), all else probabilities.

    ``lost``: an append never arrives. ``unacknowledged``: it arrives, perhaps in part, and nobody is told. ``held``: it
    arrives up to ``held_s`` later, when its sender has given it up. ``doubled``: an event comes a second time under
    another id, as from a client that sends no Nats-Msg-Id. ``down``: nothing gets through.
    """

    append_s: float = 0.01
    follow_s: float = 0.02
    batch_max: int = 50
    lost: float = 0.0
    unacknowledged: float = 0.0
    held: float = 0.0
    held_s: float = 8.0
    doubled: float = 0.0
    checkpoint_fails: float = 0.0
    beat_fails: float = 0.0
    down: bool = False


CALM = BusFaults()
_T = TypeVar("_T")
_Answer: TypeAlias = "list[Appended] | Conflict"


class Store:
    """The one log. ``landed`` is called for each event that lands, before anybody can read it."""

    def __init__(self, chance: random.Random, landed: Callable[[Recorded], None]) -> None:
        self.records: list[Recorded] = []
        self.subjects: list[str] = []
        self.checkpoints: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        #: How many appends are on their way, whether anybody waits for them or not.
        self.in_flight = 0
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._landed = landed
        self._ids: dict[str, int] = {}
        self._once: dict[str, int] = {}
        self._copies = 0
        self._waiters: list[tuple[asyncio.Future[None], Client]] = []

    @property
    def last(self) -> int:
        """The position of the newest event."""
        return len(self.records)

    def append(self, envelopes: Iterable[Envelope], doubled: float = 0.0) -> list[Appended]:
        """Have all land now. Raises Conflict as ``Log.append`` does."""
        try:
            return [self._append_one(envelope, doubled) for envelope in envelopes]
        finally:
            self.wake()

    def inject(self, envelope: Envelope) -> bool:
        """Append without a look at the id. False if the log refuses it, as a second ``once`` event."""
        if envelope.event.once and once_filter(envelope.event) in self._once:
            return False
        self._store(envelope)
        self.wake()
        return True

    def copy_id(self) -> str:
        """A new id for something that nobody wrote."""
        self._copies += 1
        return f"{COPY}{self._copies}"

    def copy(self, r: Recorded) -> Envelope:
        """``r`` once more, under an id of its own."""
        event: object = r.event
        return Envelope(
            id=self.copy_id(),
            event=event,  # type: ignore[arg-type]  # it came from an envelope
            cause=r.cause,
            correlation=r.correlation,
            actor=r.actor,
            time_us=now_us(),
        )

    async def grown(self, client: "Client") -> None:
        """Wait until there may be something new for ``client``, and it has travelled there."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((waiter, client))
        await waiter

    def wake(self) -> None:
        """Let all followers look again."""
        waiters, self._waiters = self._waiters, []
        if waiters:
            later = asyncio.get_running_loop().call_later
            for waiter, client in waiters:
                if not waiter.done():
                    later(client.travel_s(), _arrived, waiter, None)

    def _append_one(self, envelope: Envelope, doubled: float) -> Appended:
        known = self._ids.get(envelope.id)
        if known is not None:
            self.counts["append repeated"] += 1
            return Appended(known, True)
        if envelope.event.once:
            key = once_filter(envelope.event)
            if key in self._once:
                self.counts["conflict"] += 1
                raise Conflict(f"{key} is at position {self._once[key]}, {envelope.id} came too late")
        r = self._store(envelope)
        self._ids[envelope.id] = r.position
        if doubled and self._chance.random() < doubled:
            self.counts["doubled"] += 1
            loop = asyncio.get_running_loop()
            loop.call_later(self._chance.uniform(0, 5), lambda: self.inject(self.copy(r)))
        return Appended(r.position, False)

    def _store(self, envelope: Envelope) -> Recorded:
        position, subject = self.last + 1, subject_of(envelope.event)
        if envelope.event.once:
            self._once[once_filter(envelope.event)] = position
        records, rejects = decode_batch([Raw(position, subject, encode(envelope), now_us())])
        if rejects:
            raise AssertionError(f"a worker wrote what no reader can read: {rejects[0].reason}: {envelope}")
        self.records.append(records[0])
        self.subjects.append(subject)
        self._landed(records[0])
        return records[0]


class Client:
    """Implements ``Log`` for one process; ``cut`` says that it cannot reach anything at all."""

    def __init__(self, store: Store, chance: random.Random, appended: Callable[[], None]) -> None:
        self.faults = CALM
        self.cut = False
        self._store = store
        self._chance = chance
        self._appended = appended
        self._landing: dict[int, Callable[[], None]] = {}
        self._sent = 0

    @property
    def down(self) -> bool:
        """Whether nothing gets through to the log and back."""
        return self.cut or self.faults.down

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        faults, chance, counts = self.faults, self._chance, self._store.counts
        delay_s = chance.uniform(0, faults.append_s)
        drawn = chance.random()
        if self.down or drawn < faults.lost:
            counts["append lost"] += 1
            await asyncio.sleep(delay_s)
            raise LogUnavailable("nobody answers")
        drawn -= faults.lost
        if drawn < faults.unacknowledged:
            counts["append unacknowledged"] += 1
            part = envelopes[: chance.randint(0, len(envelopes))] if chance.random() < 0.5 else envelopes
            self._send(part, delay_s)
            await asyncio.sleep(faults.append_s)
            raise LogUnavailable("no answer")
        drawn -= faults.unacknowledged
        if drawn < faults.held:
            counts["append held"] += 1
            self._send(envelopes, chance.uniform(0, faults.held_s))
            await asyncio.sleep(faults.append_s)
            raise LogUnavailable("no answer yet")
        answer = await self._send(envelopes, delay_s, chance.uniform(0, faults.append_s))
        if isinstance(answer, Conflict):
            raise answer
        return answer

    async def last_position(self) -> int:
        await self._reach("log", self.faults.lost)
        return self._store.last

    async def identity(self) -> str:
        return "simulated"

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        await self._reach("log")
        yield self._batch(after, min(until, self._store.last), subject)

    def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        return _Follower(self, after, subject)

    async def next_batch(self, after: int, subject: str) -> Batch:
        """What comes after ``after``, once there is anything."""
        store = self._store
        if store.last > after and not self.down:
            await asyncio.sleep(self.travel_s())
        while store.last <= after or self.down:
            await store.grown(self)
        return self._batch(after, min(store.last, after + self._chance.randint(1, self.faults.batch_max)), subject)

    def travel_s(self) -> float:
        """How long what is new takes from the log to this process."""
        return self._chance.uniform(0, self.faults.follow_s)

    async def load(self, name: str) -> int:
        """As ``Checkpoints.load``."""
        await self._reach("checkpoints")
        return self._store.checkpoints.get(name, 0)

    async def save(self, name: str, position: int) -> None:
        """As ``Checkpoints.save``."""
        await self._reach("checkpoints", self.faults.checkpoint_fails)
        self._store.checkpoints[name] = position

    async def beat(self, agent: str, hosts: Iterable[str], time_us: int) -> None:
        """As ``Beats.beat``."""
        await self._reach("beats", self.faults.beat_fails)
        for host in hosts:
            self._store.heard[host] = max(time_us, self._store.heard.get(host, 0))

    async def heard(self) -> dict[str, int]:
        """As ``Beats.heard``."""
        await self._reach("beats", self.faults.beat_fails)
        return dict(self._store.heard)

    async def _reach(self, what: str, fails: float = 0.0) -> None:
        await asyncio.sleep(self._chance.uniform(0, self.faults.append_s))
        if self.down or (fails and self._chance.random() < fails):
            self._store.counts[f"{what} out of reach"] += 1
            raise LogUnavailable(f"{what}: nobody answers")

    def _send(self, envelopes: Sequence[Envelope], delay_s: float, back_s: float = 0.0) -> "asyncio.Future[_Answer]":
        """Have ``envelopes`` land after ``delay_s``. The answer is known ``back_s`` later, if anybody waits for it."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[_Answer] = loop.create_future()

        def land() -> None:
            if self._landing.pop(number, None) is None:
                return  # it was flushed
            self._store.in_flight -= 1
            answer: _Answer
            try:
                answer = self._store.append(envelopes, self.faults.doubled)
            except Conflict as conflict:
                answer = conflict
            if not answered.done():
                loop.call_later(back_s, _arrived, answered, answer)
            self._appended()

        self._sent += 1
        number = self._sent
        self._landing[number] = land
        self._store.in_flight += 1
        loop.call_later(delay_s, land)
        return answered

    def flush(self) -> None:
        """All that is on its way lands now: a server has read a connection to its end before the sender is back."""
        for land in list(self._landing.values()):
            land()

    def _batch(self, after: int, until: int, subject: str) -> Batch:
        records = self._store.records[after:until]
        if subject:
            subjects = self._store.subjects[after:until]
            records = [r for r, at in zip(records, subjects, strict=True) if matches(subject, at)]
        return Batch(records, [], until)


def _arrived(waiter: "asyncio.Future[_T]", what: _T) -> None:
    if not waiter.done():  # who waited may be dead
        waiter.set_result(what)


class _Follower:
    """An endless reader. No generator: one that is left half-way would be closed whenever memory is collected."""

    def __init__(self, client: Client, after: int, subject: str) -> None:
        self._client = client
        self._after = after
        self._subject = subject

    def __aiter__(self) -> "_Follower":
        return self

    async def __anext__(self) -> Batch:
        batch = await self._client.next_batch(self._after, self._subject)
        self._after = batch.last
        return batch
