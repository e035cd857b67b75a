"""The asyncio runner over a log in memory: restarts, replicas, a log and devices that go away. Nothing here sleeps."""

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec
import pytest
import stamina

from bus.envelope import Envelope, now_us
from bus.errors import Conflict, LogMismatch, LogUnavailable
from bus.events import (
    Event,
    HostDown,
    HostFenced,
    HostResynced,
    HostReturned,
    HostSuspected,
    HostUp,
    InstanceActive,
    InstanceDeleted,
    InstanceFailed,
    InstanceRecovered,
    InstanceScheduled,
    LeafVlanFailed,
    PortAllocated,
    PortBound,
    PortDeleted,
    PortPlugFailed,
)
from bus.log import Appended
from bus.memory import MemoryCheckpoints, MemoryLog
from projections.instances import InstanceRow
from tests.workers.fakes import FakeDevices, FlakyLog
from tests.workers.site import AZ, HOSTS, PATIENCE_S, ROLES, Site, WatchedCheckpoints, delete, running, spawn, world
from workers import cnc, compute, ipam, liveness, nova, ovs_agent
from workers import runner as runner_module
from workers.effects import AnyEffect, LeafVlan, PlugVnic, UnplugVnic
from workers.performer import ATTEMPTS
from workers.runner import REFOLDS, Role, Runner

