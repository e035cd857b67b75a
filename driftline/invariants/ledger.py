"""The books of the log: what every event means for ports, hosts and addresses, and what no event may say."""

import ipaddress
from collections import Counter

from bus.envelope import Recorded
from bus.events import (
    CNC,
    HostAdded,
    HostDown,
    HostFenced,
    HostResynced,
    HostReturned,
    HostUp,
    LeafAdded,
    NetworkCreated,
    NetworkGatewayChanged,
    PortAllocated,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortDeleted,
    PortEvent,
    SubnetCreated,
    VpcCreated,
    physical_network,
)
from driftline.invariants.books import Claim, EntryKey, Host, Port
from driftline.invariants.table import Violation

#: Ids of records that somebody forged or copied: no worker's word, and no outcome.
FORGED = ("forged-", "copy-")
VLAN_MAX = 4094
_LIFE = HostDown | HostFenced | HostReturned | HostResynced | HostUp
#: What a port gets anew where addresses are the host's own.
_OF_THE_ADDRESS = ("ip", "mac", "prefix_length", "gateway")
HOST_LOCAL = frozenset({"host-local-vxlan", "host-local-bgp"})
_SAME_IN_ALL_CLAIMS = (
    *("name", "instance", "network", "subnet", "vpc", "vrf"),
    *("ip", "prefix_length", "mac", "secondary_ips"),
)


