"""docs/howto/add-a-network-model.md, tried: a network model in this one file, with nothing changed elsewhere.

The model is a patch panel in each zone. The panel has a bar for each network; whoever has a wire to a bar hears all
others there. No agent, no VLAN, no leaf: the underlay does not apply, the panel's own worker makes the overlay.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bus.envelope import Recorded
from bus.events import (
    Event,
    NetworkCreated,
    PortBound,
    PortOverlayRemoved,
    PortOverlayReported,
    PortUnbound,
    SpineAdded,
    tag_of,
)
from bus.events.port import Status
from driftline.parts import all_workers
from driftline.scenario import load
from driftline.scenario.play import Played
from driftline.scenario.real import play_really
from driftline.scenario.virtual import play_virtually
from driftline.world import WorldError
from projections.addresses import Addresses
from projections.port_rows import PortRow
from projections.ports import Ports
from projections.world import HostRow, NetworkRow, World
from workers import models
from workers.claims import claim
from workers.devices.simulated import device
from workers.devices.simulated.attachment import StoppedError
from workers.devices.simulated.device import CableDevice, Kind
from workers.devices.simulated.fabric import Fabric, Place
from workers.devices.simulated.walks import WALKS, Packet, Walk
from workers.effects import AnyEffect, PortEntry, Result
from workers.models import NetworkModel, Refusal, Segment
from workers.worker import Decision, Folds, Perform, State, Worker

PATCHER = "patcher"


# The model: how a segment is realised on a host, and what a drift means


def segment(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
    """A wire, in the zone that the network's label names."""
    if host.az not in network.labels:
        return Refusal("the network has no bar in the zone", "host", f"{host.host} ({host.az})")
    return Segment(vlan=0, vni=0, underlay_by="", overlay_by=PATCHER)


def check(world: World, network: NetworkCreated) -> Refusal | None:
    return Refusal("a patch panel knows no VNI", "vni", str(network.vni)) if network.vni else None


def may_move(port: PortRow, source: HostRow, target: HostRow) -> Refusal | None:
    if source.physical_network != target.physical_network:
        return Refusal("a wire does not reach into another rack", "host", target.host)
    return None


# The worker: makes the plane ready


class PatcherState(State):
    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.ports = self.fold(Ports)


def decide(state: PatcherState, r: Recorded) -> Iterable[Decision]:
    """Look at the claim, not at the event: what is still to be done about it?"""
    assert isinstance(r.event, PortBound | PortUnbound)
    row = state.ports.claim_of(r.event)
    if row is None or row.overlay_by != PATCHER or row.overlay_removed:
        return
    if row.unbound:
        yield Perform(PortEntry(device=f"panel-{row.az}", **claim(row), entry={}, present=False), row.correlation)
    elif isinstance(row, PortRow) and row.bound and not row.overlay_report:
        entry = {"bar": row.network, "mac": row.mac}
        yield Perform(PortEntry(device=f"panel-{row.az}", **claim(row), entry=entry, present=True), row.correlation)


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    assert isinstance(effect, PortEntry)
    if effect.present:
        status: Status = "ERROR" if result.error else "ACTIVE"
        return (PortOverlayReported(**claim(effect), status=status, reason=result.error),)
    return () if result.error else (PortOverlayRemoved(**claim(effect)),)


# The device: holds what it was told, and fences off what was withdrawn


class Panel:
    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.wires: dict[str, dict[str, Any]] = {}
        self.withdrawn: dict[str, int] = {}

    def perform(self, effect: AnyEffect) -> str:
        if not isinstance(effect, PortEntry):
            return f"a panel does not know {type(effect).__name__}"
        held = self.wires.get(effect.port, {}).get("generation", 0)
        if not effect.present:
            self.withdrawn[effect.port] = max(effect.generation, self.withdrawn.get(effect.port, 0))
            if held <= effect.generation:
                self.wires.pop(effect.port, None)
        elif effect.generation <= self.withdrawn.get(effect.port, 0):
            return f"generation {effect.generation} was withdrawn"
        elif held <= effect.generation:
            self.wires[effect.port] = {"generation": effect.generation, "host": effect.host, **effect.entry}
        return ""

    def state(self) -> dict[str, Any]:
        return {"wires": self.wires, "withdrawn": self.withdrawn} if self.wires or self.withdrawn else {}

    def restore(self, held: Mapping[str, Any]) -> None:
        self.wires, self.withdrawn = dict(held.get("wires", {})), dict(held.get("withdrawn", {}))

    def size(self) -> int:
        return len(self.wires)


