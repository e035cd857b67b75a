"""Figure 13, the public cloud: pods on EC2 nodes, an ENI each. Once with the modelled cloud and its oracle, and once
with the EC2 API itself, as a moto server process speaks it, behind a proxy that throttles and is slow.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import pytest_asyncio

from bus.events import InstanceDriftRequested, PortEniFailed, SpawnRequested
from driftline.outcomes import Outcome
from driftline.stack import Options, open_stack
from projections.enis import EniRow
from tests.acceptance.drifting import Here
from tests.acceptance.harness import site, until
from tests.moto_server import CREDENTIALS, REGION, Proxy, moto_server, proxied

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "cloud.toml"
ZONE = "us-east-1a"
#: A node whose capacity is set higher than its type allows.
SMALL = (
    '{ name = "small", az = "us-east-1a", leaves = ["aws-a1", "aws-a2"], interface = "e3", kind = "node",'
    ' instance_type = "t3.micro", capacity = 2 },'
)
A1, A2, B1 = "node-a1", "node-a2", "node-b1"


@asynccontextmanager
async def region(*options: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Here]:
    """A ``driftline up`` on the example's world."""
    async with site() as place:
        lines = EXAMPLE.read_text().partition("[[step]]")[0].splitlines()  # the world of the scenario
        world = place.folder / "world.toml"
        text = "\n".join(line for line in lines if not line.startswith(("title", "about")))
        world.write_text(text.replace("host = [", f"host = [{SMALL}", 1))
        up = await place.start("up", "--world", world, *options, env=dict(env or {}))
        await up.said("driftline is up")
        note = place.note()
        async with open_stack(Options(nats=note["nats"], postgres=note["postgres"])) as stack:
            yield Here(place, stack)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with region() as one:
        yield one


async def pod(here: Here, name: str, node: str | None = None, network: str = "pods-a", az: str = ZONE) -> Outcome:
    """Spawn a pod."""
    return await here.ended(SpawnRequested(instance=name, name=name, az=az, network=network, host=node))


async def eni(here: Here, name: str) -> EniRow:
    """The ENI of a pod, as it is projected now."""
    (row,) = await here.rows("enis", port=f"{name}-0")
    found: EniRow = row
    return found


async def test_pods_reach_each_other_by_both_addresses_and_keep_them_in_a_drift(here: Here) -> None:
    assert (await pod(here, "a", A1)).kind == (await pod(here, "b", A2)).kind == "active"
    before, port = await eni(here, "a"), await here.port("a")
    assert (before.state, before.attached_to, before.node) == ("attached", A1, A1)
    assert [port.ip, port.secondary_ips] == ["10.20.1.4", ["10.20.1.5"]]  # .1 to .3 are Amazon's
    assert (port.underlay, port.overlay, port.vlan, port.vni) == ("ACTIVE", "ACTIVE", 0, 0)
    for ip in (port.ip, port.secondary_ips[0]):
        assert await here.arrives("b-0", ip) == {A1}
    floating = (await here.place.json("cloud", "floating-ip", "a-0"))["address"]

    said = await here.place.run("drift", "a", "--host", A2)
    assert said.stdout == f"a (a) has drifted to {A2}\n"
    after, moved = await eni(here, "a"), await here.port("a")
    assert (after.eni, after.attached_to, after.floating_ip) == (before.eni, A2, floating)
    assert (moved.ip, moved.secondary_ips, moved.mac) == (port.ip, port.secondary_ips, port.mac)
    assert await here.arrives("b-0", moved.secondary_ips[0]) == {A2}
    await here.deleted("a", "b")
    await here.all_is_well()


async def test_a_drift_to_another_zone_is_refused_and_both_zones_are_named(here: Here) -> None:
    await pod(here, "z", A1)
    refused = await here.ended(InstanceDriftRequested(instance="z", host=B1))
    assert refused.kind == "drift_refused"
    assert (refused.reason, refused.field, refused.value) == (f"the host is in us-east-1b, not in {ZONE}", "host", B1)
    assert (await eni(here, "z")).attached_to == A1
    wrong = await pod(here, "w", B1, "pods-a", "us-east-1b")
    assert wrong.kind == "refused"
    reason = "the subnet pods-a-net is in us-east-1a, the node in us-east-1b: an ENI does not leave its AZ"
    assert (wrong.reason, wrong.field, wrong.value) == (reason, "host", "node-b1 (us-east-1b)")
    await here.deleted("z")
    await here.all_is_well()


