"""All projections together: who gets which event, duplicates, interleavings, sums, and what a cut holds."""

import itertools
from collections.abc import Sequence

import msgspec
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from bus.envelope import TAG_MAX, Envelope, Recorded, Rejected, recorded
from bus.events import EVENT_TYPES
from bus.memory import MemoryLog
from projections.fold import NOTHING
from projections.port_states import PAIRS
from projections.views import PROJECTIONS, SkippedRow, Views
from tests.projections.given import T0_US, record, tuples, twice, viewed
from tests.story import Story

LIVES = Story().world().spawn("i1").spawn("i2", "h3", "net2").spawn("i3", "h2").delete("i1").spawn("i4").delete("i3")


def test_every_event_of_a_life_changes_something_and_only_rows_that_were_named() -> None:
    views = Views()
    for one in LIVES.records():
        before = tuples(views)
        touched = views.evolve(one)
        after = tuples(views)
        changed = {
            (table, key)
            for table in after
            for key in before[table].keys() | after[table].keys()
            if before[table].get(key) != after[table].get(key)
        }
        assert changed <= set(touched)


def test_each_event_goes_to_the_folds_that_handle_it() -> None:
    folds = [projection() for projection in PROJECTIONS]
    views = Views()
    for one in LIVES.records():
        assert set(views.evolve(one)) == {touched for fold in folds for touched in fold.evolve(one)}
    assert {kind for fold in folds for kind in fold.inputs()} <= set(EVENT_TYPES)


def test_the_rows_of_a_small_life() -> None:
    views = viewed(LIVES.records())
    assert {name: len(rows) for name, rows in tuples(views).items()} == {
        "availability_zones": 2,
        "drifts": 0,
        "blocks": 0,
        "block_routes": 0,
        "gateways": 0,
        "leaf_trunks": 0,
        "shut_interfaces": 0,
        "vpc_connections": 0,
        "direct_connects": 0,
        "border_entries": 0,
        "host_states": 0,
        "stale_claims": 0,
        "switches": 5,
        "hosts": 3,
        "vpcs": 1,
        "networks": 2,
        "subnets": 2,
        "ports": 2,
        "port_states": 1,
        "instances": 4,
        "addresses": 2,
        "pools": 2,
        "segments": 2,
        "leaf_interfaces": 4,
        "spawns": 4,
        "policies": 0,
        "identities": 0,
        "clusters": 0,
        "ingresses": 0,
        "devices": 0,
        "enis": 0,
        "cloud_leaks": 0,
        "skipped": 0,
        "operations": 0,
        "operation_items": 0,
        "requests": 0,
    }
    assert views.rows("networks")[("net1",)].labels == ["blue", "net1"]
    assert views.row("networks", ("net9",)) is None
    assert {row.state for row in views.rows("leaf_interfaces").values()} == {"present"}


def test_every_event_twice_gives_the_same_rows() -> None:
    assert tuples(viewed(twice(LIVES.records()))) == tuples(viewed(LIVES.records()))


def test_the_second_of_two_equal_events_touches_no_row_that_differs() -> None:
    views = Views()
    for one in LIVES.records():
        views.evolve(one)
        before = tuples(views)
        views.evolve(one)
        assert tuples(views) == before, one.event


def test_an_event_that_nobody_handles_touches_nothing() -> None:
    handled = {kind for projection in PROJECTIONS for kind in projection.inputs()}
    ignored = [one for one in LIVES.records() if type(one.event) not in handled]
    assert all(viewed([]).evolve(one) == NOTHING for one in ignored)


WORLD = Story().world()


def lives(count: int) -> list[list[Envelope]]:
    """Spawns and deletes on separate hosts, so that each has leaf interfaces of its own."""
    stories = []
    for number, host in zip(range(count), ("h1", "h2", "h3"), strict=False):
        story = Story().world()
        story.spawn(f"i{number}", host).delete(f"i{number}")
        stories.append(story.envelopes[len(WORLD.envelopes) :])
    return stories


def in_order(turns: Sequence[int], stories: list[list[Envelope]]) -> list[Recorded]:
    """The stories, an event of story ``turns[n]`` at a time, what is left over at the end."""
    queues = [list(story) for story in stories]
    order = [queues[turn].pop(0) for turn in turns if queues[turn]]
    order += itertools.chain.from_iterable(queues)
    return [recorded(one, i, 0) for i, one in enumerate([*WORLD.envelopes, *order], 1)]


