"""Every device that a packet passes through, one by one: what ``driftline trace-path`` lists (Figures 5 and 6).

A hop is a bridge, one end of a patch or of a veth pair, the bond, a NIC, a switch, or an interface of a router. The way
between hosts is the oracle's; inside a host it is found by walking the host's own wiring.
"""

from itertools import groupby

import msgspec

from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.layouts import BR_INT, LAYOUTS, Part, Wiring, vnic
from workers.devices.simulated.reachability import trace


class Hop(msgspec.Struct, frozen=True):
    """One hop. ``device`` is the host, switch or router, ``part`` which part of it, ``kind`` what that is."""

    device: str
    part: str
    kind: str


class Route(msgspec.Struct, frozen=True):
    """The hops from one instance to another. ``reason``: what stopped the packet after the last of them, or ``""``."""

    hops: tuple[Hop, ...]
    reason: str = ""

    @property
    def switch_hops(self) -> int:
        """How many switches the packet passes through."""
        return sum(hop.kind == "switch" for hop in self.hops)


def route(fabric: Fabric, src_port: str, dst_port: str, layout: str = "") -> Route:
    """Walk from ``src_port`` to ``dst_port``, out by the first end of the bond that gets through.

    ``layout``: as if every host were laid out like this; empty: each as it is. Raises ValueError for an unknown one.
    """
    if layout and layout not in LAYOUTS:
        raise ValueError(f"layout: {layout} is none of {', '.join(LAYOUTS)}")
    path = trace(fabric, src_port, dst_port)
    groups = [(name, list(texts)) for name, texts in groupby(path.hops, key=_device)]
    hops: list[Hop] = []
    for index, (name, texts) in enumerate(groups):
        before = groups[index - 1][0] if index else ""
        after = groups[index + 1][0] if index + 1 < len(groups) else ""
        if name in fabric.hosts:
            hops += _through_host(fabric, name, texts, (before, after), layout)
        elif name in fabric.leaves or name == "spine":
            hops.append(Hop(name, texts[0].partition(" ")[2], "switch"))
        else:
            hops += [Hop(name, text.partition(" ")[2], "router") for text in texts]
    return Route(tuple(hops), path.reason)


def _device(text: str) -> str:
    """A hop of the oracle begins with its device, or with a port at its host: ``i1-0@h1 vnic``."""
    name = text.partition(" ")[0]
    return name.partition("@")[2] or name


def _through_host(fabric: Fabric, name: str, texts: list[str], beside: tuple[str, str], layout: str) -> list[Hop]:
    host = fabric.host(name)
    wiring = Wiring(fabric, host, LAYOUTS[layout or host.layout])
    before, after = beside
    start, end = wiring.nic(before) or _part(texts[0]), wiring.nic(after) or _part(texts[-1])
    return [Hop(name, part.name, part.kind) for part in wiring.walk(start, end)]


def _part(text: str) -> Part:
    """Where a way begins or ends inside a host: at a vNIC; one that is stopped on the host, at br-int."""
    port, at, _ = text.partition(" ")[0].partition("@")
    return vnic(port) if at else BR_INT
