"""ENIs of ports on EC2, as desired state: found by their tags, made with a client token, so that twice is once."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from workers.cloud_effects import AttachEni, DeleteEni, EnsureEni
from workers.devices.aws.api import Ec2, filters, tag_list, tag_of, tags
from workers.devices.aws.errors import RefusedError
from workers.devices.aws.settings import AwsSettings
from workers.enis_of_types import NODES_OWN

#: Tags of everything that is ours; the resources of the world carry CLUSTER and one of SUBNET and HOST.
CLUSTER, PORT, GENERATION, EPOCH = "driftline:cluster", "driftline:port", "driftline:generation", "driftline:epoch"
SUBNET, HOST = "driftline:subnet", "driftline:host"
#: An instance takes fewer ENIs than this, whatever its type.
INDICES = range(NODES_OWN, 64)
_GONE = frozenset({"InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.NotFound"})
_NOT_ATTACHED = frozenset({"InvalidAttachmentID.NotFound", "InvalidAttachment.NotFound"})


class Enis:
    """Makes, attaches, detaches and deletes. All methods raise as ``Ec2.call``; TimeoutError: it does not settle."""

    def __init__(self, ec2: Ec2, settings: AwsSettings) -> None:
        self._ec2, self._settings = ec2, settings
        self._subnets: dict[str, str] = {}
        self._instances: dict[str, str] = {}
        self._ports: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Who looks for a free device index of an instance must be alone there.
        self._nodes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def alone(self, port: str) -> AsyncIterator[None]:
        """One at a time for each port: effects of different slots may concern one ENI."""
        async with self._ports[port]:
            yield

    async def ensure(self, effect: EnsureEni) -> str:
        """See ``EnsureEni``; its id."""
        eni = await self._current(effect)
        if not _is_older(effect, eni):
            await self._detach(eni)
        return str(eni["NetworkInterfaceId"])

    async def attach(self, effect: AttachEni) -> str:
        """See ``AttachEni``; its id."""
        eni = await self._current(effect)
        number = str(eni["NetworkInterfaceId"])
        if _is_older(effect, eni):
            return number
        instance = await self._instance(effect.node)
        if _instance_of(eni) != instance:
            await self._detach(eni)
            async with self._nodes[instance]:
                index = await self._free_index(instance)
                await self._ec2.call(
                    "attach_network_interface", NetworkInterfaceId=number, InstanceId=instance, DeviceIndex=index
                )
        await self._until(number, lambda now: _instance_of(now) == instance and _is_attached(now))
        return number

    async def delete(self, effect: DeleteEni) -> None:
        """See ``DeleteEni``. Also what a call that was given up for lost has made a second time."""
        for eni in await self.of_port(effect.port):
            await self._mark(effect, eni)
            await self._detach(eni)
            await self._delete(str(eni["NetworkInterfaceId"]))

    async def of_port(self, port: str) -> list[Mapping[str, Any]]:
        """The ENIs with this port's tag: one when all is well, in a fixed order."""
        found = await self._describe({f"tag:{PORT}": port})
        return sorted(found, key=lambda eni: (not _instance_of(eni), eni["NetworkInterfaceId"]))

    async def everything(self) -> list[Mapping[str, Any]]:
        """All ENIs under our tag that belong to a port."""
        return [eni for eni in await self._describe({}) if tag_of(eni, PORT)]

    async def collect(self, number: str, port: str) -> None:
        """Delete this ENI if it is still ``available`` and the port's."""
        found = [eni for eni in await self._describe({"network-interface-id": number}) if tag_of(eni, PORT) == port]
        for eni in found:
            if eni["Status"] == "available":
                await self._delete(number)

    async def _describe(self, wanted: Mapping[str, str]) -> list[Mapping[str, Any]]:
        ours = {f"tag:{CLUSTER}": self._settings.cluster}
        return await self._ec2.all(
            "describe_network_interfaces", "NetworkInterfaces", Filters=filters({**ours, **wanted})
        )

    async def _current(self, effect: EnsureEni) -> Mapping[str, Any]:
        """The port's ENI, made if need be, and marked as this effect's unless a newer one has come before."""
        found = await self.of_port(effect.port)
        if found:
            await self._mark(effect, found[0])
            return found[0]
        private = [{"PrivateIpAddress": ip, "Primary": ip == effect.ip} for ip in (effect.ip, *effect.secondary_ips)]
        made = await self._ec2.call(
            "create_network_interface",
            SubnetId=await self._subnet(effect.subnet),
            PrivateIpAddresses=private,
            Description=f"driftline port {effect.port}",
            ClientToken=self._token(effect.port),
            TagSpecifications=tags("network-interface", self._tags(effect)),
        )
        eni: Mapping[str, Any] = made["NetworkInterface"]
        return eni

    async def _mark(self, effect: EnsureEni | DeleteEni, eni: Mapping[str, Any]) -> None:
        """The tag is a fence: an older call that lands late sees it."""
        if tag_of(eni, EPOCH) != str(effect.epoch) and not _is_older(effect, eni):
            marks = {EPOCH: str(effect.epoch)}
            if isinstance(effect, EnsureEni):
                marks[GENERATION] = str(effect.generation)
            await self._ec2.call("create_tags", Resources=[eni["NetworkInterfaceId"]], Tags=tag_list(marks))

    def _tags(self, effect: EnsureEni) -> dict[str, str]:
        return {
            CLUSTER: self._settings.cluster,
            PORT: effect.port,
            GENERATION: str(effect.generation),
            EPOCH: str(effect.epoch),
            "Name": f"{self._settings.cluster} {effect.port}",
        }

    def _token(self, port: str) -> str:
        """The same for every attempt to make this port's ENI: EC2 makes one. Port ids do not come back."""
        return hashlib.sha256(f"{self._settings.cluster}/{port}".encode()).hexdigest()

    async def _detach(self, eni: Mapping[str, Any]) -> None:
        """By force: a dead instance does not answer, and nothing of ours needs a goodbye."""
        attachment = eni.get("Attachment") or {}
        if not attachment.get("AttachmentId"):
            return
        try:
            await self._ec2.call("detach_network_interface", AttachmentId=attachment["AttachmentId"], Force=True)
        except RefusedError as error:
            if error.code not in _NOT_ATTACHED:
                raise
        await self._until(str(eni["NetworkInterfaceId"]), lambda now: now["Status"] == "available")

    async def _delete(self, number: str) -> None:
        try:
            await self._ec2.call("delete_network_interface", NetworkInterfaceId=number)
        except RefusedError as error:
            if error.code not in _GONE:
                raise

    async def _until(self, number: str, settled: Callable[[Mapping[str, Any]], bool]) -> None:
        """Ask until the ENI is as ``settled`` says: EC2 tells nobody when it is. Raises TimeoutError."""
        async with asyncio.timeout(self._settings.settled_s):
            while True:
                (eni,) = await self._ec2.all(
                    "describe_network_interfaces", "NetworkInterfaces", NetworkInterfaceIds=[number]
                )
                if settled(eni):
                    return
                await asyncio.sleep(self._settings.poll_s)

    async def _free_index(self, instance: str) -> int:
        attached = await self._ec2.all(
            "describe_network_interfaces", "NetworkInterfaces", Filters=filters({"attachment.instance-id": instance})
        )
        taken = {eni["Attachment"]["DeviceIndex"] for eni in attached if eni.get("Attachment")}
        return next(index for index in INDICES if index not in taken)

    async def _subnet(self, subnet: str) -> str:
        async def look() -> list[str]:
            found = await self._ec2.all("describe_subnets", "Subnets", Filters=self._tagged(SUBNET, subnet))
            return [one["SubnetId"] for one in found]

        return await _remembered(self._subnets, subnet, look, f"subnet with the tag {SUBNET}")

    async def _instance(self, host: str) -> str:
        async def look() -> list[str]:
            found = await self._ec2.all("describe_instances", "Reservations", Filters=self._tagged(HOST, host))
            live = ("pending", "running", "stopping", "stopped")
            return [i["InstanceId"] for r in found for i in r["Instances"] if i["State"]["Name"] in live]

        return await _remembered(self._instances, host, look, f"instance with the tag {HOST}")

    def _tagged(self, key: str, value: str) -> Any:
        return filters({f"tag:{CLUSTER}": self._settings.cluster, f"tag:{key}": value})


async def _remembered(known: dict[str, str], name: str, look: Callable[[], Awaitable[list[str]]], what: str) -> str:
    """EC2's id of a subnet or an instance: looked up once. Raises RefusedError unless there is exactly one."""
    if name not in known:
        found = await look()
        if len(found) != 1:
            raise RefusedError("describe", "NotOne", f"{len(found)} EC2 resources are the {what}={name}")
        known[name] = found[0]
    return known[name]


def _is_older(effect: EnsureEni | DeleteEni, eni: Mapping[str, Any]) -> bool:
    return int(tag_of(eni, EPOCH) or 0) > effect.epoch


def _instance_of(eni: Mapping[str, Any]) -> str:
    attachment = eni.get("Attachment") or {}
    return str(attachment.get("InstanceId") or "")


def _is_attached(eni: Mapping[str, Any]) -> bool:
    return (eni.get("Attachment") or {}).get("Status") == "attached"
