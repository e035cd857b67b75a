"""Traces: what is read, what is refused, and the requests that come of them."""

import csv
import os
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Envelope, decode, encode
from bus.events import InstanceDeleteRequested, SpawnRequested
from bus.subjects import subject_of
from driftline.trace import (
    INSTANCE_MAX,
    Expected,
    Target,
    TraceError,
    TraceRow,
    burst,
    expected,
    instance_id,
    plan,
    read_trace,
)
from workers.compute import port_id

HEADER = "name,creation_time,deletion_time\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows(*times: tuple[float, float | None]) -> list[TraceRow]:
    return [TraceRow(line, f"pod-{line}", created, deleted) for line, (created, deleted) in enumerate(times, 2)]


# --- reading ---


def test_rows_are_read_in_order_with_what_is_missing_as_none(tmp_path: Path) -> None:
    path = written(tmp_path, "cpu,name,creation_time,deletion_time\n4,b,10.5,\n\n8, a ,2,1e3\n")
    assert read_trace(path) == [TraceRow(2, "b", 10.5, None), TraceRow(4, "a", 2.0, 1000.0)]


def test_columns_can_be_named_and_left_away(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffpod,start,node\nx,1,h1\ny,2,\n")
    read = read_trace(path, "pod", "start", deleted_column=None, host_column="node")
    assert read == [TraceRow(2, "x", 1.0, None, "h1"), TraceRow(3, "y", 2.0, None, None)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        (HEADER, "has no rows"),
        ("name,creation_time\na,1\n", "line 1: column 'deletion_time' is missing (there are: name, creation_time)"),
        ("name,name,creation_time,deletion_time\n", "line 1: column 'name' comes twice"),
        (HEADER + "a,1,2\nb,1\n", "line 3: has 2 fields, the header has 3"),
        (HEADER + "a,1,2,3\n", "line 2: has 4 fields, the header has 3"),
        (HEADER + "a,soon,2\n", "line 2: creation_time: 'soon' is no number"),
        (HEADER + "a,,2\n", "line 2: creation_time: '' is no number"),
        (HEADER + "a,1,never\n", "line 2: deletion_time: 'never' is no number"),
        (HEADER + "a,nan,2\n", "line 2: creation_time: 'nan' is no finite number"),
        (HEADER + "a,1,inf\n", "line 2: deletion_time: 'inf' is no finite number"),
        (HEADER + " ,1,2\n", "line 2: name: ' ' is no name"),
        (HEADER + "a,1,2\nb,1,2\na,3,4\n", "line 4: name: a is the name of line 2"),
        (HEADER + "a,12902960,12902959.5\n", "line 2: deletion_time: 12902959.5 lies before the creation at 12902960"),
        (HEADER + 'a,1,"2\n', "is not CSV: unexpected end of data"),
    ],
)
def test_a_trace_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"nothing\.csv: cannot be read: No such file or directory$"):
        read_trace(tmp_path / "nothing.csv")
    with pytest.raises(TraceError, match=r"cannot be read: Is a directory$"):
        read_trace(tmp_path)
    latin = tmp_path / "latin.csv"
    latin.write_bytes(HEADER.encode() + b"\xe9,1,2\n")
    with pytest.raises(TraceError, match="is not UTF-8 text: "):
        read_trace(latin)


# --- ids ---


@given(st.text(min_size=1))
def test_every_name_gets_an_id_that_fits_into_the_subjects_of_its_instance_and_its_port(name: str) -> None:
    instance = instance_id(name)
    event = SpawnRequested(instance=instance, name=instance, az="az1", label="x")
    assert decode(encode(Envelope(id="1", event=event))).event == event
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", port_id(instance))
    assert subject_of(event).count(".") == 5
    assert instance_id(name) == instance


@given(st.sets(st.text(alphabet="ab._- ", min_size=1, max_size=70), max_size=20))
def test_different_names_get_different_ids(names: set[str]) -> None:
    assert len({instance_id(name) for name in names}) == len(names)


def test_ids_are_as_documented() -> None:
    assert instance_id("web_1-a") == "web_1-a"
    assert instance_id("x" * INSTANCE_MAX) == "x" * INSTANCE_MAX
    assert instance_id("ns/web.1") == "ns-web-1-e47083d35fd19bbd"
    assert instance_id("-a") != instance_id("a")
    assert instance_id("a\n") != "a\n"
    assert instance_id("云").startswith("x-")
    too_long = instance_id("x" * (INSTANCE_MAX + 1))
    assert len(too_long) == INSTANCE_MAX
    assert too_long.startswith("x" * 44 + "-")


# --- plans ---


def test_a_plan_is_sorted_by_time_and_starts_at_its_first_creation() -> None:
    requests = plan(rows((100, 130), (90, None), (130, 130)), ["az1"])
    assert [(r.at_s, r.kind, r.instance) for r in requests] == [
        (0, "spawn", "pod-3"),
        (10, "spawn", "pod-2"),
        (40, "delete", "pod-2"),
        (40, "spawn", "pod-4"),
        (40, "delete", "pod-4"),
    ]
    assert requests[1].event == SpawnRequested(instance="pod-2", name="pod-2", az="az1", label="prod-env")
    assert requests[2].event == InstanceDeleteRequested(instance="pod-2")


def test_speed_scales_the_times() -> None:
    assert [r.at_s for r in plan(rows((100, 130)), ["az1"], speed=2.0)] == [0, 15]
    assert [r.at_s for r in plan(rows((100, 130)), ["az1"], speed=0.5)] == [0, 60]


