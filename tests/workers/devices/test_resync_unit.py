import msgspec
import pytest

from bus.events import HostDifference
from tests.workers.devices.world import (
    RED_1,
    RED_2,
    Port,
    flows,
    no_flows,
    plug,
    resync_flows,
    resync_host,
    unplug,
    wired,
    wish,
)
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.resync import resync_host as clean
from workers.effects import PlugVnic, ResyncHost

A = Port("a", "h1", RED_1, 5)
B = Port("b", "h1", RED_1, 6)
C = Port("c", "h1", RED_2, 7)


def removed(part: str, port: str, generation: int = 1) -> HostDifference:
    return HostDifference(part, port, generation, missing=False)  # type: ignore[arg-type]


def installed(fabric: Fabric) -> dict[str, tuple[int, int]]:
    """(cookie, number of the installation) by port."""
    return {port: (flow.cookie, flow.installed) for port, flow in sorted(fabric.host("h1").flows.items())}


def test_a_host_that_returns_is_cleaned_of_what_is_not_its_own() -> None:
    fabric = wired(A, B, C)

    came = fabric.perform(resync_host("h1", 5, {"b": 1, "c": 2}))

    assert came.found == (removed("vnic", "a"), removed("flows", "a"), removed("vnic", "c"), removed("flows", "c"))
    assert fabric.port_locations("a") == []
    assert fabric.places_of_ip(A.ip) == []
    assert list(fabric.host("h1").vnics) == list(fabric.host("h1").flows) == ["b"]
    assert fabric.host("h1").trunk == {11}


def test_what_a_cleaning_removed_is_fenced_off_and_the_next_claim_is_not() -> None:
    fabric = wired(A, C)
    fabric.perform(resync_host("h1", 5, {"c": 3}))

    assert fabric.apply(plug(A)) == "host h1: port a: generation 1 was withdrawn"
    assert fabric.apply(plug(C, 2)) == "host h1: port c: generation 2 was withdrawn"
    assert [fabric.apply(effect) for effect in (plug(A, 2), flows(A, 2), plug(C, 3), flows(C, 3))] == [""] * 4


def test_what_is_older_than_a_claim_to_keep_is_fenced_off_even_if_it_is_still_on_its_way() -> None:
    fabric = wired()
    fabric.perform(resync_host("h1", 5, {"a": 2}))

    assert [fabric.apply(effect) for effect in (plug(A), plug(A, 2))] == [
        "host h1: port a: generation 1 was withdrawn",
        "",
    ]


def test_a_newer_claim_than_the_one_to_keep_stays() -> None:
    fabric = wired(A)
    fabric.apply(plug(A, 3))
    fabric.apply(flows(A, 3))

    assert fabric.perform(resync_host("h1", 5, {"a": 2})).found == ()
    assert fabric.host("h1").vnics["a"].generation == 3


@pytest.mark.parametrize("epoch", [4, 5])
def test_a_cleaning_that_lands_late_removes_nothing_that_was_given_since(epoch: int) -> None:
    fabric = wired(A)
    fabric.perform(resync_host("h1", 5, {}))
    fabric.apply(plug(B))

    assert fabric.perform(resync_host("h1", epoch, {})).found == ()
    assert fabric.port_locations("b") == ["h1"]


def test_a_cleaning_that_was_interrupted_goes_on() -> None:
    fabric = wired(A, B)

    assert fabric.perform(resync_host("h1", 5, {}), 0.5).found == (removed("vnic", "a"), removed("flows", "a"))
    assert fabric.perform(resync_host("h1", 5, {})).found == (removed("vnic", "b"), removed("flows", "b"))


def test_an_agent_that_begins_anew_touches_no_flow_that_is_as_wished() -> None:
    fabric = wired(A, B, C)
    fabric.apply(no_flows(C))
    fabric.apply(plug(C, 2))

    came = fabric.perform(resync_flows("h1", 7, {"a": wish(A), "c": wish(C, 2)}))

    assert came == ("", (removed("flows", "b"),), True)
    assert installed(fabric) == {"a": (7, 1), "c": (7, 4)}
    assert fabric.host("h1").trunk == {11, 12}


