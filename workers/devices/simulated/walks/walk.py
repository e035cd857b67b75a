"""What a walk is: how packets of one kind of network go through the devices."""

from collections.abc import Callable
from typing import NamedTuple

from workers.devices.simulated.fabric import Fabric, Place
from workers.policy_rules import Flow


class Packet(NamedTuple):
    """A packet on its way from the vNIC at ``source`` to ``dst_ip``; ``dst_port`` if it is to get to this port only.

    A walk writes the hops of each way that the packet may take into ``ways``, which begins as one empty way.
    ``flow`` is what kind of packet it is: a walk need not know, what filters packets does.
    """

    fabric: Fabric
    source: Place
    dst_port: str
    dst_ip: str
    ways: list[list[str]]
    flow: Flow = Flow()


def never(fabric: Fabric, place: Place) -> bool:
    """The ``hears`` of a walk that leaves it to the leaves."""
    return False


class Walk(NamedTuple):
    """``takes`` says, from what devices hold, whether this walk carries what the vNIC sends.

    ``send`` answers where the packet arrives, or raises StoppedError, naming the device and the reason.
    ``hears``: whether this is the one of a port's vNICs that is on the network.
    Walks are asked in the order of ``rank``, then of their names; the fabric's own comes last.
    """

    name: str
    takes: Callable[[Fabric, Place], bool]
    send: Callable[[Packet], Place]
    rank: int = 0
    hears: Callable[[Fabric, Place], bool] = never


#: What may still stop a packet that arrived: raises StoppedError.
Admit = Callable[[Packet, Place], None]
#: What a device sends on because of a packet that arrived: a hop for itself, and the packet. None if it ends there.
#: Raises StoppedError.
Onward = Callable[[Packet, Place], list[tuple[str, Packet]]]
LAST = 1000
