"""The EC2 driver against a real moto server process, with a proxy that throttles, is slow and loses answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import boto3
import pytest
import pytest_asyncio

from bus.events import CloudDifference, CloudResource
from tests.moto_server import REGION, Proxy, moto_server, proxied, use_credentials
from workers.cloud_effects import (
    AssociateFloatingIp,
    AttachEni,
    AuditCloud,
    CollectLeak,
    DeleteEni,
    EnsureEni,
)
from workers.devices.aws.bootstrap import Made, WantedNode, WantedSubnet, bootstrap
from workers.devices.aws.driver import AwsDevices
from workers.devices.aws.settings import AwsSettings
from workers.devices.protocol import Outcome
from workers.effects import AnyEffect
from workers.errors import DevicesUnavailable

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

ZONE = "us-east-1a"
SUBNET = WantedSubnet("pods-a", "10.0.1.0/24", ZONE)
NODES = [WantedNode("k1", ZONE, "t3.medium"), WantedNode("k2", ZONE, "t3.medium")]
DONE = ""


class Cloud(NamedTuple):
    """EC2 as moto has it, the proxy before it, and the driver under test."""

    driver: AwsDevices
    proxy: Proxy
    made: Made
    ec2: Any
    cluster: str

    async def perform(self, *effects: AnyEffect) -> list[Outcome]:
        """The outcomes that came, in the order of the effects."""
        return sorted([one async for group in self.driver.apply(effects) for one in group])

    async def one(self, effect: AnyEffect) -> str:
        """Why it was not done, or empty."""
        (outcome,) = await self.perform(effect)
        return outcome.error

    async def enis(self, port: str) -> list[Mapping[str, Any]]:
        """What EC2 itself says: straight from moto, not through the proxy."""
        wanted = [*self._ours(), {"Name": "tag:driftline:port", "Values": [port]}]
        found = await asyncio.to_thread(lambda: self.ec2.describe_network_interfaces(Filters=wanted))
        return list(found["NetworkInterfaces"])

    async def node_of(self, port: str) -> str:
        """The node that the port's one ENI is attached to, empty for none."""
        (eni,) = await self.enis(port)
        instance = (eni.get("Attachment") or {}).get("InstanceId")
        return next((host for host, number in self.made.instances.items() if number == instance), "")

    async def addresses(self) -> list[str]:
        found = await asyncio.to_thread(lambda: self.ec2.describe_addresses(Filters=self._ours()))
        return [one["PublicIp"] for one in found["Addresses"]]

    def _ours(self) -> list[dict[str, Any]]:
        return [{"Name": "tag:driftline:cluster", "Values": [self.cluster]}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def moto() -> AsyncIterator[str]:
    async with moto_server() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="module")
async def cloud(moto: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Cloud]:
    """A cluster of the test's own: a VPC, a subnet and two nodes."""
    use_credentials(monkeypatch)
    cluster = request.node.name
    async with proxied(moto) as proxy:
        settings = AwsSettings(
            region=REGION, endpoint=proxy.url, cluster=cluster, attempts=4, timeout_s=5, settled_s=3, poll_s=0.05
        )
        made = await bootstrap(settings, "prod", "10.0.0.0/16", [SUBNET], NODES)
        ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=moto)
        driver = AwsDevices(settings)
        yield Cloud(driver, proxy, made, ec2, cluster)
        driver.close()
        ec2.close()


def ensure(port: str, epoch: int = 1, *, detach: bool = False, last: int = 20) -> EnsureEni:
    return EnsureEni(
        device="cloud",
        port=port,
        az=ZONE,
        epoch=epoch,
        subnet="pods-a",
        vpc="prod",
        ip=f"10.0.1.{last}",
        secondary_ips=(f"10.0.1.{last + 1}",),
        generation=1,
        detach=detach,
    )


