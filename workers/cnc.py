"""CNC, the SDN controller: keeps its own record of each port and configures leaf interfaces if needed (steps 4, 10–12).

"If needed" is a reference count per (leaf, interface, VLAN): the first port bound through it has it configured, the
last one to leave has it removed. Both leaves of the host's pair must have acknowledged before a plane is reported.
A host that is down is fenced: everything is removed from its interfaces, whatever is bound through them, and where
there are provider networks the interfaces are shut (``leaf_trunks``).
"""

from collections.abc import Iterable
from typing import TypedDict

from bus.envelope import Recorded
from bus.events import (
    DeviceAudited,
    DeviceAuditRequested,
    Event,
    HostDown,
    HostFenced,
    HostResynced,
    HostUp,
    InstanceDrifted,
    LeafAdded,
    LeafAudited,
    LeafAuditRequested,
    LeafInterfaceShut,
    LeafMacCleared,
    LeafMacClearRequested,
    LeafMacDuplicateDetected,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    LeafVlanRemoved,
    NetworkCreated,
    PortAllocated,
    PortBound,
    PortOverlayRemoved,
    PortOverlayReported,
    PortRegistered,
    PortUnbound,
)
from projections.leaves import CncPort
from workers import leaf_audits, leaf_trunks, mac_duplicates, table_audits
from workers.claims import claim
from workers.effects import (
    AnyEffect,
    AuditLeaf,
    AuditTable,
    ClearMac,
    LeafVlan,
    LookForDuplicates,
    Result,
    ShutInterface,
    TrunkVlan,
)
from workers.leaf_audits import CncState, wish
from workers.worker import Decision, Due, Emit, Now, Perform, Worker

#: Every host hangs on a pair.
LEAVES_OF_A_HOST = 2


class _Entry(TypedDict):
    leaf: str
    az: str
    interface: str
    vlan: int
    vni: int
    epoch: int


