"""Bare metal beside servers: no agent, no flows, no drift."""

import random

import msgspec

from bus.events import BARE_METAL, HostAdded
from driftline.simulator.actions import SetHabit, SetHands
from driftline.simulator.draft import USUAL, Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import AZ, PAIRS, Place
from workers.devices.simulated.faults import EffectFaults


def _world(chance: random.Random, place: Place) -> Place:
    """One more host on each leaf pair, of bare metal."""
    metal = [
        HostAdded(host=f"b{number}", az=AZ, leaf_a=a, leaf_b=b, interface=f"b{number}", capacity=1, kind=BARE_METAL)
        for number, (a, b) in enumerate(PAIRS, start=1)
    ]
    names = tuple(event.host for event in metal)
    return msgspec.structs.replace(
        place, events=(*place.events, *metal), hosts=(*place.hosts, *names), bare=(*place.bare, *names)
    )


def _bare_metal(draft: Draft) -> None:
    """Hosts of bare metal are wanted, given back, fail and return; drifts of what is on them are refused.

    Whoever sets their NICs dies now and then, in the middle of it.
    """
    draft.devices(0.0, EffectFaults(latency=0.3, jitter=1.0, fail=0.1, late=0.1, lateness=5.0))
    draft.faults.append(SetHands(at_s=0.0, unavailable=0.02, leftovers=0.9))
    for process in (name for name in draft.processes if name.startswith("compute")):
        draft.faults.append(SetHabit(at_s=2.0, process=process, habit=Habit(on_append=0.1, on_effect=0.1, down_s=1.0)))
    draft.requests.mixed(0.5, 3.0, 3, {"bare": 1.0})
    draft.usual(16, USUAL | {"bare": 8.0, "delete": 6.0})
    draft.crashes(4)
    for host in draft.place.bare:
        at_s = draft.some(4.0, draft.end_s / 2)
        if draft.chance.random() < 0.5:
            draft.power(at_s, power_off=(host,))
            draft.power(at_s + draft.some(2.0, 60.0), power_on=(host,))
        draft.requests.fail_host(at_s + draft.some(0.0, 5.0), host)
        draft.requests.return_host(at_s + draft.some(10.0, 60.0), host)


THEMES = {"bare metal": Theme(_bare_metal, (90.0, 180.0), world=_world)}
