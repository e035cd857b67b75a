"""What the auditor writes down of ports and hosts, in the plainest way and without the folds of ``projections``."""

from bus.events import (
    BARE_METAL,
    HostAdded,
    HostDown,
    HostFenced,
    HostResynced,
    HostReturned,
    HostUp,
    PortBound,
    PortClaim,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortPolicyReported,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    physical_network,
)

#: (leaf, interface, VLAN)
EntryKey = tuple[str, str, int]


class Claim:
    """One claim of a port by a host, from when it was granted until nothing of it is left."""

    def __init__(self, event: PortClaim, position: int) -> None:
        self.event, self.position = event, position
        self.port, self.host, self.generation = event.port, event.host, event.generation
        self.underlay = self.overlay = self.policy = ""
        self.policy_revision = 0
        self.reason = ""
        self.bound = self.placed = self.over = self.plugged = False
        self.over_at = 0
        self.unplugged = self.underlay_removed = self.overlay_removed = False
        self.was_usable = False

    @property
    def pair(self) -> str:
        """Figure 8: UNDERLAY_OVERLAY."""
        e = self.event
        removed = self.unplugged or self.underlay_removed
        underlay = _status(e.underlay_by, self.underlay, self.bound, removed)
        if e.policy_by and not removed and underlay != "ERROR" and self.policy != "ACTIVE":
            underlay = self.policy or "DOWN"  # closed until its policy is in place
        return f"{underlay}_{_status(e.overlay_by, self.overlay, self.bound, self.overlay_removed)}"

    @property
    def host_is_clear(self) -> bool:
        """Whether the host has said that nothing of the claim is left on it."""
        return self.underlay_removed if self.event.underlay_by else self.unplugged

    @property
    def leaves_are_clear(self) -> bool:
        """Whether whoever makes the overlay has said that nothing of the claim is left there."""
        return self.overlay_removed or not self.event.overlay_by

    @property
    def usable(self) -> bool:
        """Invariant 4."""
        return self.bound and self.pair == "ACTIVE_ACTIVE"

    def take(self, e: PortEvent, position: int) -> None:
        """Note what ``e``, which speaks of this claim, says."""
        match e:
            case PortBound():
                self.bound = not self.over
                self.placed = self.placed or self.bound
            case PortUnbound():
                self.bound = False
                self.end(position)
            case PortUnplugged():
                self.unplugged = True
            case PortUnderlayRemoved():
                self.underlay_removed = True
            case PortOverlayRemoved():
                self.overlay_removed = True
            case _:
                self._report(e)
        self.was_usable = self.was_usable or self.usable

    def end(self, position: int) -> None:
        """The claim is over."""
        self.over, self.over_at = True, self.over_at or position

    def host_died(self, host: str) -> None:
        """What its host and leaves said is not so any more."""
        self.underlay, self.overlay, self.reason = "ERROR", "", f"host {host} is down"
        self.policy, self.plugged = "", False

    def host_is_back(self) -> None:
        """It is to be wired again."""
        self.underlay = self.reason = ""

    def _report(self, e: PortEvent) -> None:
        match e:
            case PortPlugged():  # one that says again what was said makes nothing good
                if self.underlay == "ERROR" and not self.plugged:
                    self.underlay, self.reason = "", self._why(self.overlay, self.policy)
                self.plugged = True
            case PortPlugFailed():
                self.underlay, self.reason = "ERROR", e.reason
            case PortUnderlayReported() if not self.underlay_removed:
                self.underlay, self.reason = e.status, e.reason or self._why(self.overlay, self.policy)
            case PortOverlayReported() if not self.overlay_removed:
                self.overlay, self.reason = e.status, e.reason or self._why(self.underlay, self.policy)
            case PortPolicyReported() if self._tells_policy(e):
                self.policy, self.policy_revision = e.status, e.revision
                self.reason = e.reason or self._why(self.underlay, self.overlay)
            case _:
                pass

    def _tells_policy(self, e: PortPolicyReported) -> bool:
        """Whether the report is news: of a port under enforcement, and not of an older revision."""
        news = (e.status, e.revision) != (self.policy, self.policy_revision) and e.revision >= self.policy_revision
        return bool(self.event.policy_by) and not self.unplugged and news

    def _why(self, *others: str) -> str:
        """The reason that is still to be told: that of what is in error and the report was not about."""
        return self.reason if "ERROR" in others else ""


class Port:
    """A port that is not deleted: its newest claim, and those that are over and not cleared."""

    def __init__(self, first: Claim) -> None:
        self.identity = first.event
        self.current = first
        self.claims: dict[int, Claim] = {first.generation: first}
        self.first_look_us = 0

    def claim_of(self, e: PortEvent) -> Claim | None:
        """The claim that ``e`` speaks of."""
        claim = self.claims.get(getattr(e, "generation", self.current.generation))
        return claim if claim is not None and claim.host == e.host else None


class Host:
    """A host as it is cabled, and what the log says of its life."""

    def __init__(self, e: HostAdded) -> None:
        self.name, self.interface, self.leaves = e.host, e.interface, (e.leaf_a, e.leaf_b)
        self.pair, self.is_bare = physical_network(e.leaf_a, e.leaf_b), e.kind == BARE_METAL
        self.az, self.instance_type = e.az, e.instance_type
        self.state = "up"
        self.epoch = self.resynced = 0
        self.fenced = self.has_returned = False

    @property
    def is_up(self) -> bool:
        """Whether it was not declared dead, or has been cleaned since."""
        return self.state == "up"

    def entries(self, vlan: int) -> tuple[EntryKey, ...]:
        """What the leaves carry for a port on this host."""
        return tuple((leaf, self.interface, vlan) for leaf in self.leaves)

    def take(self, e: HostDown | HostFenced | HostReturned | HostResynced | HostUp, position: int) -> bool:
        """Note what became of the host. Returns whether what is on it changed with it."""
        match e:
            case HostDown() if self.state != "down":
                self.state, self.epoch, self.fenced = "down", position, False
                return True
            case HostFenced() if self.state == "down" and e.epoch == self.epoch:
                self.fenced = True
            case HostReturned() if self.state == "down":
                self.state, self.epoch = "returned", position
            case HostResynced() if self.state == "returned" and e.epoch == self.epoch:
                self.resynced = e.epoch
            case HostUp() if self.state != "down":
                came_back, self.state, self.fenced = self.state != "up", "up", False
                self.has_returned = self.has_returned or came_back
                return came_back
            case _:
                pass
        return False


def _status(by: str, report: str, bound: bool, removed: bool) -> str:
    if removed:
        return "DOWN"
    if not report:
        return "DOWN" if by else "ACTIVE"
    return report if bound or report == "ERROR" else "DOWN"
