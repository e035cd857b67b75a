"""What the log tells of instances, garbage collection, labels, leaves and drifts, and must not tell."""

from bus.envelope import Recorded
from bus.events import (
    CLOUD,
    Event,
    InstanceActive,
    InstanceDeleted,
    InstanceDrifted,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceRecovered,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    LeafVlanAdded,
    LeafVlanEvent,
    LeafVlanFailed,
    NetworkCreated,
    PortAllocated,
    PortCreateRequested,
    PortEniFailed,
    PortEvent,
    PortOrphanSeen,
    PortOverlayReported,
    PortPlugged,
    PortRefused,
    PortUnbound,
    PortUnderlayReported,
)
from driftline.invariants.books import EntryKey
from driftline.invariants.ledger import FORGED, HOST_LOCAL, Ledger
from driftline.invariants.table import Violation
from workers.models import MODELS
from workers.orphans import GRACE_US

WRITER_OF_LEAVES = "cnc"
LAST_LOOK = 2
_End = InstanceFailed | InstanceRefused | InstanceTerminating | InstanceDeleted
_STATE_AFTER: dict[type[Event], str] = {
    InstanceFailed: "failed",
    InstanceTerminating: "terminating",
    InstanceRefused: "ended",
    InstanceDeleted: "ended",
}


