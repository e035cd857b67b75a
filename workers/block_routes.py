"""Distributes the ways to hosts' blocks, as Cilium's operator does, and says when a block can be reached.

Central, as an agent that reads its own host alone does not hear of other hosts' blocks.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    BlockRouteSet,
    DeviceAudited,
    DeviceAuditRequested,
    Event,
    HostAdded,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockReleased,
    HostDown,
    HostUp,
)
from bus.events.device import DeviceTable
from projections.block_routes import BlockRouteRow, BlockRoutes
from projections.table_audits import TableAudits
from workers import table_audits, tables
from workers.effects import AnyEffect, AuditTable, BlockRoute, Result
from workers.worker import Decision, Due, Emit, Folds, Now, Perform, State, Worker

TABLE: DeviceTable = "blocks"


class RoutesState(State):
    """The blocks and who knows the way to them."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.routes, self.audits = self.fold(BlockRoutes), self.fold(TableAudits)
        self.watching_since_us = 0


def decide(state: RoutesState, r: Recorded) -> Iterable[Decision]:
    """Tell the devices concerned, and announce the blocks that all of them know."""
    if isinstance(r.event, DeviceAuditRequested):
        if r.event.table == TABLE:
            yield from table_audits.look(r, r.event, _wished(state, r.event.device))
        return
    if isinstance(r.event, DeviceAudited):
        if r.event.table == TABLE:
            yield from _repairs(state, r, r.event)
        return
    for row in state.routes.pending():
        if _is_concerned(row, r.event):
            yield Perform(_wish(row))
    ready: dict[tuple[str, str], list[str]] = {}
    for block in state.routes.ready():
        ready.setdefault((block.host, block.az), []).append(block.cidr)
    for (host, az), cidrs in ready.items():
        yield Emit(HostBlockAnnounced(host=host, az=az, cidrs=tuple(cidrs)))


def _wished(state: RoutesState, router: str) -> dict[str, str]:
    wanted = (row for row in state.routes.of_router(router) if row.needed)
    return {row.cidr: tables.block(row.kind, row.host, row.vrf, row.gateway) for row in wanted}


def _repairs(state: RoutesState, r: Recorded, e: DeviceAudited) -> Iterable[Decision]:
    """A way that is lacking or wrong is told again, one to nobody's block goes. What is on its way is left alone."""
    rows = {row.cidr: row for row in state.routes.of_router(e.device)}
    for found in e.differences:
        row = rows.get(found.key)
        if row is not None and row.needed and row.done and found.missing:
            yield Perform(_wish(row))
        elif row is None and not found.missing:
            yield Perform(_removal(state, e.device, found.key, epoch=r.position))


def _removal(state: RoutesState, router: str, cidr: str, epoch: int) -> BlockRoute:
    return BlockRoute(
        device=router,
        az=state.routes.az_of(router),
        cidr=cidr,
        kind="",
        host="",
        vrf="",
        gateway="",
        epoch=epoch,
        present=False,
    )


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
    """What a device has acknowledged, for it is asked until it does; or where it differs."""
    if isinstance(effect, AuditTable):
        return (table_audits.audited(effect, result),)
    if not isinstance(effect, BlockRoute):
        raise TypeError(f"the route worker did not ask for {effect}")
    answer = BlockRouteSet(
        router=effect.device, az=effect.az, cidr=effect.cidr, epoch=effect.epoch, present=effect.present
    )
    return (answer,)


def due(state: RoutesState, now: Now) -> Iterable[Due]:
    """The hosts and leaves that were not compared for long, if there are blocks at all."""
    state.watching_since_us = state.watching_since_us or now.time_us
    return table_audits.due(state.audits, TABLE, state.routes.in_use(), state.watching_since_us, now)


WORKER = Worker(
    name="block-routes",
    state=RoutesState,
    inputs=frozenset(
        {
            *(HostAdded, HostBlockAssigned, HostBlockReleased, HostDown, HostUp, BlockRouteSet),
            *(DeviceAuditRequested, DeviceAudited),
        }
    ),
    says=frozenset({HostBlockAnnounced}),
    decide=decide,
    settle=settle,
    due=due,
)
