"""Invariant 8: every request has exactly one outcome."""

from collections import Counter

from bus.envelope import Recorded
from bus.events import (
    Event,
    HostDown,
    HostDraining,
    HostDrainRequested,
    HostFailRequested,
    HostRefused,
    HostReturned,
    HostReturnRequested,
    HostUp,
    InstanceActive,
    InstanceDeleted,
    InstanceDeleteRefused,
    InstanceDeleteRequested,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftRequested,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceRefused,
    OperationCompleted,
    OperationPortsRequested,
    OperationRefused,
    OperationReleased,
    OperationReleaseRequested,
    PortAllocated,
    PortClaimed,
    PortClaimRefused,
    PortClaimRequested,
    PortCreateRequested,
    PortRefused,
    SpawnRequested,
)
from driftline.invariants.ledger import FORGED
from driftline.invariants.table import Violation

#: (kind of request, instance, port or host, correlation or id)
RequestKey = tuple[str, str, str]

OPENS: dict[type[Event], str] = {
    SpawnRequested: "spawn",
    InstanceDeleteRequested: "delete",
    InstanceDriftRequested: "drift",
    InstanceDriftScheduled: "drift",  # what befell a host asks for the drifts of all that is on it
    HostFailRequested: "host",
    HostDrainRequested: "host",
    HostReturnRequested: "host",
    OperationPortsRequested: "operation",
    OperationReleaseRequested: "operation",
}
CLOSES: dict[type[Event], str] = {
    InstanceActive: "spawn",
    InstanceRefused: "spawn",
    InstanceFailed: "spawn",
    InstanceDeleted: "delete",
    InstanceDeleteRefused: "delete",
    InstanceDrifted: "drift",
    InstanceDriftRefused: "drift",
    InstanceDriftFailed: "drift",
    OperationCompleted: "operation",
    OperationReleased: "operation",
    OperationRefused: "operation",
}
#: A host may go through several states for one request; only a refusal says that none of them comes.
OF_HOSTS = (HostDown, HostDraining, HostReturned, HostUp, HostRefused)


class Requests:
    """All requests, and how often each was answered."""

    def __init__(self, exercised: Counter[int]) -> None:
        self._exercised = exercised
        self.opened: dict[RequestKey, Recorded] = {}
        self.outcomes: Counter[RequestKey] = Counter()
        self._allocated: dict[str, int] = {}
        self._refused_hosts: set[RequestKey] = set()

    def of(self, kind: str) -> dict[tuple[str, str], Recorded]:
        """The requests of a kind by (instance, port or host; correlation or id)."""
        return {(what, why): r for (k, what, why), r in self.opened.items() if k == kind}

    def open(self) -> list[tuple[RequestKey, Recorded]]:
        """Requests without an outcome, in the order in which they came."""
        return [(key, r) for key, r in self.opened.items() if not self.outcomes[key]]

    def take(self, r: Recorded) -> None:
        """Note a request or an outcome that nobody forged. Raises Violation at a second outcome."""
        kind = OPENS.get(type(r.event))
        if kind is not None:
            self._open((kind, _what(r.event), r.correlation), r)
        kind = CLOSES.get(type(r.event))
        if kind is not None:
            self._close((kind, _what(r.event), r.correlation), r)
        elif isinstance(r.event, OF_HOSTS):
            self._host(("host", r.event.host, r.correlation), r)
        else:
            self._of_port(r)

    def check_all_answered(self) -> None:
        """Nothing is under way any more: each request has its outcome."""
        for key, r in self.open():
            raise Violation(8, f"{' '.join(key)} has no outcome", position=r.position)

    def _open(self, key: RequestKey, r: Recorded) -> None:
        if key in self.opened:
            self._exercised[8] += 1  # redelivered
        self.opened.setdefault(key, r)

    def _close(self, key: RequestKey, r: Recorded) -> None:
        if key[0] == "drift" or key in self.opened:
            self._exercised[8] += 1
            self.outcomes[key] += 1
            if self.outcomes[key] > 1:
                raise Violation(8, f"{' '.join(key)} has a second outcome: {r.id}", position=r.position)

    def _host(self, key: RequestKey, r: Recorded) -> None:
        if key not in self.opened:
            return
        self._exercised[8] += 1
        refused = isinstance(r.event, HostRefused)
        if self.outcomes[key] and (refused or key in self._refused_hosts):
            raise Violation(8, f"{' '.join(key)} was refused, and has another outcome: {r.id}", position=r.position)
        if refused:
            self._refused_hosts.add(key)
        self.outcomes[key] += 1

    def _of_port(self, r: Recorded) -> None:
        match r.event:
            case PortCreateRequested(port=port):
                self._open(("port", port, ""), r)
            case PortAllocated(port=port) | PortRefused(port=port):
                self._close(("port", port, ""), r)
                if isinstance(r.event, PortAllocated):
                    self._allocates(r, r.event)
            case PortClaimRequested(port=port):
                self._open(("claim", port, r.id), r)
            case PortClaimed(port=port) | PortClaimRefused(port=port):
                self._close(self._claim(port, r), r)
            case _:
                pass

    def _claim(self, port: str, r: Recorded) -> RequestKey:
        """The request for a claim that ``r`` answers. A host with a block answers when it has one: by the story."""
        direct = ("claim", port, r.cause)
        if direct in self.opened or r.cause.startswith(FORGED):
            return direct
        asked = [key for key, request in self.opened.items() if key[:2] == direct[:2]]
        of_story = [key for key in asked if self.opened[key].correlation == r.correlation]
        return next((key for key in of_story if not self.outcomes[key]), of_story[-1] if of_story else direct)

    def _allocates(self, r: Recorded, e: PortAllocated) -> None:
        known = self._allocated.setdefault(e.instance, r.position)
        if known != r.position:
            raise Violation(8, f"{e.instance} was given a port at {known} already", e.port, r.position)


def _what(event: Event) -> str:
    return str(getattr(event, "instance", "") or getattr(event, "host", "") or getattr(event, "operation", ""))
