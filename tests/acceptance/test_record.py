"""A real run is recorded; elsewhere the file gives the same answers, and today's code decides what was decided."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.acceptance.harness import Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes]
on_one_loop = pytest.mark.asyncio(loop_scope="module")

PATCHED = """
from workers import cnc
from workers.worker import Worker

def decide(state, r):
    return [one for one in cnc.decide(state, r) if type(one).__name__ != "Perform"]

WORKER = cnc.WORKER._replace(decide=decide)
"""


class Run(NamedTuple):
    """A ``driftline up`` that has spawned, drifted and deleted, and the recording of it."""

    place: Site
    file: Path
    instance: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run() -> AsyncIterator[Run]:
    async with site() as place:
        await start_up(place)
        spawned = await place.json("spawn", "web-1", "--label", "prod-env")
        await place.json("spawn", "web-2", "--label", "prod-env")
        await place.json("drift", "web-1")
        await place.run("delete", "web-2")
        file = place.folder / "run.jsonl.gz"
        assert (await place.json("record", file))["header"]["selection"] == {}
        yield Run(place, file, spawned["instance"])


def questions(instance: str) -> list[list[str]]:
    return [
        ["ports", "--as-of", "80"],
        ["timeline", instance],
        ["history", instance],
        ["causes", "80"],
        ["diff", "60", "90"],
        ["hosts", "--as-of", "90"],
        ["networks", "--as-of", "90"],
    ]


@on_one_loop
async def test_elsewhere_the_file_gives_the_same_answers(run: Run) -> None:
    async with site() as elsewhere:
        file = elsewhere.folder / "moved.jsonl.gz"
        shutil.copy(run.file, file)
        data = elsewhere.folder / "data"
        loaded = await elsewhere.json("replay", file, "--data", data)
        assert loaded["loaded"] == loaded["header"]["messages"] > 60
        for question in questions(run.instance):
            there = await run.place.json(*question)
            assert await elsewhere.json(*question, "--log", file) == there, question
            assert await elsewhere.json(*question, "--data", data) == there, question
        assert "the log is not empty" in await elsewhere.refused("replay", file, "--data", data)


@on_one_loop
async def test_a_part_tells_its_story_and_masked_it_still_does(run: Run) -> None:
    part, hidden = run.place.folder / "part.jsonl", run.place.folder / "hidden.jsonl"
    whole = await run.place.json("history", run.instance, "--events")
    assert (await run.place.json("record", part, "--about", run.instance))["messages"] < whole[-1]["position"]
    assert await run.place.json("history", run.instance, "--events", "--log", part) == whole
    await run.place.json("record", hidden, "--about", run.instance, "--mask", "all")
    assert run.instance not in hidden.read_text()
    assert "web-1" not in hidden.read_text()
    (port,) = await run.place.json("ports", "--log", hidden)
    told = await run.place.json("history", port["instance"], "--events", "--log", hidden)
    assert [(one["position"], one["type"]) for one in told] == [(one["position"], one["type"]) for one in whole]
    checked = await run.place.run("replay", part, "--check", "--worker", "core-router")
    assert "a part of the log: about" in checked.stderr
    assert "a part of a log" in await run.place.refused("replay", part, "--data", run.place.folder / "d")


@on_one_loop
async def test_today_decides_the_same_and_a_patch_is_told_from_it(run: Run) -> None:
    verdicts = await run.place.json("replay", run.file, "--check")
    assert all(verdict["equal"] for verdict in verdicts)
    assert sum(verdict["matched"] for verdict in verdicts) > 20
    patch = run.place.folder / "patch.py"
    patch.write_text(PATCHED)
    told = await run.place.run("replay", run.file, "--check", "--worker", "cnc", "--patched", f"{patch}:WORKER", code=1)
    assert "cnc diverges at position" in told.stdout
    assert "leaf.vlan_added" in told.stdout
    here = Path(__file__).parent.parent.parent
    same: Any = await run.place.json("replay", run.file, "--check", "--worker", "nova", "--patched", here)
    assert same[0]["equal"]


@on_one_loop
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "none.jsonl"], "none.jsonl: No such file"),
        (["replay"], "RECORDING: which file?"),
        (["replay", "--check", "--worker", "nobody", "--log", "run.jsonl.gz"], "--worker nobody: choose from nova,"),
        (["replay", "run.jsonl.gz", "--worker", "nova"], "only with --check"),
        (["replay", "--check", "run.jsonl.gz", "--patched", "none.py:W"], "--patched none.py:W: neither a folder"),
        (["record", "no/such/folder/file"], "FILE no/such/folder/file: No such file"),
        (["record", "a.jsonl", "--about", "nobody"], "nothing called nobody"),
        (["record", "a.jsonl", "--correlation", "none"], "--correlation: the log has no story none"),
        (["ports", "--log", "run.jsonl.gz", "--data", "d"], "a recording needs no servers"),
        (["ports", "--log", "run.jsonl.gz", "--as-of", "999999"], "--as-of 999999: the log ends at position"),
        (["history", "nobody", "--log", "run.jsonl.gz"], "nothing called nobody"),
        (["causes", "nope", "--log", "run.jsonl.gz"], "no event with the id or position nope"),
        (["diff", "9", "3", "--log", "run.jsonl.gz"], "FROM 9: position 9 comes after TO, 3"),
        (["reach", "web-0", "web-1", "--as-of", "3"], "--as-of 3: this asks the devices, and they keep no past"),
        (["routes", "--log", "run.jsonl.gz"], "--log run.jsonl.gz: this asks the devices, and they keep no past"),
        (["diff", "1", "3", "--table", "x", "--log", "run.jsonl.gz"], "--table x: there is no such table"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
async def test_bad_input_is_refused_in_one_line(run: Run, arguments: list[str], says: str) -> None:
    assert says in await run.place.refused(*arguments)
    assert not list(run.place.folder.glob("a.jsonl*"))
