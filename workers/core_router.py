"""The core router's worker: brings the router to what the log says of the gateways of provider networks.

In 2013 a person did this whenever a network was added, and a mistake could affect all of them; here it is an effect
with an outcome, like any other.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import (
    Event,
    NetworkGatewayChanged,
    RouterAdded,
    RouterGatewayConfigured,
    SubnetCreated,
)
from projections.gateways import GatewayRow, Gateways
from workers.effects import AnyEffect, Result, RouterGateway
from workers.worker import Decision, Folds, Perform, State, Worker


class RouterState(State):
    """What the router should hold and does hold."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.gateways = self.fold(Gateways)


def decide(state: RouterState, r: Recorded) -> Iterable[Decision]:
    """Configure the gateways that the router has not acknowledged."""
    match r.event:
        case SubnetCreated(network=network) | NetworkGatewayChanged(network=network):
            row = state.gateways.get(network)
            rows = [row] if row else []
        case _:
            rows = state.gateways.all()
    return (Perform(_wish(row)) for row in rows if row.state != "present")


def _wish(row: GatewayRow) -> RouterGateway:
    return RouterGateway(
        device=row.router, network=row.network, vlan=row.vlan, vrf=row.vrf, address=row.address, epoch=row.epoch
    )


def settle(effect: AnyEffect, result: Result) -> Iterable[Event]:
    """What the router acknowledged. There is no failure: it is tried until it succeeds."""
    if not isinstance(effect, RouterGateway):
        raise TypeError(f"the core router did not ask for {effect}")
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


WORKER = Worker(
    name="core-router",
    state=RouterState,
    inputs=frozenset({SubnetCreated, NetworkGatewayChanged, RouterAdded}),
    says=frozenset(),
    decide=decide,
    settle=settle,
)