class Ledger:
    """Ports, hosts and addresses as the log tells them; raises Violation where it contradicts itself."""

    def __init__(self, exercised: Counter[int]) -> None:
        self.exercised = exercised
        self.live: dict[str, Port] = {}
        self.gone: set[str] = set()
        self.hosts: dict[str, Host] = {}
        self.vrf_of_vpc: dict[str, str] = {}
        self.networks: dict[str, tuple[NetworkCreated, int]] = {}
        self.subnets: dict[str, SubnetCreated] = {}
        self.subnet_of: dict[str, str] = {}
        #: All addresses that are, or once were, the gateway of each subnet: nobody is ever given one.
        self.gateways: dict[str, set[str]] = {}
        self.held: Counter[str] = Counter()
        #: Claims bound through an entry (invariant 10).
        self.counts: Counter[EntryKey] = Counter()
        #: By leaf: how many entries bound claims need, and how many its table takes (invariant 9).
        self._entries: Counter[str] = Counter()
        self._capacities: dict[str, int] = {}
        self._by_ip: dict[tuple[str, str], str] = {}
        self._by_mac: dict[tuple[str, str], str] = {}
        self._by_name: dict[str, str] = {}
        #: (leaf pair, "vlan" or "vni", number) → (the other number, how many claims)
        self._segments: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._at: dict[str, int] = {}
        self._cabled: dict[tuple[str, str], str] = {}
        self._pair_of_leaf: dict[str, str] = {}

    def is_stale(self, e: PortEvent) -> bool:
        """Whether ``e`` speaks of a claim that is not the current one."""
        port = self.live.get(e.port)
        generation = getattr(e, "generation", 0)
        if port is None or not generation or isinstance(e, PortAllocated):
            return False  # requests, refusals and the end of the port are no reports
        if isinstance(e, PortClaimed):
            return bool(generation <= port.current.generation)
        return e.host != port.current.host or generation != port.current.generation

    def take(self, r: Recorded) -> set[str]:
        """Note one record. Returns the ports that it may have changed."""
        match r.event:
            case HostAdded() as e:
                self._cable(e)
            case LeafAdded(leaf=leaf, capacity=capacity):
                self._capacities.setdefault(leaf, capacity)
            case VpcCreated() as e:
                self.vrf_of_vpc.setdefault(e.vpc, e.vrf)
            case NetworkCreated() as e if e.vpc in self.vrf_of_vpc and not self._knows_vni(e):
                self.networks.setdefault(e.network, (e, r.position))
            case SubnetCreated() as e:
                self._subnet(e)
            case NetworkGatewayChanged(subnet=subnet, address=address) if subnet in self.gateways:
                self.gateways[subnet].add(address)
            case HostDown() | HostFenced() | HostReturned() | HostResynced() | HostUp() as e:
                return self._life(e, r.position)
            case PortEvent() as e:
                self._port(r, e)
                return {e.port}
            case _:
                pass
        return set()

    def entries_of(self, claim: Claim) -> tuple[EntryKey, ...]:
        """The leaf entries that this claim needs while it is bound: none, if another than CNC makes its overlay."""
        host = self.hosts.get(claim.host) if claim.event.overlay_by == CNC else None
        return host.entries(claim.event.vlan) if host else ()

    def is_cleared(self, port: str, generation: int) -> bool:
        """Whether nothing of this claim may be left."""
        known = self.live.get(port)
        return known is None or generation not in known.claims

    def free_in(self, network: str) -> int:
        """How many addresses of ``network`` nobody holds."""
        subnet = self.subnet_of.get(network, "")
        if not subnet:
            return 0
        return (
            ipaddress.IPv4Network(self.subnets[subnet].cidr).num_addresses
            - 2
            - len(self.gateways[subnet])
            - self.held[subnet]
        )

    def has_vlan(self, pair: str, vni: int) -> bool:
        """Whether a leaf pair carries the VNI, or has a VLAN left for it."""
        used = sum(p == pair and kind == "vlan" for p, kind, _ in self._segments)
        return (pair, "vni", vni) in self._segments or used < VLAN_MAX

    def _knows_vni(self, e: NetworkCreated) -> bool:
        """Its VNI, or its network-wide VLAN, is another network's."""
        return any(e.vni == other.vni != 0 or e.vlan == other.vlan != 0 for other, _ in self.networks.values())

    def _cable(self, e: HostAdded) -> None:
        pair, leaves = physical_network(e.leaf_a, e.leaf_b), (e.leaf_a, e.leaf_b)
        taken = any((leaf, e.interface) in self._cabled for leaf in leaves)
        if e.host in self.hosts or taken or any(self._pair_of_leaf.get(leaf, pair) != pair for leaf in leaves):
            return  # a fact that contradicts others is taken by nobody
        self.hosts[e.host] = Host(e)
        for leaf in leaves:
            self._cabled[leaf, e.interface], self._pair_of_leaf[leaf] = e.host, pair

    def _subnet(self, e: SubnetCreated) -> None:
        if e.subnet in self.subnets or e.network in self.subnet_of or e.network not in self.networks:
            return
        for other in self._subnets_beside(e.network):
            if ipaddress.IPv4Network(other.cidr).overlaps(ipaddress.IPv4Network(e.cidr)):
                return  # taken by nobody: an address from it is a violation
        self.subnets[e.subnet], self.subnet_of[e.network] = e, e.subnet
        self.gateways[e.subnet] = {e.gateway}

    def _subnets_beside(self, network: str) -> list[SubnetCreated]:
        vrf = self.vrf_of(network)
        return [other for other in self.subnets.values() if self.vrf_of(other.network) == vrf]

    def vrf_of(self, network: str) -> str:
        """Where the network is routed."""
        return self.vrf_of_vpc[self.networks[network][0].vpc]

    def _life(self, e: _LIFE, position: int) -> set[str]:
        host = self.hosts.get(e.host)
        if host is None or not host.take(e, position):
            return set()
        changed = {port for port, known in self.live.items() if known.current.host == e.host}
        for port in changed:
            claim = self.live[port].current
            if isinstance(e, HostDown):
                claim.host_died(e.host)
            else:
                claim.host_is_back()
        return changed

    def _port(self, r: Recorded, e: PortEvent) -> None:
        match e:
            case PortAllocated() if e.port not in self.live and e.port not in self.gone:
                self._allocated(r, e)
            case PortClaimed() if e.port in self.live:
                self._claimed(r, e)
            case PortClaimCleared() if e.port in self.live:
                self._cleared(r, e)
            case PortDeleted():
                self._deleted(r, e)
            case PortClaim():
                pass
            case _ if e.port in self.live:
                self._reported(r, e)

    def _reported(self, r: Recorded, e: PortEvent) -> None:
        claim = self.live[e.port].claim_of(e)
        if claim is None:
            return
        host = self.hosts.get(e.host)
        takes_away = type(e).__name__ in ("PortUnplugged", "PortUnderlayRemoved", "PortOverlayRemoved", "PortUnbound")
        current = claim is self.live[e.port].current
        if (
            type(e).__name__ != "PortBound"
            and not takes_away
            and (not current or (host and host.state in ("down", "returned")))
        ):
            return
        was_bound = claim.bound
        claim.take(e, r.position)
        if claim.bound != was_bound:
            self._count(r, claim, 1 if claim.bound else -1)

    def _count(self, r: Recorded, claim: Claim, change: int) -> None:
        for key in self.entries_of(claim):
            self.counts[key] += change
            if self.counts[key] == max(change, 0):  # it was needed by nobody, or now is
                self._fits(r, key[0], change)
            self.exercised[10] += self.counts[key] > 0 > change  # others need it still

    def _fits(self, r: Recorded, leaf: str, change: int) -> None:
        self.exercised[9] += 1
        self._entries[leaf] += change
        needed, capacity = self._entries[leaf], self._capacities.get(leaf, 0)
        if 0 < capacity < needed:
            text = f"{needed} entries of {leaf} are needed, its hardware holds {capacity}"
            raise Violation(9, text, position=r.position)

    def _allocated(self, r: Recorded, e: PortAllocated) -> None:
        self._check_address(r, e)
        self._by_mac[e.network, e.mac] = self._by_name[e.name] = e.port
        for ip in (e.ip, *e.secondary_ips):
            self._by_ip[e.vrf, ip] = e.port
            self.held[e.subnet] += 1
        claim = self._claim(r, e)
        self.live[e.port] = Port(claim)

    def _check_address(self, r: Recorded, e: PortClaim, *, old: bool = False) -> None:
        self.exercised.update((1, 2))
        ips = (e.ip, *e.secondary_ips)
        if len(set(ips)) < len(ips):
            raise Violation(1, f"{e.port} holds one address twice: {', '.join(ips)}", e.port, r.position)
        taken = (
            *((1, self._by_ip.get((e.vrf, ip)), ip) for ip in ips),
            (1, self._by_mac.get((e.network, e.mac)), e.mac),
        )
        named = None if old else self._by_name.get(e.name)
        for number, other, what in (*taken, (2, named, e.name)):
            if other is not None:
                raise Violation(number, f"{e.port} and {other} share {what}", e.port, r.position)
        subnet = self.subnets.get(e.subnet)
        if subnet is None:
            raise Violation(14, f"{e.subnet} overlaps another subnet, or is none", e.port, r.position)
        self.exercised[14] += len(self._subnets_beside(e.network)) > 1
        net = ipaddress.IPv4Network(subnet.cidr)
        for ip in map(ipaddress.IPv4Address, ips):
            if (
                ip not in net
                or ip in (net.network_address, net.broadcast_address)
                or str(ip) in self.gateways[e.subnet]
            ):
                raise Violation(1, f"{ip} of {subnet.cidr} is never given out", e.port, r.position)

    def _claim(self, r: Recorded, e: PortClaim) -> Claim:
        self._use_segment(r, e)
        claim = Claim(e, r.position)
        host = self.hosts.get(e.host)
        if host is not None and host.state == "down":
            claim.host_died(e.host)
        return claim

    def _use_segment(self, r: Recorded, e: PortClaim) -> None:
        if not e.vni:
            return
        self.exercised[9] += 1
        if not 1 <= e.vlan <= VLAN_MAX:
            raise Violation(9, f"VLAN {e.vlan}", e.port, r.position)
        for kind, number, other in (("vlan", e.vlan, e.vni), ("vni", e.vni, e.vlan)):
            known, count = self._segments.get((e.physical_network, kind, number), (other, 0))
            if known != other:
                text = f"on {e.physical_network} {kind} {number} is {known}, and now {other}"
                raise Violation(9, text, e.port, r.position)
            self._segments[e.physical_network, kind, number] = (other, count + 1)

    def _leave_segment(self, e: PortClaim) -> None:
        if not e.vni:
            return
        for kind, number in (("vlan", e.vlan), ("vni", e.vni)):
            key = (e.physical_network, kind, number)
            other, count = self._segments.pop(key)
            if count > 1:
                self._segments[key] = (other, count - 1)

    def _claimed(self, r: Recorded, e: PortClaimed) -> None:
        port = self.live[e.port]
        self.exercised.update((5, 6))
        if e.generation <= port.current.generation:
            if r.id.startswith(FORGED):
                return
            text = f"generation {e.generation} after {port.current.generation}"
            raise Violation(6, text, e.port, r.position)
        if e.previous_ip:
            self._readdressed(r, e, port)
        for field in (*_SAME_IN_ALL_CLAIMS, "vni"):
            if e.previous_ip and field in _OF_THE_ADDRESS:
                continue
            old, new = getattr(port.identity, field), getattr(e, field)
            if old != new:
                raise Violation(5, f"drift changed {field} from {old} to {new}", e.port, r.position)
        port.current.end(r.position)
        port.current = port.claims[e.generation] = self._claim(r, e)
        port.first_look_us = 0

    def _readdressed(self, r: Recorded, e: PortClaimed, port: Port) -> None:
        """In place of invariant 5: the address is of the new host's block; the old one is held until it is cleared."""
        if e.model not in HOST_LOCAL or e.previous_ip != port.current.event.ip:
            raise Violation(5, f"drift changed the address from {port.current.event.ip}", e.port, r.position)
        self._check_address(r, e, old=True)
        self._by_ip[e.vrf, e.ip] = self._by_mac[e.network, e.mac] = e.port
        self.held[e.subnet] += 1

    def _address_freed(self, e: PortClaim) -> None:
        del self._by_mac[e.network, e.mac]
        for ip in (e.ip, *e.secondary_ips):
            del self._by_ip[e.vrf, ip]
            self.held[e.subnet] -= 1

    def _cleared(self, r: Recorded, e: PortClaimCleared) -> None:
        port = self.live[e.port]
        claim = port.claims.get(e.generation)
        if claim is None or claim is port.current:
            return
        self._check_clear(r, claim)
        del port.claims[e.generation]
        self._leave_segment(claim.event)
        if claim.event.ip != port.current.event.ip:
            self._address_freed(claim.event)

    def _check_clear(self, r: Recorded, claim: Claim) -> None:
        """Both planes have confirmed, or the host was cut off at its leaves and is, or was then, cleaned."""
        self.exercised[18] += 1
        host = self.hosts.get(claim.host)
        excused = host is not None and (host.fenced or host.resynced >= claim.over_at > 0)
        if not claim.over:
            raise Violation(13, "cleared, and its claim is not over", claim.port, r.position)
        if not claim.leaves_are_clear or not (claim.host_is_clear or excused):
            plane = "leaves" if not claim.leaves_are_clear else f"host {claim.host}"
            text = f"generation {claim.generation} counts as cleared, and the {plane} did not say so"
            raise Violation(18, text, claim.port, r.position)

    def _deleted(self, r: Recorded, e: PortDeleted) -> None:
        self.gone.add(e.port)
        port = self.live.get(e.port)
        if port is None:
            return
        for claim in port.claims.values():
            self._check_clear(r, claim)
        if len(port.claims) > 1:
            raise Violation(20, "deleted, and an older claim is not cleared", e.port, r.position)
        del self.live[e.port]
        last = port.current.event
        for claim in port.claims.values():
            self._leave_segment(claim.event)
        self._address_freed(last)
        del self._by_name[last.name]
