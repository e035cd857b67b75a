"""Invariants 1, 8, 14, 17 and 21 of hosts with a local IPAM: whose block is whose, and who knows the way to it."""

import ipaddress
from collections.abc import Iterable, Iterator
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
    NetworkCreated,
    PortAddressOffered,
    PortAllocated,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortDeleted,
    PortRefused,
)
from driftline.invariants.ledger import FORGED, HOST_LOCAL, Ledger
from driftline.invariants.table import Violation
from projections.blocks import BLOCK_LENGTH
from workers.devices.simulated.blocks import BlockTable
from workers.devices.simulated.fabric import Fabric


class BlockBook:
    """The blocks as the log tells them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self.exercised = ledger, ledger.exercised
        self.blocks: dict[str, HostBlockAssigned] = {}
        #: Where in the log each was announced.
        self.announced: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.down: set[str] = set()
        #: Claims of host-local addresses that are not cleared, by port and generation.
        self.held: dict[tuple[str, int], PortClaim] = {}
        #: Requests for blocks and refusals of them, by id, and where they are in the log.
        self._requests: dict[str, tuple[HostBlockRequested, int]] = {}
        self._refusals: dict[str, tuple[HostBlockRefused, int]] = {}
        #: Blocks and addresses that were given back, and where in the log that was last; addresses offered since.
        self._freed: dict[str, int] = {}
        self._offered: set[str] = set()

    def take(self, r: Recorded) -> None:
        """Note one record. Raises Violation."""
        if r.id.startswith(FORGED):
            return
        match r.event:
            case HostBlockRequested() as e:
                self.asked.setdefault(r.id, 0)
                self._requests.setdefault(r.id, (e, r.position))
            case HostBlockAssigned() | HostBlockRefused():
                self._answered(r)
            case HostBlockAnnounced(host=host, cidrs=cidrs):
                mine = [cidr for cidr in cidrs if cidr in self.blocks and self.blocks[cidr].host == host]
                self.announced = dict.fromkeys(mine, r.position) | self.announced
            case HostBlockReleased() as e:
                self._released(r, e)
            case PortAllocated() | PortClaimed() as e if e.model in HOST_LOCAL:
                self._claimed(r, e)
            case PortClaimCleared(port=port, generation=generation):
                self._free(r, [(port, generation)])
            case PortDeleted(port=port):
                self._free(r, [key for key in self.held if key[0] == port])
            case _:
                self._other(r)

    def _other(self, r: Recorded) -> None:
        match r.event:
            case PortAddressOffered(ip=ip):
                self._offered.add(ip)
            case PortRefused() as e:
                self._full(r, e)
            case HostDown(host=host):
                self.down.add(host)
            case HostUp(host=host):
                self.down.discard(host)
            case _:
                pass

    def _answered(self, r: Recorded) -> None:
        if r.cause in self.asked:
            self.exercised[8] += 1
            self.asked[r.cause] += 1
            if self.asked[r.cause] > 1:
                raise Violation(8, f"{r.cause} is answered again, by {r.id}", position=r.position)
        if isinstance(r.event, HostBlockRefused):
            self._exhausted(r, r.event)
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
            self.announced.pop(cidr, None)
            self._freed[cidr] = r.position

    def _free(self, r: Recorded, claims: list[tuple[str, int]]) -> None:
        for one in (self.held.pop(key) for key in claims if key in self.held):
            self._freed[one.ip] = r.position
            self._offered.discard(one.ip)

    def _exhausted(self, r: Recorded, e: HostBlockRefused) -> None:
        """A block is refused only if none was free all the time since it was asked for."""
        if r.cause not in self._requests:
            return
        request, since = self._requests[r.cause]
        self._refusals.setdefault(r.id, (e, r.position))
        taken = [*self.blocks, *(one for one, freed in self._freed.items() if freed > since and "/" in one)]
        busy = [ipaddress.IPv4Network(cidr) for cidr in taken]
        for network in self._asked_for(request, since):
            self.exercised[17] += 1
            subnet = ipaddress.IPv4Network(self._ledger.subnets[self._ledger.subnet_of[network.network]].cidr)
            block = free_block(subnet, network.block_length or BLOCK_LENGTH, busy)
            if block is not None:
                text = f"{e.host} is refused a block of {network.network}, and {block} is free"
                raise Violation(17, text, position=r.position)

    def _asked_for(self, request: HostBlockRequested | HostBlockRefused, before: int) -> list[NetworkCreated]:
        """The networks that a request for a block may mean, of those that have a subnet."""
        return [
            network
            for network, since in self._ledger.networks.values()
            if network.model in HOST_LOCAL
            and network.network in self._ledger.subnet_of
            and since < before
            and (network.network == request.network or request.label in network.labels)
        ]

    def _full(self, r: Recorded, e: PortRefused) -> None:
        """A port is refused only if no address of the host's blocks was free all the time since a block was refused."""
        if r.cause not in self._refusals:
            return
        refusal, since = self._refusals[r.cause]
        names = {network.network for network in self._asked_for(refusal, since)}
        busy = self._offered | {one.ip for one in self.held.values()}
        busy |= {ip for ip, freed in self._freed.items() if freed > since}
        self.exercised[17] += 1
        for cidr, block in self.blocks.items():
            if block.host != e.host or block.network not in names or self.announced.get(cidr, since) >= since:
                continue
            mine = map(str, ipaddress.IPv4Network(cidr).hosts())
            left = [ip for ip in mine if ip not in {*busy, *block.reserved, block.gateway}]
            if left:
                raise Violation(17, f"refused ({e.reason}), and {left[0]} of {cidr} is free", e.port, r.position)

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


def free_block(
    subnet: ipaddress.IPv4Network, length: int, busy: Iterable[ipaddress.IPv4Network]
) -> ipaddress.IPv4Network | None:
    """The first /``length`` of ``subnet`` that overlaps none of ``busy``; None if there is none, or none that large.

    Blocks are told by their numbers, so it takes as long as there are blocks and busy ones, not each with each.
    """
    if length < subnet.prefixlen:
        return None
    shift = subnet.max_prefixlen - length
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    taken: set[int] = set()
    for one in busy:
        if one.overlaps(subnet):
            low, high = max(int(one.network_address), first), min(int(one.broadcast_address), last)
            taken.update(range(low >> shift, (high >> shift) + 1))
    number = next((n for n in range(first >> shift, (last >> shift) + 1) if n not in taken), None)
    return None if number is None else ipaddress.IPv4Network((number << shift, length))


def _tables(fabric: Fabric) -> Iterator[tuple[str, BlockTable]]:
    yield from ((name, fabric.host(name).blocks) for name in fabric.hosts)
    yield from ((name, fabric.leaf(name).blocks) for name in fabric.leaves)


def _within(ip: str, cidr: str) -> bool:
    return ipaddress.IPv4Address(ip) in ipaddress.IPv4Network(cidr)
