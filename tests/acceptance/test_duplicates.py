"""Each event published twice, each message delivered twice: the rows are those of a clean run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
import pytest

import workers.runner
from bus.embedded import embedded_nats
from bus.envelope import Envelope, Recorded, encode, request
from bus.events import AnyEvent, HostAdded, InstanceDeleteRequested, LeafAdded, SpawnRequested
from bus.jetstream import JetStreamLog, connect
from bus.log import Appended, Batch, Log
from bus.memory import MemoryCheckpoints, MemoryLog
from bus.subjects import subject_of
from driftline.client import Client
from driftline.outcomes import Outcome, outcome_of
from driftline.parts import all_workers
from driftline.world import generate
from projections.refold import refold
from projections.views import Views
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import CableHost, CableLeaf
from workers.runner import Role, Runner

Rows = dict[str, list[dict[str, Any]]]


class RawLog(Log, Protocol):
    """A log that also takes what a plain client sends: bytes, and no id that the log would look at."""

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int: ...


class Clean:
    """A log as it is; the misbehaving ones below differ from it in one thing each."""

    def __init__(self, log: RawLog) -> None:
        self._log = log

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        return await self._log.append(envelopes)

    async def append_raw(self, subject: str, data: bytes, stored_us: int = 0) -> int:
        return await self._log.append_raw(subject, data, stored_us)

    async def last_position(self) -> int:
        return await self._log.last_position()

    async def identity(self) -> str:
        return await self._log.identity()

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.read(after, until, subject)

    def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.follow(after, subject)


class PublishedAgain(Clean):
    """Every event is published a second time as it is, with its id."""

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        appended = await super().append(envelopes)
        again = await super().append(envelopes)
        assert [(one.position, True) for one in appended] == [(one.position, one.duplicate) for one in again]
        return appended


class StoredAgain(Clean):
    """Every event is stored a second time, as when a plain client sends no ``Nats-Msg-Id``: the log cannot tell."""

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        appended = await super().append(envelopes)
        for envelope, one in zip(envelopes, appended, strict=True):
            if not one.duplicate:
                await self.append_raw(subject_of(envelope.event), encode(self.again(envelope)))
        return appended

    @staticmethod
    def again(envelope: Envelope) -> Envelope:
        return envelope


class StoredAgainUnderAnotherId(StoredAgain):
    """The same, and even the id in the message is another one."""

    @staticmethod
    def again(envelope: Envelope) -> Envelope:
        return msgspec.structs.replace(envelope, id=f"again-{envelope.id}")


class EachDeliveredTwice(Clean):
    """Every message is delivered twice, one after the other."""

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        async for batch in super().read(after, until, subject):
            yield Batch([r for r in batch.records for _ in range(2)], batch.rejects, batch.last)

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        async for batch in super().follow(after, subject):
            yield Batch([r for r in batch.records for _ in range(2)], batch.rejects, batch.last)


class BatchesDeliveredTwice(Clean):
    """Every batch is delivered, and then the whole of it once more."""

    async def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        async for batch in super().read(after, until, subject):
            yield batch
            yield batch

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        async for batch in super().follow(after, subject):
            yield batch
            yield batch


class OldOnesDeliveredAgain(Clean):
    """With every batch all that was delivered before comes again, ahead of what is new."""

    async def follow(self, after: int, subject: str = "") -> AsyncIterator[Batch]:
        delivered: list[Recorded] = []
        async for batch in super().follow(after, subject):
            delivered = [*delivered, *batch.records]
            yield Batch(delivered, batch.rejects, batch.last)


class StoredAndDeliveredTwice(StoredAgainUnderAnotherId, EachDeliveredTwice):
    """All of it at once."""


class Checkpoints(MemoryCheckpoints):
    """Tells when a checkpoint was saved."""

    def __init__(self) -> None:
        super().__init__()
        self._saved = asyncio.Condition()

    async def save(self, name: str, position: int) -> None:
        await super().save(name, position)
        async with self._saved:
            self._saved.notify_all()

    async def all_at_the_end_of(self, log: Log) -> None:
        """Wait until every worker has dealt with all there is, its own effects and their outcomes included."""
        async with self._saved:
            while {await self.load(name) for name in all_workers()} != {await log.last_position()}:
                await self._saved.wait()


def spawn(instance: str, name: str, **place: str) -> SpawnRequested:
    return SpawnRequested(instance=instance, name=name, az="az1", **place)  # type: ignore[arg-type]


#: Granted and refused requests, deletes, a name and an address that are used again.
STORY: dict[str, AnyEvent] = {
    **{f"spawn-{i}": spawn(f"i{i}", f"web-{i}", label="prod-env") for i in range(6)},
    "pinned": spawn("pinned", "db-1", network="lab-net1", host="az1-h2"),
    "unknown-network": spawn("x1", "x-1", network="nonet"),
    "name-in-use": spawn("x2", "web-1", label="prod-env"),
    **{f"delete-{i}": InstanceDeleteRequested(instance=f"i{i}") for i in (1, 3)},
    "delete-pinned": InstanceDeleteRequested(instance="pinned"),
    "delete-again": InstanceDeleteRequested(instance="i1"),
    "delete-unknown": InstanceDeleteRequested(instance="nobody"),
    "name-again": spawn("i6", "web-1", label="prod-env"),
    "more": spawn("i7", "web-7", label="lab-env"),
}
OUTCOMES = Counter(active=9, refused=2, deleted=3, delete_refused=2)


async def told(log: RawLog, *, again: bool = False) -> tuple[Rows, Counter[str]]:
    """Run the story over ``log``; returns the rows in the end, and how the requests ended.

    ``again``: when it is over, all that is on the log is stored once more, in its order and under other ids.
    """
    checkpoints = Checkpoints()
    world = generate(azs=1, hosts=4, instances=100)
    await log.append([request(event, actor="operator", id=f"world-{i}") for i, event in enumerate(world)])
    async with running(log, checkpoints, world):
        client = Client(log)
        for number, event in STORY.items():
            await client.outcome(await client.publish(event, id=number))
            await checkpoints.all_at_the_end_of(log)
        if again:
            await store_again(log)
            await checkpoints.all_at_the_end_of(log)
    outcomes = await outcomes_on(log)
    assert Counter(outcome.request for outcome in outcomes) == Counter(list(STORY)), "each request ends once"
    views = await refold(log, await log.last_position())
    return rows(views), Counter(outcome.kind for outcome in outcomes)


async def store_again(log: RawLog) -> None:
    stored = [r async for batch in log.read(0, await log.last_position()) for r in batch.records]
    for r in stored:
        envelope = Envelope(
            id=f"again-{r.id}",
            event=r.event,  # type: ignore[arg-type]  # what was read is a member of the union
            cause=r.cause,
            correlation=r.correlation,
            actor=r.actor,
            time_us=r.time_us,
        )
        await log.append_raw(subject_of(r.event), encode(envelope))


async def outcomes_on(log: Log) -> list[Outcome]:
    """All outcomes; one that was stored again, as ``StoredAgain`` does, is the same one."""
    found = {}
    async for batch in log.read(0, await log.last_position()):
        for r in batch.records:
            outcome = outcome_of(r)
            if outcome is not None:
                found[r.id.removeprefix("again-")] = outcome
    return list(found.values())


@asynccontextmanager
async def running(log: Log, checkpoints: Checkpoints, world: Sequence[AnyEvent]) -> AsyncIterator[None]:
    """All workers, on devices of their own."""
    devices = SimulatedDevices()
    devices.cable([CableLeaf(e.leaf, e.vtep) for e in world if isinstance(e, LeafAdded)])
    devices.cable([CableHost(e.host, e.leaf_a, e.leaf_b, e.interface) for e in world if isinstance(e, HostAdded)])
    runner = Runner(log, checkpoints, devices, [Role(worker) for worker in all_workers().values()])
    task = asyncio.create_task(runner.run())
    try:
        await runner.ready.wait()
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


#: Columns that hold positions of the log.
_POSITIONS = ("epoch", "claimed_at", "cookie", "position")


def rows(views: Views) -> Rows:
    """All rows without times and positions; of the port states over time only the last."""
    kept: Rows = {}
    for table in views.tables():
        found = [msgspec.to_builtins(row) for _, row in sorted(views.rows(table.name).items())]
        kept[table.name] = [
            {name: value for name, value in row.items() if not name.endswith("_us") and name not in _POSITIONS}
            for row in (found[-1:] if table.name == "port_states" else found)
        ]
    return kept


@pytest.fixture(autouse=True)
def _quick_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.runner, "CHECKPOINT_EVERY_S", 0.005)


async def test_a_clean_run_is_as_expected() -> None:
    found, outcomes = await told(Clean(MemoryLog()))
    assert outcomes == OUTCOMES
    assert {row["instance"] for row in found["ports"]} == {"i0", "i2", "i4", "i5", "i6", "i7"}
    assert len(found["addresses"]) == 6
    assert found["port_states"][0]["active_active"] == 6
    assert (await told(Clean(MemoryLog()))) == (found, outcomes)


@pytest.mark.parametrize(
    "misbehaving",
    [
        PublishedAgain,
        StoredAgain,
        StoredAgainUnderAnotherId,
        EachDeliveredTwice,
        BatchesDeliveredTwice,
        OldOnesDeliveredAgain,
        StoredAndDeliveredTwice,
    ],
)
async def test_nothing_changes(misbehaving: Callable[[RawLog], RawLog]) -> None:
    assert await told(misbehaving(MemoryLog())) == await told(Clean(MemoryLog()))


async def test_a_whole_log_that_is_stored_again_changes_nothing() -> None:
    assert await told(Clean(MemoryLog()), again=True) == await told(Clean(MemoryLog()))


@pytest.mark.servers
@pytest.mark.parametrize("misbehaving", [PublishedAgain, StoredAndDeliveredTwice])
async def test_nothing_changes_on_jetstream(misbehaving: Callable[[RawLog], RawLog]) -> None:
    async with embedded_nats() as server, connect(server.url) as connection:
        assert await told(misbehaving(JetStreamLog(connection))) == await told(Clean(MemoryLog()))
