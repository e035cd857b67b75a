"""Snapshots of what workers have folded: with the rest of the log they are the whole log, or they are passed over."""

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from bus.envelope import Envelope
from bus.events import InstanceActive, InstanceDeleted, PortAllocated
from bus.jetstream import Connection, JetStreamCheckpoints, JetStreamLog
from bus.log import Appended
from bus.memory import MemoryLog
from projections.fold import Fold
from tests.workers.site import ROLES, Site, delete, running, spawn, world
from tests.workers.test_runner import FEW, restart_until, whereabouts, without_waits  # noqa: F401 - a fixture
from workers import snapshots as snapshots_module
from workers.machine import Machine
from workers.runner import Runner
from workers.snapshots import Snapshot, Snapshots, Whose, whose_of, write
from workers.worker import Commons

T = TypeVar("T")

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots are taken all the time."""
    monkeypatch.setattr(snapshots_module, "REST_TIMES", 0)


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    site = Site()
    site.snapshots = tmp_path
    await site.ask(world())
    return site


async def whose(site: Site) -> Whose:
    return whose_of(await site.log.identity(), "", [(role.worker.name, role.hosts) for role in ROLES])


async def kept(site: Site) -> Snapshot | None:
    assert site.snapshots is not None
    return Snapshots(site.snapshots).load(await whose(site))


async def until_kept(site: Site, above: int = 0) -> Snapshot:
    """The first snapshot above that position."""
    snapshots = Snapshots(site.snapshots) if site.snapshots is not None else None
    assert snapshots is not None
    of = await whose(site)

    def look() -> Snapshot | None:
        found = snapshots.load(of)
        return found if found is not None and found.position > above else None

    return await until(look)


async def until(look: Callable[[], T | None]) -> T:
    """What is there once anything is: another process makes it, and tells nobody here."""
    async with asyncio.timeout(30):
        while not (found := look()):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)
    return found


async def folded(site: Site, snapshot: Snapshot | None) -> tuple[Commons, list[Machine]]:
    """The machines as they are at the end of the log, from ``snapshot`` or from its beginning."""
    commons = snapshot.commons if snapshot is not None else Commons()
    machines = [Machine(role.worker, role.hosts, commons) for role in ROLES]
    for machine, one in zip(machines, snapshot.kept if snapshot is not None else [], strict=snapshot is not None):
        assert snapshot is not None
        machine.restore(one, snapshot.position)
    for r in await site.records():
        commons.evolve(r)
        for machine in machines:
            machine.replay(r)
    return commons, machines


def tables(commons: Commons, machines: Sequence[Machine]) -> list[Any]:
    """All rows of all folds, by whom they belong to."""

    def rows(fold: Fold) -> tuple[str, dict[str, Any]]:
        return type(fold).__name__, fold.tables

    return [[rows(fold) for fold in commons._folds.values()], *([rows(f) for f in m.state._own] for m in machines)]


@pytest.mark.parametrize("seed", range(3))
async def test_restarts_from_snapshots_change_nothing(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    undisturbed = Site()
    for place in (undisturbed, site):
        await place.ask(world() if place is undisturbed else [])
        await place.ask(spawn(n) for n in range(FEW))
    async with running(undisturbed.runner()):
        await undisturbed.until(InstanceActive, FEW)
    with capture_logs() as logs:
        await restart_until(site, InstanceActive, FEW, chance)
        assert whereabouts(await site.instances()) == whereabouts(await undisturbed.instances())
        await site.ask(delete(n) for n in range(FEW))
        await restart_until(site, InstanceDeleted, FEW, chance)
    await site.audit_deleted()
    assert [line for line in logs if line["event"] in ("snapshot passed over", "no snapshot")] == []


async def test_a_snapshot_and_the_rest_of_the_log_are_the_whole_log(site: Site) -> None:
    found: list[Snapshot] = []
    async with running(site.runner()):
        for n in range(6):
            await site.ask(spawn(5 * n + k) for k in range(5))
            found.append(await until_kept(site, above=found[-1].position if found else 0))
        await site.until(InstanceActive, 30)
    whole = tables(*await folded(site, None))
    assert any(one.ahead for snapshot in found for one in snapshot.kept), "nothing was ever decided ahead of the log"
    for snapshot in found:
        commons, machines = await folded(site, snapshot)
        assert tables(commons, machines) == whole
        assert not any(machine.is_ahead for machine in machines)


class HeldLog(MemoryLog):
    """Takes what workers append only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = asyncio.Event()

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        self.asked.set()
        await self.let.wait()
        return await super().append(envelopes)