def attach(port: str, node: str, epoch: int = 2, last: int = 20) -> AttachEni:
    return AttachEni(
        device="cloud",
        port=port,
        az=ZONE,
        epoch=epoch,
        subnet="pods-a",
        vpc="prod",
        ip=f"10.0.1.{last}",
        secondary_ips=(f"10.0.1.{last + 1}",),
        generation=1,
        node=node,
        node_az=ZONE,
        instance_type="t3.medium",
    )


def delete(port: str, epoch: int = 9) -> DeleteEni:
    return DeleteEni(device="cloud", port=port, az=ZONE, epoch=epoch)


def float_ip(port: str) -> AssociateFloatingIp:
    return AssociateFloatingIp(device="cloud", port=port, az=ZONE, epoch=2, ip="10.0.1.20")


def audit(**enis: str) -> AuditCloud:
    return AuditCloud(device="cloud", epoch=10, enis=enis)


async def test_the_life_of_an_eni(cloud: Cloud) -> None:
    """Made, attached, moved with both addresses and the elastic IP, deleted: every step twice is once."""
    for _ in range(2):
        assert await cloud.one(ensure("p1")) == DONE
        assert await cloud.one(attach("p1", "k1")) == DONE
        assert await cloud.node_of("p1") == "k1"
    (first,) = await cloud.enis("p1")
    assert [one["PrivateIpAddress"] for one in first["PrivateIpAddresses"]] == ["10.0.1.20", "10.0.1.21"]
    assert {tag["Key"]: tag["Value"] for tag in first["TagSet"]}["driftline:epoch"] == "2"

    (floated, again) = [(await cloud.perform(float_ip("p1")))[0].found for _ in range(2)]
    assert floated == again
    assert await cloud.addresses() == [one.id for one in floated if isinstance(one, CloudResource)]

    assert await cloud.one(attach("p1", "k2", epoch=3)) == DONE
    assert await cloud.node_of("p1") == "k2"
    (moved,) = await cloud.enis("p1")
    assert moved["NetworkInterfaceId"] == first["NetworkInterfaceId"]
    assert moved["PrivateIpAddresses"] == first["PrivateIpAddresses"]

    for _ in range(2):
        assert await cloud.one(delete("p1")) == DONE
        assert await cloud.enis("p1") == []
        assert await cloud.addresses() == []


async def test_detached_by_force_from_a_node_that_is_dead(cloud: Cloud) -> None:
    assert await cloud.one(attach("p1", "k1")) == DONE
    assert await cloud.one(ensure("p1", epoch=3, detach=True)) == DONE
    assert await cloud.node_of("p1") == ""
    (eni,) = await cloud.enis("p1")
    assert eni["Status"] == "available"


async def test_throttled_calls_are_repeated_with_backoff(cloud: Cloud) -> None:
    cloud.proxy.throttled.update(CreateNetworkInterface=2, AttachNetworkInterface=2, DescribeNetworkInterfaces=1)
    assert await cloud.one(attach("p1", "k1")) == DONE
    assert await cloud.node_of("p1") == "k1"
    assert cloud.proxy.calls["CreateNetworkInterface"] == cloud.proxy.calls["AttachNetworkInterface"] == 3


async def test_throttled_for_too_long_is_told_and_leaves_nothing_half_done(cloud: Cloud) -> None:
    cloud.proxy.throttled.update(CreateNetworkInterface=100)
    error = await cloud.one(attach("p1", "k1"))
    assert error == "create_network_interface: RequestLimitExceeded: injected"
    assert await cloud.enis("p1") == []
    cloud.proxy.throttled.clear()
    assert await cloud.one(attach("p1", "k1")) == DONE


async def test_an_attachment_takes_its_time(cloud: Cloud) -> None:
    cloud.proxy.attach_s = 0.6
    started = asyncio.get_running_loop().time()
    assert await cloud.one(attach("p1", "k1")) == DONE
    assert asyncio.get_running_loop().time() - started >= 0.6


