"""A spawn whose port is there already, made by an operation (``workers.bulk``): it goes to the port's host."""

from bus.events import SpawnRequested, port_name
from workers.nova_state import NovaState


def host(state: NovaState, request: SpawnRequested) -> str | None:
    """The host that the request is pinned to: its port's, if it has one."""
    item = state.operations.item_of(request.instance)
    return request.host if item is None else item.host


def problem(state: NovaState, request: SpawnRequested) -> tuple[str, str, str] | None:
    """(reason, field, value) if the request is not for the port that was made for it."""
    item = state.operations.item_of(request.instance)
    if item is None:
        return None
    if item.state == "pending":
        return f"its port is still being made by operation {item.operation}", "instance", request.instance
    if item.state != "allocated":
        return f"operation {item.operation} gave its port back: take another id", "instance", request.instance
    if request.host not in (None, item.host):
        return f"its port is on host {item.host}", "host", str(request.host)
    if request.network not in (None, item.network):
        return f"its port is of network {item.network}", "network", str(request.network)
    if request.label is not None and request.label not in state.world.networks[item.network].labels:
        return f"its port is of network {item.network}, which has no such label", "label", request.label
    if port_name(request.name, request.labels) != item.name:
        return f"its port is named {item.name}", "name", port_name(request.name, request.labels)
    return None