def test_a_prefix_makes_another_run_of_the_same_trace() -> None:
    first, second = plan(rows((0, 1)), ["az1"]), plan(rows((0, 1)), ["az1"], prefix="run2-")
    assert [r.instance for r in first + second] == ["pod-2", "pod-2", "run2-pod-2", "run2-pod-2"]


def test_instances_spread_over_all_pairs_of_az_and_target() -> None:
    targets = [Target(label="prod-env"), Target(network="lab-net1")]
    events = [r.event for r in burst(8, ["az1", "az2"], targets)]
    places = [(e.az, e.label or e.network) for e in events if isinstance(e, SpawnRequested)]
    assert places[:4] == [("az1", "prod-env"), ("az2", "prod-env"), ("az1", "lab-net1"), ("az2", "lab-net1")]
    assert places[4:] == places[:4]


def test_a_row_with_a_host_is_pinned_to_it_in_its_az() -> None:
    pinned = TraceRow(2, "a", 0.0, None, "h7")
    (request,) = plan([pinned], ["az1"], host_azs={"h7": "az2"})
    assert isinstance(request.event, SpawnRequested)
    assert (request.event.host, request.event.az) == ("h7", "az2")
    for hosts in (None, {"h8": "az2"}):
        with pytest.raises(TraceError, match=r"^line 2: host: h7 is no host of the world$"):
            plan([pinned], ["az1"], host_azs=hosts)


def test_a_burst_is_due_at_once_or_at_a_rate() -> None:
    requests = burst(3, ["az1"], prefix="b")
    assert [(r.at_s, r.kind, r.instance) for r in requests] == [(0, "spawn", f"b{n}") for n in (1, 2, 3)]
    assert [r.at_s for r in burst(3, ["az1"], per_second=4)] == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"azs": []}, "azs: there is no availability zone"),
        ({"targets": []}, "targets: there is no network or label"),
        ({"targets": [Target()]}, "targets: .* must give exactly one of network and label"),
        ({"targets": [Target("n", "l")]}, "targets: .* must give exactly one of network and label"),
        ({"speed": 0}, "speed: 0 is not above 0"),
        ({"speed": float("nan")}, "speed: nan is not above 0"),
        ({"rows": rows((0, 1)) * 2}, "line 2: name: pod-2 gets the id pod-2 of line 2"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TraceError, match=f"^{text}"):
        plan(**{"rows": rows((0, 1)), "azs": ["az1"], **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"count": 0}, "count: 0 is less than 1"),
        ({"azs": []}, "azs: there is no availability zone"),
        ({"per_second": 0}, "per_second: 0 is not above 0"),
    ],
)
def test_a_burst_that_cannot_be_made_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TraceError, match=f"^{text}"):
        burst(**{"count": 1, "azs": ["az1"], **changes})


# --- what must come of it ---

TIMES = st.tuples(st.integers(-50, 50), st.none() | st.integers(0, 50)).map(
    lambda t: (float(t[0]), None if t[1] is None else float(t[0] + t[1]))
)


@given(st.lists(TIMES, min_size=1, max_size=30), st.floats(0.01, 100))
def test_performing_a_plan_comes_to_the_expected_counts(times: list[tuple[float, float | None]], speed: float) -> None:
    requests = plan(rows(*times), ["az1", "az2"], speed=speed)
    live: set[str] = set()
    for request in requests:
        if request.kind == "spawn":
            assert request.instance not in live
            live.add(request.instance)
        else:
            live.remove(request.instance)  # raises KeyError when the spawn comes later
    counts = expected(rows(*times))
    kinds = [request.kind for request in requests]
    assert (counts.spawns, counts.deletes) == (kinds.count("spawn"), kinds.count("delete"))
    assert counts.live_at_end == len(live)
    assert [r.at_s for r in requests] == sorted(r.at_s for r in requests)
    assert requests[0].at_s == 0


def test_creations_count_before_deletions_of_the_same_time() -> None:
    assert expected(rows((0, 10), (10, 20), (10, None))) == Expected(spawns=3, deletes=2, live_at_end=1, live_max=3)


# --- a real trace ---


def openb() -> Path:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("DRIFTLINE_OPENB") or root.parent / "shared" / "data" / "openb")
    path = folder / "openb_pod_list_default.csv"
    if not path.is_file():
        pytest.skip("the openb trace is not here; DRIFTLINE_OPENB names the folder that holds it")
    return path


def test_the_openb_trace_comes_to_the_counts_of_its_csv() -> None:
    path = openb()
    with path.open(newline="") as file:
        raw = list(csv.DictReader(file))
    read = read_trace(path)
    counts = expected(read)
    assert counts.spawns == len(raw)
    assert counts.deletes == sum(row["deletion_time"] != "" for row in raw)
    assert counts.live_at_end == counts.spawns - counts.deletes
    requests = plan(read, ["az1", "az2"])
    assert len(requests) == counts.spawns + counts.deletes
    assert {r.instance for r in requests} == {row["name"] for row in raw}
    first, last = random.Random(7).sample(raw, 2)
    for row in (first, last):
        due = {r.kind: r.at_s for r in requests if r.instance == row["name"]}
        assert due == {"spawn": float(row["creation_time"]), "delete": float(row["deletion_time"])}
    events = [decode(encode(Envelope(id=str(n), event=r.event))).event for n, r in enumerate(requests)]
    assert events == [r.event for r in requests]
    assert msgspec.structs.asdict(read[0])["name"] == raw[0]["name"]