class Stories:
    """Checks of single events against the ledger as it is just before them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.exercised = ledger, ledger.exercised
        #: Instance → scheduled, failed, terminating or ended.
        self.instances: dict[str, str] = {}
        self.failed: dict[str, int] = {}
        self._request: dict[str, str] = {}
        self.drifts: dict[str, InstanceDriftScheduled] = {}
        self.drifting: set[str] = set()
        self.doubled: set[str] = set()
        self.arrived: dict[str, tuple[InstanceDrifted, int]] = {}
        self.broken: set[EntryKey] = set()
        #: Ports whose ENI could not be made or attached at some time.
        self.failed_enis: set[str] = set()
        self._wishes: dict[tuple[str, str, int, int], bool] = {}
        self._asked: dict[str, tuple[PortCreateRequested, int]] = {}
        self._looks: dict[str, str] = {}

    def take(self, r: Recorded) -> None:
        """Check and note one record that nobody forged."""
        match r.event:
            case LeafVlanEvent() as e:
                self._leaf(r, e)
            case PortEniFailed(port=port):
                self.failed_enis.add(port)
            case PortCreateRequested() as e:
                self._asked.setdefault(e.port, (e, r.position))
            case PortAllocated() as e:
                self._fits(r, e)
            case PortRefused() as e:
                self._refused(r, e)
            case PortEvent() as e:
                self._port(r, e)
            case InstanceDriftScheduled() as e:
                if e.instance in self.drifting:
                    self.doubled.add(e.instance)
                self.drifting.add(e.instance)
                self.drifts[e.instance] = e
                self.arrived.pop(e.instance, None)
            case _:
                self._instance(r)

    def lives(self, instance: str) -> bool:
        """Whether the instance was scheduled and is not being taken down."""
        return self.instances.get(instance) == "scheduled"

    def is_leaving(self, instance: str) -> bool:
        """Whether its host may take the instance's port away."""
        return self.instances.get(instance) in ("terminating", "ended")

    def _instance(self, r: Recorded) -> None:
        match r.event:
            case InstanceScheduled(instance=name):
                if self._request.setdefault(name, r.correlation) == r.correlation:
                    self.instances.setdefault(name, "scheduled")
                    self.failed.pop(name, None)
            case InstanceFailed() | InstanceRefused() | InstanceTerminating() | InstanceDeleted() as e:
                self._ends(r, e)
            case InstanceActive(port=port, host=host) | InstanceRecovered(port=port, host=host):
                self._works(r, port, host, 0)
            case InstanceDrifted() as e:
                self.drifting.discard(e.instance)
                self.arrived[e.instance] = (e, r.position)
                self._works(r, e.port, e.host, e.generation)
            case _:
                pass

    def _ends(self, r: Recorded, e: _End) -> None:
        name = e.instance
        if isinstance(e, InstanceRefused) and self._request.get(name, r.correlation) != r.correlation:
            return  # that was another request
        if isinstance(e, InstanceFailed | InstanceRefused):
            self.failed[name] = r.position
        if isinstance(e, InstanceTerminating):
            self.drifting.discard(name)
        if name in self.instances and self.instances[name] != "ended":
            self.instances[name] = _STATE_AFTER[type(e)]

    def _works(self, r: Recorded, name: str, host: str, generation: int) -> None:
        """Figure 10, step 13 and Figure 11, step 8: nova says so only of a port that was usable there."""
        port = self.ledger.live.get(name)
        if port is None:
            return
        self.exercised[4] += 1
        claims = [c for c in port.claims.values() if c.host == host and generation in (0, c.generation)]
        if claims and not any(claim.was_usable for claim in claims):
            raise Violation(4, f"said to work on {host}, and was never usable there", name, r.position)

    def _leaf(self, r: Recorded, e: LeafVlanEvent) -> None:
        key = (e.leaf, e.interface, e.vlan)
        self.exercised[11] += 1
        if r.actor != WRITER_OF_LEAVES:
            raise Violation(11, f"{r.actor} writes to {e.leaf}", position=r.position)
        if e.epoch >= r.position:
            raise Violation(11, f"{e.leaf} answers to {e.epoch}, which is not before it", position=r.position)
        if isinstance(e, LeafVlanFailed):
            self.broken.add(key)
            return
        present = isinstance(e, LeafVlanAdded)
        if self._wishes.setdefault((*key, e.epoch), present) != present:
            raise Violation(11, f"two wishes of epoch {e.epoch} for {' '.join(map(str, key))}", position=r.position)

    def _fits(self, r: Recorded, e: PortAllocated) -> None:
        asked, network = self._asked.get(e.port), self.ledger.networks.get(e.network)
        if asked is None or network is None:
            return
        request = asked[0]
        if request.network not in (None, e.network):
            raise Violation(17, f"in {e.network}, asked for {request.network}", e.port, r.position)
        if request.label is not None:
            self.exercised[17] += 1
            if request.label not in network[0].labels:
                raise Violation(17, f"{e.network} has no label {request.label}", e.port, r.position)

    def _refused(self, r: Recorded, e: PortRefused) -> None:
        asked = self._asked.get(e.port)
        host = self.ledger.hosts.get(e.host)
        if asked is None or host is None or asked[0].label is None or "left" not in e.reason:
            return
        self.exercised[17] += 1
        request, position = asked
        for network, since in self.ledger.networks.values():
            matches = request.label in network.labels and since < position
            if network.model in HOST_LOCAL:
                continue  # what its hosts have left is in their blocks (``blocks``)
            room = self.ledger.free_in(network.network) >= _needs(network)
            if matches and room and self.ledger.has_vlan(host.pair, network.vni):
                text = f"refused ({e.reason}), and {network.network} has room"
                raise Violation(17, text, e.port, r.position)

    def _port(self, r: Recorded, e: PortEvent) -> None:
        port = self.ledger.live.get(e.port)
        if port is None:
            return
        if isinstance(e, PortOrphanSeen):
            self._orphan(r, e)
        elif not self.ledger.is_stale(e):
            match e:
                case PortPlugged() | PortUnderlayReported(status="ACTIVE"):
                    port.first_look_us = 0  # somebody uses it
                case PortUnbound():
                    self._unbound(r, e, port.identity.instance)
                case PortOverlayReported(status="ERROR"):
                    self._overlay_broke(r, e)
                case _:
                    pass

    def _orphan(self, r: Recorded, e: PortOrphanSeen) -> None:
        port = self.ledger.live[e.port]
        self._looks[r.id] = "one look only"
        if self.ledger.is_stale(e):
            self._looks[r.id] = "another claim came"
        elif e.look != LAST_LOOK:
            port.first_look_us = port.first_look_us or r.time_us
        elif self.lives(port.identity.instance):
            self._looks[r.id] = f"{port.identity.instance} lives"
        elif not port.first_look_us:
            self._looks[r.id] = "nobody looked before, or it was reported on since"
        elif r.time_us - port.first_look_us < GRACE_US:
            self._looks[r.id] = f"only {r.time_us - port.first_look_us} µs after the first look"
        else:
            self._looks[r.id] = ""

    def _unbound(self, r: Recorded, e: PortUnbound, instance: str) -> None:
        self.exercised[13] += 1
        problem = self._looks.get(r.cause, "")
        if not problem and self.lives(instance) and not r.cause.startswith(FORGED):
            problem = f"{instance} lives"
        if problem:
            raise Violation(13, f"its address goes, and {problem}", e.port, r.position)

    def _overlay_broke(self, r: Recorded, e: PortOverlayReported) -> None:
        self.exercised[23] += 1
        if self.ledger.live[e.port].current.event.overlay_by == CLOUD:
            if e.port not in self.failed_enis:
                raise Violation(23, f"overlay ERROR, and the cloud refused nothing: {e.reason}", e.port, r.position)
            return
        if not self.broken.intersection(self.ledger.entries_of(self.ledger.live[e.port].current)):
            raise Violation(23, f"overlay ERROR, and no leaf of {e.host} failed: {e.reason}", e.port, r.position)


def _needs(network: NetworkCreated) -> int:
    """How many addresses must be free for one more port."""
    model = MODELS.get(network.model)
    return 1 + model.secondary_ips + model.reserved if model is not None else 1
