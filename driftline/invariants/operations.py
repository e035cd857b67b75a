"""Ports in bulk: what an operation may and may not have been given (invariants 8, 17 and 20)."""

from bus.envelope import Recorded
from bus.events import OperationCompleted, OperationPortsRequested, PortAllocated, PortItem
from driftline.invariants.ledger import Ledger
from driftline.invariants.table import Violation


class Operations:
    """The operations of the log, checked against the ledger as it is just before each event."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._exercised = ledger, ledger.exercised
        self._asked: dict[str, tuple[OperationPortsRequested, int]] = {}
        #: By correlation: operations that were to get all or none, and got none.
        self._refused: dict[str, str] = {}
        #: By port: the story in which it was allocated.
        self._story: dict[str, str] = {}

    def take(self, r: Recorded) -> None:
        """Check and note one record that nobody forged."""
        match r.event:
            case OperationPortsRequested() as e:
                self._asked.setdefault(r.correlation, (e, r.position))
            case PortAllocated() as e:
                self._allocated(r, e)
            case OperationCompleted() as e:
                self._completed(r, e)
            case _:
                pass

    def check_quiet(self) -> None:
        """Nothing that was asked for all or none, and refused, is left."""
        for name in self._ledger.live:
            operation = self._refused.get(self._story.get(name, ""))
            if operation is not None:
                raise Violation(20, f"operation {operation} was refused, and its port is left", name)

    def _allocated(self, r: Recorded, e: PortAllocated) -> None:
        item = self._item(r.correlation, e.instance)
        self._story.setdefault(e.port, r.correlation)
        network = self._ledger.networks.get(e.network)
        if item is None or network is None:
            return
        if item.network not in (None, e.network):
            raise Violation(17, f"in {e.network}, asked for {item.network}", e.port, r.position)
        if item.label is not None:
            self._exercised[17] += 1
            if item.label not in network[0].labels:
                raise Violation(17, f"{e.network} has no label {item.label}", e.port, r.position)

    def _completed(self, r: Recorded, e: OperationCompleted) -> None:
        asked = self._asked.get(r.correlation)
        if asked is None:
            return
        request, position = asked
        if request.atomic and e.refused:
            self._refused[r.correlation] = e.operation
        for one in e.refused:
            item = self._item(r.correlation, one.instance)
            host = self._ledger.hosts.get(item.host) if item is not None else None
            if item is None or host is None or item.label is None or "left" not in one.reason or request.atomic:
                continue  # what an atomic request had so far is given back, and counts as taken here still
            self._exercised[17] += 1
            for network, since in self._ledger.networks.values():
                room = self._ledger.free_in(network.network) > 0 and self._ledger.has_vlan(host.pair, network.vni)
                if item.label in network.labels and since < position and room:
                    text = f"{one.instance} refused ({one.reason}), and {network.network} has room"
                    raise Violation(17, text, position=r.position)

    def _item(self, correlation: str, instance: str) -> PortItem | None:
        asked = self._asked.get(correlation)
        items = asked[0].items if asked is not None else ()
        return next((item for item in items if item.instance == instance), None)
