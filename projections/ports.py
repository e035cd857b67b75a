"""Ports: who they are, where they are bound, and the state of their two planes (Figure 8).

A report counts only for the host and generation of the current claim, and only once the port is bound (Figure 10:
steps 7–8 run beside 9–12, so an underlay report may come first; it is kept until then).

A claim that is over (Figure 11) is kept beside the port until nothing of it is left anywhere.
"""

from collections.abc import Callable

from bus.envelope import Recorded
from bus.events import (
    HostDown,
    HostResynced,
    HostReturned,
    HostUp,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaim,
    PortClaimCleared,
    PortClaimed,
    PortClaimRefused,
    PortDeleted,
    PortDeleteRequested,
    PortEvent,
    PortOrphanSeen,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortPolicyReported,
    PortRefused,
    PortRegistered,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.fold import NOTHING, Fold, Key, Table, Touched, on
from projections.port_planes import OF_PLANES, enforced, plane, still
from projections.port_rows import PortRow, StaleClaimRow, claimed_port


class Ports(Fold):
    """All ports that are not deleted, by id; ``gone`` are the ids that will never come back."""

    TABLES = (Table("ports", PortRow, ("port",)), Table("stale_claims", StaleClaimRow, ("port", "generation")))

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, PortRow] = self.tables["ports"]
        self._stale: dict[Key, StaleClaimRow] = self.tables["stale_claims"]
        self._stale_of: dict[str, list[int]] = {}
        self._on_host: dict[str, dict[str, None]] = {}
        #: By port: the ids of the requests for a claim that have their answer.
        self._answered: dict[str, set[str]] = {}
        #: Nearly always one, for which a tuple takes a quarter of what a dict would.
        self._of_instance: dict[str, tuple[str, ...]] = {}
        self._down: set[str] = set()
        self._returned: set[str] = set()
        #: For a host's own agent: the newest claim of each port that has left the host.
        self._over: dict[str, int] = {}
        self.by_name: dict[str, str] = {}
        self.gone: set[str] = set()

    def get(self, port: str) -> PortRow | None:
        """The port, None if it does not exist or not any more."""
        return self._rows.get((port,))

    def has_answered(self, port: str, request: str) -> bool:
        """Whether the request for a claim of ``port`` with this id was granted or refused."""
        return request in self._answered.get(port, ())

    def current(self, event: PortEvent) -> PortRow | None:
        """The port that ``event`` speaks of, None unless its host and generation are those of the current claim."""
        row = self._rows.get((event.port,))
        if row is None or row.host != event.host or row.generation != getattr(event, "generation", row.generation):
            return None
        return row

    def claim_of(self, event: PortEvent) -> PortRow | StaleClaimRow | None:
        """The claim that ``event`` speaks of, the current one or one that is over; None if there is no such claim."""
        row = self.current(event)
        if row is not None:
            return row
        stale = self._stale.get((event.port, getattr(event, "generation", 0)))
        return stale if stale is not None and stale.host == event.host else None

    def stale_of(self, port: str) -> list[StaleClaimRow]:
        """The claims of ``port`` that are over and not cleared, oldest first."""
        return [self._stale[port, generation] for generation in self._stale_of.get(port, ())]

    def of_instance(self, instance: str) -> list[PortRow]:
        """The ports of an instance."""
        return [self._rows[port,] for port in self._of_instance.get(instance, ())]

    def on_host(self, host: str) -> list[PortRow]:
        """The ports whose current claim is of ``host``, in the order in which they came."""
        return [self._rows[port,] for port in self._on_host.get(host, ())]

    def stale_on_host(self, host: str) -> list[StaleClaimRow]:
        """The claims of ``host`` that are over and not cleared. Looks at all such claims: they are few."""
        return [row for row in self._stale.values() if row.host == host]

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        if (e.port,) in self._rows or e.port in self.gone or e.generation <= self._over.get(e.port, 0):
            return NOTHING
        return self._put(r, e)

    @on(PortClaimed)
    def _claimed(self, r: Recorded, e: PortClaimed) -> tuple[Touched, ...]:
        row = self._rows.get((e.port,))
        newest = row.generation if row is not None else self._over.get(e.port, 0)
        if e.port in self.gone or e.generation <= newest:
            return NOTHING
        if row is None:  # a host's own agent has not seen the port before
            return self._put(r, e)
        superseded = self._supersede(r, row)
        first_us, correlation = row.allocated_us, row.correlation
        put = self._put(r, e)
        row = self._rows[e.port,]
        row.registered, row.allocated_us, row.correlation = True, first_us, correlation
        self._answered.setdefault(e.port, set()).add(r.cause)
        return (*put, superseded)

    def placed(self, recorded: Recorded) -> None:
        e = recorded.event
        if not isinstance(e, PortClaim):
            return
        row = self._rows.get((e.port,))
        if row is not None and row.generation == e.generation:
            row.claimed_at = recorded.position
        superseded = self._stale.get((e.port, e.generation - 1))
        if superseded is not None:
            superseded.position = recorded.position

    @on(PortClaimRefused)
    def _claim_refused(self, r: Recorded, e: PortClaimRefused) -> tuple[Touched, ...]:
        self._answered.setdefault(e.port, set()).add(r.cause)
        return NOTHING

    @on(PortClaimCleared)
    def _claim_cleared(self, r: Recorded, e: PortClaimCleared) -> tuple[Touched, ...]:
        key = (e.port, e.generation)
        if key in self._stale:
            del self._stale[key]
            self._stale_of[e.port].remove(e.generation)
            return (("stale_claims", key),)
        row = self.current(e)
        if row is not None and row.unbound:  # a host's own agent does not see where the port went
            self._drop(row)
            self._over[e.port] = e.generation
            return (("ports", (e.port,)),)
        return NOTHING

    @on(PortRefused)
    def _refused(self, r: Recorded, e: PortRefused) -> tuple[Touched, ...]:
        if (e.port,) not in self._rows:
            self.gone.add(e.port)
        return NOTHING

    @on(PortRegistered)
    def _registered(self, r: Recorded, e: PortRegistered) -> tuple[Touched, ...]:
        return self._mark(r, e, "registered")

    @on(PortPlugged)
    def _plugged(self, r: Recorded, e: PortPlugged) -> tuple[Touched, ...]:
        row = self._reported(e)
        if row is None or row.plugged:
            return NOTHING
        row.plugged = True
        if row.underlay_report == "ERROR":  # what could not be made has been made after all; its flows come next
            row.underlay_report, row.reason = "", still(row, row.overlay_report, row.policy_report)
        return self._changed(r, row)

    @on(PortPlugFailed)
    def _plug_failed(self, r: Recorded, e: PortPlugFailed) -> tuple[Touched, ...]:
        row = self._reported(e)
        if row is None or row.underlay_report == "ERROR":
            return NOTHING
        row.reason = e.reason
        row.underlay_report = "ERROR"
        return self._changed(r, row)

    @on(PortUnderlayReported)
    def _underlay(self, r: Recorded, e: PortUnderlayReported) -> tuple[Touched, ...]:
        row = self._reported(e)
        if row is None or row.underlay_removed or row.underlay_report == e.status:
            return NOTHING
        row.underlay_report = e.status
        row.reason = e.reason or still(row, row.overlay_report, row.policy_report)
        return self._changed(r, row)

    @on(PortBindRequested)
    def _bind_requested(self, r: Recorded, e: PortBindRequested) -> tuple[Touched, ...]:
        return self._mark(r, e, "bind_requested")

    @on(PortBound)
    def _bound(self, r: Recorded, e: PortBound) -> tuple[Touched, ...]:
        row = self.current(e)
        return NOTHING if row is None or row.unbound else self._mark(r, e, "bound")

    @on(PortOverlayReported)
    def _overlay(self, r: Recorded, e: PortOverlayReported) -> tuple[Touched, ...]:
        row = self._reported(e)
        if row is None or row.overlay_removed or row.overlay_report == e.status:
            return NOTHING
        row.overlay_report = e.status
        row.reason = e.reason or still(row, row.underlay_report, row.policy_report)
        return self._changed(r, row)

    @on(PortPolicyReported)
    def _policy(self, r: Recorded, e: PortPolicyReported) -> tuple[Touched, ...]:
        """An older revision than was reported before is out of date."""
        row = self._reported(e)
        if row is None or not row.policy_by or row.unplugged or e.revision < row.policy_revision:
            return NOTHING
        if (row.policy_report, row.policy_revision) == (e.status, e.revision):
            return NOTHING
        row.policy_report, row.policy_revision = e.status, e.revision
        row.reason = e.reason or still(row, row.underlay_report, row.overlay_report)
        return self._changed(r, row)

    @on(PortUnplugged)
    def _unplugged(self, r: Recorded, e: PortUnplugged) -> tuple[Touched, ...]:
        return self._mark_gone(r, e, "unplugged")

    @on(PortDeleteRequested)
    def _delete_requested(self, r: Recorded, e: PortDeleteRequested) -> tuple[Touched, ...]:
        return self._mark(r, e, "delete_requested")

    @on(PortUnderlayRemoved)
    def _underlay_removed(self, r: Recorded, e: PortUnderlayRemoved) -> tuple[Touched, ...]:
        return self._mark_gone(r, e, "underlay_removed")

    @on(PortUnbound)
    def _unbound(self, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is not None:
            row.bound = False
        return self._mark_gone(r, e, "unbound")

    @on(PortOverlayRemoved)
    def _overlay_removed(self, r: Recorded, e: PortOverlayRemoved) -> tuple[Touched, ...]:
        return self._mark_gone(r, e, "overlay_removed")

    @on(PortDeleted)
    def _deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        row = self._rows.get((e.port,))
        self.gone.add(e.port)
        if row is None:
            return NOTHING
        self._drop(row)
        stale = [(e.port, generation) for generation in self._stale_of.pop(e.port, ())]
        for key in stale:
            del self._stale[key]
        return (("ports", (e.port,)), *(("stale_claims", key) for key in stale))

    @on(PortOrphanSeen)
    def _orphan_seen(self, r: Recorded, e: PortOrphanSeen) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or row.orphan_seen_us or e.look != 1:
            return NOTHING
        row.orphan_seen_us = r.time_us
        return (("ports", (e.port,)),)

    @on(HostDown)
    def _host_down(self, r: Recorded, e: HostDown) -> tuple[Touched, ...]:
        self._down.add(e.host)
        self._returned.discard(e.host)
        return self._each_on(r, e.host, self._mark_down)

    @on(HostReturned)
    def _host_returned(self, r: Recorded, e: HostReturned) -> tuple[Touched, ...]:
        self._returned.add(e.host)
        return NOTHING

    @on(HostUp)
    def _host_up(self, r: Recorded, e: HostUp) -> tuple[Touched, ...]:
        if e.host not in self._down or e.host not in self._returned:  # a late one is no return from the dead
            return NOTHING
        self._down.discard(e.host)
        return self._each_on(r, e.host, self._mark_up)

    @on(HostResynced)
    def _host_resynced(self, r: Recorded, e: HostResynced) -> tuple[Touched, ...]:
        """What was over when the host returned has been removed from it."""
        touched: tuple[Touched, ...] = ()
        for stale in self.stale_on_host(e.host):
            if stale.position <= e.epoch and not stale.underlay_removed:
                stale.unplugged = stale.underlay_removed = True
                touched += (("stale_claims", (stale.port, stale.generation)),)
        return touched

    def _each_on(self, r: Recorded, host: str, mark: Callable[[PortRow], None]) -> tuple[Touched, ...]:
        touched: list[Touched] = []
        for row in self.on_host(host):
            mark(row)
            touched += self._changed(r, row)
        return tuple(touched)

    @staticmethod
    def _mark_down(row: PortRow) -> None:
        row.plugged = False
        row.underlay_report, row.overlay_report, row.reason = "ERROR", "", f"host {row.host} is down"
        row.policy_report = ""

    @staticmethod
    def _mark_up(row: PortRow) -> None:
        row.underlay_report, row.reason = "", ""

    def _reported(self, e: PortEvent) -> PortRow | None:
        """As ``current``; None if the host is down: what it said last is not so any more."""
        return None if e.host in self._down else self.current(e)

    def _put(self, r: Recorded, e: PortClaim) -> tuple[Touched, ...]:
        """The port as it is after a claim: DOWN_DOWN and unbound."""
        row = claimed_port(r, e)
        self._rows[row.port,] = row
        self.by_name[row.name] = row.port
        self._on_host.setdefault(row.host, {})[row.port] = None
        ports = self._of_instance.get(row.instance, ())
        if row.port not in ports:
            self._of_instance[row.instance] = (*ports, row.port)
        if row.host in self._down:  # it was decided before the host was known to be down
            self._mark_down(row)
        return self._changed(r, row)

    def _supersede(self, r: Recorded, row: PortRow) -> Touched:
        key = (row.port, row.generation)
        self._stale[key] = StaleClaimRow(
            port=row.port,
            generation=row.generation,
            az=row.az,
            host=row.host,
            instance=row.instance,
            physical_network=row.physical_network,
            vlan=row.vlan,
            vni=row.vni,
            underlay_by=row.underlay_by,
            overlay_by=row.overlay_by,
            correlation=r.correlation,
            position=r.position,
            unbound=row.unbound,
            unplugged=row.unplugged,
            underlay_removed=row.underlay_removed,
            overlay_removed=row.overlay_removed,
        )
        self._stale_of.setdefault(row.port, []).append(row.generation)
        del self._on_host[row.host][row.port]
        return ("stale_claims", key)

    def _drop(self, row: PortRow) -> None:
        del self._rows[row.port,]
        del self._on_host[row.host][row.port]
        ports = tuple(port for port in self._of_instance.pop(row.instance) if port != row.port)
        if ports:
            self._of_instance[row.instance] = ports
        if self.by_name.get(row.name) == row.port:
            del self.by_name[row.name]

    def _mark(self, r: Recorded, e: PortEvent, flag: str) -> tuple[Touched, ...]:
        row = self.current(e)
        if row is None or getattr(row, flag):
            return NOTHING
        setattr(row, flag, True)
        return self._changed(r, row) if flag in OF_PLANES else self._noted(r, row)

    def _mark_gone(self, r: Recorded, e: PortEvent, flag: str) -> tuple[Touched, ...]:
        """As ``_mark``, and for claims that are over as well: something less is left of them."""
        claim = self.claim_of(e)
        if not isinstance(claim, StaleClaimRow):
            return self._mark(r, e, flag)
        if getattr(claim, flag):
            return NOTHING
        setattr(claim, flag, True)
        return (("stale_claims", (claim.port, claim.generation)),)

    def _changed(self, r: Recorded, row: PortRow) -> tuple[Touched, ...]:
        row.underlay = plane(row.underlay_by, row.underlay_report, row.bound, row.unplugged or row.underlay_removed)
        if row.policy_by:
            row.underlay = enforced(row.underlay, row.policy_report, row.unplugged or row.underlay_removed)
        row.overlay = plane(row.overlay_by, row.overlay_report, row.bound, row.overlay_removed)
        return self._noted(r, row)

    @staticmethod
    def _noted(r: Recorded, row: PortRow) -> tuple[Touched, ...]:
        row.changed_us, row.orphan_seen_us = r.time_us, 0
        return (("ports", (row.port,)),)
