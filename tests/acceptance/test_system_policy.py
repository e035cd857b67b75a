"""Policy by labels (cloud-native, 2019): on the command line and the bus, judged by the fabric."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bus.envelope import Recorded
from bus.events import (
    InstanceDriftRequested,
    PolicyApplied,
    PortClaimed,
    PortPolicyReported,
    PortUnderlayReported,
    SpawnRequested,
)
from bus.subjects import history_filter
from driftline.stack import Options, open_stack
from tests.acceptance.drifting import Here
from tests.acceptance.harness import site, start_up, until
from workers.devices.simulated.tamper import DropPolicy
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
vpc = [{ name = "prod", tenant = "acme", cidr = "10.0.0.0/8" }]
network = [
    { name = "pods", vpc = "prod", vni = 10001, policy = true },
    { name = "old", vpc = "prod", vni = 10002 },
]
subnet = [
    { name = "pods-a", network = "pods", cidr = "10.1.0.0/24" },
    { name = "old-a", network = "old", cidr = "10.2.0.0/24" },
]
"""
POLICY = """
[[policy]]
name = "db"
vpc = "prod"
selects = { app = "db" }
ingress = [{ from = { app = "web" }, protocol = "tcp", ports = [5432] }]

[[policy]]
name = "web"
vpc = "prod"
selects = { app = "web" }
ingress = [
    { protocol = "tcp", ports = [80], http = ["GET /public/*", "PUT /in"] },
    { cidr = "10.2.0.0/24", protocol = "udp", ports = [53] },
]
egress = [{ to = { app = "db" }, protocol = "tcp", ports = [5432] }]
"""
SQL = ("--proto", "tcp", "--port", "5432")
H1, H2, H3 = "az1-h1", "az1-h2", "az1-h3"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD)
        (place.folder / "policy.toml").write_text(POLICY)
        await start_up(place, "--world", "world.toml")
        note = place.note()
        async with open_stack(Options(nats=note["nats"], postgres=note["postgres"])) as stack:
            one = Here(place, stack)
            await asyncio.gather(
                pod(one, "web-1", "web", H1), pod(one, "db-1", "db", H2), pod(one, "other-1", "other", H2)
            )
            yield one


async def pod(here: Here, name: str, app: str, host: str, network: str = "pods", outcome: str = "active") -> str:
    """A pod with labels; returns the id of its port."""
    labels = {"app": app, "pod": name}
    request = SpawnRequested(instance=name, name=name, az="az1", network=network, host=host, labels=labels)
    ended = await here.ended(request)
    assert ended.kind == outcome, ended
    return f"{name}-0"


async def reaches(here: Here, source: str, target: str, *asked: str) -> bool:
    """Whether the command line says so; it says why not, and fails then."""
    command = await here.place.start("reach", source, target, *asked, "--json")
    ended = await command.ended()
    assert ended.code == (0 if ended.document["reachable"] else 1), ended.stderr
    return bool(ended.document["reachable"])


async def unreached(here: Here, *arguments: str) -> str:
    """Why a packet does not arrive; the hops until there are shown all the same."""
    ended = await here.place.run("reach", *arguments, code=1)
    return ended.complaint


async def passes(here: Here, source: str, target: str, flow: Flow) -> bool:
    (path,) = await here.fabric.trace([Ask(f"{source}-0", f"{target}-0", flow=flow)])
    return path.reachable


async def test_labels_say_who_may_speak_to_whom(here: Here) -> None:
    place = here.place
    assert await reaches(here, "other-1", "db-1", *SQL)  # no policy selects db: open
    said = await place.run("policy", "apply", "policy.toml")
    assert said.stdout == "db (revision 1) is applied\nweb (revision 1) is applied\n"
    path = await place.json("reach", "web-1", "db-1", *SQL)
    assert path["ways"][0][1] == f"{H1} policy egress tcp/5432: web egress rule 1"
    assert path["ways"][0][-2] == f"{H2} policy ingress tcp/5432: db ingress rule 1"
    why = await unreached(here, "other-1", "db-1", *SQL)
    assert why.startswith(f"other-1 does not reach db-1: host {H2}: ingress of port db-1-0: tcp/5432 from 10.1.0.")
    assert why.endswith("no rule allows it")
    assert not await reaches(here, "web-1", "db-1")  # icmp
    assert f"host {H1}: egress of port web-1-0" in await unreached(here, "web-1", "other-1", *SQL)