def panel_of(event: Event) -> CableDevice | None:
    return CableDevice(f"panel-{event.az}", "panel") if isinstance(event, SpineAdded) else None


# The walk: how the oracle follows a packet, from what the devices hold


def bar_of(fabric: Fabric, place: Place) -> tuple[str, str]:
    """The panel and the bar that the vNIC has a wire to. Raises StoppedError."""
    for name in fabric.devices_of("panel"):
        panel = fabric.device(name)
        assert isinstance(panel, Panel)
        wire = panel.wires.get(place.port)
        if wire is not None and (wire["host"], wire["mac"]) == (place.host.host, place.vnic.mac):
            return name, wire["bar"]
    raise StoppedError(f"port {place.port}: no panel has a wire to it")


def takes(fabric: Fabric, place: Place) -> bool:
    try:
        bar_of(fabric, place)
    except StoppedError:
        return False
    return True


def send(packet: Packet) -> Place:
    source = packet.source
    panel, bar = bar_of(packet.fabric, source)
    packet.ways[0] += [f"{source.port}@{source.host.host} vnic", f"{panel} bar {bar}"]
    for place in packet.fabric.places_of_ip(packet.dst_ip):
        if takes(packet.fabric, place) and bar_of(packet.fabric, place) == (panel, bar):
            if not place.host.powered:
                raise StoppedError(f"host {place.host.host}: no power")
            packet.ways[0].append(f"{place.port}@{place.host.host} vnic")
            return place
    raise StoppedError(f"{panel}: nobody on bar {bar} has {packet.dst_ip}")


WORKER = Worker(PATCHER, PatcherState, frozenset({PortBound, PortUnbound}), frozenset(), decide, settle)
MODEL = NetworkModel("patch", frozenset({"server"}), segment, check, may_move=may_move, workers=(WORKER,))
KIND = Kind("panel", Panel, panel_of)
WALK = Walk("patch", takes, send)


@pytest.fixture
def _known() -> Iterator[None]:
    """What a module in ``workers/models``, ``devices/simulated/kinds`` and ``walks`` does by being there."""
    device.all_kinds()
    models.register(MODEL)
    device.register(KIND)
    WALKS.insert(0, WALK)
    yield
    WALKS.remove(WALK)
    device.forget(KIND.name)
    models.forget(MODEL.name)


