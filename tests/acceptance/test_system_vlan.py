"""The VLAN provider network (2013, Figures 3 to 6), by the command line, judged by the fabric."""

import tomllib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bus.envelope import request
from bus.events import (
    HostFailRequested,
    HostFenced,
    LeafInterfaceShut,
    NetworkCreated,
    NetworkCreateRequested,
    NetworkGatewayChanged,
    NetworkRefused,
    PortClaimCleared,
    RouterGatewayConfigured,
    SpawnRequested,
    SubnetCreated,
)
from bus.subjects import ALL, history_filter
from driftline.answers import Awaited, answers
from driftline.stack import Options, open_stack
from tests.acceptance.drifting import Here
from tests.acceptance.harness import site, start_up, until
from workers.devices.simulated.tamper import DropRow
from workers.devices.simulated.wire import Ask

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

#: h1 and h2 below leaf1 and leaf2, h3 and h4 below leaf3 and leaf4.
H1, H2, H3, H4 = (f"az1-h{number}" for number in range(1, 5))
WORLD = """
region = [{ name = "region1" }]
az = [{ name = "az1", region = "region1", spines = ["spine1"] }]
leaf = [
    { name = "leaf1", az = "az1", vtep = "10.255.0.1", asn = 4200000001 },
    { name = "leaf2", az = "az1", vtep = "10.255.0.2", asn = 4200000002 },
    { name = "leaf3", az = "az1", vtep = "10.255.0.3", asn = 4200000003 },
    { name = "leaf4", az = "az1", vtep = "10.255.0.4", asn = 4200000004 },
]
leaf_pair = [
    { az = "az1", leaves = ["leaf1", "leaf2"], hosts = 2 },
    { az = "az1", leaves = ["leaf3", "leaf4"], hosts = 2, first_host = 3 },
]
router = [{ name = "core1" }]
tenant = [{ name = "acme" }]
vpc = [{ name = "prod", tenant = "acme", cidr = "10.0.0.0/8" }, { name = "lab", tenant = "acme", cidr = "10.0.0.0/8" }]
network = [{ name = "sdn", vpc = "prod", vni = 10001 }]
subnet = [{ name = "sdn-a", network = "sdn", cidr = "10.1.0.0/24" }]
"""
PROVIDER = ("--vpc", "prod", "--model", "vlan")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    """A ``driftline up`` with two provider networks, ``web`` on VLAN 100 and ``db`` on the VLAN that IPAM chose."""
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD)
        await start_up(place, "--world", "world.toml")
        web = await place.json("network", "create", "web", *PROVIDER, "--cidr", "10.100.0.0/24", "--vlan", "100")
        db = await place.json("network", "create", "db", *PROVIDER, "--cidr", "10.200.0.0/24", "--label", "old")
        assert (web["vlan"], web["vni"], web["gateway"], web["router"], web["leaves"]) == (
            *(100, 0, "10.100.0.1", "core1"),
            len(tomllib.loads(WORLD)["leaf"]),
        )
        assert (db["vlan"], db["labels"], db["subnet"]) == (1, ["old"], "db-a")
        note = place.note()
        async with open_stack(Options(nats=note["nats"], postgres=note["postgres"])) as stack:
            yield Here(place, stack)


async def reaches(here: Here, source: str, target: str) -> str:
    """Why packets there or back do not arrive, empty if they do."""
    there, back = await here.fabric.trace([Ask(source, target), Ask(target, source)])
    return there.reason or back.reason


