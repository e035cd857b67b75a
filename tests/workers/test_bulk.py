"""Ports of many instances-to-come in one request: each on its own or all or none, once, and nothing leaks."""

import msgspec
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from bus.events import (
    InstanceRefused,
    InstanceScheduled,
    OperationCompleted,
    OperationPortsRequested,
    OperationRefused,
    OperationReleased,
    OperationReleaseRequested,
    PortAllocated,
    PortItem,
    PortUnbound,
    RefusedItem,
)
from tests.workers.playbook import AZ, By, Playbook, allocated, given, spawn
from workers import compute, ipam, nova, orphans
from workers.effects import PlugVnic
from workers.worker import Now

RELEASE = OperationReleaseRequested(operation="op1")
FULL = "no address is left in the network"


def item(instance: str = "i1", host: str = "h1", **wish: str) -> PortItem:
    where = wish or {"network": "net2"}
    return PortItem(**{"instance": instance, "host": host, "name": f"{instance}-name", **where})  # type: ignore[arg-type]


def bulk(*items: PortItem, atomic: bool = False) -> OperationPortsRequested:
    return OperationPortsRequested(operation="op1", az=AZ, atomic=atomic, items=items)


def port(instance: str, number: int = 2, host: str = "h1") -> PortAllocated:
    """The port of net2 with this last octet."""
    return allocated(instance, host, network="net2", ip=f"10.0.2.{number}")


def completed(outcome: str, *had: str, refused: tuple[RefusedItem, ...] = ()) -> OperationCompleted:
    return OperationCompleted(operation="op1", az=AZ, outcome=outcome, allocated=had, refused=refused)  # type: ignore[arg-type]


def full(instance: str, network: str = "net1") -> RefusedItem:
    return RefusedItem(instance=instance, reason=FULL, field="network", value=network)


def over(one: PortAllocated) -> PortUnbound:
    return PortUnbound(port=one.port, az=AZ, host=one.host, generation=1, vlan=one.vlan, vni=one.vni)


def test_a_name_that_an_instance_is_promised_is_not_given_to_another() -> None:
    """The instance's own host may be giving its port an address right now, and IPAM would not know."""
    wanted = RefusedItem(instance="i2", reason="the port name is in use", field="name", value="i1-name")
    other = PortItem(instance="i2", host="h1", name="i1-name", network="net2")
    given(ipam, spawn()).when(bulk(other)).then(completed("refused", refused=(wanted,)))


BOTH = bulk(item("i1"), item("i2"))
#: net1 has one address: the second item cannot have one.
DRY = (item("i1", network="net1"), item("i2", network="net1"))


def test_all_in_one_go() -> None:
    play = given(ipam).when(BOTH).then(port("i1"), port("i2", 3), completed("done", "i1", "i2"))
    play.when_decisions_come_back().when(BOTH).then_nothing()


def test_each_item_on_its_own() -> None:
    first = allocated("i1")
    given(ipam).when(bulk(*DRY)).then(first, completed("partly", "i1", refused=(full("i2"),)))


def test_all_or_none_when_the_pool_runs_dry_in_the_middle() -> None:
    first = allocated("i1")
    play = given(ipam).when(bulk(*DRY, atomic=True))
    play.then(first, completed("refused", refused=(full("i2"),)), over(first))
    play.when_decisions_come_back().when(bulk(*DRY, atomic=True)).then_nothing()


def test_all_or_none_allocates_nothing_if_one_cannot_be_had_even_alone() -> None:
    wrong = bulk(item("i1"), item("i2", label="nolabel"), atomic=True)
    why = RefusedItem(instance="i2", reason="no network carries this label", field="label", value="nolabel")
    given(ipam).when(wrong).then(completed("refused", refused=(why,)))


def test_a_process_that_died_in_the_middle_completes_what_it_began() -> None:
    play = given(ipam).when_decided_again(BOTH, port("i1"))
    play.then(port("i2", 3), completed("done", "i1", "i2"))


def test_a_process_that_died_in_the_middle_rolls_back_what_cannot_be_completed() -> None:
    first = allocated("i1")
    play = given(ipam).when_decided_again(bulk(*DRY, atomic=True), first)
    play.then(completed("refused", refused=(full("i2"),)), over(first))
    said = completed("refused", refused=(full("i2"),))
    given(ipam).when_decided_again(bulk(*DRY, atomic=True), first, said).then(over(first))


def test_an_operation_id_is_used_once() -> None:
    play = given(ipam, BOTH, port("i1"), port("i2", 3), completed("done", "i1", "i2"))
    again = By("other story", bulk(item("i3")))
    refused = OperationRefused(operation="op1", reason="the operation id is in use", field="operation", value="op1")
    play.when(again).then(refused).when_decisions_come_back().when(again).then_nothing()


def test_what_no_instance_uses_is_given_back() -> None:
    play = given(ipam, BOTH, port("i1"), port("i2", 3), completed("done", "i1", "i2"), By("s", spawn("i1")))
    play.when(By("r", RELEASE)).then(
        OperationReleased(operation="op1", released=("i2",), kept=("i1",)), over(port("i2", 3))
    )
    play.when_decisions_come_back().when(By("r", RELEASE)).then_nothing()


