"""CNC's comparison of what each leaf holds with its own database, and the repair of what differs."""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import LeafAudited, LeafAuditRequested, LeafDifference
from projections.leaves import LeafInterfaceRow, Leaves
from projections.mac_duplicates import MacDuplicates
from projections.table_audits import TableAudits
from projections.trunks import Trunks
from workers.effects import AuditLeaf, LeafVlan, Result, WishedEntry
from workers.worker import AUDIT_EVERY_US, Decision, Due, Folds, Now, Perform, State


class CncState(State):
    """CNC's own database."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.leaves, self.trunks, self.duplicates = self.fold(Leaves), self.fold(Trunks), self.fold(MacDuplicates)
        self.audits = self.fold(TableAudits)
        self.watching_since_us = 0


def wish(entry: LeafInterfaceRow) -> LeafVlan:
    """The leaf interface as ``entry`` needs it now."""
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


def due(state: CncState, now: Now) -> Iterable[Due]:
    """The leaves whose last audit, or the start of this process, is AUDIT_EVERY_US ago."""
    state.watching_since_us = state.watching_since_us or now.time_us
    for leaf, az in state.leaves.leaves.items():
        audited_us = state.leaves.audited_us.get(leaf, 0)
        if now.time_us - max(audited_us, state.watching_since_us) >= AUDIT_EVERY_US:
            yield Due(LeafAuditRequested(leaf=leaf, az=az), audited_us)


def decide(state: CncState, r: Recorded, e: LeafAuditRequested | LeafAudited) -> Iterable[Decision]:
    """Look at the leaf; or repair where it still differs from what is needed now."""
    if isinstance(e, LeafAuditRequested):
        wanted = [entry for entry in state.leaves.entries_of_leaf(e.leaf) if entry.needed]
        entries = tuple(sorted(WishedEntry(entry.interface, entry.vlan, entry.vni) for entry in wanted))
        known = state.duplicates.known
        yield Perform(AuditLeaf(device=e.leaf, az=e.az, epoch=r.position, entries=entries, known=known))
        return
    for difference in e.differences:
        repair = _repair(state, r, e, difference)
        if repair is not None:
            yield Perform(repair)


def audited(effect: AuditLeaf, result: Result) -> LeafAudited:
    """What the comparison found."""
    differences = tuple(one for one in result.found if isinstance(one, LeafDifference))
    return LeafAudited(
        leaf=effect.device, az=effect.az, epoch=effect.epoch, differences=differences, error=result.error
    )


def _repair(state: CncState, r: Recorded, e: LeafAudited, difference: LeafDifference) -> LeafVlan | None:
    """The wish that mends ``difference``; None if it is none (any more), or is being mended."""
    entry = state.leaves.entry(e.leaf, difference.interface, difference.vlan)
    if entry is None:
        return None if difference.missing else _removal(e, difference, epoch=r.position)
    if entry.needed and difference.missing and entry.state in ("present", "error"):
        return wish(entry)
    if not entry.needed and not difference.missing and entry.state == "absent":
        return wish(entry)
    return None


def _removal(e: LeafAudited, difference: LeafDifference, epoch: int) -> LeafVlan:
    """What nobody ever asked for goes. Whatever is asked for later has a later epoch."""
    return LeafVlan(
        device=e.leaf,
        az=e.az,
        interface=difference.interface,
        vlan=difference.vlan,
        vni=difference.vni,
        vrf="",
        gateway="",
        epoch=epoch,
        present=False,
    )