async def test_an_attachment_that_never_settles_is_an_error(cloud: Cloud) -> None:
    cloud.proxy.attach_s = 60
    assert await cloud.one(attach("p1", "k1")) == "cloud: not settled within 3 s"


async def test_a_lost_answer_has_no_outcome_and_a_second_try_makes_no_second_eni(cloud: Cloud) -> None:
    cloud.proxy.unanswered.update(CreateNetworkInterface=100)
    assert await cloud.perform(ensure("p1")) == []
    assert len(await cloud.enis("p1")) >= 1  # it was done all the same
    cloud.proxy.unanswered.clear()
    made = len(await cloud.enis("p1"))
    assert await cloud.one(attach("p1", "k1")) == DONE
    assert len(await cloud.enis("p1")) == made
    assert await cloud.one(delete("p1")) == DONE  # and takes away what EC2, without a client token, made twice
    assert await cloud.enis("p1") == []


async def test_a_late_call_of_an_older_need_changes_nothing(cloud: Cloud) -> None:
    assert await cloud.one(attach("p1", "k2", epoch=5)) == DONE
    assert await cloud.one(attach("p1", "k1", epoch=2)) == DONE
    assert await cloud.one(ensure("p1", epoch=3, detach=True)) == DONE
    assert await cloud.node_of("p1") == "k2"


async def test_two_attachments_to_one_node_at_once_find_two_places(cloud: Cloud) -> None:
    outcomes = await cloud.perform(attach("p1", "k1"), attach("p2", "k1", last=30))
    assert [one.error for one in outcomes] == [DONE, DONE]
    places = [(await cloud.enis(port))[0]["Attachment"]["DeviceIndex"] for port in ("p1", "p2")]
    assert sorted(places) == [1, 2]


async def test_what_is_unknown_is_refused_with_its_name(cloud: Cloud) -> None:
    error = await cloud.one(attach("p1", "k9"))
    assert error == "describe: NotOne: 0 EC2 resources are the instance with the tag driftline:host=k9"
    assert "NoEni" in await cloud.one(float_ip("p7"))


async def test_leaks_are_found_by_tag_and_collected_and_nothing_else_is(cloud: Cloud) -> None:
    assert await cloud.one(attach("live", "k1")) == DONE
    assert await cloud.one(ensure("leaked", last=40)) == DONE
    assert await cloud.one(ensure("idle", last=50)) == DONE
    (looked,) = await cloud.perform(audit(live="k1", idle=""))
    (leak,) = looked.found
    assert isinstance(leak, CloudDifference)
    assert (leak.kind, leak.port, leak.missing) == ("eni", "leaked", False)
    assert (await cloud.enis("leaked"))[0]["NetworkInterfaceId"] == leak.resource

    wrong = CollectLeak(device="cloud", kind="eni", resource=leak.resource, port="other", epoch=11)
    right = CollectLeak(device="cloud", kind="eni", resource=leak.resource, port="leaked", epoch=11)
    assert await cloud.one(wrong) == DONE
    assert len(await cloud.enis("leaked")) == 1
    assert await cloud.one(right) == DONE
    assert await cloud.enis("leaked") == []
    assert await cloud.node_of("live") == "k1"


async def test_an_eni_that_somebody_took_away_is_missed(cloud: Cloud) -> None:
    assert await cloud.one(attach("p1", "k1")) == DONE
    assert await cloud.one(ensure("p1", epoch=3, detach=True)) == DONE
    (looked,) = await cloud.perform(audit(p1="k1"))
    assert looked.found == (CloudDifference("eni", "", "p1", missing=True),)


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch)
    driver = AwsDevices(AwsSettings(region=REGION, endpoint="http://127.0.0.1:1", attempts=1, timeout_s=1))
    with pytest.raises(DevicesUnavailable, match=r"127\.0\.0\.1:1"):
        assert [one async for one in driver.apply([ensure("p1")])] == []
    driver.close()
