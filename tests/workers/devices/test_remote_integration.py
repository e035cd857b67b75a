"""Both ends of a remote fabric, over a channel within the process."""

import asyncio

import pytest

from bus.errors import CallFailed, LogUnavailable, NoReply
from bus.events import HostDifference
from tests.workers.devices.memory_channel import MemoryChannel
from tests.workers.devices.virtual_time import run
from tests.workers.devices.world import (
    BLUE,
    CABLES,
    RED_1,
    Net,
    Port,
    audit_host,
    flows,
    leaf_vlan,
    plug,
    resync_host,
    wired,
    wiring,
    wish,
)
from workers.devices.protocol import Devices, Outcome
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import CableHost, CableLeaf, Leftovers, SetHosts
from workers.devices.simulated.faults import EffectFaults, FaultPlan
from workers.devices.simulated.reachability import trace
from workers.devices.simulated.remote import RemoteDevices, serve_fabric
from workers.devices.simulated.tamper import AddVnic, DropFlow
from workers.devices.simulated.wire import SUBJECT, Ask, Refused, decode_answer
from workers.effects import AnyEffect
from workers.errors import DevicesUnavailable

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h3", RED_1, 6)
C = Port("c", "h3", BLUE, 6)


class Ends:
    """A served fabric that nothing is cabled to yet, and who asks it."""

    def __init__(self) -> None:
        self.devices = SimulatedDevices()
        self.channel = MemoryChannel()
        self.remote = RemoteDevices(self.channel)

    async def served(self) -> "Ends":
        await serve_fabric(self.devices, self.channel)
        await self.remote.cable(CABLES)
        return self

    async def apply(self, effects: list[AnyEffect]) -> list[list[Outcome]]:
        devices: Devices = self.remote
        return [list(group) async for group in devices.apply(effects)]


@pytest.fixture
async def ends() -> Ends:
    return await Ends().served()


def many(count: int) -> list[Port]:
    return [Port(f"p{n}", "h1", Net(11, 5011, "red", f"10.0.{n // 250}"), n % 250 + 2) for n in range(count)]


async def test_effects_and_outcomes_go_over_the_wire(ends: Ends) -> None:
    assert await ends.apply([flows(A), *wiring(A)]) == [
        [Outcome(0, "host h1: no device of port a on br-int"), Outcome(1), Outcome(2), Outcome(3), Outcome(4)]
    ]
    assert ends.devices.fabric.dump() == wired(A).dump()


async def test_thousands_of_effects_go_in_parts_and_keep_their_indices(ends: Ends) -> None:
    effects: list[AnyEffect] = [plug(port) for port in many(4000)]
    effects[3500] = flows(A)

    outcomes = [outcome for group in await ends.apply(effects) for outcome in group]

    assert sorted(outcomes) == [
        Outcome(index, "" if index != 3500 else "host h1: no device of port a on br-int") for index in range(4000)
    ]
    assert ends.devices.fabric.leftovers().vnics == 3999


def test_parts_are_under_way_at_once() -> None:
    async def main() -> float:
        ends = await Ends().served()
        await ends.remote.set_faults(FaultPlan({"PlugVnic": EffectFaults(latency=0.05)}))
        assert len(await ends.apply([plug(port) for port in many(4000)])) == 3
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(0.05)


async def test_no_effects_are_no_call(ends: Ends) -> None:
    calls = ends.channel.calls

    assert await ends.apply([]) == []
    assert ends.channel.calls == calls


async def test_what_was_found_goes_over_the_wire_in_parts_however_much_it_is(ends: Ends) -> None:
    for port in many(9000):
        ends.devices.fabric.apply(plug(port))
    found = tuple(HostDifference("vnic", port, 1, missing=False) for port in sorted(p.port for p in many(9000)))

    outcomes = await ends.apply(
        [
            plug(A),
            audit_host("h1", {"a": 1}, {}),
            audit_host("h2", {"b": 1}, {}),
            resync_host("h1", 1, {"a": 1}),
            plug(B),
        ]
    )

    missing = HostDifference("vnic", "b", 1, missing=True)
    assert sorted(outcome for group in outcomes for outcome in group) == [
        Outcome(0),
        Outcome(1, "", found),
        Outcome(2, "", (missing,)),
        Outcome(3, "", found),
        Outcome(4),
    ]


