"""The modelled cloud, the way of a packet through it, and effects that go to one driver or another."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import CloudDifference, CloudResource
from workers.cloud_effects import (
    CLOUD_EFFECTS,
    AssociateFloatingIp,
    AttachEni,
    AuditCloud,
    CloudEffect,
    CollectLeak,
    DeleteEni,
    EnsureEni,
)
from workers.devices.protocol import Outcome
from workers.devices.routed import Route, RoutedDevices
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.fabric import Fabric, SetHosts
from workers.devices.simulated.kinds.cloud import CloudDevice
from workers.devices.simulated.reachability import ping, trace
from workers.effects import AnyEffect, InstallFlows, PlugVnic
from workers.errors import DevicesUnavailable

NODES = ("k1", "k2", "k3")


def fabric() -> Fabric:
    """Three nodes and the cloud."""
    built = Fabric()
    for leaf in ("l1", "l2"):
        built.add_leaf(leaf, "10.255.0.1")
    for node in NODES:
        built.add_host(node, "l1", "l2", node)
    built.add_device(CableDevice("cloud", "cloud"))
    return built


def cloud_of(built: Fabric) -> CloudDevice:
    device = built.device("cloud")
    assert isinstance(device, CloudDevice)
    return device


def ensure(n: int, epoch: int = 1, vpc: str = "v1") -> EnsureEni:
    ips = {"ip": f"10.0.1.{2 * n}", "secondary_ips": (f"10.0.1.{2 * n + 1}",)}
    where = {"device": "cloud", "port": f"p{n}", "az": "az1", "subnet": f"s-{vpc}", "vpc": vpc}
    return msgspec.convert({"type": "EnsureEni", **where, **ips, "epoch": epoch, "generation": 1}, EnsureEni)


def attach(n: int, node: str, epoch: int = 2, vpc: str = "v1", az: str = "az1", kind: str = "t3.medium") -> AttachEni:
    eni = msgspec.structs.asdict(ensure(n, epoch, vpc))
    return AttachEni(**eni, node=node, node_az=az, instance_type=kind)


def delete(n: int, epoch: int = 9) -> DeleteEni:
    return DeleteEni(device="cloud", port=f"p{n}", az="az1", epoch=epoch)


def plug(n: int, node: str) -> PlugVnic:
    address = {"mac": f"fa:16:0a:00:01:{n:02x}", "ip": f"10.0.1.{2 * n}", "prefix_length": 24, "gateway": "10.0.1.1"}
    where = {"type": "PlugVnic", "device": node, "port": f"p{n}", "az": "az1", "generation": 1}
    return msgspec.convert({**where, **address}, PlugVnic)


def pods(*places: tuple[int, str, str]) -> Fabric:
    """Pods by number, node and VPC, wired and attached."""
    built = fabric()
    for n, node, vpc in places:
        assert built.apply(attach(n, node, vpc=vpc)) == ""
        assert built.apply(plug(n, node)) == ""
    return built


def test_two_pods_of_a_vpc_reach_each_other_by_each_address() -> None:
    built = pods((1, "k1", "v1"), (2, "k2", "v1"))
    assert ping(built, "p1", "p2").reachable
    way = trace(built, "p1", dst_ip="10.0.1.5")  # the secondary one
    eni = {n: cloud_of(built).enis[f"p{n}"].id for n in (1, 2)}
    assert way.hops == ("p1@k1 vnic", f"k1 {eni[1]} 10.0.1.2", "cloud vpc v1", f"k2 {eni[2]} 10.0.1.5", "p2@k2 vnic")


def test_not_across_vpcs_although_the_addresses_are_the_same() -> None:
    built = pods((1, "k1", "v1"), (2, "k2", "v2"))
    assert trace(built, "p1", "p2").reason == "cloud: no ENI in VPC v1 has 10.0.1.4"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(ensure(2, 3), "of port p2: attached to no instance", id="detached"),
        pytest.param(attach(2, "k3", 3), "is attached, and there is no vNIC of port p2", id="attached elsewhere"),
        pytest.param(delete(2), "cloud: no ENI in VPC v1 has 10.0.1.4", id="deleted"),
        pytest.param(SetHosts(power_off=["k2"]), "host k2: no power", id="no power"),
    ],
)
def test_what_stops_a_packet(broken: AnyEffect | SetHosts, reason: str) -> None:
    built = pods((1, "k1", "v1"), (2, "k2", "v1"))
    if isinstance(broken, SetHosts):
        built.set_hosts(broken)
    else:
        assert built.apply(broken) == ""
    there = trace(built, "p1", "p2")
    assert not there.reachable
    assert reason in there.reason
    assert not ping(built, "p2", "p1").reachable


def test_a_pod_that_has_moved_sends_from_where_its_eni_is() -> None:
    """Its old vNIC is still there, on a node that nobody can speak to."""
    built = pods((1, "k1", "v1"), (2, "k2", "v1"))
    built.set_hosts(SetHosts(cut_off=["k1"]))
    assert built.apply(attach(1, "k3", 3)) == ""
    assert built.apply(msgspec.structs.replace(plug(1, "k3"), generation=2)) == ""
    assert trace(built, "p1", "p2").hops[0] == "p1@k3 vnic"
    assert trace(built, "p2", "p1").hops[-1] == "p1@k3 vnic"


def test_the_rules_of_the_cloud() -> None:
    built = fabric()
    assert built.apply(attach(1, "k1", az="az2")).startswith("cloud: InvalidParameterCombination: k1 is in az2")
    assert [built.apply(attach(n, "k1")) for n in (1, 2)] == ["", ""]
    assert built.apply(attach(3, "k1")) == "cloud: AttachmentLimitExceeded: k1 (t3.medium) takes 3 ENIs"
    assert built.apply(attach(3, "k2", kind="t9.huge")) == "cloud: AttachmentLimitExceeded: k2 (t9.huge) takes 0 ENIs"
    same = msgspec.structs.replace(ensure(4), ip="10.0.1.2")
    assert built.apply(same) == "cloud: InvalidIPAddress.InUse: 10.0.1.2"
    floating = AssociateFloatingIp(device="cloud", port="p7", az="az1", epoch=1, ip="10.0.1.14")
    assert "NotFound" in built.apply(floating)
    assert built.leftovers().others == 2


def test_leaks_are_found_and_collected_and_nothing_else_is() -> None:
    built = pods((1, "k1", "v1"))
    built.apply(ensure(2))
    found = built.perform(AuditCloud(device="cloud", epoch=5, enis={"p1": "k1", "p3": "k2"})).found
    leak = cloud_of(built).enis["p2"].id
    assert found == (
        CloudDifference("eni", "", "p3", missing=True),
        CloudDifference("eni", leak, "p2", missing=False),
    )
    in_use = CollectLeak(device="cloud", kind="eni", resource=cloud_of(built).enis["p1"].id, port="p1", epoch=6)
    assert built.apply(in_use) == ""
    assert built.apply(CollectLeak(device="cloud", kind="eni", resource=leak, port="p2", epoch=6)) == ""
    assert list(cloud_of(built).enis) == ["p1"]


EFFECTS = st.one_of(
    st.builds(ensure, st.integers(1, 3), st.integers(1, 6)),
    st.builds(attach, st.integers(1, 3), st.sampled_from(NODES), st.integers(1, 6)),
    st.builds(delete, st.integers(1, 3), st.integers(1, 6)),
    st.builds(
        lambda n: AssociateFloatingIp(device="cloud", port=f"p{n}", az="az1", epoch=1, ip=f"10.0.1.{2 * n}"),
        st.integers(1, 3),
    ),
)


@given(st.lists(EFFECTS, max_size=30))
def test_twice_is_once_late_is_nothing_and_a_state_can_be_restored(effects: list[CloudEffect]) -> None:
    once, twice = fabric(), fabric()
    for effect in effects:
        first = once.perform(effect)
        assert twice.perform(effect) == twice.perform(effect) == first
        assert cloud_of(once).state() == cloud_of(twice).state()
        on_nodes = [eni.node for eni in cloud_of(once).enis.values() if eni.node]
        assert all(on_nodes.count(node) <= 2 for node in on_nodes)
    other = CloudDevice("cloud", {})
    other.restore(cloud_of(once).state())
    assert other.state() == cloud_of(once).state()
    assert cloud_of(once).size() == len(cloud_of(once).enis) + len(cloud_of(once).floating)
    for n in (1, 2, 3):
        assert once.apply(delete(n, 7)) == ""
    for effect in effects:
        once.perform(effect)
    assert cloud_of(once).size() == 0


class Recorder:
    """Devices that say who they are, or that they are not there."""

    def __init__(self, name: str, gone: bool = False) -> None:
        self.name, self.gone = name, gone

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        return {self.name}

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncIterator[Sequence[Outcome]]:
        if self.gone:
            raise DevicesUnavailable(self.name)
        for index, effect in enumerate(effects):
            await asyncio.sleep(0)
            yield [Outcome(index, f"{self.name} {type(effect).__name__}", (CloudResource(str(index)),))]


def routed(*, gone: bool = False) -> RoutedDevices:
    takes = Route(lambda effect: isinstance(effect, CLOUD_EFFECTS), Recorder("cloud", gone))
    return RoutedDevices([takes], Recorder("fabric"))


FLOWS = InstallFlows(device="k1", port="p1", az="az1", generation=1, mac="fa:16:0a:00:01:01", vlan=1)


@pytest.mark.parametrize("effects", [[ensure(1)], [FLOWS], [FLOWS, ensure(1), FLOWS, delete(1)]])
async def test_each_effect_goes_where_it_belongs(effects: list[AnyEffect]) -> None:
    outcomes = sorted([one async for group in routed().apply(effects) for one in group])
    names = [f"{'fabric' if effect is FLOWS else 'cloud'} {type(effect).__name__}" for effect in effects]
    assert [(one.index, one.error) for one in outcomes] == list(enumerate(names))
    assert await routed().alive(["k1"]) == {"fabric"}


async def test_one_driver_that_is_away_does_not_hold_up_the_other() -> None:
    came: list[int] = []

    async def perform() -> None:
        async for group in routed(gone=True).apply([ensure(1), FLOWS, FLOWS]):
            came.extend(one.index for one in group)

    with pytest.raises(DevicesUnavailable, match="cloud"):
        await perform()
    assert came == [1, 2]
