"""Ports of many instances-to-come in one request (2017), decided whole; what is held until its instance is asked for.

The outcome is told before what an atomic request had so far is given back, and each is decided on state: a process that
dies anywhere between finds what is still to be said. A port belongs to the operation whose story it was allocated in.
"""

from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from bus.events import (
    Event,
    InstanceRefused,
    OperationCompleted,
    OperationPortsRequested,
    OperationRefused,
    OperationReleased,
    OperationReleaseRequested,
    PortAllocated,
    PortCreateRequested,
    PortItem,
    PortUnbound,
    RefusedItem,
    port_name,
)
from projections.operations import OperationItemRow, port_of
from workers import claims_of_ports
from workers.claims import claim
from workers.grants import allocate, allocator, find
from workers.ipam_state import IpamState
from workers.models.model import IPAM, Refusal
from workers.worker import Decision, Emit


def requested(state: IpamState, r: Recorded, request: OperationPortsRequested) -> Iterable[Decision]:
    """Every item ends allocated or refused, then the request does; all in one story."""
    row = state.operations.get(request.operation)
    if row is None or row.request != r.correlation:
        yield from _refuse(state, r, request.operation, Refusal("the operation id is in use", "operation", ""))
        return
    if row.state == "pending":
        yield from _decide_items(state, r, request)
    for item in state.operations.items_of(request.operation):
        if item.state == "released":
            yield from _give_back(state, item)


def _decide_items(state: IpamState, r: Recorded, request: OperationPortsRequested) -> Iterable[Decision]:
    had: list[str] = []
    refused: list[RefusedItem] = []
    begun = any(_has(state, r, item) for item in request.items)  # before this process died: it was not hopeless then
    hopeless = _hopeless(state, r, request) if request.atomic and not begun else None
    for item in request.items if hopeless is None else ():
        found = _grant(state, r, request, item, had)
        if isinstance(found, Refusal):
            refused.append(_refused(item, found))
            if request.atomic:
                break
            continue
        had.append(item.instance)
        if found is not None:
            yield Emit(found)
    if hopeless is not None:
        refused.append(hopeless)
    allocated = () if request.atomic and refused else tuple(had)
    outcome = "done" if not refused else "partly" if allocated else "refused"
    yield Emit(
        OperationCompleted(
            operation=request.operation,
            az=request.az,
            outcome=outcome,  # type: ignore[arg-type]  # one of the three
            allocated=allocated,
            refused=tuple(refused),
        )
    )


def _has(state: IpamState, r: Recorded, item: PortItem) -> bool:
    """Whether the item has its port, by this very request."""
    port = state.ports.get(port_of(item.instance))
    return port is not None and port.correlation == r.correlation and not port.unbound


def _hopeless(state: IpamState, r: Recorded, request: OperationPortsRequested) -> RefusedItem | None:
    """The first item that cannot be had even alone: then nothing is allocated in the first place."""
    for item in request.items:
        found = _grant(state, r, request, item, ())
        if isinstance(found, Refusal):
            return _refused(item, found)
    return None


def _grant(
    state: IpamState, r: Recorded, request: OperationPortsRequested, item: PortItem, had: Iterable[str]
) -> PortAllocated | Refusal | None:
    """The port of ``item``, None if it has it already (this process died before its next word), or why not."""
    if item.instance in had:
        return Refusal("the instance is named twice", "instance", item.instance)
    if _has(state, r, item):
        return None
    create = PortCreateRequested(
        port=port_of(item.instance),
        az=request.az,
        host=item.host,
        name=port_name(item.name or item.instance, item.labels),
        instance=item.instance,
        network=item.network,
        label=item.label,
    )
    found = _problem(state, create, item) or find(state, create)
    return found if isinstance(found, Refusal) else allocate(create, found)


def _problem(state: IpamState, create: PortCreateRequested, item: PortItem) -> Refusal | None:
    """What is wrong with an item in itself, or with its instance or host."""
    if state.ports.get(create.port) is not None or state.instances.get(item.instance) is not None:
        return Refusal("the instance exists already, or has a port", "instance", item.instance)
    if create.port in state.ports.gone:
        return Refusal("the instance had a port before; its id is used up", "instance", item.instance)
    if (item.network is None) == (item.label is None):
        return Refusal("exactly one of network and label must be given", "network", item.network or "none")
    host = state.world.hosts.get(item.host)
    if host is not None and host.az != create.az:
        return Refusal(f"the host is in {host.az}, not in {create.az}", "host", item.host)
    if state.hosts.is_down(item.host):
        return Refusal(f"the host is {state.hosts.state(item.host)}", "host", item.host)
    by = allocator(state, create)
    if by != IPAM:
        return Refusal(f"ports of this network are given out by {by}", "network", item.network or str(item.label))
    return None


def _refused(item: PortItem, why: Refusal) -> RefusedItem:
    return RefusedItem(instance=item.instance, reason=why.reason, field=why.field, value=why.value)


def release(state: IpamState, r: Recorded, request: OperationReleaseRequested) -> Iterable[Decision]:
    """All that no instance was asked for before this request goes."""
    if state.operations.get(request.operation) is None:
        yield from _refuse(state, r, request.operation, Refusal("unknown operation", "operation", ""))
        return
    items = state.operations.items_of(request.operation)
    if (request.operation, r.correlation) not in state.operations.answered:
        yield Emit(
            OperationReleased(
                operation=request.operation,
                released=tuple(item.instance for item in items if item.state == "released" and _is_held(state, item)),
                kept=tuple(item.instance for item in items if item.state == "allocated"),
            )
        )
    for item in items:
        if item.state == "released":
            yield from _give_back(state, item)


def spawn_refused(state: IpamState, r: Recorded, refused: InstanceRefused) -> Iterable[Decision]:
    """Its instance will never come: the port that was ready for it goes."""
    row, item = state.instances.get(refused.instance), state.operations.item_of(refused.instance)
    if row is not None and row.state == "refused" and item is not None:
        yield from _give_back(state, item)


def _is_held(state: IpamState, item: OperationItemRow) -> bool:
    port = state.ports.get(item.port)
    row = state.operations.get(item.operation)
    return port is not None and row is not None and port.correlation == row.request and not port.unbound


def _give_back(state: IpamState, item: OperationItemRow) -> Iterable[Decision]:
    port = state.ports.get(item.port)
    if port is not None and _is_held(state, item):
        yield Emit(PortUnbound(**claim(port), vlan=port.vlan, vni=port.vni), port.correlation)
        yield from claims_of_ports.clear(state, port.port)


def _refuse(state: IpamState, r: Recorded, operation: str, why: Refusal) -> Iterable[Decision]:
    if (operation, r.correlation) not in state.operations.answered:
        yield Emit(OperationRefused(operation=operation, reason=why.reason, field=why.field, value=operation))


#: What IPAM decides on here; merged into ``workers.ipam_requests``.
REQUESTS: dict[type[Event], Callable[[IpamState, Recorded, Any], Iterable[Decision]]] = {
    OperationPortsRequested: requested,
    OperationReleaseRequested: release,
    InstanceRefused: spawn_refused,
}