async def test_many_audits_that_found_something_do_not_share_a_message_that_is_too_large(ends: Ends) -> None:
    for n in range(1400):
        ends.devices.fabric.apply(plug(A._replace(port=f"port-{n:058}")))

    outcomes = [outcome for group in await ends.apply([audit_host("h1", {}, {})] * 20) for outcome in group]

    assert [len(outcome.found) for outcome in outcomes] == [1400] * 20


async def test_an_audit_whose_result_was_cut_off_has_no_outcome(ends: Ends) -> None:
    for port in many(4000):
        ends.devices.fabric.apply(plug(port))
    ends.channel.answers = 2

    assert await ends.apply([audit_host("h1", {}, {})]) == []


async def test_large_effects_go_in_messages_of_their_own(ends: Ends) -> None:
    keep = {f"port-{n:058}": 1 for n in range(1400)}
    audit = audit_host("h1", keep, {name: wish(A) for name in keep})

    outcomes = [outcome for group in await ends.apply([*[audit] * 6, plug(A)]) for outcome in group]

    assert sorted(outcome.index for outcome in outcomes) == list(range(7))
    assert [len(outcome.found) for outcome in sorted(outcomes)] == [2800] * 6 + [0]


async def test_an_effect_that_no_message_can_hold_fails_alone(ends: Ends) -> None:
    keep = {f"port-{n:058}": 1 for n in range(20_000)}

    outcomes = [outcome for group in await ends.apply([plug(A), resync_host("h1", 1, keep)]) for outcome in group]

    assert sorted(outcome.index for outcome in outcomes if not outcome.error) == [0]
    assert [o.error.partition(":")[0] for o in outcomes if o.index == 1] == ["h1"]
    assert "bytes are more than can be sent" in next(o.error for o in outcomes if o.index == 1)


async def test_power_and_partitions_go_over_the_wire(ends: Ends) -> None:
    devices: Devices = ends.remote
    await ends.remote.set_hosts(SetHosts(power_off=("h1", "h2"), cut_off=("h3",)))
    await ends.remote.set_hosts(SetHosts(power_on=("h2",)))

    assert await devices.alive(["h1", "h2", "h3", "h4", "h9"]) == {"h2", "h4"}
    assert await ends.apply([plug(A)]) == [[Outcome(0, "host h1: no power")]]
    with pytest.raises(ValueError, match="no host h9"):
        await ends.remote.set_hosts(SetHosts(cut_off=("h9",)))


async def test_many_hosts_are_asked_about_in_parts(ends: Ends) -> None:
    names = [f"host-{n:057}" for n in range(20_000)]

    assert await ends.remote.alive([*names, "h1"]) == {"h1"}
    assert await ends.remote.alive([]) == set()


async def test_tampering_goes_over_the_wire(ends: Ends) -> None:
    await ends.apply(wiring(A))

    await ends.remote.tamper([DropFlow("h1", "a"), AddVnic("h2", "x", C.mac, "10.0.1.9", 24, "10.0.1.1")])

    assert ends.devices.fabric.flow_locations("a") == []
    assert ends.devices.fabric.port_locations("x") == ["h2"]
    with pytest.raises(ValueError, match="host h1: no flows of port a"):
        await ends.remote.tamper([DropFlow("h1", "a")])
    with pytest.raises(ValueError, match=r"request: .*Expected `str` matching regex"):
        await ends.remote.tamper([DropFlow("h1", "a b")])


async def test_questions_are_answered_as_at_the_fabric_itself(ends: Ends) -> None:
    await ends.apply([effect for port in (A, B, C) for effect in wiring(port)])
    fabric = ends.devices.fabric

    assert await ends.remote.trace([Ask("a", "b"), Ask("a", "c"), Ask("b", dst_ip="10.0.1.5")]) == [
        trace(fabric, "a", "b"),
        trace(fabric, "a", "c"),
        trace(fabric, "b", dst_ip="10.0.1.5"),
    ]
    assert await ends.remote.dump() == fabric.dump()
    assert await ends.remote.leftovers() == fabric.leftovers() == Leftovers(3, 3, 3, 6, 6)


