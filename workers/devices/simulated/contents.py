"""What the devices of a fabric hold, told as a whole: their states, a dump of them, and how much is left."""

from collections.abc import Iterable
from typing import Any

import msgspec

from workers.devices.simulated.device import DeviceState
from workers.devices.simulated.host import HostState
from workers.devices.simulated.leaf import LeafState

State = HostState | LeafState | DeviceState


class Leftovers(msgspec.Struct, frozen=True):
    """How much the devices of a fabric hold. All zero once everything has been deleted."""

    vnics: int = 0
    flows: int = 0
    trunk_vlans: int = 0
    leaf_entries: int = 0
    vnis: int = 0
    policies: int = 0
    others: int = 0

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))


def dump_of(states: Iterable[State]) -> dict[str, Any]:
    """``Fabric.dump`` of what the devices hold, without epochs and fences: they say how it came to be, not what it is.

    A device may come in several parts.
    """
    hosts: dict[str, Any] = {}
    leaves: dict[str, Any] = {}
    trunks: dict[str, Any] = {}
    others: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for state in states:
        if isinstance(state, DeviceState):
            others |= {state.device: state.held} if state.held else {}
            continue
        if state.blocks:
            name = state.host if isinstance(state, HostState) else state.leaf
            blocks.setdefault(name, {}).update(msgspec.to_builtins(state.blocks))
        if isinstance(state, HostState):
            if state.vnics or state.flows or state.trunk:
                held = hosts.setdefault(state.host, {"vnics": {}, "flows": {}, "trunk": []})
                held["vnics"] |= msgspec.to_builtins(state.vnics)
                held["flows"] |= msgspec.to_builtins(state.flows)
                held["trunk"] += state.trunk
            if state.policies:
                held = hosts.setdefault(state.host, {"vnics": {}, "flows": {}, "trunk": []})
                held.setdefault("policies", {}).update(msgspec.to_builtins(state.policies))
            continue
        if state.trunk or state.shut:
            trunks[state.leaf] = {"vlans": state.trunk, "shut": state.shut}
        if state.entries:
            interfaces = leaves.setdefault(state.leaf, {})
            for interface, vlan, entry in state.entries:
                interfaces.setdefault(interface, {})[vlan] = msgspec.to_builtins(entry)
    further = {"devices": others, "trunks": trunks, "blocks": blocks}
    return {"hosts": hosts, "leaves": leaves} | {part: held for part, held in further.items() if held}
