"""``workers.devices.protocol.Devices`` for what a public cloud is asked to do, on Amazon EC2.

Every effect ends in a clear outcome: done, refused with EC2's own code, or unknown (none is given, and it is asked for
again). What a lost call has made is found by its tags; what nobody asks for any more, by ``AuditCloud``.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from bus.events import CloudDifference, CloudResource
from workers.cloud_effects import AssociateFloatingIp, AttachEni, AuditCloud, CollectLeak, DeleteEni, EnsureEni
from workers.devices.aws.api import Ec2, filters, tag_of, tags
from workers.devices.aws.enis import CLUSTER, HOST, PORT, Enis
from workers.devices.aws.errors import RefusedError, UnknownOutcomeError, UnreachableError
from workers.devices.aws.settings import AwsSettings
from workers.devices.protocol import Outcome
from workers.effects import AnyEffect, Difference
from workers.errors import DevicesUnavailable


class AwsDevices:
    """The cloud of one region. Close it when done."""

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._ec2 = Ec2(settings)
        self._enis = Enis(self._ec2, settings)

    def close(self) -> None:
        """Give up threads and connections."""
        self._ec2.close()

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        """See ``Devices.alive``: EC2 knows no agents."""
        return set()

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """See ``Devices.apply``. Raises DevicesUnavailable once all others are done, if some never left here."""
        asking = [asyncio.create_task(self._try(index, effect)) for index, effect in enumerate(effects)]
        unreachable = ""
        try:
            for done in asyncio.as_completed(asking):
                outcome = await done
                if isinstance(outcome, Outcome):
                    yield [outcome]
                else:
                    unreachable = outcome or unreachable
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if unreachable:
            raise DevicesUnavailable(unreachable)

    async def _try(self, index: int, effect: AnyEffect) -> Outcome | str:
        """The outcome; or text if there is none: why EC2 cannot be reached, empty if nobody knows what came of it."""
        try:
            return Outcome(index, found=await self._perform(effect))
        except RefusedError as error:
            return Outcome(index, str(error))
        except TimeoutError:
            return Outcome(index, f"{effect.device}: not settled within {self._settings.settled_s:g} s")
        except UnknownOutcomeError:
            return ""
        except UnreachableError as error:
            return str(error)

    async def _perform(self, effect: AnyEffect) -> tuple[Difference, ...]:
        match effect:
            case AuditCloud():
                return await self._audit(effect)
            case AttachEni() | EnsureEni() | DeleteEni() | AssociateFloatingIp() | CollectLeak():
                async with self._enis.alone(effect.port):
                    return await self._perform_on_port(effect)
            case _:
                raise RefusedError("driftline", "NotSupported", f"EC2 cannot perform {type(effect).__name__}")

    async def _perform_on_port(
        self, effect: EnsureEni | DeleteEni | AssociateFloatingIp | CollectLeak
    ) -> tuple[Difference, ...]:
        match effect:
            case AttachEni():
                return (CloudResource(await self._enis.attach(effect)),)
            case EnsureEni():
                return (CloudResource(await self._enis.ensure(effect)),)
            case AssociateFloatingIp():
                return (CloudResource(await self._associate(effect)),)
            case DeleteEni(port=port):
                await self._release(await self._addresses(port))
                await self._enis.delete(effect)
            case CollectLeak(kind="eip", resource=address, port=port):
                found = await self._addresses(port)
                await self._release([one for one in found if address in (one["PublicIp"], one["AllocationId"])])
            case CollectLeak(resource=number, port=port):
                await self._enis.collect(number, port)
        return ()

    async def _addresses(self, port: str = "") -> list[Mapping[str, Any]]:
        """Our elastic IPs; of one port if it is given."""
        wanted = {f"tag:{CLUSTER}": self._settings.cluster} | ({f"tag:{PORT}": port} if port else {})
        found = await self._ec2.call("describe_addresses", Filters=filters(wanted))
        return sorted((one for one in found["Addresses"] if tag_of(one, PORT)), key=lambda one: one["AllocationId"])

    async def _associate(self, effect: AssociateFloatingIp) -> str:
        enis = await self._enis.of_port(effect.port)
        if not enis:
            raise RefusedError("associate_address", "NoEni", f"port {effect.port} has no ENI")
        found = await self._addresses(effect.port)
        marks = {CLUSTER: self._settings.cluster, PORT: effect.port}
        address = (
            found[0]
            if found
            else await self._ec2.call("allocate_address", Domain="vpc", TagSpecifications=tags("elastic-ip", marks))
        )
        await self._ec2.call(
            "associate_address",
            AllocationId=address["AllocationId"],
            NetworkInterfaceId=enis[0]["NetworkInterfaceId"],
            PrivateIpAddress=effect.ip,
            AllowReassociation=True,
        )
        return str(address["PublicIp"])

    async def _release(self, addresses: Iterable[Mapping[str, Any]]) -> None:
        for address in addresses:
            if address.get("AssociationId"):
                await self._ec2.call("disassociate_address", AssociationId=address["AssociationId"])
            await self._ec2.call("release_address", AllocationId=address["AllocationId"])

    async def _audit(self, effect: AuditCloud) -> tuple[Difference, ...]:
        enis, addresses = await self._enis.everything(), await self._addresses()
        node_of = await self._nodes()
        attached = {tag_of(eni, PORT): node_of.get((eni.get("Attachment") or {}).get("InstanceId", "")) for eni in enis}
        found: list[Difference] = [
            CloudDifference("eni", "", port, missing=True)
            for port, node in sorted(effect.enis.items())
            if node and attached.get(port) != node
        ]
        idle = [eni for eni in enis if eni["Status"] == "available" and tag_of(eni, PORT) not in effect.enis]
        found += [CloudDifference("eni", eni["NetworkInterfaceId"], tag_of(eni, PORT), missing=False) for eni in idle]
        paid = [address for address in addresses if tag_of(address, PORT) not in effect.enis]
        found += [CloudDifference("eip", one["PublicIp"], tag_of(one, PORT), missing=False) for one in paid]
        return tuple(found)

    async def _nodes(self) -> dict[str, str]:
        """The node of each of our instances."""
        ours = filters({f"tag:{CLUSTER}": self._settings.cluster})
        found = await self._ec2.all("describe_instances", "Reservations", Filters=ours)
        return {i["InstanceId"]: tag_of(i, HOST) for r in found for i in r["Instances"] if tag_of(i, HOST)}
