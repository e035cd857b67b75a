"""Invariants 1, 8, 14 and 21 of hosts with a local IPAM: whose block is whose, and who knows the way to it."""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from bus.envelope import Recorded
from bus.events import (
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockRefused,
    HostBlockReleased,
    HostBlockRequested,
    HostDown,
    HostUp,
    PortAllocated,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortDeleted,
)
from driftline.invariants.ledger import FORGED, HOST_LOCAL
from driftline.invariants.table import Violation
from workers.devices.simulated.blocks import BlockTable
from workers.devices.simulated.fabric import Fabric


class BlockBook:
    """The blocks as the log tells them."""

    def __init__(self, exercised: Counter[int]) -> None:
        self.exercised = exercised
        self.blocks: dict[str, HostBlockAssigned] = {}
        self.announced: set[str] = set()
        self.asked: dict[str, int] = {}
        self.down: set[str] = set()
        #: Claims of host-local addresses that are not cleared, by port and generation.
        self.held: dict[tuple[str, int], PortClaim] = {}

    def take(self, r: Recorded) -> None:
        """Note one record. Raises Violation."""
        if r.id.startswith(FORGED):
            return
        match r.event:
            case HostBlockRequested():
                self.asked.setdefault(r.id, 0)
            case HostBlockAssigned() | HostBlockRefused():
                self._answered(r)
            case HostBlockAnnounced(host=host, cidrs=cidrs):
                self.announced |= {cidr for cidr in cidrs if cidr in self.blocks and self.blocks[cidr].host == host}
            case HostBlockReleased() as e:
                self._released(r, e)
            case PortAllocated() | PortClaimed() as e if e.model in HOST_LOCAL:
                self._claimed(r, e)
            case PortClaimCleared(port=port, generation=generation):
                self.held.pop((port, generation), None)
            case PortDeleted(port=port):
                self.held = {key: e for key, e in self.held.items() if key[0] != port}
            case _:
                self._host(r)

    def _host(self, r: Recorded) -> None:
        if isinstance(r.event, HostDown):
            self.down.add(r.event.host)
        elif isinstance(r.event, HostUp):
            self.down.discard(r.event.host)

    def _answered(self, r: Recorded) -> None:
        if r.cause in self.asked:
            self.exercised[8] += 1
            self.asked[r.cause] += 1
            if self.asked[r.cause] > 1:
                raise Violation(8, f"{r.cause} is answered again, by {r.id}", position=r.position)
        if not isinstance(r.event, HostBlockAssigned):
            return
        self.exercised[14] += bool(self.blocks)
        new = ipaddress.IPv4Network(r.event.cidr)
        for cidr, other in self.blocks.items():
            if new.overlaps(ipaddress.IPv4Network(cidr)):
                text = f"block {r.event.cidr} of {r.event.host} meets {cidr} of {other.host}"
                raise Violation(14, text, position=r.position)
        self.blocks[r.event.cidr] = r.event

    def _released(self, r: Recorded, e: HostBlockReleased) -> None:
        for cidr in e.cidrs:
            self.exercised[1] += 1
            held = [one for one in self.held.values() if _within(one.ip, cidr)]
            if held:
                raise Violation(1, f"block {cidr} is given back, and {held[0].ip} is held", held[0].port, r.position)
            self.blocks.pop(cidr, None)
            self.announced.discard(cidr)

    def _claimed(self, r: Recorded, e: PortClaim) -> None:
        self.exercised[14] += 1
        cidr = next((one for one, block in self.blocks.items() if block.host == e.host and _within(e.ip, one)), None)
        if cidr is None or cidr not in self.announced:
            raise Violation(14, f"{e.ip} is of no announced block of {e.host}", e.port, r.position)
        net = ipaddress.IPv4Network(cidr)
        kept = {str(net.network_address), str(net.broadcast_address), self.blocks[cidr].gateway}
        if e.ip in kept | set(self.blocks[cidr].reserved):
            raise Violation(1, f"{e.ip} of block {cidr} is never given out", e.port, r.position)
        self.held[e.port, e.generation] = e

    def check_quiet(self, fabric: Fabric | None, excused: AbstractSet[str] = frozenset()) -> None:
        """Once quiet, every block is announced, and known where it must be and nowhere else. Raises Violation."""
        for request, count in self.asked.items():
            if not count:
                raise Violation(8, f"{request} has no answer")
        for cidr, block in self.blocks.items():
            if cidr not in self.announced and block.host not in self.down:
                raise Violation(19, f"block {cidr} of {block.host} is never announced")
        for name, table in _tables(fabric) if fabric is not None else ():
            if name not in excused | self.down:
                self._check_table(name, table)

    def _check_table(self, name: str, table: BlockTable) -> None:
        self.exercised[21] += bool(table.entries)
        for cidr, entry in table.entries.items():
            known = self.blocks.get(cidr)
            if known is None or known.host != entry.host:
                raise Violation(21, f"{name} knows block {cidr} of {entry.host}, which the log does not")
        for cidr, block in self.blocks.items():
            if name == block.host and cidr not in table.own():
                raise Violation(21, f"{name} does not know that block {cidr} is its own")


def _tables(fabric: Fabric) -> Iterator[tuple[str, BlockTable]]:
    yield from ((name, fabric.host(name).blocks) for name in fabric.hosts)
    yield from ((name, fabric.leaf(name).blocks) for name in fabric.leaves)


def _within(ip: str, cidr: str) -> bool:
    return ipaddress.IPv4Address(ip) in ipaddress.IPv4Network(cidr)