async def test_no_snapshot_is_kept_before_what_it_holds_is_on_disk(tmp_path: Path) -> None:
    log = HeldLog()
    site = Site(log)
    site.snapshots = tmp_path
    await site.ask(world())
    async with running(site.runner()):
        await site.ask([spawn(0)])
        await log.asked.wait()
        written = await until(lambda: [path for path in tmp_path.glob("*.tmp") if path.stat().st_size])
        assert await kept(site) is None
        log.let.set()
        await until_kept(site)
    assert not any(path.exists() for path in written)


async def test_a_snapshot_of_what_never_came_is_forgotten(site: Site) -> None:
    """As if the process had been killed, and the file had been given its name too early."""
    await site.ask([spawn(0)])
    commons, machines = await folded(site, None)
    last = (await site.records())[-1]
    outputs = [machine.decide(last, 1) for machine in machines]
    assert any(machine.is_ahead for machine in machines)
    assert any(outputs)
    path = plant(site, await whose(site), Snapshot(last.position, commons, [machine.keep() for machine in machines]))
    identity = path.read_bytes()
    with capture_logs() as logs:
        async with running(site.runner()):
            await site.until(InstanceActive, 1)
            await until_kept(site, above=last.position)
    assert any(f"the snapshot at {last.position} has what is not in the log" in str(line) for line in logs)
    assert path.read_bytes() != identity
    assert await site.count(PortAllocated) == 1
    await site.audit()


def plant(site: Site, of: Whose, snapshot: Snapshot) -> Path:
    assert site.snapshots is not None
    path = site.snapshots / of.file_name
    write(path, of, snapshot)
    return path


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9] + b"123456789"), "damaged"),
        (lambda path: path.write_bytes(b""), "its first line"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9')), "format 9"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"Python 3", b"Python 2")), "other code"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"log":"memory-', b'"log":"another-')), "of the log"),
        (lambda path: path.chmod(0o666), "others may have written it"),
    ],
    ids=["cut off", "damaged", "empty", "format", "code", "log", "mode"],
)
async def test_what_cannot_be_trusted_is_passed_over(site: Site, spoil: Callable[[Path], object], reason: str) -> None:
    async with running(site.runner()):
        await site.ask([spawn(0)])
        await site.until(InstanceActive, 1)
        await until_kept(site)
    assert site.snapshots is not None
    path = site.snapshots / (await whose(site)).file_name
    assert await kept(site) is not None
    spoil(path)
    with capture_logs() as logs:
        assert await kept(site) is None
        async with running(site.runner()):
            await site.ask([spawn(1)])
            await site.until(InstanceActive, 2)
    [first, *_] = [line for line in logs if line["event"] == "snapshot passed over"]
    assert reason in first["reason"]
    assert {line["snapshot"] for line in logs if line["event"] == "caught up"} == {0}
    await site.audit()


async def test_a_writer_that_dies_leaves_the_one_before_and_harms_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(site.runner()):
        await site.ask([spawn(0)])
        first = await until_kept(site)
    monkeypatch.setattr(snapshots_module, "_write_and_end", lambda *arguments: os._exit(3))
    with capture_logs() as logs:
        async with running(site.runner()):
            await site.ask([spawn(1)])
            await site.until(InstanceActive, 2)
            [told, *_] = await until(lambda: [line for line in logs if line["event"] == "no snapshot"])
    assert told["reason"] == "its process ended with 3"
    again = await kept(site)
    assert again is not None
    assert again.position >= first.position
    assert site.snapshots is not None
    assert not list(site.snapshots.glob("*.tmp"))


@pytest.mark.servers
async def test_over_jetstream_a_restart_goes_on_from_the_snapshot(connection: Connection, tmp_path: Path) -> None:
    place, log = Site(), JetStreamLog(connection)
    requests = [*world(), *(spawn(n) for n in range(20))]
    await log.append([Envelope(id=f"q{n}", event=event, correlation=f"q{n}") for n, event in enumerate(requests)])  # type: ignore[arg-type]

    def runner() -> Runner:
        checkpoints = JetStreamCheckpoints(connection)
        return Runner(log, checkpoints, place.devices, ROLES, snapshots=Snapshots(tmp_path, every_events=1))

    async def active(count: int) -> None:
        async for batch in log.follow(0):
            count -= sum(isinstance(r.event, InstanceActive) for r in batch.records)
            if count <= 0:
                return

    async with running(runner()):
        await active(20)
        await until(lambda: list(tmp_path.glob("*.snapshot")))
    with capture_logs() as logs:
        async with running(runner()):
            await log.append([Envelope(id="more", event=spawn(20), correlation="more")])
            await active(21)
    [caught_up] = [line for line in logs if line["event"] == "caught up"]
    assert 0 < caught_up["snapshot"] <= caught_up["position"]
