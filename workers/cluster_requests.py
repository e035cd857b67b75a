"""What IPAM, which is the API server too, decides on requests for K8s clusters (Figure 12). PURE.

A cluster is a plane of its own: a VPC whose VRF leads nowhere, and in it one network for its pods.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from bus.events import (
    ClusterCreated,
    ClusterCreateRequested,
    ClusterRefused,
    Event,
    NetworkCreated,
    SubnetCreated,
    VpcCreated,
)
from projections.world import VpcRow
from workers.ipam_state import IpamState
from workers.models.model import Refusal
from workers.worker import Decision, Emit

#: Suffixes are added to the cluster's name, and the whole is a token.
NAME_MAX = 50
#: A gateway and a pod must fit.
PREFIX_MAX = 30
VNI_MAX = (1 << 24) - 1


def create(state: IpamState, r: Recorded, request: ClusterCreateRequested) -> Iterable[Decision]:
    """Grant or refuse one request for a cluster."""
    if r.id in state.clusters.answered:
        return
    refusal = check(state, request)
    if refusal is not None:
        refused = ClusterRefused(
            cluster=request.cluster, reason=refusal.reason, field=refusal.field, value=refusal.value
        )
        yield Emit(refused)
        return
    yield from (Emit(event) for event in _plane(state, request))


def check(state: IpamState, request: ClusterCreateRequested) -> Refusal | None:
    """Why the cluster cannot be; None if it can."""
    if request.cluster in state.clusters.by_name:
        return Refusal("the name is in use", "cluster", request.cluster)
    if len(request.cluster) > NAME_MAX:
        return Refusal(f"longer than {NAME_MAX} characters", "cluster", request.cluster)
    vpc: VpcRow | None = state.world.tables["vpcs"].get((request.vpc,))
    if vpc is None:
        return Refusal("unknown VPC", "vpc", request.vpc)
    return _cidr(vpc, request.pod_cidr) or _names(state, request)


def _cidr(vpc: VpcRow, text: str) -> Refusal | None:
    try:
        cidr = ipaddress.IPv4Network(text)
    except ValueError as error:
        return Refusal(f"no IPv4 CIDR: {error}", "pod_cidr", text)
    if cidr.prefixlen > PREFIX_MAX:
        return Refusal("no room for a gateway and a pod", "pod_cidr", text)
    if cidr.overlaps(ipaddress.IPv4Network(vpc.cidr)):
        return Refusal(f"the pod CIDR overlaps {vpc.cidr} of VPC {vpc.vpc}", "pod_cidr", text)
    return None


def _names(state: IpamState, request: ClusterCreateRequested) -> Refusal | None:
    """Whether something else has a name of the cluster's. What is exactly its own, an earlier attempt has made."""
    tables = state.world.tables
    plane, network, subnet = _named(request.cluster)
    own_plane = tables["vpcs"].get((plane,))
    if own_plane is not None and (own_plane.vrf, own_plane.cidr) != (plane, request.pod_cidr):
        return Refusal(f"there is a VPC {plane} already", "cluster", request.cluster)
    if any(row.vrf == plane and row.vpc != plane for row in tables["vpcs"].values()):
        return Refusal(f"there is a VRF {plane} already", "cluster", request.cluster)
    own_network, own_subnet = tables["networks"].get((network,)), tables["subnets"].get((subnet,))
    if own_network is not None and own_network.vpc != plane:
        return Refusal(f"there is a network {network} already", "cluster", request.cluster)
    if own_subnet is not None and own_subnet.network != network:
        return Refusal(f"there is a subnet {subnet} already", "cluster", request.cluster)
    return None if _vni(state, network) else Refusal("no VNI is left", "cluster", request.cluster)


def _named(cluster: str) -> tuple[str, str, str]:
    """The plane, the network and the subnet of a cluster."""
    return f"{cluster}-plane", f"{cluster}-pods", f"{cluster}-pods-a"


def _vni(state: IpamState, network: str) -> int:
    """The VNI that the network has, the one after the highest, or the lowest free one; 0 if there is none."""
    own = state.world.networks.get(network)
    if own is not None:
        return own.vni
    taken = {network.vni for network in state.world.networks.values()}
    highest = max(taken, default=0)
    if highest < VNI_MAX:
        return highest + 1
    return next((vni for vni in range(1, VNI_MAX + 1) if vni not in taken), 0)


def _plane(state: IpamState, request: ClusterCreateRequested) -> Iterable[Event]:
    """All that the cluster consists of, in an order in which nothing refers to what comes later."""
    plane, network, subnet = _named(request.cluster)
    vpc: VpcRow = state.world.tables["vpcs"][request.vpc,]
    first = ipaddress.IPv4Network(request.pod_cidr).network_address + 1
    vni = _vni(state, network)
    yield VpcCreated(vpc=plane, tenant=vpc.tenant, vrf=plane, cidr=request.pod_cidr)
    yield NetworkCreated(network=network, vpc=plane, vni=vni, labels=(request.cluster,), policy=request.policy)
    yield SubnetCreated(subnet=subnet, network=network, cidr=request.pod_cidr, gateway=str(first))
    yield ClusterCreated(
        cluster=request.cluster, vpc=request.vpc, pod_cidr=request.pod_cidr, plane=plane, network=network
    )


#: What IPAM does with each kind of request.
REQUESTS: dict[type[Event], Callable[[IpamState, Recorded, Any], Iterable[Decision]]] = {
    ClusterCreateRequested: create,
}
