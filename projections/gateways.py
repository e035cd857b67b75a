"""The gateways of provider networks: which address the core router is to hold, and what it acknowledged.

Each change of the wish starts a new epoch, its log position; an acknowledgement counts only for the epoch it answers.
"""

from bus.envelope import Recorded
from bus.events import (
    NetworkCreated,
    NetworkGatewayChanged,
    RouterAdded,
    RouterGatewayConfigured,
    SubnetCreated,
    VpcCreated,
)
from projections.fold import NOTHING, Fold, Key, Row, Table, Touched, on
from projections.world import SubnetRow, World


class GatewayRow(Row):
    """The gateway of a provider network, with its prefix length. ``state``: configuring → present."""

    network: str
    router: str
    vlan: int
    vrf: str
    address: str
    epoch: int
    state: str = "configuring"


class Gateways(Fold):
    """What the core router should hold and does hold. Networks without a VLAN of their own have no gateway there."""

    TABLES = (Table("gateways", GatewayRow, ("network",)),)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, GatewayRow] = self.tables["gateways"]
        #: Decides which networks there are, so that this fold and every other agree.
        self._world = World()

    def get(self, network: str) -> GatewayRow | None:
        """The gateway of ``network`` on the core router, None if it has none there."""
        return self._rows.get((network,))

    def all(self) -> list[GatewayRow]:
        """All gateways, in the order in which their networks were created."""
        return list(self._rows.values())

    @on(VpcCreated, NetworkCreated)
    def _tenancy(self, r: Recorded, e: VpcCreated | NetworkCreated) -> tuple[Touched, ...]:
        self._world.evolve(r)
        return NOTHING

    @on(RouterAdded)
    def _router(self, r: Recorded, e: RouterAdded) -> tuple[Touched, ...]:
        """Subnets that were described before the router are its as well."""
        if not self._world.evolve(r):
            return NOTHING
        return tuple(touched for row in self._world.tables["subnets"].values() for touched in self._wish(r, row))

    @on(SubnetCreated, NetworkGatewayChanged)
    def _subnet(self, r: Recorded, e: SubnetCreated | NetworkGatewayChanged) -> tuple[Touched, ...]:
        if not self._world.evolve(r):
            return NOTHING
        return self._wish(r, self._world.tables["subnets"][e.subnet,])

    @on(RouterGatewayConfigured)
    def _configured(self, r: Recorded, e: RouterGatewayConfigured) -> tuple[Touched, ...]:
        row = self._rows.get((e.network,))
        if row is None or row.epoch != e.epoch or row.state == "present":
            return NOTHING
        row.state = "present"
        return (("gateways", (e.network,)),)

    def _wish(self, r: Recorded, subnet: SubnetRow) -> tuple[Touched, ...]:
        network = self._world.networks[subnet.network]
        if not (network.vlan and self._world.router):
            return NOTHING
        self._rows[network.network,] = GatewayRow(
            network=network.network,
            router=self._world.router,
            vlan=network.vlan,
            vrf=network.vrf,
            address=f"{subnet.gateway}/{subnet.cidr.partition('/')[2]}",
            epoch=r.position,
        )
        return (("gateways", (network.network,)),)
