"""Whatever is done to one host, in whatever order, by whomever: it holds what the plain model says."""

from collections.abc import Callable, Sequence
from itertools import permutations
from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from bus.events import HostDifference
from tests.workers.devices.plain_host import PlainFlow, PlainHost, PlainVnic
from tests.workers.devices.world import (
    RED_1,
    RED_2,
    Port,
    audit_host,
    cabled,
    flows,
    no_flows,
    plug,
    resync_flows,
    resync_host,
    unplug,
    wish,
)
from workers.devices.simulated.fabric import Fabric, SetHosts
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.tamper import AddFlow, AddVnic, DropFlow, DropVnic, HostAct
from workers.effects import AnyEffect, Difference, FlowWish

PORTS = ["a", "b"]
relaxed = settings(deadline=None, max_examples=300)  # a busy machine is no failure

Step = tuple[AnyEffect, float] | HostAct | SetHosts


def scenario(seed: int) -> list[Step]:
    """Some forty steps; most give something, or nothing would be there for the others to take."""
    random = Random(seed)
    kinds = ["give"] * 12 + ["take"] * 4 + ["resync"] * 5 + ["audit"] * 2 + ["act"] * 2 + ["switch"]
    return [_step(random, kind) for kind in random.choices(kinds, k=40)]


def _step(random: Random, kind: str) -> Step:
    port, generation = _port(random), random.randint(1, 3)
    match kind:
        case "give":
            give: list[AnyEffect] = [plug(port, generation), flows(port, generation, random.randint(0, 4))]
            return random.choice(give), 1.0
        case "take":
            take: list[AnyEffect] = [unplug(port, generation), no_flows(port, generation)]
            return random.choice(take), 1.0
        case "resync":
            return _resync(random), random.choice([1.0, random.random()])
        case "audit":
            return audit_host("h1", _keep(random), _wishes(random)), 1.0
        case "act":
            return _act(random, port, generation)
        case _:
            off = random.choice(["power_off", "cut_off"])
            back = SetHosts(power_on=("h1",), reconnect=("h1",))
            return random.choice([SetHosts(**{off: ("h1",)}), back, back])


def _port(random: Random) -> Port:
    return Port(random.choice(PORTS), "h1", random.choice([RED_1, RED_2]), random.randint(2, 3))


def _act(random: Random, port: Port, generation: int) -> HostAct:
    vnic = AddVnic("h1", port.port, port.mac, port.ip, 24, port.net.gateway, generation)
    flow = AddFlow("h1", port.port, port.mac, port.net.vlan, generation)
    acts: list[HostAct] = [vnic, flow, DropVnic("h1", port.port), DropFlow("h1", port.port)]
    return random.choice(acts)


def _keep(random: Random) -> dict[str, int]:
    return {port: random.randint(1, 3) for port in random.sample(PORTS, random.randint(0, 2))}


def _wishes(random: Random) -> dict[str, FlowWish]:
    return {port: wish(_port(random), random.randint(1, 3)) for port in random.sample(PORTS, random.randint(0, 2))}


def _resync(random: Random) -> AnyEffect:
    epoch = random.randint(0, 4)
    flowing: AnyEffect = resync_flows("h1", epoch, _wishes(random))
    return random.choice([flowing, resync_host("h1", epoch, _keep(random))])


scenarios = st.integers(0, 1 << 32).map(scenario)
resyncs = st.integers(0, 1 << 32).map(lambda seed: _resync(Random(seed)))
wishes = st.integers(0, 1 << 32).map(lambda seed: _wishes(Random(seed)))
wanted_ports = st.integers(0, 1 << 32).map(
    lambda seed: {port: _port(Random(f"{seed}{port}")) for port in PORTS[: seed % 3]}
)


def held(host: HostDevice) -> tuple[dict[str, PlainVnic], dict[str, PlainFlow], dict[str, int]]:
    vnics = {port: PlainVnic(vnic.generation, vnic.mac, vnic.ip) for port, vnic in host.vnics.items()}
    installed = {port: PlainFlow(flow.generation, flow.mac, flow.vlan) for port, flow in host.flows.items()}
    return vnics, installed, {port: flow.cookie for port, flow in host.flows.items()}


def expected(plain: PlainHost) -> tuple[dict[str, PlainVnic], dict[str, PlainFlow], dict[str, int]]:
    return plain.vnics, plain.flows, {port: plain.cookies[port] for port in plain.flows}


def go(fabric: Fabric, plain: PlainHost, step: Step) -> None:
    """One step of both; what they answer is the same."""
    host = fabric.host("h1")
    before = {port: flow.installed for port, flow in host.flows.items()}
    match step:
        case SetHosts():
            fabric.set_hosts(step)
            plain.switch(step)
        case (effect, part):
            came = fabric.perform(effect, part)
            done, found = plain.do(effect, part)
            event(f"{type(effect).__name__} {'done' if done else 'refused'}, found {bool(found)}, whole {part == 1}")
            assert (came.error == "") == done, came
            assert {(d.part, d.port, d.generation, d.missing) for d in host_differences(came.found)} == found
            touched = {port for port, flow in host.flows.items() if before.get(port) != flow.installed}
            assert touched == plain.touched & set(host.flows)
        case _:
            if isinstance(step, AddVnic | AddFlow) or step.port in (
                host.vnics if isinstance(step, DropVnic) else host.flows
            ):
                fabric.tamper(step)
                plain.meddle(step)


