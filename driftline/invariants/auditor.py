"""The auditor: all invariants in one place, for property tests, the simulator and ``verify --invariants``.

It keeps books of its own from the log, in the plainest way, and looks at the devices, never at a worker's belief.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from bus.envelope import Recorded
from bus.events import HostDown
from driftline.invariants.blocks import BlockBook
from driftline.invariants.books import Host, Port
from driftline.invariants.devices import Devices
from driftline.invariants.enis import EniRules
from driftline.invariants.folded import Folded
from driftline.invariants.ledger import FORGED, Ledger
from driftline.invariants.operations import Operations
from driftline.invariants.policed import Policed
from driftline.invariants.quiet import Quiet
from driftline.invariants.requests import Requests
from driftline.invariants.stories import Stories
from driftline.invariants.table import Edge, Violation
from driftline.invariants.vpcs import Connections
from workers.devices.simulated.fabric import Fabric

F = TypeVar("F")


class Auditor:
    """Follows one system. Every method raises Violation for the first invariant that does not hold.

    ``exercised``: how often each invariant was put to the test; one that never was shows as 0. ``keep`` the records,
    to rebuild the projections from them once quiet (invariant 7).
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.exercised: Counter[int] = Counter()
        self.edges: Counter[Edge] = Counter()
        self.position = 0
        self._ledger = Ledger(self.exercised)
        self._stories = Stories(self._ledger)
        self._operations = Operations(self._ledger)
        self._requests = Requests(self.exercised)
        self._folded = Folded(self._ledger, self.edges)
        self._devices = Devices(self._stories)
        self._enis = EniRules(self._ledger)
        self._quiet = Quiet(self._stories)
        self._policed = Policed(self._stories)
        self._connections = Connections(self.exercised)
        self._blocks = BlockBook(self._ledger)
        self._records: list[Recorded] | None = [] if keep else None

    @property
    def live(self) -> dict[str, Port]:
        """The ports that are not deleted, by id."""
        return self._ledger.live

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts as they are cabled, by name."""
        return self._ledger.hosts

    @property
    def spawns(self) -> dict[tuple[str, str], Recorded]:
        """All spawn requests, by (instance, correlation)."""
        return self._requests.of("spawn")

    @property
    def deletes(self) -> dict[tuple[str, str], Recorded]:
        """All delete requests, by (instance, correlation)."""
        return self._requests.of("delete")

    @property
    def drifts(self) -> dict[tuple[str, str], Recorded]:
        """All drifts that were asked for, by (instance, correlation)."""
        return self._requests.of("drift")

    @property
    def pending(self) -> int:
        """How many requests have no outcome yet."""
        return len(self._requests.open())

    def excuse(self, device: str) -> None:
        """Somebody lays hands on ``device``: it is not held to anything until all are ``mended``."""
        self._devices.excused.add(device)

    def mended(self) -> None:
        """All devices were compared with the log and repaired: no device is excused any more."""
        self._devices.excused.clear()

    def take(self, records: Sequence[Recorded]) -> None:
        """New records of the log, in order."""
        for r in records:
            try:
                self._take(r)
            except Violation as violation:
                violation.position = violation.position or r.position
                raise
            self.position = r.position
            if self._records is not None:
                self._records.append(r)

    def always(self, fabric: Fabric) -> None:
        """What holds at every moment."""
        self._at_position(self._check_devices, fabric)
        self._at_position(lambda seen: self._enis.check(seen, self._devices.excused), fabric)
        self._at_position(self._connections.check, fabric)

    def once_quiet(self, fabric: Fabric | None) -> None:
        """What holds when all faults have stopped and nothing is under way. Without a fabric: by the log only."""
        self._at_position(self._check_quiet, fabric)

    def once_deleted(self, fabric: Fabric) -> None:
        """Everything was deleted: nothing is left anywhere."""
        self.once_quiet(fabric)
        self.exercised[20] += 1
        for port in sorted(self.live):
            raise Violation(20, "is left", port, self.position)
        left = fabric.leftovers()
        if left:
            raise Violation(20, f"the devices still hold something: {left}", position=self.position)
        self._folded.check_empty()

    def _take(self, r: Recorded) -> None:
        if not r.id.startswith(FORGED):
            self._stories.take(r)
            self._requests.take(r)
            self._enis.take(r)
            self._operations.take(r)
        self._policed.take(r)
        self._connections.take(r)
        self._blocks.take(r)
        touched = self._folded.take(r)
        ports = self._ledger.take(r)
        self.exercised[23] += isinstance(r.event, HostDown) and len(self.live) > len(ports)  # others are not touched
        self._folded.check(r, touched, sorted(ports))

    def _check_devices(self, fabric: Fabric) -> None:
        self._devices.check(fabric)
        self._policed.check(fabric, self._devices.excused)

    def _check_quiet(self, fabric: Fabric | None) -> None:
        self._requests.check_all_answered()
        self._quiet.check_log()
        self._operations.check_quiet()
        self._folded.check_views()
        self._blocks.check_quiet(fabric, self._devices.excused)
        if fabric is not None:
            self._quiet.check_devices(fabric, self._devices.excused)
            self._devices.check(fabric)
            self._policed.check_quiet(fabric, self._devices.excused)
            self._enis.check_quiet(fabric)
            self._connections.check_quiet(fabric, self._devices.excused)
        if self._records is not None:
            self._folded.check_rebuild(self._records)

    def _at_position(self, check: Callable[[F], None], fabric: F) -> None:
        try:
            check(fabric)
        except Violation as violation:
            violation.position = violation.position or self.position
            raise
