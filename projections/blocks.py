"""The blocks of addresses that hosts allocate from by themselves, and which addresses of each are held.

Per block: used + free + reserved = size (invariant 3), and no two blocks overlap (invariant 14). All that happens to a
host's block is said with that host's name, so a host's own IPAM that sees nothing else folds the same rows.
"""

import ipaddress
from collections.abc import Iterator

from bus.envelope import Recorded
from bus.events import (
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockRefused,
    HostBlockReleased,
    HostBlockRequested,
    PortAddressOffered,
    PortAllocated,
    PortClaimCleared,
    PortClaimed,
    PortClaimRefused,
    PortDeleted,
)
from projections.addresses import Pool, PoolRow
from projections.fold import NOTHING, Fold, Row, Table, Touched, on

#: The seed's size of a block, where the network names none.
BLOCK_LENGTH = 24


class BlockRow(Row):
    """One block. ``reserved``: network, gateway (the first address), broadcast, and what else is never given out."""

    cidr: str
    vrf: str
    host: str
    az: str
    network: str
    subnet: str
    vpc: str
    model: str
    labels: list[str]
    gateway: str
    prefix_length: int
    size: int
    reserved: int
    used: int
    free: int
    announced: bool = False


#: (VRF, CIDR)
BlockKey = tuple[str, str]


