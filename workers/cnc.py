"""CNC, the SDN controller: keeps its own record of each port and configures leaf interfaces if needed (steps 4, 10–12).

"If needed" is a reference count per (leaf, interface, VLAN): the first port bound through it has it configured, the
last one to leave has it removed. Both leaves of the host's pair must have acknowledged before a plane is reported.
"""

from collections.abc import Iterable
from typing import TypedDict

from bus.envelope import Recorded
from bus.events import (
    Event,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    LeafVlanRemoved,
    PortAllocated,
    PortBound,
    PortOverlayRemoved,
    PortOverlayReported,
    PortRegistered,
    PortUnbound,
)
from projections.leaves import CncPort, LeafInterfaceRow, Leaves
from workers.claims import claim
from workers.effects import AnyEffect, LeafVlan, Result
from workers.worker import Decision, Emit, Perform, State, Worker

#: Every host hangs on a pair.
LEAVES_OF_A_HOST = 2


class _Entry(TypedDict):
    leaf: str
    az: str
    interface: str
    vlan: int
    vni: int
    epoch: int


class CncState(State):
    """CNC's own database."""

    def __init__(self) -> None:
        self.leaves = Leaves()
        super().__init__(self.leaves)


def decide(state: CncState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the port or leaf interface that ``r`` concerns."""
    match r.event:
        case PortAllocated(port=name):
            port = state.leaves.ports.get(name)
            if port is None or port.registered:
                return ()
            return (Emit(PortRegistered(port=port.port, az=port.az, host=port.host)),)
        case PortBound(port=name) | PortUnbound(port=name):
            port = state.leaves.ports.get(name)
            return () if port is None else _need_changed(state, port)
        case LeafVlanAdded() | LeafVlanRemoved() | LeafVlanFailed() as answer:
            return _leaf_answered(state, r, answer)
        case _:
            return ()


def _need_changed(state: CncState, port: CncPort) -> Iterable[Decision]:
    entries = state.leaves.entries(port)
    decisions: list[Decision] = [
        Perform(_wish(entry), port.correlation)
        for entry in entries
        if entry.state != "present"  # adding, removing or failed: the device is to be brought to what is needed now
    ]
    concerned = {port.port: port}
    for entry in entries:
        if entry.ports == 1:  # needed again: whoever waited for it to go need wait no longer
            concerned |= {p.port: p for p in state.leaves.waiting(entry.leaf, entry.interface, entry.vlan)}
    for waiter in concerned.values():
        decisions += _report(state, waiter, configured_us=0)
    return decisions


def _leaf_answered(state: CncState, r: Recorded, answer: LeafVlanEvent) -> Iterable[Decision]:
    decisions: list[Decision] = []
    for port in state.leaves.waiting(answer.leaf, answer.interface, answer.vlan):
        decisions += _report(state, port, configured_us=r.time_us)
        if isinstance(answer, LeafVlanFailed) and port.leaving:
            decisions += [Perform(_wish(e), port.correlation) for e in state.leaves.entries(port) if not e.needed]
    return decisions


def _report(state: CncState, port: CncPort, configured_us: int) -> list[Decision]:
    """The port's overlay report, if its leaves allow one now."""
    entries = state.leaves.entries(port)
    if port.leaving:
        if all(entry.needed for entry in entries):  # what others need stays, what nobody needs must be gone
            return [Emit(PortOverlayRemoved(**claim(port)), port.correlation)]
        return []
    if not port.bound or port.reported:
        return []
    failed = next((entry for entry in entries if entry.state == "error"), None)
    if failed is not None:
        reason = f"leaf {failed.leaf} interface {failed.interface} VLAN {failed.vlan}: {failed.reason}"
        return [Emit(PortOverlayReported(**claim(port), status="ERROR", reason=reason), port.correlation)]
    if len(entries) == LEAVES_OF_A_HOST and all(entry.state == "present" for entry in entries):
        report = PortOverlayReported(**claim(port), status="ACTIVE", configured_us=configured_us)
        return [Emit(report, port.correlation)]
    return []


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What a leaf acknowledged or refused."""
    if not isinstance(effect, LeafVlan):
        raise TypeError(f"CNC did not ask for {effect}")
    entry: _Entry = {
        "leaf": effect.device,
        "az": effect.az,
        "interface": effect.interface,
        "vlan": effect.vlan,
        "vni": effect.vni,
        "epoch": effect.epoch,
    }
    if result.error:
        return (LeafVlanFailed(**entry, reason=result.error),)
    return (LeafVlanAdded(**entry) if effect.present else LeafVlanRemoved(**entry),)


def _wish(entry: LeafInterfaceRow) -> LeafVlan:
    return LeafVlan(
        device=entry.leaf,
        az=entry.az,
        interface=entry.interface,
        vlan=entry.vlan,
        vni=entry.vni,
        vrf=entry.vrf,
        gateway=entry.gateway,
        epoch=entry.epoch,
        present=entry.needed,
    )


WORKER = Worker(
    name="cnc",
    state=CncState,
    inputs=frozenset({PortAllocated, PortBound, PortUnbound, LeafVlanAdded, LeafVlanRemoved, LeafVlanFailed}),
    decide=decide,
    settle=settle,
)
