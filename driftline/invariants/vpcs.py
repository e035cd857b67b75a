"""Invariant 14: what is connected is disjoint, and what borders leak is what the log says is connected."""

import ipaddress
from collections import Counter
from collections.abc import Container

from bus.envelope import Recorded
from bus.events import (
    AzAdded,
    DirectConnectCreated,
    DirectConnectFailed,
    DirectConnectFailRequested,
    DirectConnectRefused,
    DirectConnectRequested,
    DirectConnectRestored,
    DirectConnectRestoreRequested,
    DirectConnectSettled,
    Event,
    VpcConnected,
    VpcConnectionFailed,
    VpcConnectionReady,
    VpcConnectRefused,
    VpcConnectRequested,
    VpcCreated,
    VpcCreateRequested,
    VpcDisconnected,
    VpcDisconnecting,
    VpcDisconnectRefused,
    VpcDisconnectRequested,
    VpcRefused,
)
from driftline.invariants.ledger import FORGED
from driftline.invariants.table import Violation
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.kinds.border import BorderDevice

_Pair = frozenset[str]


#: What answers each kind of request.
_ANSWERS: dict[type[Event], tuple[type[Event], ...]] = {
    VpcCreateRequested: (VpcCreated, VpcRefused),
    VpcConnectRequested: (VpcConnected, VpcConnectRefused),
    VpcDisconnectRequested: (VpcDisconnecting, VpcDisconnectRefused),
    DirectConnectRequested: (DirectConnectCreated, DirectConnectRefused),
    DirectConnectFailRequested: (DirectConnectFailed, DirectConnectRefused),
    DirectConnectRestoreRequested: (DirectConnectRestored, DirectConnectRefused),
}


