"""Why is held to be true by what happens next: over simulated runs, and in situations that are played."""

import asyncio
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import msgspec
import pytest

from bus.envelope import Recorded
from bus.events import (
    Event,
    HostBlockRequested,
    HostDown,
    InstanceActive,
    InstanceDeleteRequested,
    InstanceDriftScheduled,
    InstanceFailed,
    InstanceOverdue,
    InstanceRefused,
    InstanceScheduled,
    InstanceTerminating,
    LeafMacDuplicateDetected,
    LeafVlanFailed,
    OperationCompleted,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortCreateRequested,
    PortDeleted,
    PortOrphanSeen,
    PortPlugged,
    PortPolicyReported,
    PortRegistered,
    PortUnbound,
    SpawnRequested,
    tag_of,
)
from driftline.book import Book, open_book
from driftline.parts import all_workers
from driftline.scenario import load
from driftline.scenario.virtual import play_virtually
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from driftline.why import Facts, Why, explain, find
from tests.driftline.test_book import logged

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Rows that tell of a port or an instance.
STATE = {"ports", "instances", "stale_claims"}
WORKERS = set(all_workers())
#: CNC's own books, what the clock makes true, renewed rules, and requests that a worker makes as anybody could.
ASIDE = (PortRegistered, InstanceOverdue, PortOrphanSeen, PortPolicyReported, InstanceDeleteRequested, SpawnRequested)


@cache
def example(name: str) -> list[Recorded]:
    return list(play_virtually(load(EXAMPLES / f"{name}.toml")).records)


@cache
def simulated(seed: int) -> list[Recorded]:
    return play(draw(seed)).records


def book_of(records: list[Recorded], folder: Path) -> Book:
    return asyncio.run(_book_of(records, folder))


async def _book_of(records: list[Recorded], folder: Path) -> Book:
    return await open_book(await logged(records), folder=folder)


def why(book: Book, name: str, position: int) -> Why:
    r = book.event(position)
    facts = Facts(book, position, r.time_us if r else 0)
    subject = find(facts, name)
    assert subject is not None, name
    return explain(facts, subject)


def expected(answer: Why) -> set[str]:
    return {one.who for one in answer.waits}


def is_late(book: Book, answer: Why, r: Recorded) -> bool:
    """What was under way when something else ended it, or concerns the host as a whole."""
    cause = book.find(r.cause)
    of_host = cause is not None and not hasattr(cause.event, "instance") and not hasattr(cause.event, "port")
    return of_host or "being taken down" in answer.summary or "being deleted" in answer.summary


RUNS: list[Callable[[], list[Recorded]]] = [
    *(
        lambda name=name: example(name)
        for name in ("host-local", "cloud", "vlan", "target", "stuck-port", "bare-metal")
    ),
    *(partial(simulated, seed) for seed in (2, 17, 22)),
]


@pytest.mark.parametrize("run", RUNS)
def test_who_acts_next_is_one_of_those_who_should(run: Callable[[], list[Recorded]], tmp_path: Path) -> None:
    """Each event of a worker that changes a port or an instance: it was named right before, or when it decided."""
    book = book_of(run(), tmp_path)
    held = 0
    for row in book.rows("instances"):
        name = row.instance  # type: ignore[attr-defined]
        mine = {r.position: r for r in book.concerning("instance", name)}
        mine |= {r.position: r for r in book.concerning("port", row.port)}  # type: ignore[attr-defined]
        first = min(mine)
        for r in mine.values():
            changes = {change.table for change in book.changes(r.position)}
            if r.position == first or r.actor not in WORKERS or isinstance(r.event, ASIDE) or not changes & STATE:
                continue
            cause = book.find(r.cause)
            answers = [why(book, name, r.position - 1)]
            if cause is not None and cause.position >= first:
                answers.append(why(book, name, cause.position))
            named = {who for answer in answers for who in expected(answer)}
            assert r.actor in named or is_late(book, answers[0], r), (name, r, answers[0])
            held += r.actor in named
    assert held > 20