async def test_replies_of_allowed_flows_pass_and_nothing_else_comes_back(here: Here) -> None:
    assert not await passes(here, "db-1", "web-1", Flow("tcp", 5432))
    assert await passes(here, "db-1", "web-1", Flow("tcp", 5432, reply=True))
    assert not await passes(here, "db-1", "web-1", Flow("tcp", 5433, reply=True))


async def test_http_requests_are_told_apart(here: Here) -> None:
    http = ("--proto", "tcp", "--port", "80", "--http")
    assert await reaches(here, "other-1", "web-1", *http, "GET /public/a")
    assert await reaches(here, "other-1", "web-1", *http, "PUT /in")
    why = await unreached(here, "other-1", "web-1", *http, "GET /private")
    assert why.endswith("web ingress rule 1 asks for GET /public/* or PUT /in")


async def test_a_pod_of_a_network_without_enforcement_is_nobody(here: Here) -> None:
    """It may call itself what it likes: its host vouches for nothing. By address it is let in where a CIDR says so."""
    await pod(here, "fake-web", "web", H3, "old")
    assert not await reaches(here, "fake-web", "db-1", *SQL)
    assert await passes(here, "fake-web", "web-1", Flow("udp", 53))
    assert not await passes(here, "other-1", "web-1", Flow("udp", 53))
    await here.deleted("fake-web")


async def test_no_port_is_usable_before_its_rules_are_in_place(here: Here) -> None:
    """The host is slow to take them: everything else is done, and the pod is not active, and nothing passes."""
    await here.faults("InstallPolicy:latency=3")
    start = await here.log.last_position()
    spawning = asyncio.create_task(pod(here, "late", "db", H3))
    await here.seen(PortUnderlayReported, "late-0", start)
    assert (await here.port("late")).usable is False
    (path,) = await here.fabric.trace([Ask("web-1-0", "late-0", flow=Flow("tcp", 5432))])
    assert path.reason == f"host {H3}: port late-0 is under enforcement, and its policy is not installed"
    await spawning
    await here.faults()
    assert (await here.port("late")).usable
    story = [r.event async for r in history(here, "port", "late-0")]
    assert any(isinstance(event, PortPolicyReported) and event.status == "ACTIVE" for event in story)
    await until(lambda: passes(here, "web-1", "late", Flow("tcp", 5432)), "web may send to the new db")
    await here.deleted("late")


async def history(here: Here, aggregate: str, key: str) -> AsyncIterator[Recorded]:
    async for batch in here.log.read(0, await here.log.last_position(), history_filter(aggregate, key)):
        for r in batch.records:
            yield r


async def test_a_host_that_refuses_the_rules_makes_the_spawn_fail_and_leaves_nothing(here: Here) -> None:
    before = await here.fabric.leftovers()
    await here.faults("InstallPolicy:fail=1")
    await pod(here, "never", "db", H3, outcome="failed")
    await here.faults()
    await until(lambda: nothing_new(here, before), "nothing of it is left")
    assert not await here.rows("ports", instance="never")


async def nothing_new(here: Here, before: object) -> bool:
    return await here.fabric.leftovers() == before


async def test_an_update_that_a_host_refuses_closes_its_ports_and_is_not_applied(here: Here) -> None:
    """In doubt: not usable, with the reason; and applied once the host has taken it after all."""
    place = here.place
    await here.faults("InstallPolicy:fail=1")
    tighter = POLICY.replace("ports = [5432] }]\n\n", "ports = [5433] }]\n\n")
    (place.folder / "tighter.toml").write_text(tighter)
    why = await place.refused("policy", "apply", "tighter.toml", "--timeout", "4")
    assert why.startswith("policy db: not applied within 4 s")
    port = await here.port("db-1")
    assert (port.underlay, port.usable) == ("ERROR", False)
    assert port.reason
    await here.faults()
    await place.run("reconcile", "--host", H2)
    await until(lambda: is_usable(here, "db-1"), "db-1 is usable again")
    assert await passes(here, "web-1", "db-1", Flow("tcp", 5432)) is False
    (row,) = await here.rows("policies", policy="db")
    assert (row.revision, row.state) == (2, "applied")
    await place.run("policy", "apply", "policy.toml")
    assert await reaches(here, "web-1", "db-1", *SQL)


