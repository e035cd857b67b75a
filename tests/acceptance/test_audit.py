"""``driftline audit`` on real servers: what was published is accounted for, and what somebody took away is named."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

import driftline
from bus.embedded import embedded_nats
from bus.jetstream import Connection, connect
from bus.jetstream.log import JetStreamLog
from bus.jetstream.streams import LOG, STREAMS
from driftline.ledger import Ledger
from tests.acceptance.harness import Site, site, until

pytestmark = [pytest.mark.servers, pytest.mark.processes]
on_one_loop = pytest.mark.asyncio(loop_scope="module")


class Run(NamedTuple):
    """The data of a ``driftline load`` that is over, and its ledger."""

    place: Site
    data: Path
    ledger: Path

    def copy(self, name: str) -> Path:
        """Its data, to be damaged."""
        other = self.place.folder / name
        subprocess.run(["cp", "-a", self.data, other], check=True)  # PostgreSQL's files keep their owner
        return other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run() -> AsyncIterator[Run]:
    async with site() as place:
        data, ledger = place.folder / "data", place.folder / "ledger.jsonl"
        load = await place.start(
            "load", "--instances", "12", "--hosts", "4", "--data", data, "--json", env={"DRIFTLINE_LEDGER": str(ledger)}
        )
        assert (await load.ended()).code == 0
        yield Run(place, data, ledger)


async def audited(run: Run, data: Path, *, code: int) -> Any:
    ended = await run.place.run("audit", "--ledger", run.ledger, "--data", data, "--json", code=code)
    return ended.document


async def rebuilt_without(data: Path, position: int) -> None:
    """Take one message out of the log, as an administrator can who has the stream made anew from mirrors of it.

    The stream itself lets nobody delete: it is made with ``deny_delete``.
    """
    async with embedded_nats(data / "nats") as server, connect(server.url) as connection:
        config = (await connection.api("STREAM.INFO.DRIFTLINE"))["config"]
        plain: dict[str, object] = {"storage": "file", "allow_direct": True}
        await connection.api("STREAM.CREATE.COPY", {"name": "COPY", "mirror": {"name": "DRIFTLINE"}, **plain})
        await copied(connection, "COPY", config)
        assert (await connection.api("STREAM.MSG.DELETE.DRIFTLINE", {"seq": position})).get("error")
        assert (await connection.api("STREAM.MSG.DELETE.COPY", {"seq": position}))["success"]
        last = (await connection.api("STREAM.INFO.DRIFTLINE"))["state"]["last_seq"]
        await connection.api("STREAM.DELETE.DRIFTLINE", {})
        await connection.api("STREAM.UPDATE.COPY", {"name": "COPY", "subjects": [], **plain})
        mirror = {name: value for name, value in config.items() if name not in _NOT_OF_MIRRORS}
        await connection.api("STREAM.CREATE.DRIFTLINE", {**mirror, "mirror": {"name": "COPY"}})
        await copied(connection, "DRIFTLINE", {"last": last})
        await connection.api("STREAM.UPDATE.DRIFTLINE", config)


_NOT_OF_MIRRORS = ("subjects", "allow_atomic", "duplicate_window")


async def copied(connection: Connection, stream: str, of: dict[str, Any]) -> None:
    """Wait until ``stream`` has all that it mirrors."""
    last = of.get("last") or (await connection.api("STREAM.INFO.DRIFTLINE"))["state"]["last_seq"]

    async def look() -> bool:
        return bool((await connection.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"] == last)

    await until(look, f"{stream} has {last} messages")


@on_one_loop
async def test_an_intact_log_is_complete(run: Run) -> None:
    found = await audited(run, run.data, code=0)
    assert found["complete"]
    assert (found["ledger"]["accepted"], found["holes"]) == (12, [])
    (load,) = (one for one in found["actors"] if one["actor"] == "load")
    assert (load["requests"], load["done"], load["pending"]) == (12, 12, 0)
    assert "complete: every event is accounted for" in (await run.place.run("audit", "--data", run.data)).stdout


async def first(run: Run, kind: str) -> int:
    """The position of the first event of a kind."""
    file = run.place.folder / f"{kind}.jsonl"
    await run.place.run("record", file, "--data", run.data)
    lines = [json.loads(line) for line in (await asyncio.to_thread(file.read_text)).splitlines()[1:]]
    return next(int(line["position"]) for line in lines if line["data"]["event"]["type"] == kind)


@on_one_loop
@pytest.mark.parametrize(("kind", "is_known"), [("instance.spawn_requested.v1", True), ("port.bound.v1", False)])
async def test_a_message_that_was_removed_is_found_and_named(run: Run, kind: str, is_known: bool) -> None:
    position = await first(run, kind)
    data = run.copy(f"without-{kind}")
    await rebuilt_without(data, position)
    found = await audited(run, data, code=1)
    (hole,) = found["holes"]
    assert (hole["first"], hole["last"], hole["gap"]) == (position, position, "deleted")
    assert any("the ledger" in who for who in hole["known_by"]) == is_known
    said = [(one["what"], one["position"]) for one in found["findings"]]
    assert ("deleted", position) in said
    assert ("another log", 0) in said  # the projections know the log that was there before
    assert any(what == "lost" for what, _ in said)  # what it led to names it as its cause
    assert found["ledger"].get("lost", 0) == is_known


@on_one_loop
async def test_a_store_that_was_damaged_is_found(run: Run) -> None:
    data = run.copy("damaged")
    (path,) = data.glob("nats/jetstream/*/streams/DRIFTLINE/msgs/*.blk")
    block = bytearray(path.read_bytes())
    block[len(block) // 2] ^= 0xFF
    path.write_bytes(block)
    path.with_name("index.db").unlink()  # else the server believes that instead
    found = await audited(run, data, code=1)
    (hole,) = found["holes"]
    assert (hole["gap"], hole["last"]) == ("truncated", (await audited(run, run.data, code=0))["last"])
    assert found["last"] == hole["first"] - 1


@on_one_loop
async def test_a_log_that_was_put_back_to_an_older_copy_is_found(run: Run) -> None:
    data = run.copy("older")
    before = await audited(run, data, code=0)
    old = run.place.folder / "old-nats"
    shutil.copytree(data / "nats", old)
    more = await run.place.start(
        "load", "--instances", "3", "--data", data, "--json", env={"DRIFTLINE_LEDGER": str(run.place.folder / "more")}
    )
    assert (await more.ended()).code == 0
    shutil.rmtree(data / "nats")
    shutil.move(old, data / "nats")
    ended = await run.place.run(
        "audit", "--ledger", run.ledger, "--ledger", run.place.folder / "more", "--data", data, "--json", code=1
    )
    found = ended.document
    (hole,) = found["holes"]
    assert (hole["first"], hole["gap"]) == (before["last"] + 1, "truncated")
    assert "the checkpoint of the projections" in hole["known_by"]
    assert found["ledger"]["lost"] == 3
    assert found["ledger"]["accepted"] == 12


@pytest.mark.parametrize(
    ("removal", "hole"),
    [
        (("STREAM.MSG.DELETE.DRIFTLINE", {"seq": 3}), (3, 3, "deleted")),
        (("STREAM.PURGE.DRIFTLINE", {"seq": 3}), (1, 2, "removed at the front")),
        (("STREAM.PURGE.DRIFTLINE", {}), (1, 3, "removed at the front")),
    ],
)
async def test_what_was_removed_from_either_end_is_found(
    removal: tuple[str, dict[str, object]], hole: tuple[int, int, str], tmp_path: Path
) -> None:
    """In a stream that allowed it until then: driftline's own is made with ``deny_delete`` and ``deny_purge``."""
    ours = next(stream for stream in STREAMS if stream["name"] == LOG)
    async with site() as place, embedded_nats(tmp_path / "nats") as server:
        async with connect(server.url) as connection:
            await connection.api(f"STREAM.DELETE.{LOG}", {})
            await connection.api(f"STREAM.CREATE.{LOG}", {**ours, "deny_delete": False, "deny_purge": False})
            client = driftline.Client(JetStreamLog(connection))
            for n in range(3):
                await client.publish(driftline.SpawnRequested(instance=f"i{n}", name=f"i{n}", az="az1", label="prod"))
            assert (await connection.api(*removal))["success"]
            assert "error" not in await connection.api(f"STREAM.UPDATE.{LOG}", ours)
        found = (await place.run("audit", "--nats", server.url, "--json", code=1)).document
        assert [(one["first"], one["last"], one["gap"]) for one in found["holes"]] == [hole]
        assert not found["complete"]


