"""Publishing from outside: three lines of Python, or any NATS client and JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

import driftline
from bus.envelope import encode, request
from tests.acceptance.harness import Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

OUTCOMES = ("instance.active.v1", "instance.refused.v1", "instance.failed.v1")
README = Path(__file__).parents[2] / "README.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Site]:
    async with site() as one:
        await start_up(one)
        yield one


async def test_three_lines_of_python(place: Site) -> None:
    async with driftline.connect(place.note()["nats"]) as bus:
        spawn = await bus.publish(driftline.SpawnRequested(instance="a-1", name="web-1", az="az1", label="prod-env"))
        outcome = await bus.outcome(spawn)
        assert (outcome.kind, outcome.instance) == ("active", "a-1")
        delete = await bus.publish(driftline.InstanceDeleteRequested(instance="a-1"), id="my-delete")
        assert (await bus.outcome(delete)).kind == "deleted"
        again = await bus.publish(driftline.InstanceDeleteRequested(instance="a-1"), id="my-delete")
        assert (again.duplicate, again.position) == (True, delete.position)
        refused = await bus.publish(driftline.SpawnRequested(instance="a-2", name="web-2", az="az1", network="nonet"))
        outcome = await bus.outcome(refused)
        assert (outcome.kind, outcome.field, outcome.value) == ("refused", "network", "nonet")


async def test_the_example_of_the_readme_is_what_runs(place: Site) -> None:
    example = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    script = example.replace("nats://127.0.0.1:4222", place.note()["nats"])
    assert script != example
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(done.communicate(), 30)
    assert done.returncode == 0, stderr.decode()
    assert "active" in stdout.decode()


async def test_a_plain_client_needs_nothing_but_nats_and_json(place: Site) -> None:
    """Nothing of driftline is used here."""
    client = await nats.connect(place.note()["nats"])
    stream = client.jetstream()
    event = {
        "type": "instance.spawn_requested.v1",
        "instance": "plain-1",
        "name": "plain-1",
        "az": "az1",
        "label": "prod-env",
    }
    message = json.dumps({"id": "order-4711", "event": event}).encode()
    subject = "dl.instance.plain-1.az1._.spawn_requested"
    first = await stream.publish(subject, message, headers={"Nats-Msg-Id": "order-4711"})
    again = await stream.publish(subject, message, headers={"Nats-Msg-Id": "order-4711"})
    assert (again.duplicate, again.seq) == (True, first.seq)
    await stream.publish(subject, message)  # and once more without the header, which the server cannot tell

    history = await stream.subscribe("dl.instance.plain-1.>", stream="DRIFTLINE", ordered_consumer=True)
    async for stored in history.messages:
        envelope = json.loads(stored.data)
        if envelope.get("correlation") == "order-4711" and envelope["event"]["type"] in OUTCOMES:
            break
    await client.close()
    assert envelope["event"]["type"] == "instance.active.v1"
    assert envelope["event"]["port"] == "plain-1-0"
    story = await place.json("tail", "--no-follow", "--after", "0", "--subject", "dl.instance.plain-1.>")
    assert [e["event"]["type"] for e in story].count("instance.active.v1") == 1
    assert (await place.json("verify"))["equal"]


async def test_the_schema_takes_what_is_published_and_nothing_broken(place: Site) -> None:
    schema = await place.json("schema")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    spawn = driftline.SpawnRequested(instance="i-1", name="web-1", az="az1", label="prod-env")
    delete = driftline.InstanceDeleteRequested(instance="i-1")
    for event in (spawn, delete):
        document = msgspec.json.decode(encode(request(event)))
        validator.validate(document)
        for field in ("id", "event"):
            assert not validator.is_valid({name: value for name, value in document.items() if name != field})
        assert not validator.is_valid(document | {"event": document["event"] | {"instance": "not a token"}})
    for stored in await place.json("tail", "--no-follow", "--after", "0"):
        validator.validate({name: value for name, value in stored.items() if name != "position"})