async def test_a_dead_node_loses_its_enis_before_they_go_elsewhere(here: Here) -> None:
    await pod(here, "dead", A1)
    await here.power(power_off=[A1])
    await here.place.run("host", "fail", A1)
    await until(lambda: attached_to(here, "dead", A2), "the ENI has moved")
    await here.power(power_on=[A1])
    await here.place.run("host", "return", A1)
    await until(lambda: state_is(here, A1, "up"), "the node is back")
    assert (await here.port("dead")).host == A2
    await here.deleted("dead")
    await here.all_is_well()


async def attached_to(here: Here, name: str, node: str) -> bool:
    return (await eni(here, name)).attached_to == node


async def state_is(here: Here, host: str, state: str) -> bool:
    return await here.state(host) == state


async def test_bad_input_is_refused_in_words(here: Here) -> None:
    place = here.place
    said = await place.refused("cloud", "floating-ip", "nobody-0")
    assert said == "refused: unknown port (port: nobody-0)"
    assert "--aws-region as well" in await place.refused("up", "--aws-endpoint", "http://127.0.0.1:1")
    assert "only an emulator" in await place.refused("cloud", "bootstrap")
    bad = place.folder / "bad.toml"
    bad.write_text(
        'host = [{ name = "x", az = "us-east-1a", leaves = ["aws-a1", "aws-a2"], interface = "e9", kind = "node",'
        ' instance_type = "t9.huge" }]\n'
    )
    said = await place.refused("world", "--nats", place.note()["nats"], "--world", bad)
    assert said.startswith("host x: instance_type: t9.huge is none of ")
    bad.write_text('network = [{ name = "n", vpc = "shop", model = "eni", vni = 7 }]\n')
    said = await place.refused("world", "--nats", place.note()["nats"], "--world", bad)
    assert said == "network n: vni: 7 is wrong: a network of a public cloud has no VNI"


async def test_a_node_takes_as_many_enis_as_its_type_allows(here: Here) -> None:
    """Its capacity says so to the scheduler; where that is set too high, IPAM refuses before EC2 has to."""
    assert [(await pod(here, f"p{n}", A1)).kind for n in range(2)] == ["active", "active"]
    full = await pod(here, "p2", A1)
    assert (full.kind, full.reason) == ("refused", "the host is full (2 instances)")
    assert (await pod(here, "q0", "small")).kind == "active"
    full = await pod(here, "q1", "small")
    assert (full.kind, full.reason) == (
        "refused",
        "a t3.micro takes 2 ENIs, one of them the node's own, and all are taken",
    )
    assert full.value == "small (t3.micro, 2 ENIs)"
    await here.deleted("p0", "p1", "q0")
    await here.all_is_well()


class Amazon(NamedTuple):
    """A ``driftline up`` whose cloud is a moto server behind a proxy."""

    here: Here
    proxy: Proxy
    ec2: Any
    instances: dict[str, str]

    async def enis(self, port: str) -> list[Any]:
        """What EC2 itself says."""
        wanted = [{"Name": "tag:driftline:port", "Values": [port]}]
        return list(
            (await asyncio.to_thread(lambda: self.ec2.describe_network_interfaces(Filters=wanted)))["NetworkInterfaces"]
        )

    async def node_of(self, port: str) -> str:
        (one,) = await self.enis(port)
        instance = (one.get("Attachment") or {}).get("InstanceId")
        return next((host for host, number in self.instances.items() if number == instance), "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def amazon() -> AsyncIterator[Amazon]:
    async with moto_server() as moto, proxied(moto) as proxy:
        aws = ("--aws-region", REGION, "--aws-endpoint", proxy.url)
        async with region(*aws, env=CREDENTIALS) as here:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in CREDENTIALS.items():
                    patch.setenv(name, value)
                made = await here.place.json("cloud", "bootstrap", "--vpc", "shop", *aws)
                ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=moto)
            yield Amazon(here, proxy, ec2, made["instances"])
            ec2.close()


