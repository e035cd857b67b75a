"""Duplicate MACs that leaves have found (RFC 7432, section 15.1), as far as the log has it."""

from bus.envelope import Recorded
from bus.events import LeafMacDuplicateDetected, MacDuplicate
from projections.fold import NOTHING, Fold, Touched, on


class MacDuplicates(Fold):
    """What was found and said last of each MAC. One that is found again later is another finding."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[int, str], MacDuplicate] = {}

    @property
    def known(self) -> tuple[MacDuplicate, ...]:
        """The newest finding of each MAC, in the order in which they were found first."""
        return tuple(self._known.values())

    @on(LeafMacDuplicateDetected)
    def _detected(self, r: Recorded, e: LeafMacDuplicateDetected) -> tuple[Touched, ...]:
        self._known |= {(one.vni, one.mac): one for one in e.duplicates}
        return NOTHING
