"""``driftline load`` by its profiles, against a control plane that runs: each is judged whole, whatever it was."""

import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.acceptance.harness import Site, site, start_up

pytestmark = [
    pytest.mark.servers,
    pytest.mark.processes,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

MINE = """
from driftline.loadtest.profile import Instances
from driftline.trace import TraceRow

def phases(shape, world):
    \"\"\"All come at once and live for a tenth of a second.\"\"\"
    return [Instances([TraceRow(n, str(n), 0.0, 0.1) for n in range(1, shape.instances + 1)])]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Site]:
    async with site() as one:
        await start_up(one, "--azs", "2", "--hosts", "25")
        yield one


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (("burst", "--instances", "20"), {"requested": 40, "active": 40}),
        (("steady", "--instances", "15", "--rate", "60"), {"requested": 30, "active": 30}),
        (("churn", "--instances", "10", "--rate", "40", "--lives", "0.5"), {"active": 20, "deleted": 20}),
        (("rolling", "--instances", "10", "--rate", "40"), {"active": 20, "deleted": 10}),
        (("bulk", "--instances", "20", "--size", "10", "--rate", "100"), {"requested": 0, "bulk_done": 4}),
        (("storm", "--instances", "20", "--scope", "az"), {"active": 40, "drifted": 20}),
        (("steady", "--instances", "500", "--rate", "20", "--for", "1"), {"failed": 0}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
async def test_a_profile_is_run_and_judged(place: Site, arguments: tuple[str, ...], counts: dict[str, int]) -> None:
    report = await place.json("load", "--profile", *arguments, timeout_s=150)
    assert {name: report[name] for name in counts} == counts
    assert report["faults"] == []
    assert report["profile"] == arguments[0]
    assert report["audit"]["findings"] == []
    assert report["audit"]["requests"] > 0
    assert report["invariants"]["violation"] == ""
    assert report["verify"]["equal"]
    for kind, latency in report["latency"].items():
        assert 0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"], kind
    shares = [step["share"] for step in report["steps"]]
    assert sum(shares) == pytest.approx(1 if "spawn" in report["latency"] else 0, abs=0.01)
    assert ("fill" in report["latency"]) == (arguments[0] in ("rolling", "storm"))
    if "--for" in arguments:
        assert 0 < report["requested"] < 100  # of 1,000 that were asked for


async def test_a_rack_fails_under_all_that_runs_on_it(place: Site) -> None:
    """Last of those that need hosts: it leaves a rack without power."""
    report = await place.json("load", "--profile", "storm", "--instances", "20", timeout_s=150)
    assert report["faults"] == []
    assert report["drifted"] == report["latency"]["drift"]["count"] > 0
    assert [mark["what"] for mark in report["marks"]] == ["HostsFail"]


async def test_an_interrupt_ends_it_with_what_there_is(place: Site) -> None:
    load = await place.start(
        "load", "--profile", "steady", "--instances", "5000", "--rate", "20", "--json", "--out", "r.json"
    )
    await load.said("driftline load: steady on")
    ended = await load.end(signal.SIGINT)
    assert ended.code == 130, ended.stderr
    assert ended.document["why"] == "interrupted"
    assert ended.document["profile"] == "steady"
    assert (place.folder / "r.json").read_text() == ended.stdout
    await place.run("load", "page", "r.json", "r.html")
    assert "interrupted: nothing was checked." in (place.folder / "r.html").read_text()


async def test_time_is_bounded_and_what_was_done_by_then_is_told(place: Site) -> None:
    load = await place.start(
        *("load", "--profile", "steady", "--instances", "5000", "--rate", "20"),
        *("--timeout", "3", "--json", "--html", "r.html"),
    )
    ended = await load.ended()
    assert ended.code == 1, ended.stderr
    assert "--timeout: not done within 3 s" in ended.stderr
    assert 0 < ended.document["tally"]["active"] < 5000
    assert "--timeout: not done within 3 s: nothing was checked." in (place.folder / "r.html").read_text()


async def test_a_profile_of_ones_own_is_a_file(place: Site) -> None:
    (place.folder / "mine.py").write_text(MINE)
    report = await place.json("load", "--profile", "mine.py", "--instances", "3", timeout_s=60)
    assert (report["profile"], report["active"], report["deleted"]) == ("mine.py", 6, 6)
    (place.folder / "raises.py").write_text("def phases(shape, world):\n    return 1 / 0\n")
    assert "--profile raises.py: phases: ZeroDivisionError" in await place.refused(
        *("load", "--profile", "raises.py", "--instances", "3")
    )
    (place.folder / "empty.py").write_text("")
    assert "no function phases(shape, world)" in await place.refused(
        *("load", "--profile", "empty.py", "--instances", "3")
    )


async def test_a_run_that_is_wrong_has_failed_and_is_no_measure(place: Site) -> None:
    """Somebody writes into a table: the projections are not what the log says any more."""
    database = await asyncpg.connect(place.note()["postgres"])
    await database.execute("UPDATE driftline.instances SET name = 'forged' WHERE state = 'active'")
    await database.close()
    ended = await place.run("load", "--instances", "5", "--json", "--out", "wrong.json", code=1)
    assert "the projections differ from the log" in ended.document["faults"]
    assert ended.stderr.splitlines()[-1].startswith("driftline: ")
    await place.run("projections", "rebuild", "--swap")
    await place.run("load", "--instances", "5", "--out", "good.json")
    assert "the later run was wrong" in (await place.run("load", "compare", "good.json", "wrong.json", code=1)).stderr


async def test_two_runs_are_compared(place: Site) -> None:
    for name in ("a.json", "b.json"):
        await place.run("load", "--instances", "10", "--out", name)
    compared = await place.json("load", "compare", "a.json", "b.json")
    assert compared["verdict"] in ("faster", "slower", "alike")
    assert (compared["unlike"], compared["judged_by"]) == ([], "spawns_per_second")
    rolling = await place.json("load", "--profile", "rolling", "--instances", "8", "--rate", "40", "--out", "c.json")
    assert {kind: one["count"] for kind, one in rolling["latency"].items()} == {"fill": 8, "spawn": 8, "delete": 8}
    unlike = await place.json("load", "compare", "a.json", "c.json")
    assert unlike["verdict"] == "unlike"
    assert {"what": "profile", "before": "burst", "after": "rolling"} in unlike["unlike"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--instances", "3", "--trace", "t.csv"], "exactly one of --trace and --instances must be given"),
        (["--profile", "trace", "--instances", "3"], "--profile trace: give a file with --trace"),
        (["--profile", "no", "--instances", "3"], "--profile: no is none of bulk, burst, churn"),
        (["--profile", "no.py", "--instances", "3"], "--profile no.py: cannot be loaded: FileNotFoundError"),
        (["--profile", "steady", "--instances", "3", "--rate", "0"], "0.0 is not in the range x>0"),
        (["--instances", "3", "--for", "nan"], "'--for': nan is not a finite number"),
        (["--instances", "3", "--timeout", "inf"], "'--timeout': inf is not a finite number"),
        (["--instances", "3", "--rate", "3"], "--rate: burst makes no use of it, only bulk, churn, rolling, steady"),
        (["--profile", "storm", "--instances", "3", "--lives", "3"], "--lives: storm makes no use of it, only churn"),
        (
            ["--profile", "storm", "--scope", "leaf-pair", "--instances", "3"],
            "--scope leaf-pair: needs devices of its",
        ),
        (["--instances", "3", "--out", "no/such/folder"], "--out no/such/folder: there is no folder no/such"),
        (["compare", "nosuch.json", "nosuch.json"], "nosuch.json: cannot be read"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
async def test_bad_input_is_refused_in_one_line(place: Site, arguments: list[str], says: str) -> None:
    assert says in await place.refused("load", *arguments)
