"""What IPAM, as the Neutron server, decides about VPCs: whether one may be, and which may be connected.

Addresses are unique within a VRF (invariant 1), and so they must be within whatever a VRF is connected with
(invariant 14): what a packet from one VPC can mean by an address must be one thing. Connections are not transitive, as
with peering in public clouds; the VPCs of one global VPC (Figure 14) are connected each with each.
"""

import ipaddress
from collections.abc import Iterable, Iterator

from bus.envelope import Recorded
from bus.events import (
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectFailRequested,
    DirectConnectRefused,
    DirectConnectRequested,
    DirectConnectRestored,
    DirectConnectRestoreRequested,
    Event,
    VpcConnected,
    VpcConnectRefused,
    VpcConnectRequested,
    VpcCreated,
    VpcCreateRequested,
    VpcDisconnecting,
    VpcDisconnectRefused,
    VpcDisconnectRequested,
    VpcRefused,
)
from projections.vpcs import Vpcs, pair
from projections.world import VpcRow, World
from workers.ipam_state import Handler, IpamState
from workers.models.model import Refusal
from workers.worker import Decision, Emit

#: A VPC holds at least a subnet of two hosts, and at most all that is private (RFC 1918).
_PREFIX_MIN, _PREFIX_MAX = 8, 29


def create(state: IpamState, r: Recorded, e: VpcCreateRequested) -> Iterable[Decision]:
    """Create the VPC, or say why not."""
    if (e.vpc, r.correlation) in state.vpcs.answered:
        return
    refusal = _cannot_be(state, e)
    if refusal is not None:
        yield Emit(VpcRefused(vpc=e.vpc, **refusal._asdict()))
        return
    created = VpcCreated(
        vpc=e.vpc,
        tenant=e.tenant,
        vrf=e.vrf or e.vpc,
        cidr=e.cidr,
        region=e.region,
        global_vpc=e.global_vpc,
    )
    yield Emit(created)
    yield from _join_global(state, e.vpc)


def created(state: IpamState, r: Recorded, e: VpcCreated) -> Iterable[Decision]:
    """A VPC that was described as a fact (or by a process that died before its next word) joins its global VPC."""
    return _join_global(state, e.vpc)


def _join_global(state: IpamState, name: str) -> Iterator[Decision]:
    vpc = state.world.vpcs.get(name)
    if vpc is None or not vpc.global_vpc:
        return
    for other in list(state.world.vpcs.values()):
        joins = other.global_vpc == vpc.global_vpc and other.vrf != vpc.vrf
        if joins and pair(name, other.vpc) not in state.vpcs.connections and _overlap(state, vpc, other) is None:
            yield Emit(VpcConnected(vpc=other.vpc, peer=name))  # the id of an event is of its vpc


def _cannot_be(state: IpamState, e: VpcCreateRequested) -> Refusal | None:
    world = state.world
    refusal = _cidr_is_wrong(e.cidr)
    if refusal is None and e.vpc in world.vpcs:
        refusal = Refusal("the VPC exists", "vpc", e.vpc)
    if refusal is None and e.region is not None and e.region not in world.regions:
        refusal = Refusal("unknown region", "region", e.region)
    owners = {vpc.tenant for vpc in world.vpcs.values() if vpc.vrf == (e.vrf or e.vpc)} - {e.tenant}
    if refusal is None and owners:
        refusal = Refusal(f"the VRF belongs to tenant {owners.pop()}", "vrf", e.vrf or e.vpc)
    if refusal is not None:
        return refusal
    for other in _beside(world, state.vpcs, e):
        if _net(e.cidr).overlaps(_net(other.cidr)):
            return Refusal(f"it overlaps {other.cidr} of VPC {other.vpc}", "cidr", e.cidr)
    return None


def _cidr_is_wrong(cidr: str) -> Refusal | None:
    try:
        net = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        return Refusal(f"it is no IPv4 network: {error}", "cidr", cidr)
    if not _PREFIX_MIN <= net.prefixlen <= _PREFIX_MAX:
        return Refusal(f"its prefix is not between /{_PREFIX_MIN} and /{_PREFIX_MAX}", "cidr", cidr)
    return None


def _beside(world: World, vpcs: Vpcs, e: VpcCreateRequested) -> Iterator[VpcRow]:
    """What the new VPC must be disjoint from: VPCs of its VRF, of those connected with that, of its global VPC."""
    vrfs = {e.vrf or e.vpc, *vpcs.connected_vrfs(e.vrf or e.vpc)}
    for other in world.vpcs.values():
        if other.vrf in vrfs or (e.global_vpc is not None and other.global_vpc == e.global_vpc):
            yield other


def connect(state: IpamState, r: Recorded, e: VpcConnectRequested) -> Iterable[Decision]:
    """Connect two VPCs, or say why not. One that failed before is tried again."""
    if (e.vpc, r.correlation) in state.vpcs.answered:
        return
    refusal = _cannot_be_connected(state, e)
    if refusal is not None:
        yield Emit(VpcConnectRefused(vpc=e.vpc, peer=e.peer, **refusal._asdict()))
    else:
        yield Emit(VpcConnected(vpc=e.vpc, peer=e.peer))


