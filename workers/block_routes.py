"""Distributes the ways to hosts' blocks, as Cilium's operator does, and says when a block can be reached.

Central, as an agent that reads its own host alone does not hear of other hosts' blocks.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    BlockRouteSet,
    Event,
    HostAdded,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockReleased,
    HostDown,
    HostUp,
)
from projections.block_routes import BlockRouteRow, BlockRoutes
from workers.effects import AnyEffect, BlockRoute, Result
from workers.worker import Decision, Emit, Folds, Perform, State, Worker


class RoutesState(State):
    """The blocks and who knows the way to them."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.routes = self.fold(BlockRoutes)


def decide(state: RoutesState, r: Recorded) -> Iterable[Decision]:
    """Tell the devices concerned, and announce the blocks that all of them know."""
    for row in state.routes.pending():
        if _is_concerned(row, r.event):
            yield Perform(_wish(row))
    ready: dict[tuple[str, str], list[str]] = {}
    for block in state.routes.ready():
        ready.setdefault((block.host, block.az), []).append(block.cidr)
    for (host, az), cidrs in ready.items():
        yield Emit(HostBlockAnnounced(host=host, az=az, cidrs=tuple(cidrs)))


def _is_concerned(row: BlockRouteRow, event: Event) -> bool:
    match event:
        case HostBlockAssigned(cidr=cidr):
            return row.cidr == cidr
        case HostBlockReleased(cidrs=cidrs):
            return row.cidr in cidrs
        case HostAdded(host=host) | HostUp(host=host):
            return row.router == host
        case _:
            return False


def _wish(row: BlockRouteRow) -> BlockRoute:
    return BlockRoute(
        device=row.router,
        az=row.az,
        cidr=row.cidr,
        kind=row.kind,
        host=row.host,
        vrf=row.vrf,
        gateway=row.gateway,
        epoch=row.epoch,
        present=row.needed,
    )


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What a device has acknowledged; it is asked until it does."""
    if not isinstance(effect, BlockRoute):
        raise TypeError(f"the route worker did not ask for {effect}")
    answer = BlockRouteSet(
        router=effect.device, az=effect.az, cidr=effect.cidr, epoch=effect.epoch, present=effect.present
    )
    return (answer,)


WORKER = Worker(
    name="block-routes",
    state=RoutesState,
    inputs=frozenset({HostAdded, HostBlockAssigned, HostBlockReleased, HostDown, HostUp, BlockRouteSet}),
    says=frozenset({HostBlockAnnounced}),
    decide=decide,
    settle=settle,
)
