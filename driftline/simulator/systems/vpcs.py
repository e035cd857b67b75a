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


def _world(chance: random.Random, place: Place) -> Place:
    """Two more regions, of a zone each."""
    more: tuple[AnyEvent, ...] = (
        RegionAdded(region="r2", kind="public"),
        AzAdded(az="az2", region="r2"),
        RegionAdded(region="r3"),
        AzAdded(az="az3", region="r3"),
    )
    return msgspec.structs.replace(place, events=(*place.events, *more))


def _request(draft: Draft) -> AnyEvent:
    chance = draft.chance
    pick, vpc, peer = chance.random(), chance.choice(_VPCS), chance.choice(_VPCS)
    if pick < 0.25:
        return VpcCreateRequested(
            vpc=chance.choice(_VPCS[2:]),
            tenant=chance.choice(("t1", "t1", "t2")),
            cidr=chance.choice((*_CIDRS, "10.1.0.1/16", "nonsense")),
            vrf=chance.choice((None, None, "vrf1", "vrf2", "vrfx")),
            region=chance.choice((None, "r1", "r2", "r9")),
            global_vpc=chance.choice((None, "g1")),
        )
    if pick < 0.55:
        return VpcConnectRequested(vpc=vpc, peer=peer)
    if pick < 0.8:
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
    for at_s in sorted(draft.some(0.5, draft.end_s) for _ in range(draft.chance.randint(25, 60))):
        draft.requests.ask(at_s, _request(draft), "operator")
    for at_s in draft.moments(6):
        draft.faults.append(
            Crash(at_s=at_s, process=draft.chance.choice(("border", "ipam")), down_s=draft.some(0.05, 3.0))
        )
    for at_s in draft.moments(2):
        draft.faults.append(Tamper(at_s=at_s, trick="drop row", pick=draft.chance.random()))
    habit = Habit(on_append=draft.some(0.0, 0.3), on_effect=draft.some(0.0, 0.3), down_s=1.0)
    draft.faults.append(SetHabit(at_s=draft.some(0.0, 5.0), process="border", habit=habit))


THEMES = {"vpcs": Theme(_write, (20.0, 40.0), world=_world)}
