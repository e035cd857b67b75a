"""Tables of devices that bear no port are compared with the log; what somebody took, changed or added is put right."""

from collections.abc import Callable

import pytest

from bus.events import (
    Event,
    HostBlockAssigned,
    HostDown,
    LeafAdded,
    NetworkCreated,
    RouterAdded,
    SubnetCreated,
    VpcConnected,
    VpcCreated,
)
from bus.events.device import DeviceAudited, DeviceAuditRequested, DeviceTable, TableDifference
from tests.workers.playbook import AZ, Playbook, given
from workers import block_routes, border, cnc, core_router, tables
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.tamper import DropRow
from workers.effects import AnyEffect, BlockRoute, BorderEntry, Result, RouterGateway, ShutInterface, TrunkVlan
from workers.worker import AUDIT_EVERY_US, Now

LEGACY = (
    RouterAdded(router="core1"),
    NetworkCreated(network="legacy", vpc="vpc1", model="vlan", vlan=100),
)
SUBNET = SubnetCreated(subnet="legacy-a", network="legacy", cidr="10.7.0.0/24", gateway="10.7.0.1")
LEAF = LeafAdded(leaf="l1", az=AZ, vtep="10.255.0.1", asn=65001)
TOOLS = VpcCreated(vpc="tools", tenant="t1", vrf="tools", cidr="172.16.0.0/16")
BLOCK = HostBlockAssigned(
    host="h1",
    az=AZ,
    network="net9",
    subnet="s9",
    vpc="vpc1",
    vrf="vrf1",
    model="host-local-vxlan",
    cidr="10.9.0.0/29",
    gateway="10.9.0.1",
)


class Site:
    """A worker and the devices that it speaks to; every effect is performed, and its outcome comes back."""

    def __init__(self, play: Playbook) -> None:
        self.play = play
        self.fabric = Fabric()
        self.said: list[Event] = []
        for leaf in ("l1", "l2", "l3", "l4"):
            self.fabric.add_leaf(leaf, "")
        self.fabric.add_host("h1", "l1", "l2", "e1")
        self.fabric.add_host("h2", "l1", "l2", "e2")
        self.fabric.add_host("h3", "l3", "l4", "e1")
        self.fabric.add_device(CableDevice("core1", "router"))
        for az in (AZ, "az2"):
            self.fabric.add_device(CableDevice(f"border-{az}", "border", {"az": az, "region": "r1"}))

    def happens(self, event: Event) -> None:
        """And all that follows, until nothing more does."""
        events = [event]
        while events:
            output = self.play.when(events.pop(0)).output
            if output is None:
                continue
            for planned in output.effects:
                performed = self.fabric.perform(planned.effect)
                result = Result(performed.error, found=performed.found)
                settled = [one.event for one in self.play.machine.settle(planned, result, 7)]
                self.said += settled
                events += settled

    def audit(self, device: str, table: DeviceTable) -> list[tuple[str, bool]]:
        """The differences that an audit finds: keys, and whether they are missing."""
        self.happens(DeviceAuditRequested(device=device, table=table))
        (audited,) = [one for one in self.said if isinstance(one, DeviceAudited)]
        self.said = []
        return [(one.key, one.missing) for one in audited.differences]


def trunk() -> Site:
    site = Site(given(cnc, LEAF))
    site.happens(LEGACY[1])
    site.happens(HostDown(host="h1", az=AZ, reason="silent"))
    return site


def gateways() -> Site:
    site = Site(given(core_router, *LEGACY))
    site.happens(SUBNET)
    return site


def borders() -> Site:
    site = Site(given(border, TOOLS))
    site.happens(VpcConnected(vpc="vpc1", peer="tools"))
    return site


def blocks() -> Site:
    site = Site(given(block_routes))
    site.happens(BLOCK)
    return site


