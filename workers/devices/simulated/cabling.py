"""How the devices of a fabric are cabled, and what hands on hosts do."""

from collections.abc import Sequence

import msgspec

from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.leaf import DEFAULT_CAPACITY


class CableLeaf(msgspec.Struct, frozen=True, tag=True):
    """A leaf with its VXLAN tunnel address; ``capacity`` is the size of its table of (interface, VLAN) entries."""

    leaf: str
    vtep: str
    capacity: int = DEFAULT_CAPACITY
    az: str = ""


class CableHost(msgspec.Struct, frozen=True, tag=True):
    """A host whose bond goes to ``interface`` of both leaves. ``layout``: how its inside is wired; ``bare``: it is bare
    metal, without br-int.
    """

    host: str
    leaf_a: str
    leaf_b: str
    interface: str
    layout: str = "driftline"
    bare: bool = False


Cable = CableLeaf | CableHost | CableDevice


class SetHosts(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """What becomes of hosts, by name and in this order. All of them keep what they hold.

    Without power a host neither forwards nor answers; ``cut_off``, it forwards and cannot be spoken to.
    """

    power_off: Sequence[str] = ()
    power_on: Sequence[str] = ()
    cut_off: Sequence[str] = ()
    reconnect: Sequence[str] = ()
