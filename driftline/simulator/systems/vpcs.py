"""VPCs that are created, connected and taken apart, some with addresses of others; and lines between regions."""

import random

import msgspec

from bus.events import (
    AnyEvent,
    AzAdded,
    DirectConnectFailRequested,
    DirectConnectRequested,
    DirectConnectRestoreRequested,
    RegionAdded,
    VpcConnectRequested,
    VpcCreateRequested,
    VpcDisconnectRequested,
)
from driftline.simulator.actions import Crash, SetHabit, Tamper
from driftline.simulator.draft import Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import Place
from workers.devices.simulated.faults import EffectFaults

#: v1 and v2 are in every small world, with one CIDR.
_VPCS = ("v1", "v2", "va", "vb", "vc", "vd")
_CIDRS = ("10.1.0.0/16", "10.2.0.0/16", "172.16.0.0/16", "172.16.128.0/17", "192.168.0.0/24", "10.0.0.0/8")
_LINES = ("dc1", "dc2")
#: Created first, and disjoint; all but the last are disjoint from those of every small world, too.
_FIRST = {"va": "172.16.0.0/16", "vb": "192.168.0.0/24", "vc": "10.1.0.0/16"}
_FITTING = (("va", "vb"), ("va", "vc"), ("vb", "vc"), ("v1", "va"), ("v1", "vb"), ("v2", "va"))
_Pair = tuple[str, str]


def _world(chance: random.Random, place: Place) -> Place:
    """Two more regions, of a zone each."""
    more: tuple[AnyEvent, ...] = (
        RegionAdded(region="r2", kind="public"),
        AzAdded(az="az2", region="r2"),
        RegionAdded(region="r3"),
        AzAdded(az="az3", region="r3"),
    )
    return msgspec.structs.replace(place, events=(*place.events, *more))


def _request(draft: Draft, joined: list[_Pair]) -> AnyEvent:
    """Something about VPCs or lines. ``joined``: pairs that were asked to be connected, and perhaps were."""
    chance = draft.chance
    pick = chance.random()
    if pick < 0.15:
        return VpcCreateRequested(
            vpc=chance.choice(_VPCS[2:]),
            tenant=chance.choice(("t1", "t1", "t2")),
            cidr=chance.choice((*_CIDRS, "10.1.0.1/16", "nonsense")),
            vrf=chance.choice((None, None, "vrf1", "vrf2", "vrfx")),
            region=chance.choice((None, "r1", "r2", "r9")),
            global_vpc=chance.choice((None, "g1")),
        )
    any_pair = (chance.choice(_VPCS), chance.choice(_VPCS))
    if pick < 0.5:
        vpc, peer = chance.choice(_FITTING) if chance.random() < 0.7 else any_pair
        joined.append((vpc, peer))
        return VpcConnectRequested(vpc=vpc, peer=peer)
    if pick < 0.8:
        vpc, peer = chance.choice(joined) if joined and chance.random() < 0.8 else any_pair
        return VpcDisconnectRequested(vpc=vpc, peer=peer)
    line = chance.choice(_LINES)
    if pick < 0.88:
        return DirectConnectRequested(
            direct_connect=line, spoke=chance.choice(("r2", "r3")), hub=chance.choice(("r1", "r1", "r2", "r3"))
        )
    return chance.choice((DirectConnectFailRequested, DirectConnectRestoreRequested))(direct_connect=line)


def _write(draft: Draft) -> None:
    draft.usual(8)
    faults = EffectFaults(latency=0.1, jitter=1.0, fail=0.2, timeout=0.1, late=0.2, lateness=6.0)
    draft.devices(0.0, faults if draft.chance.random() < 0.7 else None)
    draft.bus(0.0, append_s=draft.some(0.01, 0.3), held=0.1, checkpoint_fails=0.2)
    for vpc, cidr in _FIRST.items():
        draft.requests.ask(draft.some(0.1, 0.4), VpcCreateRequested(vpc=vpc, tenant="t1", cidr=cidr), "operator")
    line = DirectConnectRequested(direct_connect=_LINES[0], spoke="r2", hub="r1")
    draft.requests.ask(draft.some(0.1, 0.4), line, "operator")
    fails_s = draft.some(1.0, draft.end_s)
    draft.requests.ask(fails_s, DirectConnectFailRequested(direct_connect=_LINES[0]), "operator")
    restored = DirectConnectRestoreRequested(direct_connect=_LINES[0])
    draft.requests.ask(fails_s + draft.some(0.0, 5.0), restored, "operator")
    joined: list[_Pair] = []
    for at_s in sorted(draft.some(0.5, draft.end_s) for _ in range(draft.chance.randint(25, 60))):
        draft.requests.ask(at_s, _request(draft, joined), "operator")
    for at_s in draft.moments(6):
        draft.faults.append(
            Crash(at_s=at_s, process=draft.chance.choice(("border", "ipam")), down_s=draft.some(0.05, 3.0))
        )
    for at_s in draft.moments(2):
        draft.faults.append(Tamper(at_s=at_s, trick="drop row", pick=draft.chance.random()))
    habit = Habit(on_append=draft.some(0.0, 0.3), on_effect=draft.some(0.0, 0.3), down_s=1.0)
    draft.faults.append(SetHabit(at_s=draft.some(0.0, 5.0), process="border", habit=habit))


THEMES = {"vpcs": Theme(_write, (20.0, 40.0), world=_world)}