#: Worker, device, table, an entry that is wished, and one that nobody ever wished, as an effect.
CASES = [
    (trunk, "l1", "trunk", "vlan 100", TrunkVlan(device="l1", az=AZ, vlan=7, epoch=1)),
    (
        trunk,
        "l1",
        "trunk",
        "interface e1",
        ShutInterface(device="l1", az=AZ, interface="e2", shut=True, epoch=1),
    ),
    (
        gateways,
        "core1",
        "gateways",
        "100",
        RouterGateway(device="core1", network="x", vlan=7, vrf="vrf9", address="10.8.0.1/24", epoch=1),
    ),
    (
        borders,
        "border-az1",
        "border",
        "vrfs tools vrf1",
        BorderEntry(device="border-az1", az=AZ, kind="vrfs", one="a", other="b", epoch=1, present=True),
    ),
    (
        blocks,
        "h2",
        "blocks",
        "10.9.0.0/29",
        BlockRoute(
            device="h2", az=AZ, cidr="10.9.9.0/29", kind="tunnel", host="h3", vrf="v", gateway="", epoch=1, present=True
        ),
    ),
]


@pytest.mark.parametrize(("make", "device", "table", "key", "odd"), CASES, ids=[f"{c[2]}-{c[3]}" for c in CASES])
def test_what_was_taken_comes_back_and_what_was_added_goes(
    make: Callable[[], Site], device: str, table: DeviceTable, key: str, odd: AnyEffect
) -> None:
    site = make()
    wished = site.fabric.table(device, table)
    assert key in wished
    assert site.audit(device, table) == []

    site.fabric.tamper(DropRow(device, table, key))
    assert site.fabric.apply(odd) == ""
    (added,) = site.fabric.table(device, table).keys() - wished.keys()

    assert site.audit(device, table) == sorted([(key, True), (added, False)])
    assert site.fabric.table(device, table) == wished
    assert site.audit(device, table) == []


def test_what_is_held_otherwise_is_put_right() -> None:
    site = gateways()
    wrong = {"network": "legacy", "vlan": 100, "vrf": "vrf9", "address": "10.7.0.9/24"}
    site.fabric.device("core1").restore({"gateways": [wrong]})
    assert site.fabric.table("core1", "gateways") == {"100": tables.gateway("10.7.0.9/24", "vrf9")}
    assert site.audit("core1", "gateways") == [("100", True)]
    assert site.fabric.table("core1", "gateways") == {"100": tables.gateway("10.7.0.1/24", "vrf1")}


def test_what_was_wished_since_is_not_taken_away() -> None:
    """The repair is decided on the log of then: a network came between the look and its answer."""
    play = given(cnc, LEAF)
    found = DeviceAudited(
        device="l1", table="trunk", epoch=1, differences=(_difference("vlan 100", held=tables.CARRIED),)
    )
    play.given(LEGACY[1]).when(found).then_nothing()


def test_each_worker_leaves_the_tables_of_others_alone() -> None:
    request = DeviceAuditRequested(device="l1", table="blocks")
    found = DeviceAudited(device="l1", table="blocks", epoch=1, differences=(_difference("10.1.0.0/29", held="own"),))
    for worker in (cnc, core_router, border):
        given(worker, LEAF, *LEGACY).when(request).then_nothing()
        given(worker, LEAF, *LEGACY).when(found).then_nothing()


@pytest.mark.parametrize(
    ("make", "devices"),
    [
        (trunk, ["l1"]),
        (gateways, ["core1"]),
        (borders, ["border-az1", "border-az2"]),
        (blocks, ["h1", "h2", "h3", "l1", "l2", "l3", "l4"]),
    ],
)
def test_the_clock_asks_for_what_was_not_compared_for_long(make: Callable[[], Site], devices: list[str]) -> None:
    machine = make().play.machine

    def due(time_us: int) -> list[str]:
        said = machine.worker.due(machine.state, Now(time_us, {}))
        return sorted(one.event.device for one in said if isinstance(one.event, DeviceAuditRequested))

    assert due(1) == []  # it has only just begun
    assert due(AUDIT_EVERY_US) == []
    assert due(1 + AUDIT_EVERY_US) == sorted(devices)


def _difference(key: str, held: str = "", wished: str = "") -> TableDifference:
    return TableDifference(key, held, wished)