MANY = 300
#: So many that the restarts, each a few events after the last, go on to the end.
FEW = 24


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Retries follow one another at once, and checkpoints are saved all the time."""
    monkeypatch.setattr(runner_module, "CHECKPOINT_EVERY_S", 0.001)
    with stamina.set_testing(True, attempts=1_000_000):
        yield


@pytest.fixture
async def site() -> Site:
    site = Site()
    await site.ask(world())
    return site


async def spawn_and_delete(site: Site, count: int, *runners: Runner) -> None:
    """Spawn ``count`` instances and delete them; everything is checked at both ends."""
    async with running(*(runners or (site.runner(),))):
        await site.ask(spawn(n) for n in range(count))
        await site.until(InstanceActive, count)
    assert len((await site.audit()).live) == count
    async with running(site.runner()):
        await site.ask(delete(n) for n in range(count))
        await site.until(InstanceDeleted, count)
    await site.audit_deleted()


async def test_many_instances_come_and_go(site: Site) -> None:
    await spawn_and_delete(site, MANY)
    assert await site.count(PortAllocated) == MANY


async def test_an_interface_is_configured_once_for_all_its_instances(site: Site) -> None:
    async with running(site.runner()):
        await site.ask([spawn(0, "h0")])
        await site.until(InstanceActive, 1)
        await site.ask(spawn(n, "h0") for n in range(1, 20))
        await site.until(InstanceActive, 20)
    asked = [effect for effect in site.devices.asked.elements() if isinstance(effect, LeafVlan)]
    assert sorted((effect.device, effect.interface) for effect in asked) == [("l0a", "e0"), ("l0b", "e0")]


@pytest.mark.parametrize("seed", range(4))
async def test_restarts_at_any_point_change_nothing(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    undisturbed = Site()
    await undisturbed.ask(world())
    for place in (undisturbed, site):
        await place.ask(spawn(n) for n in range(FEW))
    async with running(undisturbed.runner()):
        await undisturbed.until(InstanceActive, FEW)
    await restart_until(site, InstanceActive, FEW, chance)
    assert whereabouts(await site.instances()) == whereabouts(await undisturbed.instances())
    await site.ask(delete(n) for n in range(FEW))
    await restart_until(site, InstanceDeleted, FEW, chance)
    await site.audit_deleted()


async def restart_until(site: Site, kind: type[Event], count: int, chance: random.Random) -> None:
    """Run a new runner again and again, each until the log has grown a little, the last one until all is done."""
    for _ in range(25):
        target = await site.log.last_position() + chance.randrange(1, 20)
        if await site.count(kind) == count:
            break
        async with running(site.runner()):
            await until_position(site, target, kind, count)
    async with running(site.runner()):
        await site.until(kind, count)


async def until_position(site: Site, target: int, kind: type[Event], count: int) -> None:
    """Wait until the log has reached ``target``, or all is done."""
    async for batch in site.log.follow(0):
        count -= sum(type(r.event) is kind for r in batch.records)
        if batch.last >= target or count <= 0:
            return


def whereabouts(rows: Iterable[InstanceRow]) -> list[tuple[str, str, str]]:
    return sorted((row.instance, row.state, row.host) for row in rows)


async def test_a_restart_without_checkpoints_repeats_nothing(site: Site) -> None:
    async with running(site.runner()):
        await site.ask(spawn(n) for n in range(20))
        await site.until(InstanceActive, 20)
    before = await site.log.last_position()
    site.checkpoints = WatchedCheckpoints()
    async with running(site.runner()):
        await site.ask([spawn(20)])
        await site.until(InstanceActive, 21)
    records = await site.records()
    stories = {r.correlation for r in records[:before]}
    assert [r for r in records[before:] if r.correlation in stories] == []


async def test_checkpoints_are_saved_as_work_is_done(site: Site) -> None:
    async with running(site.runner()):
        await site.ask([spawn(0)])
        await site.until(InstanceActive, 1)
        last = await site.log.last_position()
        await site.checkpoints.until_all(last, len(ROLES))


async def test_two_replicas_never_allocate_twice(site: Site) -> None:
    """They may find that there are two of them; what they wrote until then is right all the same."""

    async def replica() -> None:
        with suppress(Conflict):
            await site.runner().run()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(replica()) for _ in range(2)]
        await site.ask(spawn(n) for n in range(60))
        await site.until(InstanceActive, 60)
        for task in both:
            task.cancel()
    auditor = await site.audit()
    assert len(auditor.live) == 60
    assert await site.count(PortAllocated) == 60


@pytest.mark.parametrize("times", [1, 7, 40])
async def test_a_log_that_is_away_for_a_while_loses_nothing(times: int) -> None:
    log = FlakyLog()
    site = Site(log)
    await site.ask(world())
    async with running(site.runner()):
        log.unavailable_times = times
        await site.ask(spawn(n) for n in range(30))
        await site.until(InstanceActive, 30)
    assert log.unavailable_times == 0
    assert len((await site.audit()).live) == 30


async def test_a_log_that_is_away_at_start_is_waited_for(site: Site) -> None:
    class AwayAtFirst(MemoryLog):
        away = 5

        async def last_position(self) -> int:
            if self.away:
                self.away -= 1
                raise LogUnavailable("no answer")
            return await super().last_position()

    log = AwayAtFirst()
    log.away = 0
    site = Site(log)
    await site.ask([*world(), spawn(0)])
    log.away = 5
    async with running(site.runner()):
        await site.until(InstanceActive, 1)
    assert log.away == 0


async def test_a_rival_that_decided_first_is_followed(site: Site) -> None:
    rival = InstanceScheduled(instance="i0", name="name-0", az=AZ, host="h7", label="prod")
    async with running(site.runner()):
        envelopes = [Envelope(id="q", event=spawn(0)), Envelope(id="rival", event=rival, correlation="q")]
        await site.log.append([msgspec.structs.replace(envelope, time_us=now_us()) for envelope in envelopes])
        await site.until(InstanceActive, 1)
    await site.audit()
    [row] = await site.instances()
    assert (row.host, row.state) == ("h7", "active")


async def test_endless_conflicts_end_the_runner() -> None:
    class Rivalled(MemoryLog):
        appends = 0

        async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
            self.appends += 1
            raise Conflict("a rival is always faster")

    log = Rivalled()
    site = Site(log)
    await site.ask([*world(), spawn(0)])
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Conflict, match="always faster"):
            await site.runner().run()
    assert log.appends == REFOLDS + 1


async def test_a_device_that_fails_a_few_times_is_tried_again() -> None:
    site = Site(devices=FakeDevices(lambda effect, tries: "busy" if tries < ATTEMPTS else ""))
    await site.ask(world())
    await spawn_and_delete(site, 10)
    assert set(site.devices.asked.values()) == {ATTEMPTS}


async def test_a_device_that_gives_no_answer_may_have_done_it() -> None:
    site = Site(devices=FakeDevices(lambda effect, tries: None if tries < ATTEMPTS else ""))
    await site.ask(world())
    await spawn_and_delete(site, 10)


@pytest.mark.parametrize(
    ("kind", "failure", "answer"),
    [(PlugVnic, PortPlugFailed, "no bridge"), (LeafVlan, LeafVlanFailed, None)],
    ids=["refused", "no answer"],
)
async def test_what_cannot_be_given_is_reported_and_cleaned_up(
    kind: type[AnyEffect], failure: type[Event], answer: str | None
) -> None:
    def fails(effect: AnyEffect, tries: int) -> str | None:
        return answer if isinstance(effect, kind) and not effect.withdraws else ""

    site = Site(devices=FakeDevices(fails))
    await site.ask([*world(), spawn(0)])
    async with running(site.runner()):
        await site.until(InstanceDeleted, 1)
    await site.audit_deleted()
    assert await site.count(failure) == (2 if kind is LeafVlan else 1)
    assert await site.count(InstanceFailed) == 1
    given = [tries for effect, tries in site.devices.asked.items() if isinstance(effect, kind) and not effect.withdraws]
    assert set(given) == {ATTEMPTS}


async def test_what_is_to_be_taken_away_is_tried_until_it_is_gone() -> None:
    stubborn = ATTEMPTS * 10
    site = Site(devices=FakeDevices(lambda effect, tries: "busy" if effect.withdraws and tries <= stubborn else ""))
    await site.ask(world())
    await spawn_and_delete(site, 3)
    taken = {tries for effect, tries in site.devices.asked.items() if effect.withdraws}
    assert taken == {stubborn + 1}


@pytest.mark.parametrize("done_before", [0, 1, 3])
async def test_devices_that_are_away_for_a_while_are_waited_for(site: Site, done_before: int) -> None:
    """Also when they go away in the middle of a group: what was done already is not done, and not reported, again."""
    site.devices.unavailable_times = ATTEMPTS * 5
    site.devices.done_before_unavailable = done_before
    async with running(site.runner()):
        await site.ask(spawn(n) for n in range(10))
        await site.until(InstanceActive, 10)
        await site.ask(delete(n) for n in range(10))
        await site.until(InstanceDeleted, 10)
    await site.audit_deleted()
    assert site.devices.unavailable_times == 0
    assert set(site.devices.asked.values()) == {1}


async def test_a_newer_wish_waits_for_its_slot_and_follows(site: Site) -> None:
    plug, unplug = await hold_a_plug(site)
    async with running(site.runner()):
        await site.devices.until_asked(plug)
        await site.ask([delete(0)])
        await site.until(InstanceFailed, 1)
        assert site.devices.asked[unplug] == 0
        site.devices.held.pop(plug.slot).set()
        await site.until(InstanceDeleted, 1)
    assert site.devices.applied.index(plug) < site.devices.applied.index(unplug)
    await site.audit_deleted()


async def test_a_superseded_wish_that_fails_is_given_up_for_the_newer_one() -> None:
    site = Site(devices=FakeDevices(lambda effect, tries: "no bridge" if isinstance(effect, PlugVnic) else ""))
    await site.ask(world())
    plug, _ = await hold_a_plug(site)
    async with running(site.runner()):
        await site.devices.until_asked(plug)
        await site.ask([delete(0)])
        await site.until(InstanceFailed, 1)
        site.devices.held.pop(plug.slot).set()
        await site.until(InstanceDeleted, 1)
    assert site.devices.asked[plug] == 1
    assert await site.count(PortPlugFailed) == 0
    await site.audit_deleted()


async def test_the_same_wish_is_performed_once(site: Site) -> None:
    """Five ports ask for the same leaf interface while it is being configured."""
    async with running(site.runner()):
        slots = [(leaf, "e0", "1") for leaf in ("l0a", "l0b")]
        site.devices.held = {slot: asyncio.Event() for slot in slots}
        await site.ask(spawn(n, "h0") for n in range(5))
        await site.until(PortBound, 5)
        for slot in slots:
            site.devices.held.pop(slot).set()
        await site.until(InstanceActive, 5)
    leaves = [tries for effect, tries in site.devices.asked.items() if isinstance(effect, LeafVlan)]
    assert leaves == [1, 1]


async def test_agents_of_several_hosts_share_a_process(site: Site) -> None:
    agents = [Role(module.WORKER, frozenset({host})) for module in (compute, ovs_agent) for host in HOSTS]
    central = [Role(module.WORKER) for module in (nova, cnc, ipam)]
    await spawn_and_delete(site, 30, site.runner([*central, *agents]))


async def test_workers_in_processes_of_their_own(site: Site) -> None:
    await spawn_and_delete(site, 30, *(site.runner([role]) for role in ROLES))


async def test_a_deleted_port_is_deleted_once(site: Site) -> None:
    await spawn_and_delete(site, 5)
    assert await site.count(PortDeleted) == 5


async def hold_a_plug(site: Site) -> tuple[PlugVnic, UnplugVnic]:
    """Ask for an instance on h0 whose vNIC takes until its slot is released."""
    await site.ask([spawn(0, "h0")])
    plug = PlugVnic(
        device="h0",
        port="i0-0",
        az=AZ,
        generation=1,
        mac="fa:16:0a:01:00:02",
        ip="10.1.0.2",
        prefix_length=22,
        gateway="10.1.0.1",
    )
    site.devices.held[plug.slot] = asyncio.Event()
    return plug, UnplugVnic(device="h0", port="i0-0", az=AZ, generation=1)


async def test_checkpoints_of_a_longer_log_are_no_use() -> None:
    checkpoints = MemoryCheckpoints()
    await checkpoints.save(ROLES[0].checkpoint_name, 7)
    with pytest.raises(LogMismatch, match="checkpoint is at 7, the log ends at 0"):
        await Runner(MemoryLog(), checkpoints, FakeDevices(), ROLES).run()


async def test_a_host_that_is_not_heard_goes_down_and_comes_back_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's: a second of it passes at each tick."""
    monkeypatch.setattr(runner_module, "CLOCK_EVERY_S", 0.001)
    monkeypatch.setattr(runner_module, "BEAT_EVERY_S", 0.001)
    site = Site()
    await site.ask([*world(), spawn(0, "h0")])
    ticks = itertools.count(now_us(), 20_000)
    site.clock = lambda: next(ticks)
    async with running(site.runner([*ROLES, Role(liveness.WORKER)])):
        await site.until(InstanceActive, 1)
        site.devices.down = {"h0"}
        await site.until(HostDown, 1)
        await site.until(HostFenced, 1)
        site.devices.down = set()
        await site.until(HostReturned, 1)
        await site.until(InstanceRecovered, 1)
    said = [type(r.event) for r in await site.records() if getattr(r.event, "host", "") == "h0"]
    order = [HostSuspected, HostDown, HostFenced, HostReturned, HostResynced, HostUp]
    assert [kind for kind in said if kind in order] == order


async def test_newer_event_types_are_told_once_and_hold_up_nobody(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = b'{"id": "n%d", "event": {"type": "instance.teleported.v9", "instance": "i1"}}'
    await site.ask(world())
    await site.log.append_raw("dl.instance.i1._._.teleported", newer % 1)
    async with running(site.runner()):
        await site.log.append_raw("dl.instance.i1._._.teleported", newer % 2)
        await site.ask([spawn(1)])
        await site.until(InstanceActive, 1)
    told = [line for line in capsys.readouterr().out.splitlines() if "newer event type passed over" in line]
    assert len(told) == 1
    assert "instance.teleported.v9" in told[0]
