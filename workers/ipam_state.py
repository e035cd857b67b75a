"""What IPAM, which is also the Neutron server, knows."""

from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from projections.addresses import Addresses
from projections.blocks import Blocks
from projections.capacity import Capacity
from projections.clusters import Clusters
from projections.hosts import Hosts
from projections.instances import Instances
from projections.network_requests import NetworkRequests
from projections.operations import Operations
from projections.policies import Policies
from projections.ports import Ports
from projections.vpcs import Vpcs
from projections.world import World
from workers.worker import Decision, Folds, State


class IpamState(State):
    """The world, the ports and who owns them, every address and VLAN in use, which hosts live, and how VPCs connect."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.world, self.ports, self.addresses = self.fold(World), self.fold(Ports), self.fold(Addresses)
        self.instances, self.hosts = self.fold(Instances), self.fold(Hosts)
        self.policies, self.clusters = self.fold(Policies), self.fold(Clusters)
        self.vpcs, self.requests = self.fold(Vpcs), self.fold(NetworkRequests)
        self.capacity, self.operations, self.blocks = self.fold(Capacity), self.fold(Operations), self.fold(Blocks)
        self.looked_us = 0


#: Answers one request that is not about a port: (state, record, event) -> decisions.
Handler = Callable[[IpamState, Recorded, Any], Iterable[Decision]]
