"""Two runs compared: by their rate, unless one was wrong."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from driftline.errors import UsageError
from driftline.loadtest.compare import Run, Unlike, compare, read_document, read_run
from driftline.loadtest.harness import Tally
from driftline.loadtest.latency import Percentiles
from driftline.loadtest.report import Asked, Timing, partial

NOTHING = Timing(latencies={}, samples=[], marks=[], started_us=0, spawns_due_us={}, drifts_due_us={})


def run(rate: float, *faults: str) -> Run:
    return Run(spawns_per_second=rate, seconds=2.0, projected_seconds=0.0, faults=list(faults))


def asked(profile: str, *, flat_out: bool) -> Asked:
    return Asked(profile=profile, instances=9, zones=1, hosts=10, flat_out=flat_out)


def timed(p99: float, kind: str = "spawn") -> dict[str, Percentiles]:
    return {kind: Percentiles(count=9, p50=1, p90=2, p99=p99, p99_9=99, max=99)}


@pytest.mark.parametrize(("p99", "verdict"), [(100, "alike"), (115, "alike"), (130, "slower"), (70, "faster")])
def test_where_requests_have_their_times_latency_decides(p99: float, verdict: str) -> None:
    """And not what was there before it began, nor the rate, which is the one that was asked for."""
    steady = asked("rolling", flat_out=False)
    before = structs.replace(run(100), asked=steady, latency=timed(100) | timed(50, "fill"))
    after = structs.replace(run(300), asked=steady, latency=timed(p99) | timed(900, "fill"))
    found = compare(before, after)
    assert (found.verdict, found.judged_by) == (verdict, "spawn p99, ms")


@pytest.mark.parametrize(
    ("spawn", "delete", "verdict", "by"),
    [
        (130, 50, "slower", "spawn"),  # one that is better does not hide one that is worse
        (190, 20, "slower", "spawn"),
        (110, 50, "faster", "delete"),
        (110, 90, "alike", "spawn"),
        (124, 81, "alike", "spawn"),
        (125, 100, "slower", "spawn"),
        (100, 80, "faster", "delete"),
    ],
)
def test_the_worst_latency_decides_and_else_the_best(spawn: float, delete: float, verdict: str, by: str) -> None:
    churn = asked("churn", flat_out=False)
    before = structs.replace(run(100), asked=churn, latency=timed(100) | timed(100, "delete"))
    after = structs.replace(run(100), asked=churn, latency=timed(spawn) | timed(delete, "delete"))
    found = compare(before, after)
    assert (found.verdict, found.judged_by) == (verdict, f"{by} p99, ms")


def test_what_was_refused_or_was_there_before_decides_nothing() -> None:
    storm = asked("storm", flat_out=False)
    slow = timed(900, "fill") | timed(900, "spawn refused")
    before = structs.replace(
        run(100), asked=storm, latency=timed(100, "drift") | timed(1, "fill") | timed(1, "spawn refused")
    )
    after = structs.replace(run(100), asked=storm, latency=timed(101, "drift") | slow)
    assert compare(before, after).verdict == "alike"


def test_the_share_of_the_limit_decides_where_it_was_measured() -> None:
    """The machine itself was twice as slow."""
    before = structs.replace(run(2000), share_of_limit=0.4)
    found = compare(before, structs.replace(run(1000), share_of_limit=0.41))
    assert (found.verdict, found.judged_by) == ("alike", "share_of_limit")
    assert compare(before, structs.replace(run(3000), share_of_limit=0.3)).verdict == "slower"


def test_a_run_that_does_not_say_what_was_asked_is_unlike_one_that_does() -> None:
    found = compare(run(100), structs.replace(run(100), asked=asked("burst", flat_out=True)))
    assert found.verdict == "unlike"
    assert found.unlike == [Unlike("asked", "not told", "told")]


def test_runs_of_other_things_are_not_judged() -> None:
    before = structs.replace(run(100), asked=asked("burst", flat_out=True))
    after = structs.replace(run(900), asked=asked("storm", flat_out=False))
    found = compare(before, after)
    assert found.verdict == "unlike"
    assert found.unlike == [Unlike("profile", "burst", "storm"), Unlike("flat out", "True", "False")]
    assert compare(before, structs.replace(after, faults=["an address leaked"])).verdict == "wrong"


def test_what_was_not_measured_has_no_ratio() -> None:
    before = structs.replace(run(100), share_of_limit=0.4)
    (line,) = [line for line in compare(before, run(100)).lines if line.what == "share_of_limit"]
    assert (line.before, line.after, line.ratio) == (0.4, None, None)


@pytest.mark.parametrize(
    ("rate", "verdict"), [(104, "alike"), (96, "alike"), (106, "faster"), (94, "slower"), (0, "slower")]
)
def test_the_rate_decides_beyond_noise(rate: float, verdict: str) -> None:
    assert compare(run(100), run(rate)).verdict == verdict


def test_fast_and_wrong_is_wrong() -> None:
    assert compare(run(100), run(900, "an address leaked")).verdict == "wrong"


def test_ratios_are_after_by_before() -> None:
    lines = {line.what: line.ratio for line in compare(run(100), run(150)).lines}
    assert lines.items() >= {"spawns_per_second": 1.5, "seconds": 1.0, "projected_seconds": None}.items()


def test_latencies_are_compared_where_both_runs_have_them() -> None:
    slow, quick = (Percentiles(count=9, p50=p50, p90=20, p99=30, p99_9=40, max=50) for p50 in (10.0, 2.0))
    before = structs.replace(run(100), latency={"spawn": slow, "delete": slow})
    after = structs.replace(run(100), latency={"spawn": quick, "drift": quick})
    lines = {line.what: line.ratio for line in compare(before, after).lines}
    assert {what: ratio for what, ratio in lines.items() if " p" in what} == {
        "spawn p50, ms": 0.2,
        **dict.fromkeys(("spawn p90, ms", "spawn p99, ms", "spawn p99_9, ms"), 1.0),
    }


def test_a_wrong_first_run_is_no_measure() -> None:
    with pytest.raises(UsageError, match="an address leaked"):
        compare(run(100, "an address leaked"), run(100))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"spawns_per_second": "fast"}'])
def test_a_file_that_is_no_run_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"a\.json: is not the JSON of a run"):
        read_run(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.json: cannot be read"):
        read_run(tmp_path / "b.json")


def test_a_run_that_ended_before_its_end_is_no_measure(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"why": "interrupted"}')
    with pytest.raises(UsageError, match=r"a\.json: that run ended before its end \(interrupted\)"):
        read_run(path)


def test_all_of_a_run_is_read_whole_or_partial_and_what_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    told = partial(Tally(requested=3), NOTHING, "burst", "interrupted")
    path.write_bytes(msgspec.json.encode(told))
    assert read_document(path)["tally"]["requested"] == 3
    path.write_text('{"why": "interrupted", "profile": "burst"}')
    with pytest.raises(UsageError, match=r"a\.json: is not the JSON of a run: Object missing required field `machine`"):
        read_document(path)
    path.write_bytes(msgspec.json.encode(run(100)))
    with pytest.raises(UsageError, match=r"a\.json: is not the JSON of a run: Object missing required field `machine`"):
        read_document(path)