async def test_a_large_fabric_is_dumped_in_parts(ends: Ends) -> None:
    for port in many(6000):
        ends.devices.fabric.apply(plug(port))
        ends.devices.fabric.apply(flows(port))
    for vlan in range(1, 4095):
        for interface in ("Ethernet1", "Ethernet2", "Ethernet3"):
            net = Net(vlan, vlan, "red", "10.0.1")
            ends.devices.fabric.apply(leaf_vlan("l1", interface, net))

    dumped = await ends.remote.dump()

    assert dumped == ends.devices.fabric.dump()


async def test_many_questions_go_in_parts(ends: Ends) -> None:
    await ends.apply([*wiring(A), *wiring(B)])

    paths = await ends.remote.trace([Ask("a", "b")] * 2000)

    assert len(paths) == 2000
    assert all(path.reachable for path in paths)


async def test_a_cable_that_cannot_be_is_an_error(ends: Ends) -> None:
    with pytest.raises(ValueError, match="host h9: no leaf l9"):
        await ends.remote.cable([CableHost("h9", "l1", "l9", "Ethernet9")])


async def test_leaves_are_cabled_before_hosts(ends: Ends) -> None:
    await ends.remote.cable(
        [CableHost("h9", "l8", "l9", "Ethernet1"), CableLeaf("l8", "10.8.8.8"), CableLeaf("l9", "10.9.9.9")]
    )

    assert "h9" in ends.devices.fabric.hosts


async def test_a_question_that_is_none_is_an_error(ends: Ends) -> None:
    with pytest.raises(ValueError, match="dst_ip: Expected 4 octets in 'b'"):
        await ends.remote.trace([Ask("a", dst_ip="b")])


async def test_a_request_that_is_none_is_refused_with_what_is_wrong(ends: Ends) -> None:
    answers = [decode_answer(data) async for data in ends.channel.call(SUBJECT, b'{"type":"Trace"}', 1.0)]

    assert answers == [Refused("request: Object missing required field `asks`")]


async def test_nobody_serves() -> None:
    remote = RemoteDevices(MemoryChannel(), "elsewhere")

    with pytest.raises(DevicesUnavailable, match="elsewhere: nobody serves elsewhere"):
        async for _ in remote.apply(wiring(A)):
            pass
    with pytest.raises(DevicesUnavailable, match="elsewhere"):
        await remote.leftovers()
    with pytest.raises(DevicesUnavailable, match="elsewhere"):
        await remote.alive(["h1"])


@pytest.mark.parametrize("lost", [ConnectionError("gone"), CallFailed("the disk is full"), LogUnavailable("away")])
async def test_a_call_that_fails_at_once_is_devices_unavailable(ends: Ends, lost: Exception) -> None:
    ends.channel.answers, ends.channel.lost = 0, lost

    with pytest.raises(DevicesUnavailable, match=str(lost)):
        await ends.apply(wiring(A))
    with pytest.raises(DevicesUnavailable, match=str(lost)):
        await ends.remote.leftovers()


@pytest.mark.parametrize("lost", [NoReply("late"), TimeoutError("late"), ConnectionError("gone"), CallFailed("broken")])
async def test_when_answers_stop_the_rest_is_unknown(ends: Ends, lost: Exception) -> None:
    ends.channel.lost = lost
    await ends.remote.set_faults(FaultPlan({"LeafVlan": EffectFaults(latency=0.001)}))
    ends.channel.answers = 1

    assert await ends.apply(wiring(A)) == [[Outcome(0), Outcome(1)]]


async def test_a_question_whose_answer_is_lost_says_so(ends: Ends) -> None:
    ends.channel.answers = 0

    with pytest.raises(DevicesUnavailable, match=f"{SUBJECT}: no reply in time"):
        await ends.remote.leftovers()


async def test_a_caller_that_leaves_early_leaves_no_task_behind(ends: Ends) -> None:
    await ends.remote.set_faults(FaultPlan({"LeafVlan": EffectFaults(latency=3600)}))
    groups = ends.remote.apply(wiring(A))

    assert await anext(groups) == [Outcome(0), Outcome(1)]
    await groups.aclose()

    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "ask remote devices"] == []
