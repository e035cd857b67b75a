"""What nova knows, and the words in which it ends things: shared by its decisions on spawns, deletes and drifts."""

from collections.abc import Iterable

from bus.events import InstanceDeleted, InstanceFailed, InstanceTerminating
from projections.hosts import Hosts
from projections.instances import InstanceRow, Instances
from projections.operations import Operations
from projections.ports import Ports
from projections.world import World
from workers.deadlines import Deadlines
from workers.models import allocator_of, host_kinds
from workers.models.model import IPAM
from workers.scheduler import Scheduler
from workers.worker import Decision, Emit, Folds, State


class NovaState(State):
    """The world, the instances, their ports, which hosts live, how full they are, and what is to be done by when."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.instances, self.ports, self.hosts = (
            self.fold(World),
            self.fold(Instances),
            self.fold(Ports),
            self.fold(Hosts),
        )
        self.operations = self.fold(Operations)
        self.scheduler = self.own(Scheduler(self.world, self.instances, self.hosts))
        self.deadlines = self.own(Deadlines(self.instances))


def kinds_for(state: NovaState, network: str | None, label: str | None, kind: str) -> frozenset[str]:
    """The kinds of host that an instance of this ``kind`` can go to, with a port from ``network`` or by ``label``."""
    names = [network] if network else state.world.by_label.get(label or "", [])
    return host_kinds((state.world.networks[name] for name in names if name in state.world.networks), kind)


def allocator_for(state: NovaState, network: str | None, label: str | None) -> str:
    """Who grants the port: whoever allocates in the first network that fits; empty for the central IPAM."""
    names = [network] if network else state.world.by_label.get(label or "", [])
    found = [allocator_of(state.world.networks[name]) for name in names[:1] if name in state.world.networks]
    return "" if found in ([], [IPAM]) else found[0]


def fail(state: NovaState, row: InstanceRow, reason: str) -> Iterable[Decision]:
    """The spawn of ``row`` ends here, and what it has got so far is taken down."""
    yield failed(row, reason)
    yield from take_down(state, row, row.request)


def failed(row: InstanceRow, reason: str) -> Emit:
    """The spawn of ``row`` ends here."""
    return Emit(InstanceFailed(instance=row.instance, az=row.az, host=row.host, reason=reason), row.request)


def take_down(state: NovaState, row: InstanceRow, correlation: str) -> Iterable[Decision]:
    """Have the instance's host take it down. A dead host that never asked for a port has nothing to take down."""
    yield Emit(InstanceTerminating(instance=row.instance, az=row.az, host=row.host), correlation)
    if state.hosts.is_down(row.host) and not row.port:
        yield from cleaned(row)


def cleaned(row: InstanceRow) -> Iterable[Decision]:
    """The instance holds nothing any more, if it was to be taken down."""
    if row.terminating and not row.cleaned:
        deleted = InstanceDeleted(instance=row.instance, az=row.az, host=row.host)
        yield Emit(deleted, row.delete_request or row.request)
