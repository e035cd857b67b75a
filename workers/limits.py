"""What hardware limits: a claim is refused before the table of a leaf would overflow."""

from bus.events import CNC
from projections.world import HostRow
from workers.ipam_state import IpamState
from workers.models.model import Refusal, Segment


def fits(state: IpamState, host: HostRow, segment: Segment | Refusal) -> Segment | Refusal:
    """``segment``, unless a claim of it on ``host`` could overflow a leaf: then a refusal that names the leaf."""
    if isinstance(segment, Refusal) or segment.overlay_by != CNC:
        return segment
    leaf = state.capacity.full_leaf(host.host, segment.vlan)
    if leaf is None:
        return segment
    return Refusal("the table of the leaf is full", "leaf", f"{leaf} (capacity {state.capacity.capacity(leaf)})")
