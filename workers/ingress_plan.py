"""Which pods are behind each port of each ingress, as of which log position. PURE."""

from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import (
    ClusterCreated,
    HostDown,
    HostUp,
    IngressConfigured,
    InstanceActive,
    PortAllocated,
    PortBound,
    PortClaimed,
    PortDeleted,
    PortDeleteRequested,
    PortEvent,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortPolicyReported,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
)
from projections.clusters import Clusters, IngressRow
from projections.fold import NOTHING, Fold, Touched, on
from projections.pod_labels import PodLabels, selects
from projections.ports import Ports
from workers.effects import Endpoint, HeldListener

#: All that may make a port usable, or not.
PORT_EVENTS = (
    *(PortAllocated, PortClaimed, PortPlugged, PortPlugFailed, PortBound, PortUnbound, PortUnplugged),
    *(PortUnderlayReported, PortUnderlayRemoved, PortOverlayReported, PortOverlayRemoved, PortPolicyReported),
    *(PortDeleteRequested, PortDeleted),
)
HOST_EVENTS = (HostDown, HostUp)


class Wish(NamedTuple):
    """How an ingress is to listen, as of log position ``revision``: to nothing once it is gone."""

    revision: int
    az: str
    outside: str
    inside: str
    listeners: tuple[HeldListener, ...]


class Endpoints(Fold):
    """The wishes by ingress. Folds after ``clusters``, ``ports`` and ``pods``, which it reads."""

    def __init__(self, clusters: Clusters, ports: Ports, pods: PodLabels) -> None:
        super().__init__()
        self.wishes: dict[str, Wish] = {}
        #: As of which log position each proxy is known to listen.
        self.acknowledged: dict[str, int] = {}
        self._clusters, self._ports, self._pods = clusters, ports, pods
        #: The ports of each network that live, and the network of each.
        self._of_network: dict[str, dict[str, None]] = {}
        self._network_of: dict[str, str] = {}

    @on(*PORT_EVENTS)
    def _port(self, r: Recorded, e: PortEvent) -> tuple[Touched, ...]:
        row = self._ports.get(e.port)
        network = self._network_of.get(e.port, "")
        if row is not None and not network:
            network = self._network_of[e.port] = row.network
            self._of_network.setdefault(network, {})[e.port] = None
        elif row is None and network:
            self._of_network[network].pop(e.port, None)  # late words about it may still come
        for name in list(self.wishes):
            if self._is_about(name, e.port, network):
                self._wish(r, name)
        return NOTHING

    @on(ClusterCreated)
    def _adopted(self, r: Recorded, e: ClusterCreated) -> tuple[Touched, ...]:
        """The cluster's network may have been there before it, with pods that this fold was not told of."""
        for row in self._ports.tables["ports"].values():
            if row.network == e.network:
                self._network_of[row.port] = row.network
                self._of_network.setdefault(row.network, {})[row.port] = None
        return NOTHING

    @on(*HOST_EVENTS, InstanceActive)
    def _anything(self, r: Recorded, e: HostDown | HostUp | InstanceActive) -> tuple[Touched, ...]:
        started = self._clusters.legs.get(e.instance, "") if isinstance(e, InstanceActive) else ""
        for name in dict.fromkeys((*self.wishes, *filter(None, (started,)))):
            if name == started or not isinstance(e, InstanceActive):
                self._wish(r, name)
        return NOTHING

    @on(IngressConfigured)
    def _configured(self, r: Recorded, e: IngressConfigured) -> tuple[Touched, ...]:
        self.acknowledged[e.ingress] = max(e.revision, self.acknowledged.get(e.ingress, 0))
        return NOTHING

    def _is_about(self, name: str, port: str, network: str) -> bool:
        wanted = self._clusters.wanted.get(name)
        cluster = self._clusters.by_name.get(wanted.cluster) if wanted is not None else None
        wish = self.wishes[name]
        return port in (wish.outside, wish.inside) or (cluster is not None and cluster.network == network)

    def _wish(self, r: Recorded, name: str) -> None:
        row, old = self._clusters.ingress(name), self.wishes.get(name)
        if row is None or not (row.outside and row.inside):
            new = old._replace(listeners=()) if old is not None else None
        else:
            new = Wish(0, row.az, row.outside, row.inside, self._listeners(row))
        if new is not None and (old is None or new[1:] != old[1:]):
            self.wishes[name] = new._replace(revision=r.position)

    def _listeners(self, row: IngressRow) -> tuple[HeldListener, ...]:
        wanted, cluster = self._clusters.wanted[row.ingress], self._clusters.by_name[row.cluster]
        ports = [self._ports.get(name) for name in self._of_network.get(cluster.network, ())]
        usable = [port for port in ports if port is not None and port.usable and not port.delete_requested]
        return tuple(
            HeldListener(
                one.port,
                tuple(
                    sorted(
                        Endpoint(port.port, port.ip, one.target_port or one.port)
                        for port in usable
                        if port.port != row.inside and selects(one.selects, self._pods.of(port.instance))
                    )
                ),
            )
            for one in wanted.listeners
        )
