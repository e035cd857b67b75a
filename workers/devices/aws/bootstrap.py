"""A VPC, subnets and instances for an emulator of EC2, as the world describes them. Real ones are made by other tools.

What is there already, by its tags, is left alone.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from workers.devices.aws.api import Ec2, filters, tags
from workers.devices.aws.enis import CLUSTER, HOST, SUBNET
from workers.devices.aws.settings import AwsSettings

#: Any image will do for an instance that runs nothing; this is one that moto knows.
IMAGE = "ami-12c6146b"
VPC = "driftline:vpc"
NODES_PREFIX = 24


class WantedSubnet(msgspec.Struct, frozen=True):
    """A subnet of ports; ``zone`` is its AZ in the provider's words."""

    name: str
    cidr: str
    zone: str


class WantedNode(msgspec.Struct, frozen=True):
    """An instance that is a node."""

    host: str
    zone: str
    instance_type: str


class Made(msgspec.Struct, frozen=True):
    """EC2's ids: subnets by their names, instances by their hosts; new ones and those that were there."""

    vpc: str
    subnets: dict[str, str]
    instances: dict[str, str]


async def bootstrap(
    settings: AwsSettings, vpc: str, cidr: str, subnets: Sequence[WantedSubnet], nodes: Sequence[WantedNode]
) -> Made:
    """Make what is missing, tagged so that the driver finds it. Nodes get a subnet of their own in each zone.

    Raises ValueError without an endpoint (instances of the real EC2 cost money), or if the VPC has no room for nodes;
    and as ``Ec2.call``.
    """
    if not settings.endpoint:
        raise ValueError("endpoint: only an emulator of EC2 is furnished: give its URL")
    ec2 = Ec2(settings)
    try:
        return await _Furnishing(ec2, settings, vpc, ipaddress.IPv4Network(cidr)).make(subnets, nodes)
    finally:
        ec2.close()


class _Furnishing:
    def __init__(self, ec2: Ec2, settings: AwsSettings, vpc: str, cidr: ipaddress.IPv4Network) -> None:
        self._ec2, self._ours, self._vpc, self._cidr = ec2, {CLUSTER: settings.cluster}, vpc, cidr
        self._number = ""

    async def make(self, subnets: Sequence[WantedSubnet], nodes: Sequence[WantedNode]) -> Made:
        self._number = await self._make_vpc()
        made = {one.name: await self._subnet(one) for one in subnets}
        zones = sorted({node.zone for node in nodes})
        free = self._free_for_nodes(subnets)
        homes = {}
        for zone in zones:
            cidr = next(free, None)
            if cidr is None:
                raise ValueError(f"cidr: {self._cidr} has no room for the nodes of {zone}")
            homes[zone] = await self._subnet(WantedSubnet(f"nodes-{zone}", str(cidr), zone))
        return Made(self._number, made, {node.host: await self._node(node, homes[node.zone]) for node in nodes})

    def _free_for_nodes(self, subnets: Sequence[WantedSubnet]) -> Iterator[ipaddress.IPv4Network]:
        """From the end of the VPC: where no port is."""
        taken = [ipaddress.IPv4Network(one.cidr) for one in subnets]
        prefix = max(NODES_PREFIX, self._cidr.prefixlen)
        all_of_it = reversed(list(self._cidr.subnets(new_prefix=prefix)))
        return (one for one in all_of_it if not any(one.overlaps(other) for other in taken))

    async def _make_vpc(self) -> str:
        found = await self._ec2.all("describe_vpcs", "Vpcs", Filters=self._filters({VPC: self._vpc}))
        if found:
            return str(found[0]["VpcId"])
        marks = tags("vpc", self._ours | {VPC: self._vpc})
        made = await self._ec2.call("create_vpc", CidrBlock=str(self._cidr), TagSpecifications=marks)
        return str(made["Vpc"]["VpcId"])

    async def _subnet(self, wanted: WantedSubnet) -> str:
        found = await self._ec2.all("describe_subnets", "Subnets", Filters=self._filters({SUBNET: wanted.name}))
        if found:
            return str(found[0]["SubnetId"])
        made = await self._ec2.call(
            "create_subnet",
            VpcId=self._number,
            CidrBlock=wanted.cidr,
            AvailabilityZone=wanted.zone,
            TagSpecifications=tags("subnet", self._ours | {SUBNET: wanted.name}),
        )
        return str(made["Subnet"]["SubnetId"])

    async def _node(self, node: WantedNode, subnet: str) -> str:
        found = await self._ec2.all("describe_instances", "Reservations", Filters=self._filters({HOST: node.host}))
        live = [i for r in found for i in r["Instances"] if i["State"]["Name"] in ("pending", "running")]
        if live:
            return str(live[0]["InstanceId"])
        made = await self._ec2.call(
            "run_instances",
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            InstanceType=node.instance_type,
            SubnetId=subnet,
            TagSpecifications=tags("instance", self._ours | {HOST: node.host}),
        )
        return str(made["Instances"][0]["InstanceId"])

    def _filters(self, wanted: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        return filters({f"tag:{key}": value for key, value in {**self._ours, **wanted}.items()})