@pytest.mark.parametrize("run", RUNS)
def test_whoever_is_not_well_waits_for_something_and_whoever_is_does_not(
    run: Callable[[], list[Recorded]], tmp_path: Path
) -> None:
    book = book_of(run(), tmp_path)
    for position in range(1, book.last + 1, 7):
        for row in book.rows("instances", position):
            answer = why(book, row.instance, position)  # type: ignore[attr-defined]
            over = row.state == "refused" or (row.state == "failed" and row.cleaned)  # type: ignore[attr-defined]
            assert over or answer.well == (not answer.waits), answer
            usable = any(port.usable for port in book.rows("ports", position, {"port": answer.port}))  # type: ignore[attr-defined]
            if answer.well and row.state != "deleted":  # type: ignore[attr-defined]
                assert row.state == "active"  # type: ignore[attr-defined]
                assert usable, answer


def at(records: list[Recorded], kind: type[Event], nth: int = 0, **fields: str) -> int:
    found = [
        r.position
        for r in records
        if type(r.event) is kind and all(getattr(r.event, name) == value for name, value in fields.items())
    ]
    return found[nth]


def told(records: list[Recorded], folder: Path, name: str, position: int) -> Why:
    return why(book_of(records, folder), name, position)


def test_a_leaf_that_hangs(tmp_path: Path) -> None:
    records = example("stuck-port")
    book = book_of(records, tmp_path)
    answer = why(book, "db-0", at(records, InstanceActive, instance="web-2"))
    (waits,) = answer.waits
    assert (waits.what, waits.who, waits.where) == ("leaf2 to carry VLAN 2 (VNI 5002) on e1", "cnc", "leaf2")
    assert waits.position == at(records, PortBound, port="db-0-0")
    (coming,) = answer.next
    failed = next(r for r in records if type(r.event) is InstanceFailed)
    assert 0 <= failed.time_us - coming.at_us < 2_000_000
    assert (coming.who, coming.what) == ("nova", "the spawn of db-0 is given up: it fails and is taken down")
    assert answer.failures == []
    assert "See whether leaf2 answers: it was asked and has not said anything yet" in answer.advice
    assert why(book, "db-0-0", answer.position) == answer

    unbound = why(book, "db-0", at(records, PortUnbound, port="db-0-0") + 1)
    assert [one.what for one in unbound.waits] == ["leaf2 to drop VLAN 2 (VNI 5002) from e1"]
    assert "its port db-0-0 holds 10.0.2.2 until both planes have confirmed" in unbound.summary
    assert [one.type for one in unbound.failures] == ["instance.failed.v1"]

    gone = why(book, "db-0", book.last)
    assert gone.waits == []
    assert gone.summary == "db-0 failed: not done in time: underlay ACTIVE, overlay DOWN, bound. Nothing of it is left"
    assert why(book, "web-0", book.last).well


def played(folder: Path, steps: str, subnet: str = "10.0.2.0/24") -> list[Recorded]:
    """The world of the stuck port, and other steps."""
    world = (EXAMPLES / "stuck-port.toml").read_text().partition("[[step]]")[0]
    file = folder / "played.toml"
    file.write_text(world.replace("10.0.2.0/24", subnet) + steps)
    return list(play_virtually(load(file)).records)


def spawn(name: str, host: str = "h1", id: str = "") -> str:
    return f'spawn = [{{ instance = "{id or name}", name = "{name}", az = "az1", host = "{host}", network = "db" }}]\n'


def step(what: str, within_s: int = 20) -> str:
    return f'[[step]]\nsay = "x"\nwithin_s = {within_s}\n{what}\n'


def test_a_worker_that_does_not_run_or_lags_is_named(tmp_path: Path) -> None:
    records = example("stuck-port")
    book = book_of(records, tmp_path)
    position = at(records, InstanceActive, instance="web-2")
    for behind, said in (
        (-1, "Start cnc: it has never run on this log (`driftline worker cnc`)"),
        (5000, "cnc is 5000 events behind the log: see whether it runs, and give it time"),
    ):
        facts = Facts(book, position, 0, {"cnc": behind})
        subject = find(facts, "db-0")
        assert subject is not None
        answer = explain(facts, subject)
        assert [one.behind for one in answer.waits] == [behind]
        assert answer.advice[0] == said


NO_POWER = "leaf leaf2 interface e1 VLAN 1: leaf2: no power"


