"""Operations: which ports were asked for at once, what became of each, and which are held for instances to come."""

from bus.envelope import Recorded
from bus.events import (
    OperationCompleted,
    OperationPortsRequested,
    OperationRefused,
    OperationReleased,
    OperationReleaseRequested,
    PortAllocated,
    PortUnbound,
    SpawnRequested,
    port_name,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on


class OperationRow(Row):
    """One request for many ports. ``state``: pending → done, partly or refused; ``request``: its correlation."""

    operation: str
    az: str
    request: str
    atomic: bool
    items: int
    state: str = "pending"
    allocated: int = 0
    refused: int = 0
    released: bool = False
    requested_us: int = 0
    ended_us: int = 0


class OperationItemRow(Row):
    """One port of an operation. ``state``: pending → allocated or refused; released: it goes, or is gone, unused.

    ``used``: its instance was asked for.
    """

    operation: str
    number: int
    instance: str
    port: str
    host: str
    name: str
    network: str
    label: str
    ip: str = ""
    state: str = "pending"
    used: bool = False
    reason: str = ""
    field: str = ""
    value: str = ""


def port_of(instance: str) -> str:
    """The id of an instance's first port: the same whoever asks, so that asking twice makes one port."""
    return f"{instance}-0"


class Operations(Fold):
    """All operations and their items."""

    TABLES = (
        Table("operations", OperationRow, ("operation",)),
        Table("operation_items", OperationItemRow, ("operation", "number")),
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, OperationRow] = self.tables["operations"]
        self._items: dict[Key, OperationItemRow] = self.tables["operation_items"]
        self._by_request: dict[str, str] = {}
        #: The item that each instance's port comes from, unless it was refused.
        self._of_instance: dict[str, OperationItemRow] = {}
        #: By name: whose port is being made.
        self.being_made: dict[str, str] = {}
        #: (operation, correlation) of requests that have an answer of their own.
        self.answered: set[tuple[str, str]] = set()

    def get(self, operation: str) -> OperationRow | None:
        """The operation, None if it was never asked for."""
        return self._rows.get((operation,))

    def items_of(self, operation: str) -> list[OperationItemRow]:
        """The items of an operation, in the order of the request."""
        row = self._rows[operation,]
        return [self._items[operation, number] for number in range(row.items)]

    def item_of(self, instance: str) -> OperationItemRow | None:
        """The item that the instance's port comes from, None if it comes from no operation."""
        return self._of_instance.get(instance)

    def holds(self, instance: str) -> bool:
        """Whether an operation holds the port of this instance, which is still to come."""
        item = self._of_instance.get(instance)
        return item is not None and item.state in ("pending", "allocated") and not item.used

    @on(OperationPortsRequested)
    def _requested(self, r: Recorded, e: OperationPortsRequested) -> tuple[Touched, ...]:
        if (e.operation,) in self._rows:
            return NOTHING
        self._rows[e.operation,] = OperationRow(
            operation=e.operation,
            az=e.az,
            request=r.correlation,
            atomic=e.atomic,
            items=len(e.items),
            requested_us=r.time_us,
        )
        self._by_request[r.correlation] = e.operation
        for number, item in enumerate(e.items):
            row = self._items[e.operation, number] = OperationItemRow(
                operation=e.operation,
                number=number,
                instance=item.instance,
                port=port_of(item.instance),
                host=item.host,
                name=port_name(item.name or item.instance, item.labels),
                network=item.network or "",
                label=item.label or "",
            )
            self._of_instance.setdefault(item.instance, row)
            self.being_made.setdefault(row.name, item.instance)
        return (("operations", (e.operation,)), *(_key(item) for item in self.items_of(e.operation)))

    @on(PortAllocated)
    def _allocated(self, r: Recorded, e: PortAllocated) -> tuple[Touched, ...]:
        item = self._of_instance.get(e.instance)
        if item is None or item.port != e.port or self._by_request.get(r.correlation) != item.operation or item.ip:
            return NOTHING
        item.ip, item.network = e.ip, e.network
        if item.state == "pending":  # else it was given back before it was there
            item.state = "allocated"
        return (_key(item),)

    @on(OperationCompleted)
    def _completed(self, r: Recorded, e: OperationCompleted) -> tuple[Touched, ...]:
        row = self.get(e.operation)
        if row is None or row.state != "pending":
            return NOTHING
        row.state, row.ended_us = e.outcome, r.time_us
        row.allocated, row.refused = len(e.allocated), len(e.refused)
        refused = {one.instance: one for one in reversed(e.refused)}
        had = set(e.allocated)
        for item in self.items_of(e.operation):
            if self.being_made.get(item.name) == item.instance:
                del self.being_made[item.name]
            if item is not self._of_instance.get(item.instance) or item.instance not in had:
                self._end(item)
                if item.instance in refused:
                    why = refused[item.instance]
                    item.reason, item.field, item.value = why.reason, why.field, why.value
        return (("operations", (e.operation,)), *(_key(item) for item in self.items_of(e.operation)))

    def _end(self, item: OperationItemRow) -> None:
        """The item was not granted, or what was granted of an atomic request is given back."""
        item.state = "released" if item.ip else "refused"
        if not item.ip:
            item.used = False  # nothing is used that never was, whichever came first
            if self._of_instance.get(item.instance) is item:
                del self._of_instance[item.instance]

    @on(SpawnRequested)
    def _spawn(self, r: Recorded, e: SpawnRequested) -> tuple[Touched, ...]:
        item = self._of_instance.get(e.instance)
        if item is None or item.used:  # whatever its state: whoever decides on it may be ahead of the log
            return NOTHING
        item.used = True
        return (_key(item),)

    @on(OperationReleaseRequested)
    def _release_requested(self, r: Recorded, e: OperationReleaseRequested) -> tuple[Touched, ...]:
        row = self.get(e.operation)
        if row is None:
            return NOTHING
        row.released = True
        touched: list[Touched] = [("operations", (e.operation,))]
        for item in self.items_of(e.operation):
            if item.state in ("pending", "allocated") and not item.used:
                item.state = "released"
                touched.append(_key(item))
        return tuple(touched)

    @on(PortUnbound)
    def _unbound(self, r: Recorded, e: PortUnbound) -> tuple[Touched, ...]:
        """The port goes before its instance lived."""
        item = self._of_instance.get(e.port.removesuffix("-0"))
        if item is None or item.state != "allocated" or item.used:
            return NOTHING
        item.state = "released"
        return (_key(item),)

    @on(OperationReleased, OperationRefused)
    def _answered(self, r: Recorded, e: OperationReleased | OperationRefused) -> tuple[Touched, ...]:
        self.answered.add((e.operation, r.correlation))
        return NOTHING


def _key(item: OperationItemRow) -> Touched:
    return ("operation_items", (item.operation, item.number))
