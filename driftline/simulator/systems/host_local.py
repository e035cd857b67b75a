"""Host-local addresses: blocks that run out and go back, hosts that die with theirs, and the host's own IPAM killed."""

import random

import msgspec

from bus.events import HostBlockReleaseRequested, NetworkCreated, SubnetCreated
from driftline.simulator.actions import Crash, SetHabit, Tamper
from driftline.simulator.draft import DRIFTING, USUAL, Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import AZ, Place
from workers.devices.simulated.faults import EffectFaults

#: Where blocks come from: two, four or eight of /29, so that they run out or do not.
_SUBNETS = ("10.0.64.0/28", "10.0.64.0/27", "10.0.64.0/26")
_SUBNETS_OF_LABEL = ("10.0.72.0/28", "10.0.72.0/26")


def _world(chance: random.Random, place: Place) -> Place:
    """A network of either mode, beside those of EVPN; what is asked for by label runs out as well."""
    facts = (
        NetworkCreated(network="hv", vpc="v1", model="host-local-vxlan", block_length=29),
        SubnetCreated(subnet="shv", network="hv", cidr=chance.choice(_SUBNETS), gateway="10.0.64.1"),
        NetworkCreated(network="hb", vpc="v1", model="host-local-bgp", block_length=29, labels=("pods",)),
        SubnetCreated(subnet="shb", network="hb", cidr=chance.choice(_SUBNETS_OF_LABEL), gateway="10.0.72.5"),
    )
    return msgspec.structs.replace(
        place, events=(*place.events, *facts), networks=("hv", "hv", "hb", "hb", *place.networks[:1])
    )


def _write(draft: Draft) -> None:
    chance = draft.chance
    for at_s in draft.moments(12):  # first, so that what drifts and is deleted afterwards is theirs
        network = chance.choice(("hv", "hb", None))
        draft.requests.spawn(at_s, network=network, label=None if network else "pods")
    draft.usual(16, USUAL | DRIFTING)
    draft.devices(0.0, EffectFaults(latency=draft.some(0.0, 0.4), jitter=1.0, fail=draft.some(0.0, 0.2), late=0.1))
    draft.bus(0.0, append_s=draft.some(0.01, 0.2), follow_s=draft.some(0.01, 0.3))
    for _ in range(8):
        cidr = f"10.0.{chance.choice((64, 72))}.{8 * chance.randint(0, 3)}/29"
        release = HostBlockReleaseRequested(host=chance.choice(draft.place.hosts), az=AZ, cidr=cidr)
        draft.requests.ask(draft.some(1.0, draft.end_s), release, "operator")
    for at_s in draft.moments(6):
        process = chance.choice(("block-routes", "ipam"))
        draft.faults.append(Crash(at_s=at_s, process=process, down_s=draft.some(0.05, 3.0)))
    draft.crashes(chance.choice((0, 8)))
    for at_s in draft.moments(2):
        draft.faults.append(Tamper(at_s=at_s, trick="drop row", pick=draft.chance.random()))
    habit = Habit(on_append=draft.some(0.0, 0.3), on_effect=0.0, down_s=1.0)
    for process in (name for name in draft.processes if name.startswith("host-ipam")):
        draft.faults.append(SetHabit(at_s=draft.some(0.0, 5.0), process=process, habit=habit))


THEMES = {"host-local": Theme(_write, (20.0, 40.0), world=_world)}
