"""CNC and MACs that move too often (RFC 7432, section 15.1): it learns of them from leaves, and clears them on request.

A leaf is asked after each drift from one leaf pair to another, and with every audit.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    Event,
    InstanceDrifted,
    LeafMacCleared,
    LeafMacClearRequested,
    LeafMacDuplicateDetected,
    MacDuplicate,
)
from workers.effects import AuditLeaf, ClearMac, LookForDuplicates, Result
from workers.leaf_audits import CncState
from workers.worker import Decision, Perform


def drifted(state: CncState, r: Recorded, e: InstanceDrifted) -> Iterable[Decision]:
    """Ask a leaf of the new host, if the drift went from one pair to another."""
    leaves = state.leaves.leaves_of(e.host)
    if state.leaves.newest(e.port) is None or not leaves or set(leaves) == set(state.leaves.leaves_of(e.from_host)):
        return
    known = state.duplicates.known
    yield Perform(LookForDuplicates(device=leaves[0], az=e.az, epoch=r.position, known=known))


def clear(r: Recorded, e: LeafMacClearRequested) -> Iterable[Decision]:
    """The operator's corrective action."""
    yield Perform(ClearMac(device=e.leaf, az=e.az, epoch=r.position, vni=e.vni, mac=e.mac))


def found(effect: AuditLeaf | LookForDuplicates, result: Result) -> Iterable[Event]:
    """What the leaf has found that is not in the log yet."""
    duplicates = tuple(one for one in result.found if isinstance(one, MacDuplicate))
    if duplicates:
        yield LeafMacDuplicateDetected(leaf=effect.device, az=effect.az, duplicates=duplicates)


def cleared(effect: ClearMac, result: Result) -> LeafMacCleared:
    """What came of the corrective action."""
    return LeafMacCleared(leaf=effect.device, az=effect.az, vni=effect.vni, mac=effect.mac, error=result.error)