async def is_usable(here: Here, name: str) -> bool:
    return (await here.port(name)).usable


async def test_a_drift_has_the_policy_on_the_new_host_first(here: Here) -> None:
    await here.faults("InstallPolicy:latency=3")
    start = await here.log.last_position()
    drifting = await here.client.publish(InstanceDriftRequested(instance="db-1", host=H3))
    await here.seen(PortClaimed, "db-1-0", start)
    await here.seen(PortUnderlayReported, "db-1-0", start)
    assert not await is_usable(here, "db-1")
    assert not await passes(here, "web-1", "db-1", Flow("tcp", 5432))
    assert (await here.client.outcome(drifting)).kind == "drifted"
    await here.faults()
    assert await reaches(here, "web-1", "db-1", *SQL)
    assert not await reaches(here, "other-1", "db-1", *SQL)
    await until(lambda: only_at(here, "db-1-0", H3), f"only {H3} holds rules of it")


async def only_at(here: Here, port: str, host: str) -> bool:
    hosts = (await here.fabric.dump())["hosts"]
    return {name for name, held in hosts.items() if port in held.get("policies", {})} == {host}


async def test_rules_that_somebody_took_away_are_missed_and_brought_back(here: Here) -> None:
    await here.fabric.tamper([DropPolicy(H3, "db-1-0")])
    assert not await reaches(here, "web-1", "db-1", *SQL)  # closed, not open
    await here.place.run("reconcile", "--host", H3)
    await until(lambda: passes(here, "web-1", "db-1", Flow("tcp", 5432)), "the rules are back")


async def test_a_deleted_policy_opens_what_it_had_closed(here: Here) -> None:
    said = await here.place.json("policy", "delete", "db")
    assert [(one["policy"], one["state"]) for one in said] == [("db", "deleted")]
    assert await reaches(here, "other-1", "db-1", *SQL)
    listed = await here.place.json("policies")
    assert [one["policy"] for one in listed["policies"]] == ["web"]
    assert {label for one in listed["identities"] for label in one["labels"]} >= {"app=db", "app=web"}
    assert "web" in (await here.place.run("policies")).stdout
    applied = [r async for r in history(here, "policy", "db") if isinstance(r.event, PolicyApplied)]
    assert len(applied) == 4


BAD = """
[[policy]]
name = "bad"
vpc = "prod"
selects = {selects}
ingress = [{{ {rule} }}]
"""


@pytest.mark.parametrize(
    ("selects", "rule", "why"),
    [
        (
            '{ app = "db" }',
            'protocol = "sctp"',
            "unknown protocol, none of any, tcp, udp, icmp (ingress[1].protocol: sctp)",
        ),
        ('{ app = "db" }', 'protocol = "tcp", ports = [70000]', "no port from 1 to 65535 (ingress[1].ports: 70000)"),
        ("{}", 'protocol = "tcp"', 'the selector names no label; to select every pod say "all" (selects: {})'),
        ('"all"', 'cidr = "10.0.0.0/33"', "no IPv4 CIDR: '33' is not a valid netmask (ingress[1].cidr: 10.0.0.0/33)"),
    ],
)
async def test_bad_policies_are_refused_by_an_event(here: Here, selects: str, rule: str, why: str) -> None:
    (here.place.folder / "bad.toml").write_text(BAD.format(selects=selects, rule=rule))
    assert await here.place.refused("policy", "apply", "bad.toml") == f"policy bad refused: {why}"
    assert not await here.rows("policies", policy="bad")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("policy", "delete", "nobody"), "policy nobody refused: unknown policy (policy: nobody)"),
        (("policy", "apply", "none.toml"), "none.toml: cannot be read: No such file or directory"),
        (("reach", "web-1", "db-1", "--port", "80"), "--port: give --proto tcp or --proto udp with it"),
        (("reach", "web-1", "db-1", "--proto", "tcp", "--port", "70000"), "--port: 70000 is no port from 1 to 65535"),
        (("reach", "web-1", "db-1", "--http", "GET /"), "--http: goes over --proto tcp"),
    ],
)
async def test_bad_commands_name_what_is_wrong(here: Here, command: tuple[str, ...], why: str) -> None:
    assert await here.place.refused(*command) == why


async def test_the_projections_are_what_the_log_says(here: Here) -> None:
    verdict = await here.place.json("verify")
    assert verdict["equal"]
    assert await here.rows("policies")
