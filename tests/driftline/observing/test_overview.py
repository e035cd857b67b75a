"""All processes put together, and the rates of two looks at each."""

import msgspec
from msgspec.structs import replace

from driftline.observing.look import OperationsLook, ProcessLook, SpawnsLook
from driftline.observing.overview import overview
from driftline.observing.times import Times
from tests.driftline.observing.given import look, projector, spawns, times, worker


def ended(active: int, *seconds: float) -> SpawnsLook:
    return SpawnsLook(in_flight=1, active=active, refused=0, failed=0, steps={}, whole=times(*seconds))


def test_a_first_look_tells_positions_and_no_rates() -> None:
    found = overview([look()])
    assert found.log_last == 100
    assert [(one.part, one.position, one.lag, one.events_per_s) for one in found.parts] == [
        ("nova", 90, 10, None),
        ("ipam", 95, 5, None),
        ("projector", 70, 30, None),
    ]
    assert found.spawns is not None
    assert (found.spawns.in_flight, found.spawns.active, found.spawns.ended_per_s, found.spawns.over_s) == (
        2,
        5,
        None,
        None,
    )
    assert found.states == {"ACTIVE_ACTIVE": 3, "DOWN_DOWN": 1}
    assert [(one.effect, one.asked, one.failed, one.unanswered) for one in found.devices] == [("PlugVnic", 9, 1, 1)]


def test_rates_are_of_the_time_between_two_looks_at_the_same_process() -> None:
    before = replace(look(at_s=100.0), workers=[worker(folded=10, appended=4, effects_done=1)])
    now = replace(
        look(at_s=102.0),
        cpu_s=2.5,
        workers=[worker(folded=30, appended=5, effects_done=7)],
        operations=[OperationsLook(effect="PlugVnic", asked=29, done=27, failed=1)],
    )
    found = overview([now], [before])
    nova = found.parts[0]
    assert (nova.events_per_s, nova.written_per_s, nova.effects_per_s) == (10, 0.5, 3)
    assert (found.over_s, found.processes[0].cpu, found.processes[0].published_per_s) == (2, 0.5, 0)
    assert found.devices[0].asked_per_s == 10


def test_a_process_that_was_started_again_has_no_rates_yet() -> None:
    found = overview([look(pid=8, at_s=1.0)], [look(pid=7)])
    assert found.over_s is None
    assert {one.events_per_s for one in found.parts} == {None}


def test_percentiles_are_of_the_spawns_that_ended_between_the_looks_if_any_did() -> None:
    before = replace(look(at_s=100.0), spawns=ended(2, 4.0, 4.0))
    now = replace(look(at_s=105.0), spawns=ended(3, 4.0, 4.0, 0.02))
    lately = overview([now], [before]).spawns
    assert lately is not None
    assert lately.p99_s is not None
    assert (lately.ended_per_s, lately.over_s, lately.p99_s <= 0.025) == (0.2, 5, True)
    quiet = overview([replace(before, at_s=105.0)], [before]).spawns
    assert quiet is not None
    assert quiet.p50_s is not None
    assert (quiet.ended_per_s, quiet.over_s, quiet.p50_s > 2) == (0, None, True)


def test_where_no_spawn_has_ended_there_is_no_percentile() -> None:
    none = overview(
        [replace(look(), spawns=SpawnsLook(in_flight=0, active=0, refused=0, failed=0, steps={}, whole=Times()))]
    )
    assert none.spawns is not None
    assert (none.spawns.p50_s, none.spawns.p99_s) == (None, None)


def test_of_two_projectors_the_one_that_is_furthest_tells() -> None:
    waits = replace(look("worker projector", pid=1), projector=projector(10, DOWN_DOWN=9), spawns=spawns(9))
    leads = replace(look("worker projector", pid=2), projector=projector(99, DOWN_DOWN=1), spawns=spawns(1))
    found = overview([waits, leads])
    assert found.spawns is not None
    assert (found.states, found.spawns.in_flight) == ({"DOWN_DOWN": 1}, 1)


def test_while_nats_is_away_no_lag_is_made_up() -> None:
    found = overview([look(log_last=None)])
    assert (found.log_last, {one.lag for one in found.parts}) == (None, {None})


def test_a_process_that_has_only_begun_is_there() -> None:
    bare = ProcessLook(what="worker nova", host="h", pid=1, at_s=0.0, cpu_s=0.0, resident_bytes=0, log_last=None)
    found = overview([bare], not_understood=2)
    assert ([one.process for one in found.processes], found.parts, found.spawns) == (["worker nova"], [], None)
    assert msgspec.to_builtins(found)["not_understood"] == 2
