"""``why``, ``bisect`` and ``step`` as commands, on a recording of a simulated run."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bus.recording import open_recording, write_recording
from driftline.cli.main import cli
from driftline.errors import NotDone, UsageError
from driftline.recording import simulated
from driftline.scenario import load
from driftline.scenario.virtual import play_virtually

EXAMPLE = Path(__file__).parents[2] / "examples" / "stuck-port.toml"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "stuck.jsonl.gz"
    write_recording(path, *simulated(play_virtually(load(EXAMPLE)).records, "a test"))
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def ask(recording: Path, *words: str) -> Result:
    result = CliRunner().invoke(cli, [*words, "--log", str(recording)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def document(recording: Path, *words: str) -> Any:
    return json.loads(ask(recording, *words, "--json").stdout)


def test_bisect_names_the_event_what_it_changed_and_what_led_to_it(recording: Path) -> None:
    found = document(recording, "bisect", "instance", "db-0", "enters", "failed")
    assert found["event"]["type"] == "instance.failed.v1"
    assert [one["type"] for one in found["led_to"]] == ["instance.overdue.v1"]
    assert {change["table"] for change in found["event"]["changes"]} >= {"instances", "spawns"}
    shown = ask(recording, "bisect", "instance db-0 enters failed").stdout
    assert f"first at position {found['event']['position']}" in shown
    assert "state scheduled → failed" in shown


def test_bisect_between_two_positions(recording: Path) -> None:
    position = document(recording, "bisect", "event.type == instance.active")["event"]["position"]
    later = document(recording, "bisect", "event.type == instance.active", "--after", str(position))
    assert later["event"]["position"] > position
    with pytest.raises(NotDone, match=f"did not become true between 0 and {position - 1}"):
        ask(recording, "bisect", "event.type == instance.active", "--before", str(position - 1))
    with pytest.raises(UsageError, match=r"--after 20: position 20 is not before the end, 10"):
        ask(recording, "bisect", "any invariant breaks", "--after", "20", "--before", "10")
    with pytest.raises(NotDone, match="any invariant breaks: it did not become true"):
        ask(recording, "bisect", "any invariant breaks")


def test_why_in_words_and_for_programs(recording: Path) -> None:
    answer = document(recording, "why", "db-0", "--as-of", "2023-11-14T22:15:00")
    assert [wait["where"] for wait in answer["waits"]] == ["leaf2"]
    assert answer["now_us"] == 1_700_000_100_000_000
    shown = ask(recording, "why", "db-0", "--as-of", "2023-11-14T22:15:00").stdout
    assert "leaf2 to carry VLAN 2 (VNI 5002) on e1" in shown
    assert "(in 3 min 23 s)  nova: the spawn of db-0 is given up" in shown
    with pytest.raises(UsageError, match="the log knows no port and no instance called nobody"):
        ask(recording, "why", "nobody")


def test_step_prints_the_panes_where_there_is_no_terminal(recording: Path) -> None:
    seen = document(recording, "step", "--at", "64")
    assert seen["event"]["position"] == 64
    shown = ask(recording, "step", "--at", "64").stdout
    assert all(title in shown for title in ("── events", "── event", "── state: before → after", "── sequence so far"))
    assert f"▶ {64:>7}" in shown
    newest = document(recording, "step")
    assert newest["position"] == newest["last"]
    with pytest.raises(UsageError, match="step has --at"):
        ask(recording, "step", "--as-of", "5")


def test_step_runs_to_the_breakpoint_where_there_is_no_terminal(recording: Path) -> None:
    first, second = "port web-0 enters ACTIVE_ACTIVE", "port web-0 leaves NONE or port db-0-0 leaves ACTIVE_DOWN"
    for predicate in (first, second):
        found = document(recording, "bisect", predicate)["event"]["position"]
        assert document(recording, "step", "--break", predicate)["position"] == found
        assert f"▶ {found:>7}" in ask(recording, "step", "--break", predicate).stdout
    later = document(recording, "bisect", second, "--after", "64")["event"]["position"]
    assert later > 64
    assert document(recording, "step", "--at", "64", "--break", second)["position"] == later
    with pytest.raises(NotDone, match=rf"--break {first}: it does not become true after this event \(position 64\)"):
        ask(recording, "step", "--at", "64", "--break", first)
    with pytest.raises(UsageError, match="predicate, at character"):
        ask(recording, "step", "--at", "64", "--break", "bla")


def test_a_breakpoint_is_looked_for_from_the_first_event_on(recording: Path) -> None:
    first = f"event.type == {document(recording, 'step', '--at', '1')['event']['type'].rpartition('.')[0]}"
    assert document(recording, "step", "--break", first)["position"] == 1
    with pytest.raises(NotDone, match=rf"--break {first}: it does not become true after this event \(position 1\)"):
        ask(recording, "step", "--at", "1", "--break", first)
    never = "event.type == policy.created"
    with pytest.raises(NotDone, match=f"--break {never}: it does not become true in this log"):
        ask(recording, "step", "--break", never)


def test_causes_as_of_a_position_know_nothing_that_came_later(recording: Path) -> None:
    def positions(branch: Any) -> list[int]:
        return [branch["told"]["position"], *(one for each in branch["branches"] for one in positions(each))]

    later = document(recording, "causes", "59")
    then = document(recording, "causes", "59", "--as-of", "61")
    assert max(positions(later["tree"])) > 61
    assert positions(then["tree"]) == [one for one in positions(later["tree"]) if one <= 61]
    with pytest.raises(UsageError, match="EVENT 64: it is at position 64, after --as-of, which is position 61"):
        ask(recording, "causes", "64", "--as-of", "61")


def test_a_recording_tells_what_in_it_this_version_cannot_read(recording: Path, tmp_path: Path) -> None:
    lines = recording_lines(recording)
    header, message = json.loads(lines[0]), json.loads(lines[-1])
    newer = message | {"position": message["position"] + 1, "subject": "dl.port.p._._.teleported"}
    newer["data"] = {"id": "newer", "event": {"type": "port.teleported.v9", "port": "p"}}
    garbage = newer | {"position": message["position"] + 2, "data": {"id": "garbage"}}
    header |= {"messages": header["messages"] + 2, "log_last": garbage["position"]}
    file = tmp_path / "newer.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (header, *map(json.loads, lines[1:]), newer, garbage)))
    told = json.loads(CliRunner().invoke(cli, ["replay", str(file), "--json"], catch_exceptions=False).stdout)
    assert (told["newer_types"], told["quarantined"]) == ({"port.teleported.v9": 1}, 1)
    assert sum(told["events"].values()) == header["messages"] - 2
    shown = CliRunner().invoke(cli, ["replay", str(file)], catch_exceptions=False).stdout
    assert "port.teleported.v9" in shown
    assert "1 messages are no events" in shown
    kept = document(file, "quarantine")
    assert [(one["position"], one["subject"]) for one in kept] == [(garbage["position"], garbage["subject"])]
    assert document(file, "quarantine", "--as-of", str(newer["position"])) == []
    assert "1 messages in quarantine" in ask(file, "quarantine").stdout


def test_tail_of_a_recording_and_as_of_a_position_ends_there(recording: Path) -> None:
    last = document(recording, "step")["last"]
    assert [r["position"] for r in document(recording, "tail", "--last", "3")] == [last - 2, last - 1, last]
    assert [r["position"] for r in document(recording, "tail", "--last", "2", "--as-of", "64")] == [63, 64]
    of_port = document(recording, "tail", "--after", "0", "--as-of", "64", "--subject", "dl.port.db-0-0.>")
    assert [r["position"] for r in of_port] == [58, 59, 60, 61, 62, 63, 64]
    assert "port.bound" in ask(recording, "tail", "--last", "1", "--as-of", "64").stdout
    with pytest.raises(UsageError, match=r"--after: 65 is beyond the end of the log \(64\)"):
        ask(recording, "tail", "--after", "65", "--as-of", "64")


def recording_lines(recording: Path) -> list[str]:
    return gzip.decompress(recording.read_bytes()).decode().splitlines()


ON_WHAT_IS_THERE = (
    "why x",
    "ports",
    "ports --as-of 1",
    "tail",
    "quarantine",
    "audit",
    "verify",
    "projections",
    "projections rebuild",
    "projections swap",
    "projections rollback",
    "projections drop 1",
    "record f.jsonl",
)


@pytest.mark.parametrize("command", ON_WHAT_IS_THERE)
def test_who_works_on_what_is_there_makes_no_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, [*command.split(), "--data", "mistyped"])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "--data mistyped: there is no such folder, and this command makes none"
    assert not (tmp_path / "mistyped").exists()


RECORDS = (
    ("record", "FILE", ["--log", "{log}", "{file}"]),
    ("simulate", "--record", ["--seed", "3", "--record", "{file}"]),
    ("scenario", "--record", [str(EXAMPLE), "--record", "{file}"]),
)


@pytest.mark.parametrize(("command", "option", "words"), RECORDS, ids=[command for command, _, _ in RECORDS])
def test_a_recording_replaces_no_file_unless_it_is_told_to(
    command: str, option: str, words: list[str], recording: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bug.jsonl"
    file.write_text("of yesterday")
    call = [command, *(word.format(log=recording, file=file) for word in words)]
    refused = CliRunner().invoke(cli, call)
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == f"{option} {file}: it exists already; --force replaces a file"
    assert file.read_text() == "of yesterday"
    CliRunner().invoke(cli, [*call, "--force"], catch_exceptions=False)
    assert open_recording(file).header.messages > 0
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("position", ["9" * 20, "0"])
def test_a_position_that_no_log_has_is_refused(recording: Path, position: str) -> None:
    with pytest.raises(UsageError, match=f"EVENT: the log has no event with the id or position {position}"):
        ask(recording, "causes", position)


def test_a_time_before_all_logs_is_before_the_first_event(recording: Path) -> None:
    assert document(recording, "ports", "--as-of", f"{'9' * 15}d") == []


def test_a_time_that_has_not_come_is_refused(recording: Path) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for question in (["ports", "--as-of", later], ["why", "db-0", "--as-of", later], ["diff", "0", later]):
        with pytest.raises(UsageError, match="that time has not come yet"):
            ask(recording, *question)


def test_a_time_of_a_log_whose_clock_is_ahead_is_known(recording: Path, tmp_path: Path) -> None:
    header, *messages = map(json.loads, recording_lines(recording))
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    messages[-1]["stored_us"] = messages[-1]["data"]["time_us"] = int(ahead.timestamp()) * 1_000_000
    file = tmp_path / "ahead.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (header, *messages)))
    assert document(file, "step", "--at", ahead.isoformat())["position"] == messages[-1]["position"]
    assert document(file, "why", "db-0", "--as-of", ahead.isoformat())["position"] == messages[-1]["position"]
    later = (ahead + timedelta(seconds=1)).isoformat()
    with pytest.raises(UsageError, match="that time has not come yet"):
        ask(file, "why", "db-0", "--as-of", later)


def test_how_long_ago_is_counted_from_the_end_of_a_recording(recording: Path) -> None:
    ended_us = document(recording, "why", "db-0")["now_us"]
    answer = document(recording, "why", "db-0", "--as-of", "2m ago")
    assert answer["now_us"] == ended_us - 120_000_000
    assert 0 < answer["position"] < document(recording, "why", "db-0")["position"]
    assert document(recording, "step", "--at", "2m")["event"]["position"] == answer["position"]
    between = document(recording, "diff", "2m", "0s")
    assert between["from"] == answer["position"] < between["to"]
