"""Proof by the fabric: what should reach each other does, what should not does not, and nothing is left behind.

What has drifted is reached at its new host and at no other.

The answers come from device state alone; only the questions (which pairs) come from the projections.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from driftline.channel import BusChannel
from driftline.current import rows
from driftline.stack import Stack
from projections.drifts import DriftRow
from projections.hosts import HostStateRow
from projections.port_rows import PortRow, StaleClaimRow
from projections.world import HostRow
from workers.devices.simulated.reachability import Path
from workers.devices.simulated.remote import RemoteDevices
from workers.devices.simulated.wire import Ask

#: How many pairs of each sort are asked about at the most; spread over all ports.
PAIRS_MAX = 2000

Pair = tuple[PortRow, PortRow]


class Proof(msgspec.Struct, kw_only=True):
    """Counts of pairs asked about and answered as they should be, and of what devices hold without a right to."""

    reachable_checked: int
    reachable_ok: int
    isolated_checked: int
    isolated_ok: int
    leftovers: int
    first_problem: str = ""


def reachable_pairs(ports: Sequence[PortRow]) -> list[Pair]:
    """Pairs that must reach each other, there and back: each usable port and the next one of its VRF."""
    pairs: list[Pair] = []
    open_ones = (port for port in ports if port.usable and not port.policy_by)  # the others: as policy says
    usable = sorted(open_ones, key=lambda port: (port.vrf, port.port))
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
    left = (await _rights(stack, ports)).beyond(await fabric.dump())
    lost = [
        f"{a.name} ↔ {b.name}: {out.reason or home.reason}"
        for (a, b), out, home in zip(reachable, there, back, strict=True)
        if not (out.reachable and home.reachable)
    ]
    leaked = [f"{a.name} → {b.name} crosses VRFs" for (a, b), p in zip(isolated, crossing, strict=True) if p.reachable]
    return Proof(
        reachable_checked=len(reachable),
        reachable_ok=len(reachable) - len(lost),
        isolated_checked=len(isolated),
        isolated_ok=len(isolated) - len(leaked),
        leftovers=len(left),
        first_problem=next(iter([*lost, *leaked, *left]), ""),
    )


async def _rights(stack: Stack, ports: Sequence[PortRow]) -> "Rights":
    """What the projections allow devices to hold."""
    return Rights(
        ports,
        cast(list[StaleClaimRow], await rows(stack.database, "stale_claims")),
        cast(list[HostStateRow], await rows(stack.database, "host_states")),
        cast(list[HostRow], await rows(stack.database, "hosts")),
    )


class Rights:
    """What devices may hold: what live ports need, what is still to be removed, and what a dead host cannot remove.

    A claim that is over may leave its vNIC and flows on its host until that has confirmed, and its leaf entries until
    CNC has. A host that is down or being cleaned keeps whatever it has, but once it is fenced no leaf carries anything
    for it.
    """

    def __init__(
        self,
        ports: Sequence[PortRow],
        stale: Sequence[StaleClaimRow],
        states: Iterable[HostStateRow],
        hosts: Iterable[HostRow],
    ) -> None:
        of_ports = [(port.host, port.port, port.generation) for port in ports]
        self._vnics = {*of_ports, *((c.host, c.port, c.generation) for c in stale if not c.unplugged)}
        self._flows = {
            *of_ports,
            *((c.host, c.port, c.generation) for c in stale if c.underlay_by and not c.underlay_removed),
        }
        bound = {(port.host, port.vlan) for port in ports if port.bound}
        self._vlans = bound | {(c.host, c.vlan) for c in stale if c.overlay_by and not c.overlay_removed}
        self._dead = {row.host for row in states if row.state in ("down", "returned")}
        self._fenced = {row.host for row in states if row.fenced}
        self._host_on = {(leaf, row.interface): row.host for row in hosts for leaf in (row.leaf_a, row.leaf_b)}

    def beyond(self, dump: dict[str, Any]) -> list[str]:
        """What the devices hold without a right to, of ``Fabric.dump``."""
        found = []
        for host, held in dump["hosts"].items():
            for part, allowed in (("vnics", self._vnics), ("flows", self._flows), ("policies", self._vnics)):
                if host not in self._dead:
                    claims = {port: (host, port, one["generation"]) for port, one in held.get(part, {}).items()}
                    found += [f"host {host}: {part} of port {p}" for p, key in claims.items() if key not in allowed]
        for leaf, interfaces in dump["leaves"].items():
            for interface, vlans in interfaces.items():
                beyond = [vlan for vlan in vlans if not self._may_carry(leaf, interface, int(vlan))]
                found += [f"leaf {leaf}: {interface} VLAN {vlan}" for vlan in beyond]
        return found

    def _may_carry(self, leaf: str, interface: str, vlan: int) -> bool:
        host = self._host_on.get((leaf, interface), "")
        if host in self._dead:
            return host not in self._fenced
        return (host, vlan) in self._vlans


class DriftProof(msgspec.Struct, kw_only=True):
    """Where the fabric delivers what has drifted, and from where it takes what it sends.

    ``checked``: pods that drifted, are usable and have another pod in their VRF to ask from; ``at_new_host``: those
    that are reached there, by every way, and reach the other pod from there; ``at_old_host``: those that are still
    reached at a host that they left, which must not be.
    """

    checked: int = 0
    at_new_host: int = 0
    at_old_host: int = 0
    first_problem: str = ""


class Asked(msgspec.Struct, frozen=True):
    """One pod that drifted: its port, a port to ask from, and the hosts that it has left."""

    port: PortRow
    peer: PortRow
    left: frozenset[str]


def asked(ports: Sequence[PortRow], drifts: Iterable[DriftRow]) -> list[Asked]:
    """What is to be asked about the pods that drifted: each from a pod of its VRF, on another host if there is one."""
    left: dict[str, set[str]] = {}
    for drift in drifts:
        if drift.outcome == "drifted":
            left.setdefault(drift.port, set()).add(drift.from_host)
    usable = sorted((port for port in ports if port.usable), key=lambda port: (port.vrf, port.host, port.port))
    found = []
    for _, group in itertools.groupby(usable, key=lambda port: port.vrf):
        members = list(group)
        for index, port in enumerate(members):
            across = members[(index + len(members) // 2) % len(members)]
            elsewhere = (one for one in (across, members[0], members[-1]) if one.host != port.host)
            peer = next(elsewhere, across)
            if port.port in left and peer is not port:
                found.append(Asked(port, peer, frozenset(left[port.port] - {port.host})))
    return found


async def prove_drifts(stack: Stack, ports: Sequence[PortRow], drifts: Iterable[DriftRow]) -> DriftProof:
    """Ask the fabric where it delivers what has drifted. Raises DevicesUnavailable when no fabric answers."""
    fabric = RemoteDevices(BusChannel(stack.connection))
    asking = asked(ports, drifts)
    there = await fabric.trace([Ask(one.peer.port, dst_ip=one.port.ip) for one in asking])
    back = await fabric.trace([Ask(one.port.port, one.peer.port) for one in asking])
    proof = DriftProof(checked=len(asking))
    problems = []
    for one, out, home in zip(asking, there, back, strict=True):
        problem = _astray(one, out, home)
        proof.at_new_host += not problem
        proof.at_old_host += bool(_ends(out) & one.left)
        if problem:
            problems.append(f"{one.port.name} ({one.port.port}): {problem}")
    proof.first_problem = next(iter(problems), "")
    return proof


def _astray(one: Asked, there: Path, back: Path) -> str:
    """What is wrong with the ways to and from a pod that drifted, empty if nothing is."""
    if not (there.reachable and back.reachable):
        return there.reason or back.reason
    wrong = _ends(there) - {one.port.host}
    if wrong:
        return f"reached at {', '.join(sorted(wrong))}, not at {one.port.host} alone"
    sender = _host_in(back.ways[0][0])
    return "" if sender == one.port.host else f"sends from {sender}, not from {one.port.host}"


def _ends(path: Path) -> set[str]:
    """The hosts that a packet arrives at."""
    return {_host_in(way[-1]) for way in path.ways if path.reachable}


def _host_in(hop: str) -> str:
    """The host of a hop like ``i1-0@az1-h1 vnic``."""
    return hop.partition("@")[2].partition(" ")[0]
