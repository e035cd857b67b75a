"""Bad input gets one clear line that names the field and the value, a non-zero exit, and leaves nothing half-made."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import nats
import pytest
import pytest_asyncio

from bus.jetstream import JetStreamLog, connect
from tests.acceptance.harness import Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

WORLD = """
region = [{ name = "region1" }]
az = [{ name = "az1", region = "region1" }]
leaf = [
    { name = "leaf1", az = "az1", vtep = "10.255.0.1", asn = 4200000001 },
    { name = "leaf2", az = "az1", vtep = "10.255.0.2", asn = 4200000002 },
]
leaf_pair = [{ az = "az1", leaves = ["leaf1", "leaf2"], hosts = 2 }]
tenant = [{ name = "acme" }]
vpc = [{ name = "prod", tenant = "acme", cidr = "10.0.0.0/8" }]
network = [
    { name = "wide", vpc = "prod", vni = 10001, labels = ["prod-env"] },
    { name = "tiny", vpc = "prod", vni = 10002, labels = ["few"] },
]
subnet = [
    { name = "wide-a", network = "wide", cidr = "10.0.0.0/24" },
    { name = "tiny-a", network = "tiny", cidr = "10.0.1.0/30" },
]
"""
#: Nobody listens there.
NATS, POSTGRES = "nats://127.0.0.1:1", "postgresql://user:secret@127.0.0.1:1/db"


class Here(NamedTuple):
    """A ``driftline up`` on the world above, with web-1 in it."""

    place: Site
    nats: str
    log: JetStreamLog

    async def held(self) -> tuple[int, int]:
        """How many ports and addresses there are, after the projections were found to be right."""
        verdict = await self.place.json("verify")
        assert verdict["equal"]
        return verdict["rows"]["ports"], verdict["rows"]["addresses"]

    async def complaints(self, commands: Mapping[str, list[str]]) -> dict[str, str]:
        """What each of the commands says, on its one line."""
        said = await asyncio.gather(*[self.place.refused(*command) for command in commands.values()])
        return dict(zip(commands, said, strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with site() as place:
        (place.folder / "world.toml").write_text(WORLD)
        await start_up(place, "--world", "world.toml")
        url = place.note()["nats"]
        async with connect(url) as connection:
            await place.run("spawn", "web-1", "--network", "wide")
            yield Here(place, url, JetStreamLog(connection))


def written(place: Site, name: str, text: str) -> str:
    (place.folder / name).write_text(text)
    return name


async def test_requests_that_cannot_be_granted_hold_nothing(here: Here) -> None:
    before = await here.held()
    said = await here.complaints(
        {
            "network": ["spawn", "web-2", "--network", "nonet"],
            "label": ["spawn", "web-2", "--label", "nolabel"],
            "az": ["spawn", "web-2", "--label", "prod-env", "--az", "az9"],
            "host": ["spawn", "web-2", "--label", "prod-env", "--host", "nohost"],
            "name": ["spawn", "web-1", "--label", "prod-env"],
        }
    )
    assert said == {
        "network": "web-2 refused: unknown network (network: nonet)",
        "label": "web-2 refused: no network carries this label (label: nolabel)",
        "az": "web-2 refused: unknown availability zone (az: az9)",
        "host": "web-2 refused: unknown host (host: nohost)",
        "name": "web-1 refused: the name is in use (name: web-1)",
    }
    assert await here.held() == before


async def test_a_full_subnet_refuses_and_is_free_again_after_a_delete(here: Here) -> None:
    before = await here.held()
    await here.place.run("spawn", "only-1", "--network", "tiny")  # a /30: network, gateway, one more, broadcast
    full = await here.held()
    said = await here.complaints(
        {
            "network": ["spawn", "one-more", "--network", "tiny"],
            "label": ["spawn", "one-more", "--label", "few"],
        }
    )
    assert "network: tiny" in said["network"]
    assert "label: few" in said["label"]
    assert await here.held() == full == (before[0] + 1, before[1] + 1)
    await here.place.run("delete", "only-1")
    await here.place.run("spawn", "one-more", "--network", "tiny")
    await here.place.run("delete", "one-more")
    assert await here.held() == before


async def test_what_is_no_request_at_all_is_never_published(here: Here) -> None:
    before = await here.log.last_position()
    said = await here.complaints(
        {
            "token": ["spawn", "bad name", "--label", "prod-env"],
            "neither": ["spawn", "web-2"],
            "both": ["spawn", "web-2", "--label", "prod-env", "--network", "wide"],
            "timeout": ["spawn", "web-2", "--label", "prod-env", "--timeout", "-1"],
            "kind": ["spawn", "web-2", "--label", "prod-env", "--kind", "tree"],
            "delete": ["delete", "nobody"],
            "timeline": ["timeline", "nobody"],
            "reach": ["reach", "web-1", "nobody"],
            "after": ["tail", "--no-follow", "--after", "1000000"],
            "subject": ["tail", "--no-follow", "--subject", "dl..x"],
            "load": ["load"],
            "loads": ["load", "--instances", "3", "--trace", "x.csv"],
            "load label": ["load", "--instances", "3", "--label", "nolabel"],
            "load network": ["load", "--instances", "3", "--network", "nonet"],
            "load faults": ["load", "--instances", "3", "--faults", "LeafVlan:fail=0.5"],
            "number": ["load", "--instances", "many"],
            "command": ["dance"],
        }
    )
    assert "name: 'bad name'" in said["token"]
    assert "--network" in said["neither"]
    assert "--label" in said["both"]
    assert "-1" in said["timeout"]
    assert "tree" in said["kind"]
    for command in ("delete", "timeline", "reach"):
        assert said[command] == "instance: there is none with the id or name nobody"
    assert "--after: 1000000" in said["after"]
    assert "--subject: 'dl..x'" in said["subject"]
    assert "--trace" in said["load"]
    assert "--instances" in said["loads"]
    assert said["load label"] == "--label: no network carries nolabel"
    assert said["load network"] == "--network: nonet is no network of the world"
    assert said["load faults"].startswith("--faults: ")
    assert "'many'" in said["number"]
    assert "'dance'" in said["command"]
    assert await here.log.last_position() == before


async def test_nothing_of_a_refused_trace_is_published(here: Here) -> None:
    place, before = here.place, await here.log.last_position()
    header = "name,creation_time,deletion_time,host\n"
    files = {
        "host": written(place, "host.csv", f"{header}a,0,5,az1-h1\nb,1,5,nohost\n"),
        "column": written(place, "column.csv", "name,start\na,0\n"),
        "number": written(place, "number.csv", f"{header}a,0,,\nb,soon,,\n"),
        "order": written(place, "order.csv", f"{header}a,0,,\nb,9,3,\n"),
        "twice": written(place, "twice.csv", f"{header}a,0,,\na,1,,\n"),
        "empty": written(place, "empty.csv", header),
        "missing": "missing.csv",
    }
    said = await here.complaints(
        {name: ["load", "--trace", file, "--host-column", "host"] for name, file in files.items()}
        | {"column": ["load", "--trace", files["column"]]}
    )
    assert "line 3: host: nohost" in said["host"]
    assert "column.csv: line 1: column 'creation_time' is missing" in said["column"]
    assert "number.csv: line 3: creation_time: 'soon'" in said["number"]
    assert "order.csv: line 3: deletion_time: 3" in said["order"]
    assert "twice.csv: line 3: name: a" in said["twice"]
    assert "empty.csv" in said["empty"]
    assert "missing.csv" in said["missing"]
    assert await here.log.last_position() == before


async def test_a_bad_world_is_not_described_at_all(here: Here) -> None:
    place, before = here.place, await here.log.last_position()
    good = '[[region]]\nname = "region2"\n'
    files = {
        "reference": written(place, "reference.toml", f'{good}[[az]]\nname = "az2"\nregion = "nowhere"\n'),
        "syntax": written(place, "syntax.toml", f"{good}this is no TOML"),
        "type": written(place, "type.toml", f'{good}[[network]]\nname = "n"\nvpc = "prod"\nvni = "many"\n'),
        "contradiction": written(place, "contra.toml", f'{good}[[az]]\nname = "az1"\nregion = "region2"\n'),
        "missing": "missing.toml",
    }
    said = await here.complaints({name: ["world", "--world", file] for name, file in files.items()})
    assert "region: nowhere" in said["reference"]
    assert "syntax.toml: is not TOML" in said["syntax"]
    assert "vni: 'many'" in said["type"]
    assert "az az1: region: region2" in said["contradiction"]
    assert "missing.toml" in said["missing"]
    assert await here.log.last_position() == before


async def test_servers_that_are_not_there_and_options_that_make_no_sense(here: Here) -> None:
    a_file = str(here.place.folder / "world.toml")
    said = await here.complaints(
        {
            "nats": ["tail", "--no-follow", "--nats", NATS],
            "postgres": ["ports", "--nats", here.nats, "--postgres", POSTGRES],
            "nats port": ["tail", "--no-follow", "--nats", "nats://127.0.0.1:port"],
            "nats host": ["tail", "--no-follow", "--nats", "nats://no.such.host.invalid:4222"],
            "postgres scheme": ["ports", "--nats", here.nats, "--postgres", "mysql://127.0.0.1/db"],
            "postgres port": ["ports", "--nats", here.nats, "--postgres", "postgresql://127.0.0.1:port/db"],
            "postgres socket": ["ports", "--nats", here.nats, "--postgres", "postgresql:///db?host=/nowhere"],
            "worker": ["worker", "nova", "--nats", NATS, "--log-level", "error"],
            "worker host": ["worker", "nova", "--host", "az1-h1", "--nats", here.nats],
            "role": ["worker", "gardener", "--nats", here.nats],
            "data": ["up", "--data", a_file],
            "faults": ["demo", "--faults", "LeafVlan:latency=slow"],
            "faults class": ["demo", "--faults", "Gardening:latency=1"],
            "faults form": ["demo", "--faults", "nonsense"],
            "demo": ["demo", "--instances", "0"],
            "schema": ["schema", "--permissions", "nova", "--host", "az1-h1"],
        }
    )
    assert NATS in said["nats"]
    assert "127.0.0.1:1, database db" in said["postgres"]
    assert "secret" not in said["postgres"]
    assert "nats://127.0.0.1:port" in said["nats port"]
    assert "no.such.host.invalid" in said["nats host"]
    assert "mysql" in said["postgres scheme"]
    assert "127.0.0.1:port" in said["postgres port"]
    assert "/nowhere" in said["postgres socket"]
    assert NATS in said["worker"]
    assert said["worker host"].startswith("--host: nova")
    assert "'gardener'" in said["role"]
    assert "--data" in said["data"]
    assert a_file in said["data"]
    assert said["faults"] == "--faults: LeafVlan: latency: 'slow' is no number"
    assert said["faults class"].startswith("--faults: effect class: 'Gardening'")
    assert said["faults form"].startswith("--faults: 'nonsense'")
    assert "--instances" in said["demo"]
    assert said["schema"].startswith("--host: nova")


async def test_messages_that_are_no_events_are_put_aside_and_hold_up_nobody(here: Here) -> None:
    request = {"type": "instance.spawn_requested.v1", "instance": "q-1", "name": "q-1", "az": "az1", "network": "wide"}
    subject = "dl.instance.q-1.az1._.spawn_requested"
    envelope = json.dumps({"id": "q-1", "event": request})
    nameless = json.dumps({"id": "q-2", "event": {**request, "name": None}})
    newer = json.dumps({"id": "q-3", "event": {"type": "instance.migrated.v7", "instance": "q-1"}})
    bad = {
        "not JSON": (subject, b"not { JSON"),
        "not UTF-8": (subject, b'{"id": "\xff"}'),
        "a field": (subject, nameless.encode()),
        "no id": (subject, json.dumps({"event": request}).encode()),
        "the subject": ("dl.instance.q-1.az2._.spawn_requested", envelope.encode()),
        "nothing": (subject, b""),
    }
    skipped_before = (await here.place.json("verify"))["rows"]["skipped"]
    client = await nats.connect(here.nats)
    stream = client.jetstream()
    spawning = asyncio.create_task(here.place.run("spawn", "web-3", "--network", "wide"))
    positions = {(await stream.publish(where, data)).seq: what for what, (where, data) in bad.items()}
    newer_at = (await stream.publish("dl.instance.q-1.az1._.migrated", newer.encode())).seq
    await client.close()
    await spawning

    await here.place.run("delete", "web-3")
    verdict = await here.place.json("verify")
    assert verdict["equal"]
    assert verdict["rows"]["skipped"] == skipped_before + 1
    kept = {row["position"]: row for row in await here.place.json("quarantine")}
    assert set(kept) == set(positions)
    assert newer_at not in kept
    reasons = {what: kept[position]["reason"] for position, what in positions.items()}
    assert all(reasons.values())
    assert "name" in reasons["a field"]
    assert "id" in reasons["no id"]
    assert "az1" in reasons["the subject"]
    shown = (await here.place.run("quarantine")).stdout
    assert f"{len(bad)} messages in quarantine" in shown
    assert "not { JSON" in shown
    assert await here.place.refused("timeline", "q-1")