async def test_on_the_real_api_a_pod_lives_drifts_and_goes(amazon: Amazon) -> None:
    here, proxy = amazon.here, amazon.proxy
    proxy.attach_s = 1.0
    proxy.throttled.update(CreateNetworkInterface=2, AttachNetworkInterface=1)
    assert (await pod(here, "real", A1)).kind == "active"
    assert await amazon.node_of("real-0") == A1
    (before,) = await amazon.enis("real-0")
    assert before["AvailabilityZone"] == ZONE
    assert [one["PrivateIpAddress"] for one in before["PrivateIpAddresses"]] == ["10.20.1.4", "10.20.1.5"]
    assert (await eni(here, "real")).eni == before["NetworkInterfaceId"]
    address = (await here.place.json("cloud", "floating-ip", "real-0"))["address"]

    assert (await here.drifted("real", A2)).kind == "drifted"
    assert await amazon.node_of("real-0") == A2
    (after,) = await amazon.enis("real-0")
    assert (after["NetworkInterfaceId"], after["PrivateIpAddresses"]) == (
        before["NetworkInterfaceId"],
        before["PrivateIpAddresses"],
    )
    addresses = (await asyncio.to_thread(amazon.ec2.describe_addresses))["Addresses"]
    assert [(one["PublicIp"], one["NetworkInterfaceId"]) for one in addresses] == [
        (address, after["NetworkInterfaceId"])
    ]
    assert (await here.place.json("cloud", "audit"))["found"] == []

    await here.deleted("real")
    assert await amazon.enis("real-0") == []
    assert (await asyncio.to_thread(amazon.ec2.describe_addresses))["Addresses"] == []


async def test_on_the_real_api_a_pod_that_cannot_be_attached_fails_and_leaves_nothing(amazon: Amazon) -> None:
    here = amazon.here
    amazon.proxy.refused["AttachNetworkInterface"] = "AttachmentLimitExceeded"
    outcome = await pod(here, "f", A1)
    amazon.proxy.refused.clear()
    assert (outcome.kind, outcome.reason) == ("failed", "attach_network_interface: AttachmentLimitExceeded: injected")
    await here.seen(PortEniFailed, "f-0")
    await until(lambda: is_gone(amazon, "f-0"), "no ENI is left")


async def is_gone(amazon: Amazon, port: str) -> bool:
    return await amazon.enis(port) == []


async def test_on_the_real_api_what_leaked_is_found_by_its_tag(amazon: Amazon) -> None:
    (subnet,) = [
        one["SubnetId"]
        for one in (await asyncio.to_thread(amazon.ec2.describe_subnets))["Subnets"]
        if {"Key": "driftline:subnet", "Value": "pods-a-net"} in one.get("Tags", [])
    ]
    ours = [{"Key": "driftline:cluster", "Value": "driftline"}, {"Key": "driftline:port", "Value": "ghost-0"}]
    tags = [{"ResourceType": "network-interface", "Tags": ours}]
    made = await asyncio.to_thread(lambda: amazon.ec2.create_network_interface(SubnetId=subnet, TagSpecifications=tags))
    found = (await amazon.here.place.json("cloud", "audit"))["found"]
    number = made["NetworkInterface"]["NetworkInterfaceId"]
    assert [(one["resource"], one["port"], one["missing"]) for one in found] == [(number, "ghost-0", False)]
    (leak,) = await amazon.here.rows("cloud_leaks")
    assert leak.resource == number
    await asyncio.to_thread(lambda: amazon.ec2.delete_network_interface(NetworkInterfaceId=number))
    assert (await amazon.here.place.json("cloud", "audit"))["found"] == []
    assert await amazon.here.rows("cloud_leaks") == []
