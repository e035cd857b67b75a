"""The core router's worker: brings the router to what the log says of the gateways of provider networks.

In 2013 a person did this whenever a network was added, and a mistake could affect all of them; here it is an effect
with an outcome, like any other.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    DeviceAudited,
    DeviceAuditRequested,
    Event,
    NetworkGatewayChanged,
    RouterAdded,
    RouterGatewayConfigured,
    SubnetCreated,
)
from bus.events.device import DeviceTable
from projections.gateways import GatewayRow, Gateways
from projections.table_audits import TableAudits
from workers import table_audits, tables
from workers.effects import AnyEffect, AuditTable, Result, RouterGateway
from workers.worker import Decision, Due, Folds, Now, Perform, State, Worker

TABLE: DeviceTable = "gateways"


class RouterState(State):
    """What the router should hold and does hold."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.gateways, self.audits = self.fold(Gateways), self.fold(TableAudits)
        self.watching_since_us = 0


def decide(state: RouterState, r: Recorded) -> Iterable[Decision]:
    """Configure the gateways that the router has not acknowledged."""
    match r.event:
        case SubnetCreated(network=network) | NetworkGatewayChanged(network=network):
            row = state.gateways.get(network)
            rows = [row] if row else []
        case DeviceAuditRequested() as e:
            return table_audits.look(r, e, _wished(state)) if e.table == TABLE else ()
        case DeviceAudited() as e:
            return _repairs(state, r, e) if e.table == TABLE else ()
        case _:
            rows = state.gateways.all()
    return (Perform(_wish(row)) for row in rows if row.state != "present")


def _wished(state: RouterState) -> dict[str, str]:
    return {str(row.vlan): tables.gateway(row.address, row.vrf) for row in state.gateways.all()}


def _repairs(state: RouterState, r: Recorded, e: DeviceAudited) -> Iterable[Decision]:
    """What is lacking is configured again, and what belongs to no network goes."""
    rows = {str(row.vlan): row for row in state.gateways.all()}
    for found in e.differences:
        row = rows.get(found.key)
        if row is not None and row.state == "present" and found.missing:
            yield Perform(_wish(row))
        elif row is None and not found.missing:
            nobody = RouterGateway(
                device=e.device, network="", vlan=int(found.key), vrf="", address="", epoch=r.position, present=False
            )
            yield Perform(nobody)


def _wish(row: GatewayRow) -> RouterGateway:
    return RouterGateway(
        device=row.router, network=row.network, vlan=row.vlan, vrf=row.vrf, address=row.address, epoch=row.epoch
    )


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What the router acknowledged, or where it differs. There is no failure: it is tried until it succeeds."""
    if isinstance(effect, AuditTable):
        return (table_audits.audited(effect, result),)
    if not isinstance(effect, RouterGateway):
        raise TypeError(f"the core router did not ask for {effect}")
    if not effect.present:
        return ()  # what was found is on the log already
    ip, _, length = effect.address.partition("/")
    return (
        RouterGatewayConfigured(
            router=effect.device,
            network=effect.network,
            vlan=effect.vlan,
            ip=ip,
            prefix_length=int(length),
            epoch=effect.epoch,
        ),
    )


def due(state: RouterState, now: Now) -> Iterable[Due]:
    """The router, if it was not compared for long."""
    state.watching_since_us = state.watching_since_us or now.time_us
    routers = {row.router for row in state.gateways.all()}
    return table_audits.due(state.audits, TABLE, routers, state.watching_since_us, now)


WORKER = Worker(
    name="core-router",
    state=RouterState,
    inputs=frozenset({SubnetCreated, NetworkGatewayChanged, RouterAdded, DeviceAuditRequested, DeviceAudited}),
    says=frozenset(),
    decide=decide,
    settle=settle,
    due=due,
)
