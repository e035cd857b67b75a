"""CNC's part in provider networks: their VLANs on the trunks of all leaves, and dead hosts' interfaces shut."""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    Event,
    HostDown,
    HostResynced,
    LeafAdded,
    LeafInterfaceOpened,
    LeafInterfaceShut,
    LeafTrunkAdded,
    NetworkCreated,
)
from projections.trunks import ShutInterfaceRow, Trunks
from workers.effects import ShutInterface, TrunkVlan
from workers.worker import Decision, Perform


def decide(trunks: Trunks, r: Recorded) -> Iterable[Decision]:
    """What leaves are to do that they have not acknowledged, for the network, leaf or host that ``r`` concerns."""
    match r.event:
        case NetworkCreated(network=network):
            wanted = trunks.to_add(network=network)
        case LeafAdded(leaf=leaf):
            wanted = trunks.to_add(leaf=leaf)
        case HostDown(host=host) | HostResynced(host=host):
            return [Perform(_wish(row)) for row in trunks.interfaces_of(host) if row.state != "shut"]
        case _:
            return ()
    return [Perform(TrunkVlan(device=row.leaf, az=row.az, vlan=row.vlan, epoch=row.epoch)) for row in wanted]


def _wish(row: ShutInterfaceRow) -> ShutInterface:
    shut = row.state == "shutting"
    return ShutInterface(device=row.leaf, az=row.az, interface=row.interface, shut=shut, epoch=row.epoch)


def settle(effect: TrunkVlan | ShutInterface) -> Iterable[Event]:
    """What a leaf acknowledged. There is no failure: both are tried until they succeed."""
    match effect:
        case TrunkVlan(device=leaf, az=az, vlan=vlan, epoch=epoch):
            return (LeafTrunkAdded(leaf=leaf, az=az, vlan=vlan, epoch=epoch),)
        case ShutInterface(device=leaf, az=az, interface=interface, shut=shut, epoch=epoch):
            event_type = LeafInterfaceShut if shut else LeafInterfaceOpened
            return (event_type(leaf=leaf, az=az, interface=interface, epoch=epoch),)