def host_differences(found: Sequence[Difference]) -> list[HostDifference]:
    differences = [difference for difference in found if isinstance(difference, HostDifference)]
    assert len(found) == len(differences) == len(set(differences))
    return differences


@relaxed
@given(scenarios)
def test_a_host_holds_what_the_plain_model_says(taken: list[Step]) -> None:
    fabric, plain = cabled(), PlainHost()
    for step in taken:
        go(fabric, plain, step)
        assert held(fabric.host("h1")) == expected(plain), step


def after(taken: list[Step]) -> Fabric:
    fabric, plain = cabled(), PlainHost()
    for step in taken:
        go(fabric, plain, step)
    fabric.set_hosts(SetHosts(power_on=("h1",), reconnect=("h1",)))
    return fabric


@relaxed
@given(scenarios, resyncs, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
def test_a_resync_that_was_interrupted_is_finished_by_the_next_attempt(
    taken: list[Step], resync: AnyEffect, interrupted: list[float]
) -> None:
    once, again = after(taken), after(taken)

    once.perform(resync)
    for part in interrupted:
        again.perform(resync, part)
    again.perform(resync)

    assert again.host("h1").state() == once.host("h1").state()


@relaxed
@given(scenarios, wishes, st.floats(0, 1, exclude_max=True))
def test_a_flow_that_is_as_wished_is_touched_by_no_resync_and_stale_ones_go_last(
    taken: list[Step], wished: dict[str, FlowWish], part: float
) -> None:
    fabric = after(taken)
    host = fabric.host("h1")
    before = dict(host.flows)
    resync = resync_flows("h1", 9, wished)

    fabric.perform(resync, part)
    assert set(before) <= set(host.flows)
    fabric.perform(resync)

    assert {flow.cookie for flow in host.flows.values()} <= {9}
    for port, flow in host.flows.items():
        wanted = wished[port]
        if port in before and flow.installed != before[port].installed:
            was = before[port]
            assert (was.generation, was.mac, was.vlan) != (wanted.generation, wanted.mac, wanted.vlan)


@relaxed
@given(scenarios, wanted_ports, st.integers(5, 6))
def test_a_repair_by_what_an_audit_found_leaves_nothing_to_find(
    taken: list[Step], wanted: dict[str, Port], generation: int
) -> None:
    """Ports that no effect has withdrawn: their generation is newer than any that was over."""
    fabric = after(taken)
    of_port = {name: port._replace(port=name) for name, port in wanted.items()}
    vnics, wished = dict.fromkeys(of_port, generation), {name: wish(p, generation) for name, p in of_port.items()}
    audit = audit_host("h1", vnics, wished)
    give: dict[str, Callable[[Port, int], AnyEffect]] = {"vnic": plug, "flows": flows}
    withdraw: dict[str, Callable[[Port, int], AnyEffect]] = {"vnic": unplug, "flows": no_flows}

    for found in sorted(host_differences(fabric.perform(audit).found), key=lambda d: (d.missing, d.part != "vnic")):
        port = of_port.get(found.port, Port(found.port, "h1", RED_1, 2))
        repair = (give if found.missing else withdraw)[found.part](port, found.generation)
        assert fabric.apply(repair) == ""

    assert fabric.perform(audit).found == ()
    assert {port: vnic.generation for port, vnic in fabric.host("h1").vnics.items()} == vnics


def test_every_interleaving_of_two_generations_ends_with_the_newer_one() -> None:
    """Generation 1 comes and goes and generation 2 comes, each push at any time; what is refused is tried again."""
    first, second = Port("a", "h1", RED_1, 5), Port("a", "h1", RED_2, 5)
    pushes: list[AnyEffect] = [
        plug(first),
        flows(first),
        unplug(first),
        no_flows(first),
        plug(second, 2),
        flows(second, 2),
    ]
    for order in permutations(pushes):
        fabric = cabled()
        for effect in order:
            fabric.apply(effect)
        assert [fabric.apply(effect) for effect in pushes[4:]] == ["", ""]
        host = fabric.host("h1")

        assert {port: vnic.generation for port, vnic in host.vnics.items()} == {"a": 2}
        assert {port: (flow.generation, flow.vlan) for port, flow in host.flows.items()} == {"a": (2, RED_2.vlan)}
        assert host.trunk == {RED_2.vlan}


def test_every_interleaving_of_two_withdrawals_ends_with_nothing() -> None:
    port = Port("a", "h1", RED_1, 5)
    last: list[AnyEffect] = [unplug(port, 2), no_flows(port, 2)]
    sent: list[AnyEffect] = [plug(port), flows(port), unplug(port), no_flows(port), plug(port, 2), flows(port, 2)]
    for order in permutations(sent):
        for cut in range(len(order) + 1):  # the newest withdrawal overtakes what was sent before it
            fabric = cabled()
            for effect in (*order[:cut], *last, *order[cut:]):
                fabric.apply(effect)
            assert not fabric.leftovers(), (order, cut)