SCENARIO = """
title = "A patch panel"

region = [{ name = "r" }]
az = [{ name = "az1", region = "r", spines = ["s1", "s2"] }, { name = "az2", region = "r", spines = ["s3"] }]
leaf = [
  { name = "l1", az = "az1", vtep = "10.255.0.1", asn = 65001 },
  { name = "l2", az = "az1", vtep = "10.255.0.2", asn = 65002 },
  { name = "l3", az = "az1", vtep = "10.255.0.3", asn = 65003 },
  { name = "l4", az = "az1", vtep = "10.255.0.4", asn = 65004 },
  { name = "l5", az = "az2", vtep = "10.255.0.5", asn = 65005 },
  { name = "l6", az = "az2", vtep = "10.255.0.6", asn = 65006 },
]
host = [
  { name = "h1", az = "az1", leaves = ["l1", "l2"], interface = "e1" },
  { name = "h2", az = "az1", leaves = ["l1", "l2"], interface = "e2" },
  { name = "h3", az = "az1", leaves = ["l3", "l4"], interface = "e1" },
  { name = "h4", az = "az2", leaves = ["l5", "l6"], interface = "e1" },
]
tenant = [{ name = "t" }]
vpc = [{ name = "v", tenant = "t", cidr = "10.0.0.0/16" }]
network = [
  { name = "red", vpc = "v", model = "patch", labels = ["az1"] },
  { name = "blue", vpc = "v", model = "patch", labels = ["az1"] },
  { name = "fabric", vpc = "v", vni = 5001 },
]
subnet = [
  { name = "red-s", network = "red", cidr = "10.0.1.0/24" },
  { name = "blue-s", network = "blue", cidr = "10.0.2.0/24" },
  { name = "fabric-s", network = "fabric", cidr = "10.0.3.0/24" },
]

[[step]]
say = "Two on one bar, one on another, and one on the SDN fabric beside them"
spawn = [
  { instance = "a", name = "a", az = "az1", host = "h1", network = "red" },
  { instance = "b", name = "b", az = "az1", host = "h3", network = "red" },
  { instance = "c", name = "c", az = "az1", host = "h3", network = "blue" },
  { instance = "d", name = "d", az = "az1", host = "h1", network = "fabric" },
]
expect = [
  { type = "instance.active.v1", instance = "a" }, { type = "instance.active.v1", instance = "b" },
  { type = "instance.active.v1", instance = "c" }, { type = "instance.active.v1", instance = "d" },
]
rows = [{ table = "ports", where = { port = "a-0" }, has = { model = "patch", overlay = "ACTIVE", vlan = 0, vni = 0 } }]
reach = [["a", "b"], ["b", "a"]]
unreachable = [["a", "c", "nobody on bar red"], ["a", "d", "nobody on bar red"], ["d", "a"]]
trace = [{ from = "a", to = "b", hops = 3, via = ["panel-az1 bar red"] }]

[[step]]
say = "The panel has no bar of the network in the other zone: refused, and nothing is left of it"
spawn = [{ instance = "far", name = "far", az = "az2", network = "red" }]
expect = [{ type = "instance.refused.v1", instance = "far", field = "host", value = "h4 (az2)" }]
rows = [{ table = "ports", where = { instance = "far" }, gone = true }]

[[step]]
say = "A drift within the rack keeps the address; the wire goes along"
drift = [{ instance = "a", host = "h2" }]
expect = [{ type = "instance.drifted.v1", instance = "a", host = "h2", generation = 2 }]
keeps = [{ table = "ports", where = { port = "a-0" }, fields = ["ip", "mac"] }]
reach = [["a", "b"], ["b", "a"]]
unreachable = [["a", "c"]]

[[step]]
say = "A drift into another rack is refused by the model's own rule, and changes nothing"
drift = [{ instance = "a", host = "h3" }]
expect = [{ type = "instance.drift_refused.v1", instance = "a", field = "host", value = "h3" }]
keeps = [{ table = "ports", where = { port = "a-0" }, fields = ["host", "generation", "ip"] }]
reach = [["a", "b"]]
"""


def written(tmp_path: Path) -> Path:
    path = tmp_path / "patch.toml"
    path.write_text(SCENARIO)
    return path


def played(tmp_path: Path) -> Played:
    return play_virtually(load(written(tmp_path)))


@pytest.mark.usefixtures("_known")
def test_a_model_in_one_file_spawns_drifts_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    told = played(tmp_path)
    assert told.failed is None
    assert len(told.steps) == 4
    assert {row.instance for row in told.instances} == {"a", "b", "c", "d"}
    assert told.reach["a"]["b"] == ""
    assert told.cleanup


@pytest.mark.usefixtures("_known")
def test_its_ports_are_no_business_of_the_fabrics_own_workers(tmp_path: Path) -> None:
    said = {
        tag_of(type(r.event)): r.actor
        for step in played(tmp_path).steps
        for r in step.records
        if getattr(r.event, "port", "") == "a-0"
    }
    assert said["port.overlay_reported.v1"] == PATCHER
    assert "port.underlay_reported.v1" not in said


@pytest.mark.servers
@pytest.mark.usefixtures("_known")
async def test_it_is_the_same_on_real_servers(tmp_path: Path) -> None:
    told = await play_really(load(written(tmp_path)))
    assert told.failed is None
    assert len(told.steps) == 4


@pytest.mark.usefixtures("_known")
def test_its_own_rule_for_networks_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "patch.toml"
    path.write_text(SCENARIO.replace('"blue", vpc = "v"', '"blue", vpc = "v", vni = 9'))
    with pytest.raises(WorldError, match="network blue: vni: 9 is wrong: a patch panel knows no VNI"):
        load(path)


def test_without_it_its_networks_are_told_to_be_unknown(tmp_path: Path) -> None:
    assert PATCHER not in all_workers()
    with pytest.raises(WorldError, match="model: patch is no known network model"):
        played(tmp_path)
