"""The target architecture (Figure 12): a K8s cluster inside a VPC, entered by its ingress alone."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.events import InstanceDeleteRequested, InstanceDriftRequested, SpawnRequested
from driftline.stack import Options, open_stack
from tests.acceptance.drifting import Here
from tests.acceptance.harness import site, start_up, until
from workers.devices.simulated.wire import Ask
from workers.policy_rules import Flow

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

WORLD = """
region = [{ name = "region1" }]
az = [{ name = "az1", region = "region1" }]
leaf = [
    { name = "leaf1", az = "az1", vtep = "10.255.0.1", asn = 4200000001 },
    { name = "leaf2", az = "az1", vtep = "10.255.0.2", asn = 4200000002 },
]
leaf_pair = [{ az = "az1", leaves = ["leaf1", "leaf2"], hosts = 3 }]
tenant = [{ name = "acme" }]
vpc = [
    { name = "prod", tenant = "acme", vrf = "acme", cidr = "10.0.0.0/16" },
    { name = "office", tenant = "acme", vrf = "acme", cidr = "10.1.0.0/16" },
]
network = [
    { name = "vms", vpc = "prod", vni = 10001 },
    { name = "tiny", vpc = "prod", vni = 10002 },
    { name = "desks", vpc = "office", vni = 10003 },
]
subnet = [
    { name = "vms-a", network = "vms", cidr = "10.0.1.0/24" },
    { name = "tiny-a", network = "tiny", cidr = "10.0.2.0/30" },
    { name = "desks-a", network = "desks", cidr = "10.1.1.0/24" },
]
"""
CLUSTER = ("cluster", "create", "k8s", "--vpc", "prod", "--pod-cidr", "172.16.0.0/24")
INGRESS = ("ingress", "create", "shop", "--cluster", "k8s", "--network", "vms", "--listen", "80:app=web:8080")
WEB = ("--proto", "tcp", "--port", "80")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD)
        await start_up(place, "--world", "world.toml")
        note = place.note()
        async with open_stack(Options(nats=note["nats"], postgres=note["postgres"])) as stack:
            one = Here(place, stack)
            said = await place.run(*CLUSTER)
            assert said.stdout == "k8s is created; its pods: network k8s-pods, 172.16.0.0/24\n"
            await asyncio.gather(
                spawned(one, "vm", "vms", {}),
                spawned(one, "desk", "desks", {}),
                spawned(one, "web-1", "k8s-pods", {"app": "web"}),
                spawned(one, "web-2", "k8s-pods", {"app": "web"}),
                spawned(one, "db-1", "k8s-pods", {"app": "db"}),
            )
            said = await place.run(*INGRESS)
            assert said.stdout.startswith("shop is created; its VIP: 10.0.1.")
            yield one


async def spawned(here: Here, name: str, network: str, labels: dict[str, str]) -> None:
    labels = {**labels, "pod": name} if labels else {}
    ended = await here.ended(SpawnRequested(instance=name, name=name, az="az1", network=network, labels=labels))
    assert ended.kind == "active", ended


async def shop(here: Here) -> str:
    """The VIP."""
    (row,) = (await here.place.json("clusters"))["ingresses"]
    assert (row["ingress"], row["state"]) == ("shop", "created")
    return str(row["vip"])


async def pods_behind(here: Here, source: str = "vm") -> set[str]:
    """The pods that a packet to the VIP may get to."""
    (path,) = await here.fabric.trace([Ask(f"{source}-0", dst_ip=await shop(here), flow=Flow("tcp", 80))])
    return {way[-1].partition("-0@")[0] for way in path.ways if path.reachable}


async def unreached(here: Here, *arguments: str) -> str:
    return (await here.place.run("reach", *arguments, code=1)).complaint


async def test_pods_reach_each_other_and_nobody_else_reaches_them(here: Here) -> None:
    assert (await here.place.json("reach", "web-1", "db-1"))["reachable"]
    for outside in ("vm", "desk"):
        assert (await unreached(here, outside, "web-1")).endswith("is in VRF k8s-plane, not acme")
        assert (await unreached(here, "web-1", outside)).endswith("is in VRF acme, not k8s-plane")


async def test_the_ingress_is_the_only_way_in(here: Here) -> None:
    vip = await shop(here)
    for outside in ("vm", "desk"):  # from the VPC, and from another one that is connected
        path = await here.place.json("reach", outside, "shop", *WEB)
        assert any("ingress shop tcp/80 to 172.16.0." in hop for hop in path["ways"][0])
        assert await pods_behind(here, outside) == {"web-1", "web-2"}
    assert (await unreached(here, "vm", "shop", "--proto", "tcp", "--port", "22")).endswith("nothing listens on tcp/22")
    addresses = await here.rows("addresses", ip=vip)
    assert [(row.vrf, row.subnet) for row in addresses] == [("acme", "vms-a")]  # given by the one IPAM


async def test_policy_knows_the_ingress_by_its_label(here: Here) -> None:
    policy = """
    [[policy]]
    name = "web"
    vpc = "k8s-plane"
    selects = { app = "web" }
    ingress = [{ from = { ingress = "shop" }, protocol = "tcp", ports = [8080] }]
    """
    (here.place.folder / "policy.toml").write_text(policy)
    await here.place.run("policy", "apply", "policy.toml")
    assert await pods_behind(here) == {"web-1", "web-2"}
    why = await unreached(here, "db-1", "web-1", "--proto", "tcp", "--port", "8080")
    assert why.endswith("no rule allows it")
    await here.place.run("policy", "delete", "web")


async def test_the_pods_behind_it_follow_drifts_and_deletes(here: Here) -> None:
    port = await here.port("web-1")
    target = "az1-h3" if port.host != "az1-h3" else "az1-h2"
    drifted = await here.ended(InstanceDriftRequested(instance="web-1", host=target))
    assert drifted.kind == "drifted"

    async def behind(*pods: str) -> bool:
        return await pods_behind(here) == set(pods)

    await until(lambda: behind("web-1", "web-2"), "both are behind the VIP again")
    path = await here.place.json("reach", "vm", "shop", *WEB)
    assert any(f"web-1-0@{target} vnic" in way[-1] for way in path["ways"])
    await here.ended(InstanceDeleteRequested(instance="web-2"))
    await until(lambda: behind("web-1"), "web-2 is behind it no more")


async def test_what_cannot_be_is_refused_and_leaves_nothing(here: Here) -> None:
    await here.ended(SpawnRequested(instance="only", name="only", az="az1", network="tiny"))
    before = await here.fabric.leftovers(), len(await here.rows("ports"))
    place = here.place
    listen = ("--cluster", "k8s", "--network", "vms", "--listen")
    said = {
        "overlap": await place.refused("cluster", "create", "c1", "--vpc", "prod", "--pod-cidr", "10.0.128.0/17"),
        "cidr": await place.refused("cluster", "create", "c1", "--vpc", "prod", "--pod-cidr", "172.16.0.0/99"),
        "vpc": await place.refused("cluster", "create", "c1", "--vpc", "none", "--pod-cidr", "172.17.0.0/24"),
        "name": await place.refused(*CLUSTER),
        "vip": await place.refused(
            "ingress", "create", "i1", "--cluster", "k8s", "--network", "tiny", "--listen", "80:all"
        ),
        "network": await place.refused(
            "ingress", "create", "i1", "--cluster", "k8s", "--network", "desks", "--listen", "80:all"
        ),
        "cluster": await place.refused(
            "ingress", "create", "i1", "--cluster", "none", "--network", "vms", "--listen", "80:all"
        ),
        "port": await place.refused("ingress", "create", "i1", *listen, "70000:all"),
        "taken": await place.refused(*INGRESS),
        "text": await place.refused("ingress", "create", "i1", *listen, "web"),
    }
    assert said == {
        "overlap": "cluster c1 refused: the pod CIDR overlaps 10.0.0.0/16 of VPC prod (pod_cidr: 10.0.128.0/17)",
        "cidr": "cluster c1 refused: no IPv4 CIDR: '99' is not a valid netmask (pod_cidr: 172.16.0.0/99)",
        "vpc": "cluster c1 refused: unknown VPC (vpc: none)",
        "name": "cluster k8s refused: the name is in use (cluster: k8s)",
        "vip": "ingress i1 refused: no address is left in the network (network: tiny)",
        "network": "ingress i1 refused: the VIP is to be in VPC prod, not in office (network: desks)",
        "cluster": "ingress i1 refused: unknown cluster (cluster: none)",
        "port": "ingress i1 refused: no port from 1 to 65535 (listeners[1].port: 70000)",
        "taken": "ingress shop refused: the name is in use (ingress: shop)",
        "text": "--listen: 'web' is not PORT:SELECTOR[:TARGET], like 80:app=web:8080",
    }

    async def as_before() -> bool:
        return (await here.fabric.leftovers(), len(await here.rows("ports"))) == before

    await until(as_before, "nothing is left of what was refused")
    listed = await place.json("clusters")
    assert ([one["cluster"] for one in listed["clusters"]], len(listed["ingresses"])) == (["k8s"], 1)
    assert "k8s-plane" in (await place.run("clusters")).stdout
    assert (await place.json("verify"))["equal"]
