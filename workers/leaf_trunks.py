"""CNC's part in provider networks: their VLANs on the trunks of all leaves, and dead hosts' interfaces shut."""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    DeviceAudited,
    DeviceAuditRequested,
    Event,
    HostDown,
    HostResynced,
    LeafAdded,
    LeafInterfaceOpened,
    LeafInterfaceShut,
    LeafTrunkAdded,
    NetworkCreated,
    TableDifference,
)
from bus.events.device import DeviceTable
from projections.trunks import ShutInterfaceRow, Trunks
from workers import table_audits, tables
from workers.effects import ShutInterface, TrunkVlan
from workers.leaf_audits import CncState
from workers.worker import Decision, Due, Now, Perform

TABLE: DeviceTable = "trunk"


def decide(trunks: Trunks, r: Recorded) -> Iterable[Decision]:
    """What leaves are to do that they have not acknowledged, for the network, leaf or host that ``r`` concerns."""
    match r.event:
        case NetworkCreated(network=network):
            wanted = trunks.to_add(network=network)
        case LeafAdded(leaf=leaf):
            wanted = trunks.to_add(leaf=leaf)
        case HostDown(host=host) | HostResynced(host=host):
            return [Perform(_wish(row)) for row in trunks.interfaces_of(host) if row.state != "shut"]
        case DeviceAuditRequested() as e:
            return table_audits.look(r, e, _wished(trunks, e.device)) if e.table == TABLE else ()
        case DeviceAudited() as e:
            return _repairs(trunks, r, e) if e.table == TABLE else ()
        case _:
            return ()
    return [Perform(TrunkVlan(device=row.leaf, az=row.az, vlan=row.vlan, epoch=row.epoch)) for row in wanted]


def _wished(trunks: Trunks, leaf: str) -> dict[str, str]:
    shut = (row.interface for row in trunks.shut_of(leaf) if row.state != "opening")
    return tables.trunk((row.vlan for row in trunks.vlans_of(leaf)), shut)


def _repairs(trunks: Trunks, r: Recorded, e: DeviceAudited) -> Iterable[Decision]:
    """What is lacking is done again, and what nobody asked for is undone. What is on its way is left alone."""
    for found in e.differences:
        repair = _repair(trunks, r, e.device, found)
        if repair is not None:
            yield Perform(repair)


def _repair(trunks: Trunks, r: Recorded, leaf: str, found: TableDifference) -> TrunkVlan | ShutInterface | None:
    what, _, value = found.key.partition(" ")
    if what == "vlan":
        return _repaired_trunk(trunks, r, leaf, int(value), missing=found.missing)
    return _repaired_interface(trunks, r, leaf, value, missing=found.missing)


def _repaired_trunk(trunks: Trunks, r: Recorded, leaf: str, vlan: int, *, missing: bool) -> TrunkVlan | None:
    row = next((row for row in trunks.vlans_of(leaf) if row.vlan == vlan), None)
    if row is None and not missing:
        return TrunkVlan(device=leaf, az=trunks.az_of(leaf), vlan=vlan, epoch=r.position, present=False)
    if row is not None and row.state == "present" and missing:
        return TrunkVlan(device=leaf, az=row.az, vlan=vlan, epoch=row.epoch)
    return None


def _repaired_interface(trunks: Trunks, r: Recorded, leaf: str, name: str, *, missing: bool) -> ShutInterface | None:
    row = next((row for row in trunks.shut_of(leaf) if row.interface == name), None)
    if row is None and not missing:
        return ShutInterface(device=leaf, az=trunks.az_of(leaf), interface=name, shut=False, epoch=r.position)
    if row is not None and row.state == "shut" and missing:
        return ShutInterface(device=leaf, az=row.az, interface=name, shut=True, epoch=row.epoch)
    return None


def _wish(row: ShutInterfaceRow) -> ShutInterface:
    shut = row.state == "shutting"
    return ShutInterface(device=row.leaf, az=row.az, interface=row.interface, shut=shut, epoch=row.epoch)


def due(state: CncState, now: Now) -> Iterable[Due]:
    """The leaves whose trunk was not compared for long, if there are provider networks at all."""
    return table_audits.due(state.audits, TABLE, state.trunks.in_use(), state.watching_since_us, now)


def settle(effect: TrunkVlan | ShutInterface) -> Iterable[Event]:
    """What a leaf acknowledged. There is no failure: both are tried until they succeed."""
    match effect:
        case TrunkVlan(present=False):
            return ()  # what was found is on the log already
        case TrunkVlan(device=leaf, az=az, vlan=vlan, epoch=epoch):
            return (LeafTrunkAdded(leaf=leaf, az=az, vlan=vlan, epoch=epoch),)
        case ShutInterface(device=leaf, az=az, interface=interface, shut=shut, epoch=epoch):
            event_type = LeafInterfaceShut if shut else LeafInterfaceOpened
            return (event_type(leaf=leaf, az=az, interface=interface, epoch=epoch),)
