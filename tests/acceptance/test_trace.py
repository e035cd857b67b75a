"""A trace through the whole path: what comes of it agrees with a count made straight from the CSV."""

import csv
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.harness import Site, site, start_up

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

OPENB = Path(__file__).parents[3] / "shared" / "data" / "openb" / "openb_pod_list_default.csv"
OPENB_ROWS = 500

SMALL = """\
pod,start,host,end
late,19.5,,
web/1,0,az1-h1,12
web/2,0,,
batch,3,,3

short,4,az2-h1,4.5
web 3,5,,18.25
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Site]:
    async with site() as one:
        await start_up(one, "--azs", "2", "--hosts", "5")
        yield one


def counted(path: Path, deleted_column: str) -> dict[str, int]:
    """What must come of a trace, by nothing but the CSV."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    deleted = sum(bool(row[deleted_column]) for row in rows)
    return {"requested": len(rows), "active": len(rows), "deleted": deleted, "left": len(rows) - deleted}


async def loaded(place: Site, path: Path, *options: str) -> dict[str, Any]:
    """The report of a run of the trace; ``left``: how many more instances live than before."""
    before = (await place.json("port-states"))["ports"]
    report: dict[str, Any] = await place.json("load", "--trace", path, *options)
    assert (
        report["failed"] == report["refused"] == report["delete_refused"] == report["skipped"] == report["twice"] == 0
    )
    assert report["live"] == report["addresses_held"] == report["port_states"]["ACTIVE_ACTIVE"]
    assert report["leftovers"] == 0
    assert report["verify"]["equal"]
    return report | {"left": report["live"] - before}


async def test_a_small_trace_with_columns_of_its_own(place: Site) -> None:
    path = place.folder / "small.csv"
    path.write_text(SMALL)
    columns = ("--name-column", "pod", "--created-column", "start", "--deleted-column", "end", "--host-column", "host")
    report = await loaded(place, path, *columns)
    expected = counted(path, "end")
    assert (
        {name: report[name] for name in expected} == expected == {"requested": 6, "active": 6, "deleted": 4, "left": 2}
    )
    names = {row["name"] for row in await place.json("ports")}
    assert sum("late" in name or "web-2" in name for name in names) == 2  # "/" is no character of a name
    spawned = [e["event"] for e in await place.json("tail", "--no-follow", "--after", "0") if "scheduled" in e["id"]]
    pinned = {event["host"] for event in spawned if "web-1" in event["instance"] or "short" in event["instance"]}
    assert pinned == {"az1-h1", "az2-h1"}


async def test_speed_keeps_the_order_and_the_pace_of_the_trace(place: Site) -> None:
    path = place.folder / "small.csv"
    path.write_text(SMALL)
    columns = ("--name-column", "pod", "--created-column", "start", "--deleted-column", "end")
    before = (await place.json("verify"))["position"]
    report = await loaded(place, path, *columns, "--speed", "10")
    assert report["seconds"] >= 1.95  # the last one comes 19.5 s after the first ones
    events = await place.json("tail", "--no-follow", "--after", str(before), "--subject", "dl.instance.>")
    names = [e["event"]["name"] for e in events if e["event"]["type"] == "instance.spawn_requested.v1"]
    assert [name.split("-")[1] for name in names] == ["web", "web", "batch", "short", "web", "late"]


@pytest.mark.skipif(not OPENB.exists(), reason="the openb trace is not here")
async def test_the_beginning_of_a_real_clusters_trace(place: Site) -> None:
    path = place.folder / "openb.csv"
    with OPENB.open() as whole:
        path.write_text("".join(itertools.islice(whole, OPENB_ROWS + 1)))
    report = await loaded(place, path)
    expected = counted(path, "deletion_time")
    assert expected["requested"] == OPENB_ROWS
    assert {name: report[name] for name in expected} == expected
    assert report["reachable_pairs_ok"] == report["reachable_pairs_checked"]
