"""K8s clusters, each with its plane inside a VPC, and the ingresses that lead into them (Figure 12). PURE."""

from bus.envelope import Recorded
from bus.events import (
    ClusterCreated,
    ClusterRefused,
    IngressAdded,
    IngressConfigured,
    IngressCreated,
    IngressCreateRequested,
    IngressRefused,
    InstanceActive,
    PortDeleted,
)
from projections.fold import NOTHING, Fold, Row, Table, Touched, on
from projections.pod_labels import told

_OUT, _IN = "-out", "-in"


class ClusterRow(Row):
    """A cluster: the VPC that it is in, its plane (a VPC and VRF of its own) and in it the network of its pods."""

    cluster: str
    vpc: str
    pod_cidr: str
    plane: str
    network: str


class IngressRow(Row):
    """An ingress that is asked for or there. ``state``: requested → added (both legs work) → created.

    ``outside`` and ``inside`` are the ports of its legs, in the VPC (``vip``) and in the cluster's plane.
    """

    ingress: str
    cluster: str
    network: str
    az: str
    listeners: list[str]
    request: str
    position: int
    state: str = "requested"
    vip: str = ""
    outside: str = ""
    inside: str = ""
    revision: int = 0
    endpoints: int = 0


class Clusters(Fold):
    """Clusters and ingresses by name."""

    TABLES = (Table("clusters", ClusterRow, ("cluster",)), Table("ingresses", IngressRow, ("ingress",)))

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, ClusterRow] = {}
        self.wanted: dict[str, IngressCreateRequested] = {}
        #: Requests that have their answer: ids of those for clusters, stories of those for ingresses.
        self.answered: set[str] = set()
        #: The instances that are legs of an ingress, also of one that is not there any more: its name.
        self.legs: dict[str, str] = {}

    def ingress(self, name: str) -> IngressRow | None:
        """The ingress, None if there is none of this name."""
        row: IngressRow | None = self.tables["ingresses"].get((name,))
        return row

    @on(ClusterCreated)
    def _cluster(self, r: Recorded, e: ClusterCreated) -> tuple[Touched, ...]:
        self.answered.add(r.cause)
        if e.cluster in self.by_name:
            return NOTHING
        row = ClusterRow(cluster=e.cluster, vpc=e.vpc, pod_cidr=e.pod_cidr, plane=e.plane, network=e.network)
        self.by_name[e.cluster] = self.tables["clusters"][e.cluster,] = row
        return (("clusters", (e.cluster,)),)

    @on(ClusterRefused)
    def _cluster_refused(self, r: Recorded, e: ClusterRefused) -> tuple[Touched, ...]:
        self.answered.add(r.cause)
        return NOTHING

    @on(IngressCreateRequested)
    def _requested(self, r: Recorded, e: IngressCreateRequested) -> tuple[Touched, ...]:
        """The first request for a name has it, until it is refused."""
        if e.ingress in self.wanted or r.correlation in self.answered:
            return NOTHING
        self.wanted[e.ingress] = e
        row = IngressRow(
            ingress=e.ingress,
            cluster=e.cluster,
            network=e.network,
            az=e.az,
            listeners=[f"{one.port} → {told(one.selects)}:{one.target_port or one.port}" for one in e.listeners],
            request=r.correlation,
            position=r.position,
        )
        self.tables["ingresses"][e.ingress,] = row
        self.legs |= dict.fromkeys(legs_of(row), e.ingress)
        return (("ingresses", (e.ingress,)),)

    @on(InstanceActive)
    def _leg_active(self, r: Recorded, e: InstanceActive) -> tuple[Touched, ...]:
        row = self.ingress(self.legs.get(e.instance, ""))
        if row is None or row.state != "requested" or e.instance not in legs_of(row):
            return NOTHING
        if e.instance == legs_of(row)[0]:
            row.outside = e.port
        else:
            row.inside = e.port
        return (("ingresses", (row.ingress,)),)

    @on(IngressAdded)
    def _added(self, r: Recorded, e: IngressAdded) -> tuple[Touched, ...]:
        row = self.ingress(e.ingress)
        if row is None or row.state != "requested" or (row.outside, row.inside) != (e.outside, e.inside):
            return NOTHING
        row.state, row.vip = "added", e.vip
        return (("ingresses", (e.ingress,)),)

    @on(IngressConfigured)
    def _configured(self, r: Recorded, e: IngressConfigured) -> tuple[Touched, ...]:
        row = self.ingress(e.ingress)
        if row is None or e.revision <= row.revision:
            return NOTHING
        row.revision, row.endpoints = e.revision, e.endpoints
        return (("ingresses", (e.ingress,)),)

    @on(IngressCreated)
    def _created(self, r: Recorded, e: IngressCreated) -> tuple[Touched, ...]:
        self.answered.add(r.correlation)
        row = self.ingress(e.ingress)
        if row is None or row.state != "added":
            return NOTHING
        row.state = "created"
        return (("ingresses", (e.ingress,)),)

    @on(IngressRefused)
    def _refused(self, r: Recorded, e: IngressRefused) -> tuple[Touched, ...]:
        self.answered.add(r.correlation)
        row = self.ingress(e.ingress)
        return self._drop(row) if row is not None and row.request == r.correlation else NOTHING

    @on(PortDeleted)
    def _leg_deleted(self, r: Recorded, e: PortDeleted) -> tuple[Touched, ...]:
        """An ingress that has lost a leg is none."""
        row = self.ingress(self.legs.get(e.instance, ""))
        return self._drop(row) if row is not None and e.port in (row.outside, row.inside) else NOTHING

    def _drop(self, row: IngressRow) -> tuple[Touched, ...]:
        del self.tables["ingresses"][row.ingress,], self.wanted[row.ingress]
        return (("ingresses", (row.ingress,)),)


def legs_of(row: IngressRow) -> tuple[str, str]:
    """The instances that are the legs of an ingress, outside and inside; those of another request have other ids."""
    return f"{row.ingress}-{row.position}{_OUT}", f"{row.ingress}-{row.position}{_IN}"


def sibling(leg: str) -> str:
    """The other leg of the same ingress."""
    return leg.removesuffix(_OUT) + _IN if leg.endswith(_OUT) else leg.removesuffix(_IN) + _OUT
