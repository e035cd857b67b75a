"""Bad input gets one clear line that names the field and the value, a non-zero exit, and leaves nothing half-made."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import nats
import pytest
import pytest_asyncio

import driftline
from bus.jetstream import JetStreamLog, connect
from driftline.cli import main
from tests.acceptance.harness import Ended, Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes]
on_one_loop = pytest.mark.asyncio(loop_scope="module")

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

    async def spawned(self, name: str) -> None:
        """Spawn an instance in the tiny network."""
        client = driftline.Client(self.log)
        request = driftline.SpawnRequested(instance=name, name=name, az="az1", network="tiny")
        assert (await client.outcome(await client.publish(request))).kind == "active"

    async def deleted(self, name: str) -> None:
        client = driftline.Client(self.log)
        request = driftline.InstanceDeleteRequested(instance=name)
        assert (await client.outcome(await client.publish(request))).kind == "deleted"

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


@on_one_loop
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
    ended = await (await here.place.start("spawn", "web-2", "--network", "nonet", "--json")).ended()
    assert (ended.code, ended.complaint) == (1, said["network"])
    assert [ended.document[name] for name in ("kind", "field", "value")] == ["refused", "network", "nonet"]
    assert await here.held() == before


@on_one_loop
async def test_words_of_the_command_line_that_name_nothing_or_say_nothing(here: Here) -> None:
    """Also: an id that was given to other items before, and a world that is there already in other numbers."""
    one = written(here.place, "one.json", '[{"instance": "b-0", "host": "az1-h1", "network": "wide"}]')
    two = written(here.place, "two.json", '[{"instance": "b-1", "host": "az1-h1", "network": "wide"}]')
    lacking = written(here.place, "lacking.json", '[{"instance": "b-2", "network": "wide"}]')
    await here.place.run("bulk", one, "--id", "op1")
    await here.place.run("bulk", one, "--id", "op1")  # a retry
    said = await here.complaints(
        {
            "host": ["ports", "--host", "nohost"],
            "network": ["ports", "--network", "nonet"],
            "id": ["bulk", two, "--id", "op1"],
            "item": ["bulk", lacking],
            "label": ["spawn", "web-2", "--network", "wide", "--pod-label", "app"],
            "azs": ["world", "--azs", "7"],
        }
    )
    assert said == {
        "host": "--host: nohost is no host of the world",
        "network": "--network: nonet is no network of the world",
        "id": "op1 refused: the id is that of a request for other items (operation: op1)",
        "item": "items[0]: Object missing required field `host` - at `$.items[0]`",
        "label": "--pod-label: 'app' is not KEY=VALUE",
        "azs": "--azs: 7: the log describes a world of 1 zones already",
    }
    await here.place.run("release", "op1")


@on_one_loop
async def test_a_pod_has_its_labels_and_drift_and_delete_need_not_be_waited_for(here: Here) -> None:
    await here.place.run("spawn", "pod-1", "--network", "wide", "--pod-label", "pod=p1", "--pod-label", "app=web")
    (port,) = await here.place.json("ports", "--name", "app=web,pod=p1")
    assert port["name"] == "app=web,pod=p1"
    request = (await here.place.run("delete", "pod-1", "--no-wait")).stdout.strip()
    assert (await here.place.json("operation", request, "--wait"))["request"]["state"] == "done"
    drift = await here.place.run("drift", "web-1", "--no-wait")
    ended = await here.place.json("operation", drift.stdout.strip(), "--wait")
    assert (ended["request"]["kind"], ended["request"]["state"]) == ("instance.drift_requested", "done")


@on_one_loop
async def test_a_full_subnet_refuses_and_is_free_again_after_a_delete(here: Here) -> None:
    before = await here.held()
    await here.spawned("only-1")  # a /30: network, gateway, one more, broadcast
    full = await here.held()
    said = await here.complaints(
        {
            "network": ["spawn", "one-more", "--network", "tiny"],
            "label": ["spawn", "another", "--label", "few"],
        }
    )
    assert "network: tiny" in said["network"]
    assert "label: few" in said["label"]
    assert await here.held() == full == (before[0] + 1, before[1] + 1)
    await here.deleted("only-1")
    await here.spawned("one-more")
    await here.deleted("one-more")
    assert await here.held() == before


@on_one_loop
async def test_what_is_no_request_at_all_is_never_published(here: Here) -> None:
    before = await here.log.last_position()
    said = await here.complaints(
        {
            "delete": ["delete", "nobody"],
            "timeline": ["timeline", "nobody"],
            "reach": ["reach", "web-1", "nobody"],
            "after": ["tail", "--no-follow", "--after", "1000000"],
            "load label": ["load", "--instances", "3", "--label", "nolabel"],
            "load network": ["load", "--instances", "3", "--network", "nonet"],
            "load faults": ["load", "--instances", "3", "--faults", "LeafVlan:fail=0.5"],
        }
    )
    for command in ("delete", "timeline", "reach"):
        assert said[command] == "instance: there is none with the id or name nobody"
    assert "--after: 1000000" in said["after"]
    assert said["load label"] == "--label: no network carries nolabel"
    assert said["load network"] == "--network: nonet is no network of the world"
    assert said["load faults"].startswith("--faults: ")
    assert await here.log.last_position() == before


@on_one_loop
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


@on_one_loop
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


@on_one_loop
async def test_servers_that_are_not_there(here: Here) -> None:
    said = await here.complaints(
        {
            "nats": ["tail", "--no-follow", "--nats", NATS],
            "nats port": ["tail", "--no-follow", "--nats", "nats://127.0.0.1:port"],
            "nats host": ["tail", "--no-follow", "--nats", "nats://no.such.host.invalid:4222"],
            "worker": ["worker", "nova", "--nats", NATS, "--log-level", "error"],
            "postgres": ["ports", "--nats", here.nats, "--postgres", POSTGRES],
            "postgres scheme": ["ports", "--nats", here.nats, "--postgres", "mysql://127.0.0.1/db"],
            "postgres port": ["ports", "--nats", here.nats, "--postgres", "postgresql://127.0.0.1:port/db"],
            "postgres socket": ["ports", "--nats", here.nats, "--postgres", "postgresql:///db?host=/nowhere"],
        }
    )
    assert NATS in said["nats"]
    assert "nats://127.0.0.1:port" in said["nats port"]
    assert "no.such.host.invalid" in said["nats host"]
    assert NATS in said["worker"]
    assert "127.0.0.1:1, database db" in said["postgres"]
    assert "secret" not in said["postgres"]
    assert "mysql" in said["postgres scheme"]
    assert "127.0.0.1:port" in said["postgres port"]
    assert "/nowhere" in said["postgres socket"]


#: What is wrong with a command in itself, and what of it the complaint must name. These need no process of their own.
SENSELESS = {
    "dance": ["'dance'"],
    "spawn web-2": ["--network", "--label"],
    "spawn web-2 --label prod-env --network wide": ["--network", "--label"],
    "spawn bad.name --label prod-env": ["name: 'bad.name'"],
    "spawn web-2 --label prod-env --host bad*host": ["host: 'bad*host'"],
    "spawn web-2 --label prod-env --kind tree": ["'--kind'", "'tree'"],
    "spawn web-2 --label prod-env --timeout -1": ["'--timeout'", "-1"],
    "delete web-1 --timeout soon": ["'--timeout'", "'soon'"],
    "tail --subject dl..x": ["--subject: 'dl..x'"],
    "tail --last -1": ["'--last'", "-1"],
    "load": ["--trace", "--instances"],
    "load --instances 3 --trace x.csv": ["--trace", "--instances"],
    "load --instances many": ["'--instances'", "'many'"],
    "load --instances 3 --speed 2": ["--speed"],
    "load --trace x.csv --speed 0": ["'--speed'", "0"],
    "demo --instances 0": ["'--instances'", "0"],
    "demo --faults nonsense": ["--faults: 'nonsense'"],
    "demo --faults LeafVlan:latency=slow": ["--faults: LeafVlan: latency: 'slow'"],
    "demo --faults LeafVlan:fail=2": ["--faults: LeafVlan: fail: 2"],
    "demo --faults Gardening:latency=1": ["--faults: effect class: 'Gardening'"],
    "up --hosts 0": ["'--hosts'", "0"],
    "worker gardener": ["'gardener'"],
    "worker nova": ["--nats", "--postgres"],
    f"worker nova --host az1-h1 --nats {NATS}": ["--host: nova"],
    f"worker compute --host az1.h1 --nats {NATS}": ["--host: 'az1.h1'"],
    "schema --permissions nobody": ["'--permissions'", "'nobody'"],
    "schema --permissions nova --host az1-h1": ["--host: nova"],
    "ports --log-level loud": ["'--log-level'", "'loud'"],
}


Complaint = Callable[[str], str]


@pytest.fixture
def complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complaint:
    """What ``driftline`` says to a command, in this process: one line on stderr, and exit code 2."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # so that nobody's `driftline up` is found
    for name in ("DRIFTLINE_NATS", "DRIFTLINE_POSTGRES", "DRIFTLINE_DATA"):
        monkeypatch.delenv(name, raising=False)

    def run(command: str) -> str:
        monkeypatch.setattr("driftline.cli.common.configure_logging", lambda level: None)  # that would be for all tests
        monkeypatch.setattr("sys.argv", ["driftline", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capsys.readouterr()
        return Ended(2, said.out, said.err).complaint

    return run


@pytest.mark.parametrize("command", SENSELESS)
def test_a_command_that_makes_no_sense(command: str, complaint: Complaint) -> None:
    said = complaint(command)
    assert all(named in said for named in SENSELESS[command]), said


def test_a_folder_that_is_a_file(tmp_path: Path, complaint: Complaint) -> None:
    (tmp_path / "file").touch()
    said = complaint(f"up --data {tmp_path / 'file'}")
    assert "--data" in said
    assert str(tmp_path / "file") in said


@on_one_loop
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
