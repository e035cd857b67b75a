"""Containers and limits: ports in bulk while pools run dry and IPAM dies; leaves with tables of a few entries."""

import random

import msgspec

from bus.events import LeafAdded, OperationPortsRequested, OperationReleaseRequested, PortItem, SpawnRequested
from driftline.simulator.actions import Crash, SetHabit
from driftline.simulator.draft import DRIFTING, USUAL, Draft
from driftline.simulator.process import Habit
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import AZ, Place

_SOURCES = ({"label": "prod"}, {"label": "prod"}, {"label": "test"}, {"network": "n1"}, {"network": "n3"})
_WRONG = ({"label": "none"}, {"network": "n9"}, {"network": "n1", "label": "prod"})


def _bulk(draft: Draft) -> None:
    """Operations of up to eight ports amid spawns; some of their instances come, the rest is released or stays."""
    draft.usual(8)
    draft.devices(0.0)
    for number, at_s in enumerate(draft.moments(5), start=1):
        _operation(draft, f"op{number}", at_s)
        for moment_s in (at_s + draft.some(0.0, 0.05), at_s + draft.some(0.0, 1.0)):
            draft.faults.append(Crash(at_s=moment_s, process="ipam", down_s=draft.some(0.05, 2.0)))
    habit = Habit(on_append=draft.some(0.0, 0.5), on_effect=0.0, down_s=draft.some(0.05, 1.0))
    draft.faults.append(SetHabit(at_s=0.0, process="ipam", habit=habit))
    draft.bus(0.0, append_s=draft.some(0.0, 0.3), unacknowledged=draft.some(0.0, 0.2), checkpoint_fails=0.3)


def _operation(draft: Draft, name: str, at_s: float) -> None:
    chance = draft.chance
    items = []
    for number in range(chance.randint(1, 8)):
        where = chance.choice(_WRONG if chance.random() < 0.05 else _SOURCES)
        items.append(PortItem(instance=f"{name}-{number}", host=chance.choice(draft.place.hosts), **where))  # type: ignore[arg-type]
    event = OperationPortsRequested(operation=name, az=AZ, atomic=chance.random() < 0.5, items=tuple(items))
    draft.requests.ask(at_s, event)
    for item in items:
        if chance.random() < 0.4:
            later_s = at_s + draft.some(0.0, 6.0)
            spawn = SpawnRequested(
                instance=item.instance, name=item.instance, az=AZ, network=item.network, label=item.label
            )
            draft.requests.ask(later_s, spawn)
            draft.requests.spawned[item.instance] = later_s
    draft.requests.ask(at_s + draft.some(0.0, 8.0), OperationReleaseRequested(operation=name))


def _tables(draft: Draft) -> None:
    """Spawns and drifts between leaves whose tables are full."""
    draft.usual(18, USUAL | DRIFTING)
    draft.devices(0.0)
    draft.crashes(6)
    _operation(draft, "op1", draft.some(2.0, draft.end_s))


def _small_leaves(chance: random.Random, place: Place) -> Place:
    events = [
        msgspec.structs.replace(event, capacity=chance.randint(2, 4)) if isinstance(event, LeafAdded) else event
        for event in place.events
    ]
    return msgspec.structs.replace(place, events=tuple(events))


THEMES = {
    "bulk": Theme(_bulk, tight=True),
    "leaf tables": Theme(_tables, world=_small_leaves),
}