def test_a_leaf_that_refuses(tmp_path: Path) -> None:
    records = played(tmp_path, step('faults = "broken:leaf2=no power"\n' + spawn("a")))
    failed = at(records, LeafVlanFailed)
    (waits, verdict) = (told(records, tmp_path, "a", failed + 1)).waits
    assert (waits.where, waits.error, waits.failed) == ("leaf2", "leaf2: no power", 1)
    assert (verdict.who, verdict.what) == ("nova", "the spawn of a to be called failed: " + NO_POWER)
    answer = told(records, tmp_path / "2", "a", failed + 1)
    assert answer.failures[0].text == "leaf2 e1 VLAN 1: leaf2: no power"
    mend = "Mend leaf2 (leaf2: no power), then `driftline reconcile --leaf leaf2`: what lacks is repaired"
    assert mend in answer.advice


def test_each_step_of_a_spawn_and_of_its_end(tmp_path: Path) -> None:
    records = played(tmp_path, step(spawn("a")) + step('delete = ["a"]'))
    book = book_of(records, tmp_path)
    for kind, who, what in (
        (SpawnRequested, "nova", "a to be given a host, or refused"),
        (InstanceScheduled, "compute", "the port of a to be asked for"),
        (PortCreateRequested, "ipam", "port a-0 to be given an address, or refused"),
        (PortAllocated, "compute", "the vNIC of a-0 on h1"),
        (PortPlugged, "ovs-agent", "the flows of a-0 on h1"),
        (PortBindRequested, "ipam", "a-0 to be bound to h1"),
        (PortBound, "cnc", "leaf1 to carry VLAN 1 (VNI 5002) on e1"),
        (InstanceDeleteRequested, "nova", "the deletion of a that was asked for (step-2-1) to be answered"),
        (InstanceTerminating, "compute", "the vNIC of a-0 (claim 1) to be taken from h1"),
        (PortUnbound, "cnc", "leaf1 to drop VLAN 1 (VNI 5002) from e1"),
        (PortDeleted, "nova", "the deletion to be confirmed"),
    ):
        answer = why(book, "a", at(records, kind))
        assert (who, what) in [(one.who, one.what) for one in answer.waits], (kind, answer)
    assert why(book, "a", at(records, InstanceActive)).well
    end = why(book, "a", book.last)
    assert end.summary == "a is deleted, and nothing of it is left"
    assert why(book, "a-0", book.last).summary == end.summary


def test_a_pool_that_is_full_and_a_name_that_is_taken(tmp_path: Path) -> None:
    steps = step(spawn("a")) + step(spawn("b")) + step(spawn("a", id="c"))
    book = book_of(played(tmp_path, steps, "10.0.2.0/30"), tmp_path)
    full = why(book, "b", book.last)
    assert full.summary == "b was refused: no address is left in the network (network: db). Nothing of it exists"
    assert full.advice == ["Network db has 0 of 4 addresses free: delete what is not needed, or add a subnet"]
    assert not full.well
    taken = why(book, "c", book.last)
    assert taken.summary == "a (c) was refused: the name is in use (name: a). Nothing of it exists"
    assert taken.advice == ["a is the name of instance a (active): delete it, or take another"]


def test_a_table_that_is_full_names_the_leaf(tmp_path: Path) -> None:
    records = example("limits")
    refused = at(records, InstanceRefused, instance="d")
    answer = told(records, tmp_path, "d", refused)
    assert "(leaf: leaf1 (capacity 2)). Nothing of it exists" in answer.summary


SILENT = "host h1 to be up again: its agent is not heard (silent for 15 s)"


def test_a_host_that_died(tmp_path: Path) -> None:
    steps = step(spawn("a")) + step('hosts = { power_off = ["h1"] }\nwait_s = 80', 100)
    records = played(tmp_path, steps)
    book = book_of(records, tmp_path)
    down = at(records, HostDown, host="h1")
    suspect = why(book, "a", down - 1)
    assert [one.what for one in suspect.waits] == [SILENT]
    (coming,) = suspect.next
    silent = book.event(down)
    assert silent is not None
    assert abs(coming.at_us - silent.time_us) < 3_000_000
    assert coming.what == "h1 is taken for dead, if its agent is not heard before"
    dead = why(book, "a", book.last)
    assert dead.summary.startswith("a is in error on h1: host h1 is down; underlay ERROR")
    assert dead.waits[0].what.startswith("host h1 to be up again: it is taken for dead (its agent was silent for ")
    assert "See whether h1 has power and is connected: it comes back by itself once its agent is heard" in dead.advice