async def hops(here: Here, source: str, target: str, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = await here.place.json("trace-path", source, target, *options)
    assert [hop["number"] for hop in document["hops"]] == list(range(1, len(document["hops"]) + 1))
    return document


async def test_figures_5_and_6_hop_by_hop(here: Here) -> None:
    await here.spawned("w1", H1, "web")
    await here.spawned("d1", H1, "db")
    assert await reaches(here, "w1-0", "d1-0") == ""
    mine, stock = await hops(here, "w1", "d1"), await hops(here, "w1", "d1", "--layout", "openstack")
    assert (len(mine["hops"]), len(stock["hops"])) == (18, 24)
    switches = [hop["device"] for hop in mine["hops"] if hop["kind"] in ("switch", "router")]
    assert switches == ["leaf1", "core1", "core1", "leaf1"]
    shown = (await here.place.run("trace-path", "w1", "d1")).stdout
    assert "18 hops, 2 of them switches" in shown
    assert "routed by core1" in shown
    await here.deleted("w1", "d1")


async def test_a_port_is_usable_without_an_overlay_and_reached_over_the_whole_fabric(here: Here) -> None:
    ports = [await here.spawned(name, host, "web") for name, host in (("a1", H1), ("a2", H2), ("a3", H3))]
    ports += [await here.spawned("b3", H3, "db"), await here.spawned("s3", H3, "sdn")]
    row = await here.port("a1")
    assert (row.model, row.vlan, row.vni, row.overlay_by, row.usable) == ("vlan", 100, 0, "", True)
    assert (row.underlay, row.overlay) == ("ACTIVE", "ACTIVE")
    for source in ports:
        for target in ports:
            assert source == target or await reaches(here, source, target) == "", (source, target)
    far, near = await hops(here, "a1", "a3"), await hops(here, "a1", "a2")
    assert ([far["switch_hops"], far["note"]], near["switch_hops"]) == ([3, ""], 1)
    assert near["note"].startswith("both hosts hang on leaf1")
    held = await here.fabric.dump()
    assert {interface for leaf in held["leaves"].values() for interface in leaf} == {"Ethernet1"}  # of s3 alone
    assert all(trunk["vlans"] == [1, 100] for trunk in held["trunks"].values())
    await here.all_is_well()
    await here.deleted("a1", "a2", "a3", "b3", "s3")


async def test_a_drift_keeps_the_address_and_the_vlan(here: Here) -> None:
    port, peer = await here.spawned("mover", H1, "web"), await here.spawned("watcher", H2, "db")
    before = await here.port("mover")
    assert (await here.drifted("mover", H3)).kind == "drifted"
    after = await here.port("mover")
    assert (after.host, after.physical_network) == (H3, "leaf3-leaf4")
    assert (after.ip, after.mac, after.vlan) == (before.ip, before.mac, before.vlan)
    assert await here.arrives(peer, after.ip) == {H3}
    await until(lambda: _only_on(here, port, H3), f"nothing of {port} is left on {H1}")
    await here.all_is_well()
    await here.deleted("mover", "watcher")


async def _only_on(here: Here, port: str, host: str) -> bool:
    return await here.places(port) == {"vnics": {host}, "flows": {host}}


async def test_a_gateway_change_shows_its_blast_radius_and_the_fabric_agrees(here: Here) -> None:
    """The instances keep what they were told: bridged as before, not routed until they are told anew."""
    for name, host, network in (("g1", H1, "web"), ("g2", H1, "web"), ("g3", H4, "web"), ("other", H2, "db")):
        await here.spawned(name, host, network)
    start = await here.log.last_position()
    document = await here.place.json("network", "set-gateway", "web", "10.100.0.254")
    assert document == {
        "network": "web", "gateway": "10.100.0.254", "was": "10.100.0.1", "router": "core1",
        "ports": 3, "instances": 3, "hosts": {H1: 2, H4: 1}, "unrouted": ["g1", "g2", "g3"],
    }  # fmt: skip
    (changed,) = [r.event for r in await _after(here, start) if isinstance(r.event, NetworkGatewayChanged)]
    assert (changed.ports, changed.instances, changed.hosts) == (3, 3, {H1: 2, H4: 1})

    assert await reaches(here, "g1-0", "g3-0") == ""
    said = (await here.place.run("reach", "g1", "other", code=1)).complaint
    assert "the gateway of VLAN 100 is 10.100.0.254, port g1-0 was told 10.100.0.1" in said
    assert await reaches(here, "other-0", "g2-0") != ""

    await here.spawned("fresh", H4, "web")
    assert await reaches(here, "fresh-0", "other-0") == ""
    assert (await here.drifted("g1", H2)).kind == "drifted"  # launched again, it is told
    assert await reaches(here, "g1-0", "other-0") == ""
    (pool,) = await here.rows("pools", network="web")
    assert (pool.reserved, pool.allocated + pool.free + pool.reserved) == (4, pool.size)  # nobody gets the old one
    back = await here.place.json("network", "set-gateway", "web", "10.100.0.1")
    assert back["unrouted"] == ["fresh", "g1"]
    assert await reaches(here, "g2-0", "other-0") == ""
    await here.deleted("g1", "g2", "g3", "other", "fresh")


async def _after(here: Here, position: int) -> list[Any]:
    """The records that came after ``position``."""
    last = await here.log.last_position()
    return [r async for batch in here.log.read(position, last, ALL) for r in batch.records]


async def test_a_dead_host_that_forwards_still_is_cut_off_before_anything_of_it_is_given_away(here: Here) -> None:
    port, peer = await here.spawned("victim", H3, "web"), await here.spawned("peer", H1, "web")
    far = await here.spawned("far", H2, "db")
    ip = (await here.port("victim")).ip
    await here.faults("ShutInterface:latency=0.5")
    start = await here.log.last_position()
    await here.power(cut_off=[H3])
    await here.client.publish(HostFailRequested(host=H3))
    cleared = await here.seen(PortClaimCleared, port, start)
    events = await _after(here, start)
    shut = [r.position for r in events if isinstance(r.event, LeafInterfaceShut)]
    (fenced,) = [r.position for r in events if isinstance(r.event, HostFenced)]
    assert len(shut) == 2
    assert max(shut) < fenced < cleared.position
    await until(lambda: _is_usable(here, "victim"), "victim has drifted")
    await here.faults()
    new = (await here.port("victim")).host
    assert (await here.places(port))["vnics"] == {H3, new}  # it could not be told, and forwards
    for asker in (peer, far):
        assert await here.arrives(asker, ip) == {new}
    await here.all_is_well()

    await here.place.json("host", "return", H3)
    await until(lambda: _no_interface_is_shut(here), "the interfaces are open again")
    assert (await here.places(port))["vnics"] == {new}
    again = await here.spawned("again", H3, "web")
    assert await reaches(here, again, far) == ""
    await here.all_is_well()
    await here.deleted("victim", "peer", "far", "again")


async def _is_usable(here: Here, instance: str) -> bool:
    return (await here.port(instance)).usable


async def _no_interface_is_shut(here: Here) -> bool:
    held = await here.fabric.dump()
    return not any(trunk["shut"] for trunk in held["trunks"].values()) and not await here.rows("shut_interfaces")


async def test_a_router_that_does_not_answer_is_told_again_until_it_does(here: Here) -> None:
    await here.faults("broken:core1=no power")
    create = ("network", "create", "slow", *PROVIDER, "--cidr", "10.50.0.0/24")
    said = await here.place.refused(*create, "--timeout", "2")
    assert said == "slow: not done within 2 s; the network is created, its gateway or its trunks are not configured yet"
    await here.spawned("x1", H1, "slow")
    await here.spawned("y1", H1, "db")
    stopped = await reaches(here, "x1-0", "y1-0")
    assert stopped.endswith("no core router holds gateway 10.50.0.1")
    await here.faults()
    await until(lambda: _is_present(here, "slow"), "the router has acknowledged")
    assert await reaches(here, "x1-0", "y1-0") == ""
    await here.deleted("x1", "y1")


async def _is_present(here: Here, network: str) -> bool:
    return [row.state for row in await here.rows("gateways", network=network)] == ["present"]


async def test_what_a_leaf_and_the_router_have_lost_is_found_and_put_back(here: Here) -> None:
    await here.spawned("x7", H1, "web")
    await here.spawned("y7", H3, "db")
    await here.fabric.tamper([DropRow("leaf1", "trunk", "vlan 100"), DropRow("core1", "gateways", "100")])
    assert await reaches(here, "x7-0", "y7-0") != ""
    document = await here.place.json("reconcile")
    assert [(one["device"], one["what"], one["missing"]) for one in document["differences"]] == [
        ("core1", "100: 10.100.0.1/24 in VRF prod", True),
        ("leaf1", "vlan 100: carried", True),
    ]
    assert document["compared"] == 4 + 4 + 1, "hosts, leaves and the router"
    await until(lambda: _is_mended(here), "all is as it was")
    assert await reaches(here, "x7-0", "y7-0") == ""
    of_leaf = await here.place.json("reconcile", "--leaf", "leaf1")
    assert (of_leaf["compared"], of_leaf["differences"]) == (1, [])
    await here.deleted("x7", "y7")


async def _is_mended(here: Here) -> bool:
    return not (await here.place.json("reconcile"))["differences"]


BAD: list[tuple[tuple[str, ...], str]] = [
    (("--vlan", "4095"), "no VLAN id: IEEE 802.1Q has 1 to 4094 (vlan: 4095)"),
    (("--vlan", "0"), "no VLAN id: IEEE 802.1Q has 1 to 4094 (vlan: 0)"),
    (("--vlan", "100"), "the VLAN is that of network web (vlan: 100)"),
    (("--vni", "7"), "a network of this model has no VNI (vni: 7)"),
    (("--cidr", "10.100.0.64/26"), "overlaps 10.100.0.0/24 of network web in VRF prod (cidr: 10.100.0.64/26)"),
    (("--cidr", "192.168.0.0/24"), "is outside 10.0.0.0/8 of VPC prod (cidr: 192.168.0.0/24)"),
    (("--cidr", "ten"), "no IPv4 network: Expected 4 octets in 'ten' (cidr: ten)"),
    (("--gateway", "10.61.0.1"), "is no host address of 10.60.0.0/24 (gateway: 10.61.0.1)"),
    (("--vpc", "nowhere"), "unknown VPC (vpc: nowhere)"),
    (("--label", "a.b"), "is no label: letters, digits, _ and -, at most 63 (labels: a.b)"),
]


@pytest.mark.parametrize(("options", "reason"), BAD, ids=[" ".join(options) for options, _ in BAD])
async def test_a_network_that_cannot_be_is_refused_and_leaves_nothing(
    here: Here, options: tuple[str, ...], reason: str
) -> None:
    before = await _everything(here)
    said = await here.place.refused("network", "create", "bad", *PROVIDER, "--cidr", "10.60.0.0/24", *options)
    assert said == f"bad: refused: {reason}"
    (event,) = [r.event for r in await _after(here, before["position"]) if isinstance(r.event, NetworkRefused)]
    assert f"{event.reason} ({event.field}: {event.value})" == reason
    after = await _everything(here)
    assert {**after, "position": 0} == {**before, "position": 0}


async def _everything(here: Here) -> dict[str, Any]:
    """What a refused request must not change."""
    tables = ("networks", "subnets", "pools", "gateways", "leaf_trunks")
    rows = {table: await here.rows(table) for table in tables}
    return {"position": await here.log.last_position(), "fabric": await here.fabric.dump(), **rows}


async def test_bad_input_of_the_other_commands(here: Here) -> None:
    refused = here.place.refused
    assert await refused("network", "set-gateway", "sdn", "10.1.0.9") == (
        "sdn: refused: the gateway of a network of this model is on every leaf and stays (network: sdn (evpn))"
    )
    assert await refused("network", "set-gateway", "web", "10.7.0.1") == (
        "web: refused: is no host address of 10.100.0.0/24 (address: 10.7.0.1)"
    )
    assert (
        await refused("network", "set-gateway", "none", "10.7.0.1") == "none: refused: unknown network (network: none)"
    )
    assert "network: 'a.b' does not fit" in await refused(
        "network", "create", "a.b", *PROVIDER, "--cidr", "10.8.0.0/24"
    )
    assert "there is none with the id or name nobody" in await refused("trace-path", "nobody", "nobody")
    assert "'round' is not one of" in await refused("trace-path", "a", "b", "--layout", "round")


async def test_neither_kind_of_network_takes_a_vlan_of_the_other(here: Here) -> None:
    await here.spawned("v1", H1, "sdn")
    vlan = (await here.port("v1")).vlan
    provider_vlans = {row.vlan for row in await here.rows("networks", model="vlan")}
    assert vlan not in provider_vlans
    said = await here.place.refused(
        *("network", "create", "bad", *PROVIDER, "--cidr", "10.60.0.0/24", "--vlan", str(vlan))
    )
    assert said == f"bad: refused: the VLAN stands for a VNI on leaf pair leaf1-leaf2 (vlan: {vlan})"
    await here.deleted("v1")


async def test_4094_vlans_and_not_one_more(here: Here) -> None:
    """The last free VLAN is given out, and then the next network is refused."""
    taken = {row.vlan for row in await here.rows("networks", model="vlan")}
    free = [vlan for vlan in range(1, 4095) if vlan not in taken]
    facts = [NetworkCreated(network=f"n{vlan}", vpc="lab", model="vlan", vlan=vlan) for vlan in free[:-1]]
    for start in range(0, len(facts), 500):
        await here.log.append([request(fact, actor="operator") for fact in facts[start : start + 500]])
    last = await here.client.publish(
        NetworkCreateRequested(network="last", vpc="lab", model="vlan", cidr="10.3.0.0/24")
    )
    ask = (here.log, last.position, last.request)
    (granted,) = await answers(*ask, Awaited(history_filter("network", "last"), (NetworkCreated, NetworkRefused)))
    assert getattr(granted.event, "vlan", 0) == free[-1]
    await answers(*ask, Awaited(history_filter("subnet", "last-a"), (SubnetCreated,)))
    (done,) = await answers(*ask, Awaited(history_filter("router", "core1"), (RouterGatewayConfigured,)))
    assert isinstance(done.event, RouterGatewayConfigured)
    assert done.event.network == "last"
    said = await here.place.refused("network", "create", "more", *PROVIDER, "--cidr", "10.4.0.0/24")
    assert said == "more: refused: no VLAN is free, all are taken (vlan: any)"
    outcome = await here.ended(SpawnRequested(instance="none", name="none", az="az1", network="sdn", host=H1))
    assert (outcome.kind, outcome.reason) == ("refused", "no VLAN is left on the leaf pair")
