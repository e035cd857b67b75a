"""How the inside of a host is wired: the bridges, patches and NICs between a vNIC and the leaves (Figures 5 and 6).

``driftline`` is Figure 5: every vNIC on br-int, a patch to br-bond, below it the bond of both NICs. ``openstack`` is
Figure 6, the stock layout: OVS could not filter, so a Linux bridge with iptables, and a veth pair, stand beside each
vNIC.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.host import HostDevice


class Part(NamedTuple):
    """One thing that a frame passes through on a host. ``name`` is unique there."""

    name: str
    kind: str


class Layout(NamedTuple):
    """The parts between a vNIC and br-int (names with ``{port}``), and those between br-int and the NICs, in order."""

    beside: tuple[Part, ...]
    below: tuple[Part, ...]


BR_INT = Part("br-int", "bridge")
#: The two OVS bridges are one patch apart, and the bond is a port of the lower one.
_BELOW = (
    Part("int-br-bond", "patch"),
    Part("phy-br-bond", "patch"),
    Part("br-bond", "bridge"),
    Part("bond0", "bond"),
)
LAYOUTS: dict[str, Layout] = {
    "driftline": Layout(beside=(), below=_BELOW),
    "openstack": Layout(
        beside=(Part("qbr-{port}", "bridge"), Part("qvb-{port}", "veth"), Part("qvo-{port}", "veth")), below=_BELOW
    ),
}


class Wiring:
    """The parts of one host and which of them touch each other."""

    def __init__(self, fabric: Fabric, host: HostDevice, layout: Layout) -> None:
        self._beside: dict[Part, list[Part]] = {}
        self._nics: dict[str, Part] = {}
        for port in host.vnics:
            named = (part._replace(name=part.name.format(port=port)) for part in layout.beside)
            self._connect([vnic(port), *named, BR_INT])
        self._connect([BR_INT, *layout.below])
        for number, uplink in enumerate(fabric.uplinks(host.host)):
            nic = self._nics[uplink.leaf.leaf] = Part(f"eth{number}", "NIC")
            self._connect([layout.below[-1], nic])

    def nic(self, leaf: str) -> Part | None:
        """The NIC whose cable goes to ``leaf``, None if there is none."""
        return self._nics.get(leaf)

    def walk(self, start: Part, end: Part) -> list[Part]:
        """The parts from ``start`` to ``end``, both included, by the shortest way. Raises KeyError if there is none."""
        ways = {start: [start]}
        queue = [start]
        for part in queue:
            for beside in self._beside.get(part, ()):
                if beside not in ways:
                    ways[beside] = [*ways[part], beside]
                    queue.append(beside)
        return ways[end]

    def _connect(self, parts: Iterable[Part]) -> None:
        chain = list(parts)
        for one, other in pairwise(chain):
            self._beside.setdefault(one, []).append(other)
            self._beside.setdefault(other, []).append(one)


def vnic(port: str) -> Part:
    """The vNIC of ``port``."""
    return Part(port, "instance")