@settings(deadline=None, max_examples=60)
@for_all(st.lists(st.integers(0, 2), max_size=60))
def test_any_interleaving_of_instances_gives_the_same_ports_instances_and_timelines(turns: list[int]) -> None:
    stories = lives(3)
    one_by_one, interleaved = viewed(in_order([], stories)), viewed(in_order(turns, stories))
    for table in ("ports", "instances", "spawns", "addresses", "pools", "segments"):
        assert interleaved.rows(table) == one_by_one.rows(table)


@settings(deadline=None, max_examples=60)
@for_all(st.integers(0, 200), st.integers(1, 400_000))
def test_the_port_states_add_up_to_the_live_ports(length: int, step_us: int) -> None:
    story = Story(step_us=step_us).world()
    for i in range(6):
        story.spawn(f"i{i}", f"h{i % 3 + 1}")
    story.delete("i0").delete("i3").spawn("i6")
    views = viewed(story.records()[:length])
    assert sum(views.port_state_counts().values()) == len(views.rows("ports"))
    seconds = views.rows("port_states")
    if seconds:
        last = seconds[max(seconds)]
        assert {pair: getattr(last, pair.lower()) for pair in PAIRS} == views.port_state_counts()


def test_a_second_that_has_passed_stays_as_it_was_when_time_runs_back() -> None:
    story = Story(step_us=1_000_000).world().spawn("i1")
    views = viewed(story.records())
    before = tuples(views)["port_states"]
    late = [
        msgspec.structs.replace(one, time_us=T0_US, position=100 + i)
        for i, one in enumerate(Story().world().spawn("i2").records())
    ]
    for one in late:
        views.evolve(one)
    after = tuples(views)["port_states"]
    last = max(before)
    assert after.keys() == before.keys()
    assert {key: row for key, row in after.items() if key != last} == {k: r for k, r in before.items() if k != last}
    assert sum(views.port_state_counts().values()) == 2


def test_a_cut_is_not_changed_by_later_events() -> None:
    records = LIVES.records()
    views = Views()
    touched = {key for one in records[:30] for key in views.evolve(one)}
    cut = views.cut(touched)
    shown = [(change.table.name, change.upserts, change.deletes) for change in cut]
    expected = tuples(viewed(records[:30]))
    for one in records[30:]:
        views.evolve(one)
    assert [(change.table.name, change.upserts, change.deletes) for change in cut] == shown
    for change in cut:
        rows = msgspec.json.decode(change.upserts, type=list[change.table.row])  # type: ignore[name-defined]
        assert sorted(map(msgspec.structs.astuple, rows)) == sorted(expected[change.table.name].values())


def test_a_row_that_is_gone_is_cut_as_its_key() -> None:
    story = Story().world().spawn("i1")
    views = viewed(story.records())
    before = story.position
    touched = {key for one in story.delete("i1").records()[before:] for key in views.evolve(one)}
    deletes = {change.table.name: change.deletes for change in views.cut(touched) if change.deletes}
    assert deletes["ports"] == '[{"port":"i1-0"}]'
    assert deletes["addresses"] == '[{"vrf":"vrf1","ip":"10.1.0.2"}]'
    assert msgspec.json.decode(deletes["leaf_interfaces"]) != []


async def rejected(data: bytes) -> Rejected:
    log = MemoryLog()
    await log.append_raw("dl.x.y._._.z", data)
    [reject] = [reject async for batch in log.read(0, 1) for reject in batch.rejects]
    return reject


async def test_unknown_types_are_counted_by_type() -> None:
    views = Views()
    unknown = await rejected(b'{"id": "1", "event": {"type": "port.moved.v7"}}')
    assert views.skip(unknown) == (("skipped", ("port.moved.v7",)),)
    views.skip(msgspec.structs.replace(unknown, position=9))
    assert views.rows("skipped") == {
        ("port.moved.v7",): SkippedRow(type="port.moved.v7", count=2, last_position=9),
    }


async def test_the_name_of_an_unknown_type_is_made_safe_to_keep() -> None:
    views = Views()
    tag = "a\0\u2028\N{SNOWMAN}" + "b" * 5000
    views.skip(await rejected(msgspec.json.encode({"id": "1", "event": {"type": tag}})))
    [key] = views.rows("skipped")
    assert key == ("a???" + "b" * (TAG_MAX - 4),)


async def test_malformed_messages_are_not_counted() -> None:
    views = Views()
    assert views.skip(await rejected(b"{")) == NOTHING
    assert views.rows("skipped") == {}


def test_a_record_of_no_known_type_touches_nothing() -> None:
    class Strange(msgspec.Struct, frozen=True):
        pass

    assert Views().evolve(record(Strange())) == NOTHING  # type: ignore[arg-type]
