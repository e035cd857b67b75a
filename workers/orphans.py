"""Garbage collection of ports that nobody owns, and of their addresses: two looks, a grace period (invariant 13)."""

from collections.abc import Iterable

from bus.events import PortOrphanSeen
from projections.instances import ENDED
from projections.port_rows import PortRow
from workers.ipam_state import IpamState
from workers.worker import Due, Now

#: How often to look, and how long nobody may have reported on the port between two looks, microseconds.
LOOK_EVERY_US = 60_000_000
GRACE_US = 300_000_000
LAST_LOOK = 2


def is_orphan(state: IpamState, port: PortRow) -> bool:
    """Whether no instance that lives, or is still being taken down, owns the port, and no operation holds it."""
    instance = state.instances.get(port.instance)
    if instance is None:
        return not state.operations.holds(port.instance)
    return instance.cleaned or instance.state in ENDED


def is_unclaimed(state: IpamState, port: PortRow, now_us: int) -> bool:
    """Whether the port may go: an orphan since the first look, a grace period ago, and nobody has reported on it."""
    return is_orphan(state, port) and bool(port.orphan_seen_us) and now_us - port.orphan_seen_us >= GRACE_US


def orphans(state: IpamState, now: Now) -> Iterable[Due]:
    """Ports to look at: not before GRACE_US after the last report on them, and then once more after as long."""
    if now.time_us - state.looked_us < LOOK_EVERY_US:
        return
    state.looked_us = now.time_us
    for port in state.ports.tables["ports"].values():
        if port.unbound or not is_orphan(state, port):
            continue
        if not port.orphan_seen_us and now.time_us - port.changed_us >= GRACE_US:
            yield Due(_seen(port, 1), port.changed_us)
        elif port.orphan_seen_us and now.time_us - port.orphan_seen_us >= GRACE_US:
            yield Due(_seen(port, LAST_LOOK), port.orphan_seen_us)


def _seen(port: PortRow, look: int) -> PortOrphanSeen:
    return PortOrphanSeen(
        port=port.port,
        az=port.az,
        host=port.host,
        generation=port.generation,
        look=look,  # type: ignore[arg-type]  # 1 or LAST_LOOK
    )
