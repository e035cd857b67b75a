"""Addresses: the pools of subnets, who holds which address, and which VLAN of a leaf pair carries which VNI.

Per pool: allocated + free + reserved = size (invariant 3). Per leaf pair: VLAN and VNI are one to one (invariant 9).
"""

import ipaddress
from collections import deque
from collections.abc import Iterator
from itertools import islice
from sys import intern

import msgspec

from bus.envelope import Recorded
from bus.events import (
    NetworkCreated,
    NetworkGatewayChanged,
    PortAllocated,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortDeleted,
    SubnetCreated,
    VpcCreated,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.world import World

VLAN_MIN, VLAN_MAX = 1, 4094
#: The generations of a port that has never drifted: one tuple for all of them.
FIRST = (1,)


class AddressRow(Row):
    """One address that a live port holds."""

    vrf: str
    ip: str
    subnet: str
    port: str
    mac: str


class PoolRow(Row):
    """A subnet's addresses, counted. ``reserved``: network, broadcast and gateway, and what was a gateway before."""

    subnet: str
    network: str
    size: int
    reserved: int
    allocated: int
    free: int


class SegmentRow(Row):
    """A VNI on a leaf pair: the VLAN it has there, and how many claims of ports use it (also such as are over)."""

    physical_network: str
    vni: int
    vlan: int
    ports: int


def dotted(address: int) -> str:
    """An IPv4 address as text; ``ipaddress`` takes twenty times as long, and every allocation needs one."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


class Pool:
    """The addresses of one subnet: never given out yet (from ``_next`` up), then given back (oldest first)."""

    def __init__(self, row: PoolRow, cidr: str, gateway: str) -> None:
        net = ipaddress.IPv4Network(cidr)
        self.row = row
        self.prefix_length = net.prefixlen
        self.gateway = gateway
        self._first = self._next = int(net.network_address) + 1
        self._end = int(net.broadcast_address)
        self._given_back: deque[str] = deque()
        self._taken = {gateway}
        self._gateways = {gateway}
        self._pass_over()

    def free(self, reserved: int = 0) -> Iterator[str]:
        """The free addresses, in the order in which they are to be given out; gives nothing out.

        The first ``reserved`` host addresses are left out.
        """
        never_given = (dotted(address) for address in range(max(self._next, self._first + reserved), self._end))
        return (ip for ips in (never_given, self._given_back) for ip in ips if ip not in self._taken)

    def take(self, ip: str) -> None:
        """Note that ``ip`` is given out, in turn or not."""
        self._taken.add(ip)
        self._pass_over()

    def give_back(self, ip: str) -> None:
        """Note that ``ip`` is free again; it is given out after all others, so that late packets find nobody."""
        if ip in self._gateways:
            return
        self._taken.discard(ip)
        if self._first <= int(ipaddress.IPv4Address(ip)) < self._end:  # not all publishers keep to the subnet
            self._given_back.append(ip)

    def move_gateway(self, ip: str) -> None:
        """``ip`` is the gateway now. The one before stays reserved: instances send to it what is not for them."""
        self.gateway = ip
        if ip in self._gateways:
            return
        self._gateways.add(ip)
        self.row.reserved += 1
        self.row.free -= 1
        self.take(ip)

    def _pass_over(self) -> None:
        """Move on to what is free. Whatever is passed over here comes back by ``give_back``."""
        while self._next < self._end and dotted(self._next) in self._taken:
            self._next += 1
        while self._given_back and self._given_back[0] in self._taken:
            self._given_back.popleft()


class _Held(msgspec.Struct, frozen=True):
    """What a port holds since the claim ``generation``: addresses of ``subnet``, as (VRF, IP)."""

    subnet: str
    generation: int
    addresses: tuple[tuple[str, str], ...]


class Addresses(Fold):
    """Every address and VLAN that is in use."""

    TABLES = (
        Table("addresses", AddressRow, ("vrf", "ip")),
        Table("pools", PoolRow, ("subnet",)),
        Table("segments", SegmentRow, ("physical_network", "vni")),
    )

    def __init__(self) -> None:
        super().__init__()
        self.pools: dict[str, Pool] = {}
        self._by_network: dict[str, Pool] = {}
        self._held: dict[str, _Held] = {}
        #: By port and generation: addresses of claims before the current one, which had others.
        self._left: dict[str, dict[int, _Held]] = {}
        #: By port and generation: the leaf pair and VNI on which a claim uses a VLAN.
        self._claims: dict[tuple[str, int], tuple[str, int]] = {}
        self._newest: dict[str, int] = {}
        #: By port: the generations of which something may be left, nearly always FIRST alone.
        self._generations: dict[str, tuple[int, ...]] = {}
        #: By port and generation: the host on which something of a claim may be left; by host: how many by port.
        self._hosts_of: dict[tuple[str, int], str] = {}
        self._claims_on: dict[str, dict[str, int]] = {}
        self._vlans: dict[str, set[int]] = {}
        #: Decides which subnets there are, so that this fold and every other agree.
        self._world = World()

    def offer(self, network: str, vrf: str) -> tuple[Pool, str] | None:
        """The pool of ``network`` and its next address that nobody in ``vrf`` holds, None when there is none."""
        found = self.offer_many(network, vrf, 1, 0)
        return None if found is None else (found[0], found[1][0])

    def offer_many(self, network: str, vrf: str, count: int, reserved: int) -> tuple[Pool, tuple[str, ...]] | None:
        """As ``offer``, for a port that needs ``count`` addresses at once, none of the first ``reserved`` ones."""
        pool = self._by_network.get(network)
        if pool is None or pool.row.free < count:
            return None
        held = self.tables["addresses"]
        ips = tuple(islice((ip for ip in pool.free(reserved) if (vrf, ip) not in held), count))
        return None if len(ips) < count else (pool, ips)

    def ports_on(self, host: str) -> int:
        """How many ports have a claim of this host of which something may be left there, also such as are over."""
        return len(self._claims_on.get(host, ()))

    def vlan_for(self, physical_network: str, vni: int) -> int | None:
        """The VLAN of ``vni`` on this leaf pair, the lowest free one if it has none, None if all 4,094 are taken.

        A VLAN that is a network's own everywhere is not free on any pair.
        """
        segment: SegmentRow | None = self.tables["segments"].get((physical_network, vni))
        if segment is not None:
            return segment.vlan
        taken, own = self._vlans.get(physical_network, set()), self._world.vlans
        return next((vlan for vlan in range(VLAN_MIN, VLAN_MAX + 1) if vlan not in taken and vlan not in own), None)

    def pairs_with(self, vlan: int) -> list[str]:
        """The leaf pairs on which a VNI has this VLAN, in order."""
        return sorted(pair for pair, vlans in self._vlans.items() if vlan in vlans)

    def free_vlan(self) -> int | None:
        """The lowest VLAN that is no network's own and that no leaf pair uses, None if there is none."""
        taken = set(self._world.vlans).union(*self._vlans.values())
        return next((vlan for vlan in range(VLAN_MIN, VLAN_MAX + 1) if vlan not in taken), None)

    @on(VpcCreated, NetworkCreated)
    def _tenancy(self, r: Recorded, e: VpcCreated | NetworkCreated) -> tuple[Touched, ...]:
        self._world.evolve(r)
        return NOTHING

    @on(SubnetCreated)
    def _subnet(self, r: Recorded, e: SubnetCreated) -> tuple[Touched, ...]:
        if not self._world.evolve(r):
            return NOTHING
        size = ipaddress.IPv4Network(e.cidr).num_addresses
        row = PoolRow(subnet=e.subnet, network=e.network, size=size, reserved=3, allocated=0, free=size - 3)
        self.pools[e.subnet] = self._by_network[e.network] = Pool(row, e.cidr, e.gateway)
        self.tables["pools"][(e.subnet,)] = row
        return (("pools", (e.subnet,)),)

    @on(NetworkGatewayChanged)
    def _gateway_changed(self, r: Recorded, e: NetworkGatewayChanged) -> tuple[Touched, ...]:
        if not self._world.evolve(r):
            return NOTHING
        self.pools[e.subnet].move_gateway(e.address)
        return (("pools", (e.subnet,)),)

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        held = self.tables["addresses"]
        if e.port in self._held or e.subnet not in self.pools or (e.vrf, e.ip) in held:
            return NOTHING
        if e.secondary_ips and any((e.vrf, ip) in held for ip in e.secondary_ips):
            return NOTHING
        return (*self._hold(e), *self._use_segment(e))

    def _hold(self, e: PortClaim) -> tuple[Touched, ...]:
        port, vrf, subnet = intern(e.port), intern(e.vrf), intern(e.subnet)
        keys = tuple([(vrf, ip) for ip in (e.ip, *e.secondary_ips)])
        self._held[port] = _Held(subnet, e.generation, keys)
        held, pool = self.tables["addresses"], self._count(subnet, len(keys))
        for key in keys:
            held[key] = AddressRow(vrf=vrf, ip=key[1], subnet=subnet, port=port, mac=e.mac)
            pool.take(key[1])
        return (*(("addresses", key) for key in keys), ("pools", (subnet,)))

    def _free(self, held: _Held) -> tuple[Touched, ...]:
        keys = held.addresses
        pool = self._count(held.subnet, -len(keys))
        for key in keys:
            del self.tables["addresses"][key]
            pool.give_back(key[1])
        return (*(("addresses", key) for key in keys), ("pools", (held.subnet,)))

    @on(PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaimed) -> tuple[Touched, ...]:
        """Another claim of a port: a VLAN of another leaf pair may be needed. The address stays, or is one more."""
        if e.port not in self._held or e.generation <= self._newest[e.port]:
            return NOTHING
        moved: tuple[Touched, ...] = ()
        held = self._held[e.port]
        moves = held.addresses[0] != (e.vrf, e.ip) and (e.vrf, e.ip) not in self.tables["addresses"]
        if moves and e.subnet in self.pools:
            self._left.setdefault(e.port, {})[held.generation] = held
            moved = self._hold(e)
        return (*moved, *self._use_segment(e))

    @on(PortClaimCleared)
    def _claim_cleared(self, r: Recorded, e: PortClaimCleared) -> tuple[Touched, ...]:
        self._leave_host(e.port, e.generation)
        if e.generation in self._generations.get(e.port, ()):
            self._generations[e.port] = tuple(one for one in self._generations[e.port] if one != e.generation)
        segment_key = self._claims.pop((e.port, e.generation), None)
        left = self._left.get(e.port, {}).pop(e.generation, None)
        freed = self._free(left) if left is not None else NOTHING
        return freed if segment_key is None else (*freed, self._leave_segment(segment_key))

    def _use_segment(self, e: PortClaim) -> tuple[Touched, ...]:
        port, host = intern(e.port), intern(e.host)
        claim = (port, e.generation)
        self._newest[port] = e.generation
        before = self._generations.get(port, ())
        self._generations[port] = (*before, e.generation) if before or e.generation != 1 else FIRST
        claims_on = self._claims_on.setdefault(host, {})
        claims_on[port] = claims_on.get(port, 0) + 1
        self._hosts_of[claim] = host
        if not (e.vlan and e.vni):  # only a VLAN that stands for a VNI is the leaf pair's own
            return NOTHING
        segment_key = (intern(e.physical_network), e.vni)
        segment: SegmentRow | None = self.tables["segments"].get(segment_key)
        self._claims[claim] = segment_key
        if segment is None:
            segment = SegmentRow(physical_network=e.physical_network, vni=e.vni, vlan=e.vlan, ports=0)
            self.tables["segments"][segment_key] = segment
            self._vlans.setdefault(e.physical_network, set()).add(e.vlan)
        segment.ports += 1
        return (("segments", segment_key),)

    def _leave_host(self, port: str, generation: int) -> None:
        host = self._hosts_of.pop((port, generation), None)
        if host is not None:
            self._claims_on[host][port] -= 1
            if not self._claims_on[host][port]:
                del self._claims_on[host][port]

    def _leave_segment(self, segment_key: tuple[str, int]) -> Touched:
        segment: SegmentRow = self.tables["segments"][segment_key]
        segment.ports -= 1
        if segment.ports == 0:
            del self.tables["segments"][segment_key]
            self._vlans[segment.physical_network].discard(segment.vlan)
        return ("segments", segment_key)

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        held = self._held.pop(e.port, None)  # what was given out is given back, whatever the event says
        if held is None:
            return NOTHING
        del self._newest[e.port]
        generations = self._generations.pop(e.port)
        freed = [touched for one in (held, *self._left.pop(e.port, {}).values()) for touched in self._free(one)]
        for generation in generations:
            self._leave_host(e.port, generation)
        keys = [self._claims.pop((e.port, generation), None) for generation in generations]
        return (*freed, *(self._leave_segment(key) for key in keys if key is not None))

    def _count(self, subnet: str, change: int) -> Pool:
        pool = self.pools[subnet]
        pool.row.allocated += change
        pool.row.free -= change
        return pool