def decide(state: CncState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the port, leaf interface or host that ``r`` concerns."""
    match r.event:
        case PortAllocated(port=name):
            return _allocated(state.leaves.newest(name))
        case PortBound() | PortUnbound() as e:
            return _need_changed(state, state.leaves.claims.get((e.port, e.generation)), e.host)
        case LeafVlanAdded() | LeafVlanRemoved() | LeafVlanFailed() as answer:
            return _leaf_answered(state, r, answer)
        case HostDown(host=host):
            return [*leaf_trunks.decide(state.trunks, r), *_host_changed(state, host)]
        case HostUp(host=host):
            return _host_changed(state, host)
        case _:
            return _of_leaves(state, r)


def _of_leaves(state: CncState, r: Recorded) -> Iterable[Decision]:
    """What concerns leaves as a whole, or the MACs that they have learnt."""
    match r.event:
        case LeafInterfaceShut() as e:
            return _fenced(state, state.trunks.host_on(e.leaf, e.interface))
        case NetworkCreated() | LeafAdded() | HostResynced() | DeviceAuditRequested() | DeviceAudited():
            return leaf_trunks.decide(state.trunks, r)
        case LeafAuditRequested() | LeafAudited() as e:
            return leaf_audits.decide(state, r, e)
        case InstanceDrifted() as e:
            return mac_duplicates.drifted(state, r, e)
        case LeafMacClearRequested() as e:
            return mac_duplicates.clear(r, e)
        case _:
            return ()


def _allocated(port: CncPort | None) -> Iterable[Decision]:
    if port is not None and not port.registered:
        yield Emit(PortRegistered(port=port.port, az=port.az, host=port.host))


def _host_changed(state: CncState, host: str) -> Iterable[Decision]:
    """All of the host's interfaces are to be brought to what is needed now: nothing, if it is down."""
    for entry in state.leaves.entries_of_host(host):
        if entry.state in ("adding", "removing"):
            yield Perform(wish(entry))
    yield from _fenced(state, host)


def _fenced(state: CncState, host: str) -> Iterable[Decision]:
    """The host is cut off once no leaf carries anything for it."""
    epoch, az = state.leaves.down_since(host), state.leaves.az_of(host)
    if not epoch or not az or state.leaves.fenced.get(host) == epoch:
        return
    absent = all(entry.state == "absent" for entry in state.leaves.entries_of_host(host))
    if absent and state.trunks.is_cut_off(host):
        yield Emit(HostFenced(host=host, az=az, epoch=epoch))


def _need_changed(state: CncState, port: CncPort | None, host: str) -> Iterable[Decision]:
    if port is None or port.host != host:
        return ()
    entries = state.leaves.entries(port)
    decisions: list[Decision] = [
        Perform(wish(entry), port.correlation)
        for entry in entries
        if entry.state not in ("present", "absent")  # the device is to be brought to what is needed now
    ]
    concerned = {port.key: port}
    for entry in entries:
        if entry.ports == 1:  # needed again: whoever waited for it to go need wait no longer
            concerned |= {p.key: p for p in state.leaves.waiting(entry.leaf, entry.interface, entry.vlan)}
    for waiter in concerned.values():
        decisions += _report(state, waiter, configured_us=0)
    return decisions


def _leaf_answered(state: CncState, r: Recorded, answer: LeafVlanEvent) -> Iterable[Decision]:
    decisions: list[Decision] = []
    for port in state.leaves.waiting(answer.leaf, answer.interface, answer.vlan):
        decisions += _report(state, port, configured_us=r.time_us)
        if isinstance(answer, LeafVlanFailed) and port.leaving:
            decisions += [Perform(wish(e), port.correlation) for e in state.leaves.entries(port) if not e.lets_go]
    decisions += _fenced(state, state.leaves.host_on(answer.leaf, answer.interface))
    return decisions


def _report(state: CncState, port: CncPort, configured_us: int) -> list[Decision]:
    """The port's overlay report, if its leaves allow one now."""
    entries = state.leaves.entries(port)
    report: Event | None = None
    if port.leaving:
        if all(entry.lets_go for entry in entries):  # what others need stays, what nobody needs must be gone
            report = PortOverlayRemoved(**claim(port))
    elif port.bound and port.reported != "ACTIVE":
        failed = next((entry for entry in entries if entry.state == "error"), None)
        if failed is None and len(entries) == LEAVES_OF_A_HOST and all(entry.state == "present" for entry in entries):
            report = PortOverlayReported(**claim(port), status="ACTIVE", configured_us=configured_us)
        elif failed is not None and not port.reported:
            reason = f"leaf {failed.leaf} interface {failed.interface} VLAN {failed.vlan}: {failed.reason}"
            report = PortOverlayReported(**claim(port), status="ERROR", reason=reason)
    return [] if report is None else [Emit(report, port.correlation)]


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What a leaf acknowledged or refused."""
    match effect:
        case AuditTable():
            return (table_audits.audited(effect, result),)
        case AuditLeaf():
            return (leaf_audits.audited(effect, result), *mac_duplicates.found(effect, result))
        case LookForDuplicates():
            return mac_duplicates.found(effect, result)
        case ClearMac():
            return (mac_duplicates.cleared(effect, result),)
        case TrunkVlan() | ShutInterface():
            return leaf_trunks.settle(effect)
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


def due(state: CncState, now: Now) -> Iterable[Due]:
    """Leaves that were not compared with CNC's database for long."""
    return (*leaf_audits.due(state, now), *leaf_trunks.due(state, now))


WORKER = Worker(
    name="cnc",
    state=CncState,
    inputs=frozenset(
        {
            *(PortAllocated, PortBound, PortUnbound, LeafVlanAdded, LeafVlanRemoved, LeafVlanFailed),
            *(HostDown, HostUp, LeafAuditRequested, LeafAudited),
            *(NetworkCreated, LeafAdded, HostResynced, LeafInterfaceShut),
            *(InstanceDrifted, LeafMacClearRequested),
            *(DeviceAuditRequested, DeviceAudited),
        }
    ),
    says=frozenset(
        {HostFenced, LeafMacCleared, LeafMacDuplicateDetected, PortOverlayRemoved, PortOverlayReported, PortRegistered}
    ),
    decide=decide,
    settle=settle,
    due=due,
)
