"""Proof by the fabric: what should reach each other does, what should not does not, and nothing is left behind.

The answers come from device state alone; only the questions (which pairs) come from the projections.
"""

import itertools
from collections import Counter
from collections.abc import Sequence

import msgspec

from driftline.channel import BusChannel
from driftline.stack import Stack
from projections.ports import PortRow
from workers.devices.simulated.remote import RemoteDevices
from workers.devices.simulated.wire import Ask

#: How many pairs of each sort are asked about at the most; spread over all ports.
PAIRS_MAX = 2000

Pair = tuple[PortRow, PortRow]


class Proof(msgspec.Struct, kw_only=True):
    """Counts of pairs asked about and answered as they should be, and of what devices hold beyond the live ports."""

    reachable_checked: int
    reachable_ok: int
    isolated_checked: int
    isolated_ok: int
    leftovers: int
    first_problem: str = ""


def reachable_pairs(ports: Sequence[PortRow]) -> list[Pair]:
    """Pairs that must reach each other, there and back: each usable port and the next one of its VRF."""
    pairs: list[Pair] = []
    usable = sorted((port for port in ports if port.usable), key=lambda port: (port.vrf, port.port))
    for _, group in itertools.groupby(usable, key=lambda port: port.vrf):
        members = list(group)
        if len(members) > 1:
            pairs += itertools.pairwise([*members, members[0]])
    return _spread(pairs)


def isolated_pairs(ports: Sequence[PortRow]) -> list[Pair]:
    """Pairs of usable ports of different VRFs, which must not reach each other."""
    by_vrf: dict[str, list[PortRow]] = {}
    for port in ports:
        if port.usable:
            by_vrf.setdefault(port.vrf, []).append(port)
    vrfs = [by_vrf[vrf] for vrf in sorted(by_vrf)]
    return _spread([pair for one, other in itertools.pairwise(vrfs) for pair in zip(one, other, strict=False)])


def _spread(pairs: list[Pair]) -> list[Pair]:
    return pairs[:: max(1, -(-len(pairs) // PAIRS_MAX))]


async def prove(stack: Stack, ports: Sequence[PortRow]) -> Proof:
    """Ask the fabric. Raises DevicesUnavailable when no fabric answers."""
    fabric = RemoteDevices(BusChannel(stack.connection))
    reachable, isolated = reachable_pairs(ports), isolated_pairs(ports)
    there = await fabric.trace([Ask(a.port, b.port) for a, b in reachable])
    back = await fabric.trace([Ask(b.port, a.port) for a, b in reachable])
    crossing = await fabric.trace([Ask(a.port, b.port) for a, b in isolated])
    held = await fabric.leftovers()
    lost = [
        f"{a.name} ↔ {b.name}: {out.reason or home.reason}"
        for (a, b), out, home in zip(reachable, there, back, strict=True)
        if not (out.reachable and home.reachable)
    ]
    leaked = [f"{a.name} → {b.name} crosses VRFs" for (a, b), p in zip(isolated, crossing, strict=True) if p.reachable]
    needed = Counter(vnics=len(ports), flows=len(ports), leaf_entries=_leaf_entries(ports))
    beyond = [max(getattr(held, kind) - needed[kind], 0) for kind in needed]
    return Proof(
        reachable_checked=len(reachable),
        reachable_ok=len(reachable) - len(lost),
        isolated_checked=len(isolated),
        isolated_ok=len(isolated) - len(leaked),
        leftovers=sum(beyond),
        first_problem=next(iter([*lost, *leaked]), ""),
    )


def _leaf_entries(ports: Sequence[PortRow]) -> int:
    """How many (leaf, interface, VLAN) the ports need: two for each host and VLAN in use."""
    return 2 * len({(port.host, port.vlan) for port in ports if port.bound})