def test_flows_that_differ_are_replaced() -> None:
    fabric = wired(A, B)

    moved = A._replace(net=RED_2)
    fabric.perform(resync_flows("h1", 7, {"a": wish(moved), "b": wish(B)}))

    assert fabric.host("h1").flows["a"].vlan == 12
    assert installed(fabric) == {"a": (7, 3), "b": (7, 2)}


def test_stale_flows_stay_until_every_port_was_resynced() -> None:
    fabric = wired(A, B, C)
    wishes = {"a": wish(A), "b": wish(B)}

    assert fabric.perform(resync_flows("h1", 7, wishes), 0.5).found == ()
    assert installed(fabric) == {"a": (7, 1), "b": (0, 2), "c": (0, 3)}
    assert fabric.perform(resync_flows("h1", 7, wishes)).found == (removed("flows", "c"),)
    assert installed(fabric) == {"a": (7, 1), "b": (7, 2)}


def test_flows_whose_vnic_is_gone_are_stale_and_come_again_with_it() -> None:
    """Nothing is fenced off: the vNIC went by hand, and the port is still wished for."""
    fabric = wired(A, B)
    del fabric.host("h1").vnics["a"]

    assert fabric.perform(resync_flows("h1", 7, {"a": wish(A), "b": wish(B)})).found == (removed("flows", "a"),)
    assert [fabric.apply(effect) for effect in (plug(A), flows(A, cookie=7))] == ["", ""]
    assert installed(fabric) == {"a": (7, 3), "b": (7, 2)}


def test_a_resync_gives_nothing_that_was_withdrawn() -> None:
    fabric = wired(A)
    for effect in (no_flows(A), unplug(A)):
        fabric.apply(effect)

        fabric.perform(resync_flows("h1", 7, {"a": wish(A)}))
        assert fabric.host("h1").flows == {}


def test_a_resync_of_a_former_run_does_nothing() -> None:
    fabric = wired(A, B)
    fabric.perform(resync_flows("h1", 7, {"a": wish(A), "b": wish(B)}))
    before = fabric.host("h1").state()

    assert fabric.perform(resync_flows("h1", 6, {})) == ("", (), True)
    assert fabric.host("h1").state() == before


def test_flows_of_the_new_run_that_came_before_its_resync_are_its_own() -> None:
    fabric = wired(A)
    fabric.apply(plug(B))
    fabric.apply(flows(B, cookie=7))

    fabric.perform(resync_flows("h1", 7, {"a": wish(A)}))

    assert installed(fabric) == {"a": (7, 1), "b": (7, 2)}


def test_flows_of_a_newer_claim_are_not_the_resyncs_to_judge() -> None:
    fabric = wired(A)
    for effect in (plug(A, 2), flows(A, 2)):
        fabric.apply(effect)

    assert fabric.perform(resync_flows("h1", 7, {"a": wish(A)})).found == ()
    assert installed(fabric) == {"a": (7, 2)}


def test_a_plug_of_a_claim_from_before_a_cleaning_that_was_not_kept_is_refused_however_late() -> None:
    host = HostDevice("h1")
    kept = PlugVnic(
        device="h1",
        port="p1",
        az="az1",
        generation=1,
        mac="fa:16:00:00:00:01",
        ip="10.0.0.1",
        prefix_length=24,
        gateway="10.0.0.254",
        claimed_at=5,
    )
    clean(host, ResyncHost(device="h1", az="az1", epoch=9, keep={"p1": 1}))
    lost, later = (msgspec.structs.replace(kept, port="p2", claimed_at=at) for at in (5, 10))
    assert host.apply(kept) == ""
    assert "withdrawn" in host.apply(lost)
    assert host.apply(later) == ""
    again = HostDevice("h1")
    again.restore(host.state())
    assert "withdrawn" in again.apply(msgspec.structs.replace(lost, port="p3"))