class Blocks(Fold):
    """All blocks, the requests for them that wait, and who holds which address."""

    TABLES = (Table("blocks", BlockRow, ("vrf", "cidr")),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[BlockKey, BlockRow] = self.tables["blocks"]  # type: ignore[assignment]
        self._pools: dict[BlockKey, Pool] = {}
        self._on_host: dict[str, list[BlockKey]] = {}
        #: Requests, by host, network and label, that have no answer yet.
        self._asked: set[tuple[str, str, str]] = set()
        #: The ids of the requests that have theirs.
        self._answered: set[str] = set()
        #: By port and generation, or by the offer's id: which address of which block it holds.
        self._held: dict[tuple[str, int | str], tuple[BlockKey, str]] = {}
        self._of_port: dict[str, list[int | str]] = {}

    def all(self) -> list[BlockRow]:
        """Every block, in the order in which they were assigned."""
        return list(self._rows.values())

    def of_host(self, host: str) -> list[BlockRow]:
        """The blocks of ``host``, oldest first."""
        return [self._rows[key] for key in self._on_host.get(host, ())]

    def get(self, host: str, cidr: str) -> BlockRow | None:
        """The block ``cidr`` of ``host``."""
        return next((row for row in self.of_host(host) if row.cidr == cidr), None)

    def fitting(self, host: str, network: str, label: str) -> Iterator[BlockRow]:
        """The blocks of ``host`` for ``network``, or where that is empty for ``label``."""
        for row in self.of_host(host):
            if row.network == network or (not network and label in row.labels):
                yield row

    def offer(self, row: BlockRow) -> str | None:
        """The next free address of an announced block, None if there is none."""
        return next(self._pools[row.vrf, row.cidr].free(), None) if row.announced and row.free > 0 else None

    def holding(self, host: str, ip: str) -> BlockRow | None:
        """The block of ``host`` that ``ip`` is in."""
        rows = self.of_host(host)
        if not rows:  # as on most hosts, and to take an address apart is dear
            return None
        address = ipaddress.IPv4Address(ip)
        return next((row for row in rows if address in ipaddress.IPv4Network(row.cidr)), None)

    def waits(self, host: str, network: str, label: str) -> bool:
        """Whether a block was asked for, and cannot be used yet."""
        coming = any(not row.announced for row in self.fitting(host, network, label))
        return coming or (host, network, label) in self._asked

    def has_answered(self, request: str) -> bool:
        """Whether the request with this id was granted or refused."""
        return request in self._answered

    @on(HostBlockRequested)
    def _requested(self, r: Recorded, e: HostBlockRequested) -> tuple[Touched, ...]:
        if r.id not in self._answered:
            self._asked.add((e.host, e.network or "", e.label or ""))
        return NOTHING

    @on(HostBlockRefused)
    def _refused(self, r: Recorded, e: HostBlockRefused) -> tuple[Touched, ...]:
        self._answered.add(r.cause)
        self._asked.discard((e.host, e.network or "", e.label or ""))
        return NOTHING

    @on(HostBlockAssigned)
    def _assigned(self, r: Recorded, e: HostBlockAssigned) -> tuple[Touched, ...]:
        if r.cause in self._answered or any(self._overlaps(row, e) for row in self._rows.values()):
            return NOTHING
        self._answered.add(r.cause)
        for label in ("", *e.labels):
            self._asked.discard((e.host, e.network if not label else "", label))
        net, key = ipaddress.IPv4Network(e.cidr), (e.vrf, e.cidr)
        kept = 3 + len(e.reserved)
        row = BlockRow(
            cidr=e.cidr,
            vrf=e.vrf,
            host=e.host,
            az=e.az,
            network=e.network,
            subnet=e.subnet,
            vpc=e.vpc,
            model=e.model,
            labels=list(e.labels),
            gateway=e.gateway,
            prefix_length=net.prefixlen,
            size=net.num_addresses,
            reserved=kept,
            used=0,
            free=net.num_addresses - kept,
        )
        counts = PoolRow(subnet=e.subnet, network=e.network, size=row.size, reserved=kept, allocated=0, free=row.free)
        pool = self._pools[key] = Pool(counts, e.cidr, e.gateway)
        for ip in e.reserved:
            pool.take(ip)
        self._rows[key] = row
        self._on_host.setdefault(e.host, []).append(key)
        return (("blocks", key),)

    @staticmethod
    def _overlaps(row: BlockRow, e: HostBlockAssigned) -> bool:
        return ipaddress.IPv4Network(row.cidr).overlaps(ipaddress.IPv4Network(e.cidr))

    @on(HostBlockAnnounced)
    def _announced(self, r: Recorded, e: HostBlockAnnounced) -> tuple[Touched, ...]:
        rows = [row for row in self.of_host(e.host) if row.cidr in e.cidrs and not row.announced]
        for row in rows:
            row.announced = True
        return tuple(("blocks", (row.vrf, row.cidr)) for row in rows)

    @on(HostBlockReleased)
    def _released(self, r: Recorded, e: HostBlockReleased) -> tuple[Touched, ...]:
        keys = [(row.vrf, row.cidr) for row in self.of_host(e.host) if row.cidr in e.cidrs and not row.used]
        for key in keys:
            del self._rows[key], self._pools[key]
            self._on_host[e.host].remove(key)
        return tuple(("blocks", key) for key in keys)

    @on(PortAllocated, PortClaimed)
    def _claimed(self, r: Recorded, e: PortAllocated | PortClaimed) -> tuple[Touched, ...]:
        given_back = self._drop(e.port, r.cause)  # what was offered is now held by the claim
        row = self.holding(e.host, e.ip)
        if row is None or row.vrf != e.vrf or (e.port, e.generation) in self._held:
            return given_back
        return (*given_back, *self._hold(e.port, e.generation, row, e.ip))

    @on(PortAddressOffered)
    def _offered(self, r: Recorded, e: PortAddressOffered) -> tuple[Touched, ...]:
        row = self.holding(e.host, e.ip)
        return NOTHING if row is None or (e.port, r.id) in self._held else self._hold(e.port, r.id, row, e.ip)

    @on(PortClaimRefused)
    def _claim_refused(self, r: Recorded, e: PortClaimRefused) -> tuple[Touched, ...]:
        return self._drop(e.port, r.cause)

    @on(PortClaimCleared)
    def _cleared(self, r: Recorded, e: PortClaimCleared) -> tuple[Touched, ...]:
        return self._drop(e.port, e.generation)

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        return tuple(touched for what in list(self._of_port.get(e.port, ())) for touched in self._drop(e.port, what))

    def _hold(self, port: str, what: int | str, row: BlockRow, ip: str) -> tuple[Touched, ...]:
        key = (row.vrf, row.cidr)
        self._held[port, what] = (key, ip)
        self._of_port.setdefault(port, []).append(what)
        self._pools[key].take(ip)
        row.used, row.free = row.used + 1, row.free - 1
        return (("blocks", key),)

    def _drop(self, port: str, what: int | str) -> tuple[Touched, ...]:
        held = self._held.pop((port, what), None)
        if held is None:
            return NOTHING
        key, ip = held
        self._of_port[port].remove(what)
        if not self._of_port[port]:
            del self._of_port[port]
        self._pools[key].give_back(ip)
        row = self._rows[key]
        row.used, row.free = row.used - 1, row.free + 1
        return (("blocks", key),)