def test_a_deletion_that_waits_for_a_dead_host_to_be_cut_off(tmp_path: Path) -> None:
    steps = step(spawn("a")) + step('faults = "hung:leaf2=100"\nhosts = { power_off = ["h1"] }\nwait_s = 80', 100)
    book = book_of(played(tmp_path, steps + step('delete = ["a"]')), tmp_path)
    answer = why(book, "a", book.last)
    said = {(one.who, one.where) for one in answer.waits}
    assert ("cnc", "h1") in said
    assert ("cnc", "leaf2") in said
    assert any("to be cut off at its leaves: only then it need not confirm" in one.what for one in answer.waits)


def test_a_duplicate_mac(tmp_path: Path) -> None:
    records = example("evpn")
    found = at(records, LeafMacDuplicateDetected)
    book = book_of(records, tmp_path)
    answer = why(book, "web-0", found)
    assert answer.summary.startswith("web-0 is active on h3, but is not heard everywhere")
    assert [(one.who, one.where) for one in answer.waits][-1] == ("an operator", "leaf3")
    assert "Find who else has the MAC, then `driftline clear-mac`" in answer.advice
    assert why(book, "web-0", book.last - 60).position
    cleared = next(r.position for r in records if tag_of(type(r.event)) == "leaf.mac_cleared.v1")
    assert why(book, "web-0", cleared).well


def test_other_models_name_who_realises_them(tmp_path: Path) -> None:
    records = example("cloud")
    bound = at(records, PortBound)
    answer = told(records, tmp_path / "cloud", records[bound - 1].event.port, bound)  # type: ignore[attr-defined]
    assert any(one.who == "cloud" and "the ENI of" in one.what for one in answer.waits)

    records = example("host-local")
    asked = at(records, HostBlockRequested)
    host = records[asked - 1].event.host  # type: ignore[attr-defined]
    first = next(r.event.instance for r in records if type(r.event) is InstanceScheduled and r.event.host == host)
    answer = told(records, tmp_path / "block", first, asked)
    assert [(one.who, one.what) for one in answer.waits] == [("ipam", f"a block of addresses for {host}")]

    records = example("policy")
    ready = next(r for r in records if type(r.event) is PortPolicyReported)
    answer = told(records, tmp_path / "policy", ready.event.port, ready.position - 1)  # type: ignore[attr-defined]
    assert any(one.who == "policy" and "the policy rules of" in one.what for one in answer.waits)


def test_a_drift_under_way(tmp_path: Path) -> None:
    records = example("evpn")
    scheduled = at(records, InstanceDriftScheduled)
    answer = told(records, tmp_path, "web-0", scheduled)
    assert answer.summary == "web-0 is drifting from h1 to h2, which has not got its port yet"
    assert [(one.who, one.what) for one in answer.waits] == [("compute", "h2 to claim port web-0-0")]
    assert [one.who for one in answer.next] == ["nova"]


def test_a_port_of_a_bulk_request_has_no_instance_yet(tmp_path: Path) -> None:
    records = example("containers")
    done = at(records, OperationCompleted)
    book = book_of(records, tmp_path)
    item = book.rows("operation_items", done)[0]
    answer = why(book, item.instance, done)  # type: ignore[attr-defined]
    assert answer.summary.endswith("and no instance that owns it was asked for")
    assert why(book, item.port, done) == answer  # type: ignore[attr-defined]


async def unreadable(records: list[Recorded], folder: Path) -> Book:
    log = await logged(records)
    await log.append_raw("dl.port.a-0.az1.h1.bound", b"{", 0)
    await log.append_raw("dl.port.a-0.az1.h1.blessed", NEWER, 0)
    return await open_book(log, folder=folder)


NEWER = msgspec.json.encode(
    {
        **{"id": "x", "cause": "", "correlation": "x", "actor": "ipam", "time_us": 1_700_000_000_000_000},
        "event": {"type": "port.blessed.v9"},
    }
)


def test_what_nobody_could_read_is_told(tmp_path: Path) -> None:
    book = asyncio.run(unreadable(played(tmp_path, step(spawn("a"))), tmp_path))
    answer = why(book, "a", book.last)
    assert [one.type for one in answer.failures] == [
        "a message that is no event",
        "an event of a newer type, port.blessed.v9",
    ]