def _cannot_be_connected(state: IpamState, e: VpcConnectRequested) -> Refusal | None:
    for field, name in (("vpc", e.vpc), ("peer", e.peer)):
        if name not in state.world.vpcs:
            return Refusal("unknown VPC", field, name)
    one, other = state.world.vpcs[e.vpc], state.world.vpcs[e.peer]
    if one.vrf == other.vrf:
        return Refusal(f"both are routed in VRF {one.vrf} already", "peer", e.peer)
    known = state.vpcs.connections.get(pair(e.vpc, e.peer))
    if known is not None and known.state != "error":
        return Refusal(f"they are {'connected' if known.state == 'ready' else known.state} already", "peer", e.peer)
    return _overlap(state, one, other)


def _overlap(state: IpamState, one: VpcRow, other: VpcRow) -> Refusal | None:
    """Two VPCs that the connection would let somebody reach by the same address."""
    by_vrf: dict[str, list[VpcRow]] = {}
    for vpc in state.world.vpcs.values():
        by_vrf.setdefault(vpc.vrf, []).append(vpc)
    for here, there in ((one.vrf, other.vrf), (other.vrf, one.vrf)):
        seen = [vpc for vrf in {here, *state.vpcs.connected_vrfs(here)} - {there} for vpc in by_vrf.get(vrf, [])]
        for new in by_vrf.get(there, []):
            for old in seen:
                if _net(new.cidr).overlaps(_net(old.cidr)):
                    both = f"{old.cidr} of VPC {old.vpc} and {new.cidr} of VPC {new.vpc} overlap"
                    return Refusal(both, "peer", other.vpc)
    return None


def disconnect(state: IpamState, r: Recorded, e: VpcDisconnectRequested) -> Iterable[Decision]:
    """Disconnect two VPCs, or say why not."""
    if (e.vpc, r.correlation) in state.vpcs.answered:
        return
    row = state.vpcs.connections.get(pair(e.vpc, e.peer))
    if row is None or row.state == "disconnecting":
        reason = "they are not connected" if row is None else "they are being disconnected already"
        yield Emit(VpcDisconnectRefused(vpc=e.vpc, peer=e.peer, reason=reason, field="peer", value=e.peer))
    else:
        yield Emit(VpcDisconnecting(vpc=e.vpc, peer=e.peer))


def create_line(state: IpamState, r: Recorded, e: DirectConnectRequested) -> Iterable[Decision]:
    """Have a region hang on a private one, or say why not."""
    if (e.direct_connect, r.correlation) in state.vpcs.answered:
        return
    refusal = _cannot_be_joined(state, e)
    if refusal is not None:
        yield Emit(DirectConnectRefused(direct_connect=e.direct_connect, **refusal._asdict()))
    else:
        yield Emit(DirectConnectCreated(direct_connect=e.direct_connect, spoke=e.spoke, hub=e.hub))


def _cannot_be_joined(state: IpamState, e: DirectConnectRequested) -> Refusal | None:
    for field, region in (("spoke", e.spoke), ("hub", e.hub)):
        if region not in state.world.regions:
            return Refusal("unknown region", field, region)
    if e.spoke == e.hub:
        return Refusal("a region cannot hang on itself", "hub", e.hub)
    if state.world.regions[e.hub] != "private":
        return Refusal("only a private region can be a hub", "hub", e.hub)
    if state.vpcs.line(e.direct_connect) is not None:
        return Refusal("there is such a line already", "direct_connect", e.direct_connect)
    twin = next((one for one in state.vpcs.lines() if pair(one.spoke, one.hub) == pair(e.spoke, e.hub)), None)
    return Refusal(f"{twin.direct_connect} joins these regions already", "spoke", e.spoke) if twin else None


def change_line(
    state: IpamState, r: Recorded, e: DirectConnectFailRequested | DirectConnectRestoreRequested
) -> Iterable[Decision]:
    """Take a line out of use, or give it back."""
    name, up = e.direct_connect, isinstance(e, DirectConnectRestoreRequested)
    if (name, r.correlation) in state.vpcs.answered:
        return
    row = state.vpcs.line(name)
    if row is None or (row.up == up and not row.reason):
        reason = "unknown line" if row is None else f"the line is {'up' if up else 'down'} already"
        yield Emit(DirectConnectRefused(direct_connect=name, reason=reason, field="direct_connect", value=name))
        return
    changed: Event = DirectConnectRestored(direct_connect=name) if up else DirectConnectFailed(direct_connect=name)
    yield Emit(changed)


def _net(cidr: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(cidr)


REQUESTS: dict[type[Event], Handler] = {
    VpcCreateRequested: create,
    VpcCreated: created,
    VpcConnectRequested: connect,
    VpcDisconnectRequested: disconnect,
    DirectConnectRequested: create_line,
    DirectConnectFailRequested: change_line,
    DirectConnectRestoreRequested: change_line,
}