async def test_duplicates_refusals_garbage_and_newer_types_are_told_apart(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with site() as place, embedded_nats(tmp_path / "nats") as server, connect(server.url) as connection:
        log = JetStreamLog(connection)
        client = driftline.Client(log, ledger=Ledger(ledger))
        event = driftline.SpawnRequested(instance="i1", name="i1", az="az1", label="prod")
        await client.publish(event, id="q1")
        await driftline.Client(log, ledger=Ledger(tmp_path / "other")).publish(event, id="q1")
        await log.append_raw("dl.x", b"garbage")
        await log.append_raw("dl.port.p._._.teleported", b'{"id": "n", "event": {"type": "port.teleported.v9"}}')
        both: list[str | Path] = ["--ledger", ledger, "--ledger", tmp_path / "other"]
        found = await place.json("audit", *both, "--nats", server.url)
        assert found["complete"]
        assert found["ledger"]["accepted"] + found["ledger"]["duplicate"] == 1
        assert (found["quarantined"], found["newer_types"]) == (1, {"port.teleported.v9": 1})
        assert "No such file" in await place.refused("audit", "--ledger", "none", "--nats", server.url)


async def test_a_publisher_killed_before_the_answer_has_its_entry_looked_up(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with site() as place, embedded_nats(tmp_path / "nats") as server, connect(server.url) as connection:
        client = driftline.Client(JetStreamLog(connection), ledger=Ledger(ledger))
        event = driftline.SpawnRequested(instance="i1", name="i1", az="az1", label="prod")
        await client.publish(event, id="arrived")
        lines = (await asyncio.to_thread(ledger.read_text)).splitlines()
        never = lines[0].replace("arrived", "never")
        await asyncio.to_thread(ledger.write_text, f"{lines[0]}\n{never}\n")  # no answer to either was written down
        assert "position" not in json.loads(lines[0])
        found = await place.json("audit", "--ledger", ledger, "--nats", server.url)
        assert (found["ledger"]["accepted"], found["ledger"]["not published"]) == (1, 1)
