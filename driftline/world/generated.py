"""A made-up world of any size: always the same for the same numbers, and consistent by construction."""

import ipaddress
from collections.abc import Iterator

from bus.events import (
    AnyEvent,
    AzAdded,
    HostAdded,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    RouterAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)
from driftline.world.errors import WorldError

REGION = "region1"
#: It holds the gateways of provider networks, once there are any.
ROUTER = "core1"
SPINES_PER_AZ = 2
#: Hosts below one pair of leaves; above LARGE_AZ hosts the leaves are the big ones.
HOSTS_PER_PAIR, HOSTS_PER_LARGE_PAIR, LARGE_AZ = 20, 40, 100
CAPACITY_MIN = 500
#: RFC 6996: the start of the private 4-byte AS numbers.
FIRST_ASN = 4_200_000_000
#: Tunnel addresses; the underlay is no VRF, so they may look like addresses of a VPC.
VTEPS = ipaddress.IPv4Network("10.255.0.0/16")
CIDR = ipaddress.IPv4Network("10.0.0.0/8")
#: (tenant, VPC and VRF, first VNI, label). Both VPCs use the same addresses: only the VRF keeps them apart.
TENANCIES = (("acme", "prod", 10_001, "prod-env"), ("globex", "lab", 20_001, "lab-env"))
LABELLED = 2
#: Network, broadcast and gateway address.
RESERVED = 3
PREFIX_MAX = 24
#: Each network of both VPCs needs a VLAN on each leaf pair (1 to 4094).
NETWORKS_MAX = 4094 // len(TENANCIES)


def generate(
    azs: int = 1, hosts: int = 10, networks: int = 3, capacity: int | None = None, instances: int = 1000
) -> list[AnyEvent]:
    """A region with room for ``instances`` instances, in an order in which it can be appended.

    Args:
        azs: availability zones ``az1``…, each with two spines (``az1-spine1``…) and pairs of leaves (``az1-leaf1``…).
        hosts: hosts of each AZ, ``az1-h1``…, 20 to a leaf pair (40 where an AZ has more than 100).
        networks: networks of each of the VPCs ``prod`` (tenant ``acme``) and ``lab`` (tenant ``globex``):
            ``prod-net1``…, one subnet each. The first two carry the label ``prod-env`` or ``lab-env``. ``lab-net1``
            has the same addresses as ``prod-net1``, and so on, in a VRF of its own.
        capacity: instances a host may hold, taken at its word. None: at least 500, and enough for ``instances``
            when they are spread evenly over the AZs.
        instances: how many addresses each single network has at least, whichever way instances spread.

    Raises WorldError for a number that is too small, or too large for the addresses or VLANs there are.
    """
    for field, value in (("azs", azs), ("hosts", hosts), ("networks", networks), ("instances", instances)):
        _at_least_one(field, value)
    if capacity is None:
        capacity = max(CAPACITY_MIN, -(-instances // azs) // hosts + 1)
    _at_least_one("capacity", capacity)
    return [*_fabric(azs, hosts, capacity), *_tenancy(networks, instances)]


def _at_least_one(field: str, value: int) -> None:
    if value < 1:
        raise WorldError(f"{field}: {value} is less than 1")


def _fabric(azs: int, hosts: int, capacity: int) -> Iterator[AnyEvent]:
    per_pair = HOSTS_PER_LARGE_PAIR if hosts > LARGE_AZ else HOSTS_PER_PAIR
    pairs = -(-hosts // per_pair)
    leaves = azs * pairs * 2
    if leaves > VTEPS.num_addresses - 2:
        raise WorldError(f"hosts: {hosts} in {azs} AZs need {leaves} leaves, more than {VTEPS} has tunnel addresses")
    yield RegionAdded(region=REGION)
    yield RouterAdded(router=ROUTER)
    for number in range(1, azs + 1):
        az = f"az{number}"
        yield AzAdded(az=az, region=REGION)
        for spine in range(1, SPINES_PER_AZ + 1):
            yield SpineAdded(spine=f"{az}-spine{spine}", az=az)
        for leaf in range(1, 2 * pairs + 1):
            index = (number - 1) * 2 * pairs + leaf
            yield LeafAdded(leaf=f"{az}-leaf{leaf}", az=az, vtep=str(VTEPS[index]), asn=FIRST_ASN + index)
        for host in range(hosts):
            yield _host(az, host, per_pair, capacity)


def _host(az: str, index: int, per_pair: int, capacity: int) -> HostAdded:
    pair, place = divmod(index, per_pair)
    return HostAdded(
        host=f"{az}-h{index + 1}",
        az=az,
        leaf_a=f"{az}-leaf{2 * pair + 1}",
        leaf_b=f"{az}-leaf{2 * pair + 2}",
        interface=f"Ethernet{place + 1}",
        capacity=capacity,
    )


def _tenancy(networks: int, instances: int) -> Iterator[AnyEvent]:
    cidrs = _cidrs(networks, instances)
    for tenant, vpc, first_vni, label in TENANCIES:
        yield TenantAdded(tenant=tenant)
        yield VpcCreated(vpc=vpc, tenant=tenant, vrf=vpc, cidr=str(CIDR))
        for index, cidr in enumerate(cidrs):
            network = f"{vpc}-net{index + 1}"
            labels = (label,) if index < LABELLED else ()
            yield NetworkCreated(network=network, vpc=vpc, vni=first_vni + index, labels=labels)
            yield SubnetCreated(subnet=f"{network}-a", network=network, cidr=str(cidr), gateway=str(cidr[1]))


def _cidrs(networks: int, instances: int) -> list[ipaddress.IPv4Network]:
    if networks > NETWORKS_MAX:
        raise WorldError(f"networks: {networks} is more than the {NETWORKS_MAX} that leaf pairs have VLANs for")
    prefix = min(PREFIX_MAX, 32 - (instances + RESERVED - 1).bit_length())
    there_are = 1 << max(prefix - CIDR.prefixlen, 0)
    if prefix < CIDR.prefixlen or networks > there_are:
        raise WorldError(f"networks: {networks} with room for {instances} instances each do not fit into {CIDR}")
    return [cidr for cidr, _ in zip(CIDR.subnets(new_prefix=prefix), range(networks), strict=False)]