def test_an_unknown_operation_cannot_be_released() -> None:
    refused = OperationRefused(operation="op1", reason="unknown operation", field="operation", value="op1")
    given(ipam).when(RELEASE).then(refused)


def test_the_port_of_an_instance_that_was_refused_goes() -> None:
    play = given(ipam, BOTH, port("i1"), port("i2", 3), completed("done", "i1", "i2"), By("s", spawn("i1")))
    refused = InstanceRefused(instance="i1", az=AZ, reason="the host is down", field="host", value="h1")
    play.when(By("s", refused)).then(over(port("i1")))


def test_garbage_collection_leaves_alone_what_an_operation_holds() -> None:
    late = Now(10 * orphans.GRACE_US)
    state = given(ipam, BOTH, port("i1"), port("i2", 3), completed("done", "i1", "i2")).machine.state
    assert list(orphans.orphans(state, late)) == []  # type: ignore[arg-type]
    ghost = given(ipam, port("i1")).machine.state
    assert len(list(orphans.orphans(ghost, late))) == 1  # type: ignore[arg-type]


def prepared() -> Playbook:
    return given(nova, BOTH, port("i1"), port("i2", 3), completed("done", "i1", "i2"))


def test_a_spawn_goes_to_its_port() -> None:
    expected = InstanceScheduled(instance="i1", name="i1-name", az=AZ, host="h1", network="net2")
    prepared().when(By("s", spawn("i1", network="net2"))).then(expected)


def refusal(reason: str, field: str, value: str) -> InstanceRefused:
    return InstanceRefused(instance="i1", az=AZ, reason=reason, field=field, value=value)


def test_a_spawn_that_is_not_for_its_port_is_refused() -> None:
    elsewhere = spawn("i1", network="net2", host="h2")
    prepared().when(By("s", elsewhere)).then(refusal("its port is on host h1", "host", "h2"))
    other = spawn("i1", network="net1")
    prepared().when(By("s", other)).then(refusal("its port is of network net2", "network", "net1"))
    named = spawn("i1", network="net2", name="bob")
    prepared().when(By("s", named)).then(refusal("its port is named i1-name", "name", "bob"))
    early = given(nova, BOTH).when(By("s", spawn("i1", network="net2")))
    early.then(refusal("its port is still being made by operation op1", "instance", "i1"))
    gone = prepared().given(By("r", RELEASE)).when(By("s", spawn("i1", network="net2")))
    gone.then(refusal("operation op1 gave its port back: take another id", "instance", "i1"))


def test_compute_uses_the_port_that_is_there() -> None:
    one = port("i1")
    play = given(compute, BOTH, one)
    play.when(By("s", InstanceScheduled(instance="i1", name="i1-name", az=AZ, host="h1", network="net2")))
    assert play.output is not None
    assert play.output.envelopes == []
    (planned,) = play.output.effects
    assert isinstance(planned.effect, PlugVnic)
    assert (planned.effect.port, planned.effect.ip) == (one.port, one.ip)


#: net1 has one address, net2 has five; both carry prod.
ROOM = {"net1": 1, "net2": 5}
SOURCES = st.sampled_from(({"network": "net1"}, {"network": "net2"}, {"label": "prod"}, {"label": "none"}))
ITEMS = st.lists(st.tuples(st.sampled_from(("h1", "h2")), SOURCES), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@drawn(ITEMS, st.booleans(), st.integers(0, 9))
@example([("h1", {"network": name}) for name in ("net1", "net2", "net1")], True, 1)
def test_a_label_is_refused_only_when_all_its_networks_are_full(
    wishes: list[tuple[str, dict[str, str]]], atomic: bool, dies_after: int
) -> None:
    """Whatever is asked for, and wherever the process dies: invariant 17, all or none, each instance once."""
    request = bulk(*(item(f"i{n}", host, **where) for n, (host, where) in enumerate(wishes)), atomic=atomic)
    whole = given(ipam).when(request)
    assert whole.output is not None
    told = [envelope.event for envelope in whole.output.envelopes]
    again = given(ipam).when_decided_again(request, *told[:dies_after])
    later = [envelope.event for envelope in again.output.envelopes] if again.output else []
    assert told[:dies_after] + later == told
    free = dict(ROOM)
    for event in told:
        if isinstance(event, PortAllocated):
            free[event.network] -= 1
    assert min(free.values()) >= 0
    (end,) = (event for event in told if isinstance(event, OperationCompleted))
    for one in end.refused:
        if one.value == "prod":
            assert max(free.values()) == 0, "a matching network has room"
        elif one.field == "label":
            assert one.reason == "no network carries this label"
    if atomic and end.refused:
        given_back = {event.port for event in told if isinstance(event, PortUnbound)}
        assert given_back == {event.port for event in told if isinstance(event, PortAllocated)}
        assert (end.outcome, end.allocated, len(end.refused)) == ("refused", (), 1)
    assert not atomic or end.outcome != "partly"
    assert msgspec.json.decode(msgspec.json.encode(end), type=OperationCompleted) == end