class Connections:
    """The VPCs and their connections as the log tells them."""

    def __init__(self, exercised: Counter[int]) -> None:
        self.exercised = exercised
        self.vpcs: dict[str, VpcCreated] = {}
        #: Pairs of VPCs that are, or may still be, routed in each other.
        self.held: set[_Pair] = set()
        self.leaving: set[_Pair] = set()
        self.regions: dict[str, str] = {}
        self.lines: dict[str, tuple[str, str]] = {}
        self.down: set[str] = set()
        #: Pairs and lines that a border could not be configured for.
        self.failed: set[_Pair | str] = set()
        #: By correlation: the request, and how many answers it has had.
        self.asked: dict[str, tuple[Event, int]] = {}

    def take(self, r: Recorded) -> None:
        """Note one record. Raises Violation."""
        self._answered(r)
        match r.event:
            case VpcCreated() as e:
                self._created(r, e)
            case AzAdded(az=az, region=region):
                self.regions.setdefault(az, region)
            case VpcConnected(vpc=vpc, peer=peer) if vpc in self.vpcs and peer in self.vpcs:
                self.held.add(frozenset((vpc, peer)))
                self.leaving.discard(frozenset((vpc, peer)))
                self._check(r, vpc, peer)
            case VpcDisconnecting(vpc=vpc, peer=peer) if frozenset((vpc, peer)) in self.held:
                self.leaving.add(frozenset((vpc, peer)))
            case VpcDisconnected(vpc=vpc, peer=peer) if frozenset((vpc, peer)) in self.leaving:
                self.held.discard(frozenset((vpc, peer)))
                self.leaving.discard(frozenset((vpc, peer)))
            case VpcConnectionFailed(vpc=vpc, peer=peer):
                self.failed.add(frozenset((vpc, peer)))
            case VpcConnectionReady(vpc=vpc, peer=peer):
                self.failed.discard(frozenset((vpc, peer)))
            case _:
                self._line(r)

    def _answered(self, r: Recorded) -> None:
        """Invariant 8. A copy of an answer under an id of its own is not the answerer's."""
        if type(r.event) in _ANSWERS:
            self.asked.setdefault(r.correlation, (r.event, 0))
        request, count = self.asked.get(r.correlation, (None, 0))
        if request is None or r.id.startswith(FORGED) or not isinstance(r.event, _ANSWERS[type(request)]):
            return
        if isinstance(r.event, VpcConnected) and isinstance(request, VpcCreateRequested):
            return
        self.exercised[8] += 1
        self.asked[r.correlation] = (request, count + 1)
        if count:
            raise Violation(8, f"{r.correlation} is answered again, by {r.id}", position=r.position)

    def _line(self, r: Recorded) -> None:
        match r.event:
            case DirectConnectSettled(direct_connect=name, reason=reason):
                self.failed -= {name}
                self.failed |= {name} if reason else set()
            case DirectConnectCreated() as e:
                self.lines.setdefault(e.direct_connect, (e.spoke, e.hub))
            case DirectConnectFailed(direct_connect=name):
                self.down.add(name)
            case DirectConnectRestored(direct_connect=name):
                self.down.discard(name)
            case _:
                pass

    def _created(self, r: Recorded, e: VpcCreated) -> None:
        if e.vpc in self.vpcs:
            return
        self.vpcs[e.vpc] = e
        for other in self.vpcs.values():
            if r.actor == "ipam" and other.vpc != e.vpc and self._meet(e, other):
                self._disjoint(r, e, other)

    def _meet(self, one: VpcCreated, other: VpcCreated) -> bool:
        same_group = one.global_vpc is not None and one.global_vpc == other.global_vpc
        return same_group or one.vrf == other.vrf

    def _check(self, r: Recorded, vpc: str, peer: str) -> None:
        """Whoever is reached from either VRF is disjoint from the other."""
        self.exercised[14] += 1
        for here, there in ((vpc, peer), (peer, vpc)):
            near, far = self.vpcs[here].vrf, self.vpcs[there].vrf
            reached = {near, *(self._other(pair, near) for pair in self.held - self.leaving)} - {"", far}
            for new in (one for one in self.vpcs.values() if one.vrf == far):
                for old in (one for one in self.vpcs.values() if one.vrf in reached):
                    self._disjoint(r, new, old)

    def _other(self, pair: _Pair, vrf: str) -> str:
        vrfs = {self.vpcs[name].vrf for name in pair}
        return next(iter(vrfs - {vrf}), "") if vrf in vrfs else ""

    def _disjoint(self, r: Recorded, one: VpcCreated, other: VpcCreated) -> None:
        if ipaddress.IPv4Network(one.cidr).overlaps(ipaddress.IPv4Network(other.cidr)):
            text = f"{one.vpc} ({one.cidr}) and {other.vpc} ({other.cidr}) can be reached from one VRF, and overlap"
            raise Violation(14, text, position=r.position)

    def check(self, fabric: Fabric) -> None:
        """No border leaks what is not connected. Raises Violation."""
        allowed = {frozenset(self.vpcs[name].vrf for name in pair) for pair in self.held}
        for border in self._borders(fabric):
            for vrf in {one for pair in allowed for one in pair} | {e.vrf for e in self.vpcs.values()}:
                for peer in border.leaks(vrf):
                    self.exercised[14] += 1
                    if frozenset((vrf, peer)) not in allowed:
                        raise Violation(14, f"{border.name} leaks {peer} into {vrf}, which are not connected")

    def check_quiet(self, fabric: Fabric, excused: Container[str] = ()) -> None:
        """Once quiet, borders hold all that is connected, and nothing is half gone. Raises Violation."""
        unanswered = [name for name, (_, count) in self.asked.items() if not count]
        if unanswered:
            raise Violation(8, f"{unanswered[0]} has no answer")
        if self.leaving:
            raise Violation(19, f"{' and '.join(sorted(next(iter(self.leaving))))} are disconnected for ever")
        for border in (one for one in self._borders(fabric) if one.name not in excused):
            for pair in self.held - self.failed:
                one, other = (self.vpcs[name] for name in pair)
                concerned = {one.region, other.region} & {None, border.region}
                if concerned and other.vrf not in border.leaks(one.vrf):
                    raise Violation(21, f"{border.name} does not leak {other.vrf} into {one.vrf}")
            lines = {pair for name, pair in self.lines.items() if name not in self.down and border.region in pair}
            if self.failed.isdisjoint(self.lines) and border.lines() != {
                (set(pair) - {border.region}).pop() for pair in lines
            }:
                raise Violation(
                    21, f"{border.name} has lines to {sorted(border.lines())}, the log says {sorted(lines)}"
                )

    def _borders(self, fabric: Fabric) -> list[BorderDevice]:
        devices = [fabric.device(name) for name in fabric.devices_of("border")]
        return [device for device in devices if isinstance(device, BorderDevice)]
