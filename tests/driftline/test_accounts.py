"""Every event is accounted for, whatever is missing from the log, and whoever still knows of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Recorded, encode
from bus.events import InstanceDeleteRequested
from bus.events.router import RouterGatewayConfigured
from bus.log import Appended, Batch, StreamState
from bus.subjects import subject_of
from driftline.accounts import Accounts, Audit
from driftline.errors import UsageError
from driftline.ledger import Entry, Ledger, digest, merged, read_ledger, type_of
from driftline.recording import simulated
from driftline.simulator.run import play
from driftline.simulator.scenario import draw


def request(n: int, instance: str = "") -> Envelope:
    event = InstanceDeleteRequested(instance=instance or f"i{n}")
    return Envelope(id=f"q{n}", event=event, correlation=f"q{n}", actor="someone", time_us=n)


def entry(n: int, position: int = 0, *, duplicate: bool = False) -> Entry:
    event = request(n).event
    return Entry(id=f"q{n}", type=type_of(event), digest=digest(event), at_us=n, position=position, duplicate=duplicate)


def accounts(messages: Mapping[int, Envelope | bytes], entries: list[Entry] | None = None, **said: Any) -> Accounts:
    """Of a log with ``messages`` at their positions. ``said``: of the stream's state, ``checkpoints`` and ``shown``."""
    checkpoints, shown = said.pop("checkpoints", {}), said.pop("shown", {})
    raws = [
        Raw(at, subject_of(one.event), encode(one), at) if isinstance(one, Envelope) else Raw(at, "dl.x", one, at)
        for at, one in sorted(messages.items())
    ]
    audit = Audit(entries or [])
    for start in range(0, len(raws), 3):
        records, rejects = decode_batch(raws[start : start + 3])
        audit.take(Batch(records, rejects, raws[start : start + 3][-1].position))
    last = said.pop("last", max(messages, default=0))
    state = StreamState(identity="log", first=said.pop("first", min(messages, default=1)), last=last, **said)
    return audit.accounts(state, checkpoints, shown)


def kinds(found: Accounts) -> list[tuple[str, int]]:
    return [(one.what, one.position) for one in found.findings]


def test_all_there() -> None:
    found = accounts({n: request(n) for n in range(1, 8)}, [entry(n, n) for n in range(1, 8)], checkpoints={"nova": 5})
    assert found.complete
    assert (found.events, found.ledger["accepted"], found.holes) == (7, 7, [])
    assert [(reader.name, reader.lag) for reader in found.readers] == [("nova", 2)]
    assert [(one.actor, one.requests, one.pending) for one in found.actors] == [("someone", 7, 7)]


def test_each_fate_of_an_entry_is_told() -> None:
    newer = b'{"id": "q5", "event": {"type": "port.teleported.v9"}}'
    messages: dict[int, Envelope | bytes] = {
        1: request(1),
        2: request(2),
        3: b"no event",
        4: newer,
        6: request(6, "other"),
        7: request(7),
    }
    entries = [
        *(entry(1, 1), entry(2, 9, duplicate=True), entry(3, 3), entry(4, 4), entry(5), entry(6, 6), entry(7, 2)),
        entry(8, 5),
    ]
    found = accounts(messages, entries)
    assert {fate: count for fate, count in found.ledger.items() if count} == {
        **{"accepted": 1, "duplicate": 1, "quarantined": 1, "newer type": 1, "not published": 1},
        **{"changed": 1, "at another position": 1, "lost": 1},
    }
    assert sum(found.ledger.values()) == len(entries)
    assert {what for what, _ in kinds(found)} == {
        *("quarantined", "newer type", "changed", "at another position", "lost", "unexplained"),
    }
    assert (found.quarantined, found.newer_types) == (1, {"port.teleported.v9": 1})


@pytest.mark.parametrize(
    ("said", "gap"),
    [
        ({"deleted": frozenset({4, 5})}, "deleted"),
        ({"lost": frozenset({4, 5}), "deleted": frozenset({4, 5})}, "lost by the store"),
        ({}, "unexplained"),
    ],
)
def test_a_hole_is_explained_and_who_knows_of_it_is_named(said: dict[str, Any], gap: str) -> None:
    found = accounts({n: request(n) for n in (1, 2, 3, 6, 7)}, [entry(4, 4)], **said)
    assert [(hole.first, hole.last, hole.gap) for hole in found.holes] == [(4, 5, gap)]
    assert found.holes[0].known_by == ["the ledger (q4)"]
    assert sorted(kinds(found)) == sorted([(gap, 4), ("lost", 4)])


def test_a_hole_is_cut_where_its_explanation_changes() -> None:
    found = accounts({n: request(n) for n in (1, 8)}, deleted=frozenset({2, 3}), lost=frozenset({5}))
    assert [(hole.first, hole.last, hole.gap) for hole in found.holes] == [
        *((2, 3, "deleted"), (4, 4, "unexplained"), (5, 5, "lost by the store"), (6, 7, "unexplained")),
    ]


@pytest.mark.parametrize(
    ("said", "hole"),
    [
        ({"first": 1, "deleted": frozenset({4, 5})}, (4, 5, "deleted")),
        ({"first": 1, "lost": frozenset({4, 5})}, (4, 5, "lost by the store")),
        ({"first": 6, "messages": {}}, (1, 5, "removed at the front")),
    ],
)
def test_what_is_missing_at_the_end_is_a_hole_too(said: dict[str, Any], hole: tuple[int, int, str]) -> None:
    messages = said.pop("messages", {n: request(n) for n in (1, 2, 3)})
    found = accounts(messages, last=5, checkpoints={"nova": 5}, **said)
    assert [(one.first, one.last, one.gap) for one in found.holes] == [hole]
    assert found.holes[0].known_by == ["the checkpoint of nova"]
    assert not found.complete


def test_another_type_under_the_id_of_an_entry_is_told_and_a_newer_version_is_not() -> None:
    gateway = RouterGatewayConfigured(router="r1", network="n1", vlan=7, ip="10.0.1.1", prefix_length=24, epoch=1)
    messages: dict[int, Envelope | bytes] = {1: request(1), 2: msgspec.structs.replace(request(2), event=gateway)}
    spawn = msgspec.structs.replace(entry(1, 1), type="instance.spawn_requested.v1")
    old = msgspec.structs.replace(entry(2, 2), type="router.gateway_configured.v1")
    assert kinds(accounts(messages, [spawn, old])) == [("changed", 1)]


def test_what_has_expired_is_no_loss_and_what_was_cut_off_at_the_front_is() -> None:
    messages = {n: request(n) for n in (4, 5)}
    kept = accounts(messages, expires=True)
    assert (kept.complete, [hole.gap for hole in kept.holes]) == (True, ["expired"])
    assert kinds(accounts(messages)) == [("removed at the front", 1)]


@pytest.mark.parametrize(
    "knows",
    [
        {"checkpoints": {"nova": 9}},
        {"shown": {"the projections": 9}},
        {"entries": [entry(9, 9)]},
    ],
)
def test_a_truncated_log_is_found_by_who_has_seen_more_of_it(knows: dict[str, Any]) -> None:
    found = accounts({n: request(n) for n in (1, 2, 3)}, **knows)
    assert ("truncated", 4) in kinds(found)
    (hole,) = found.holes
    assert (hole.first, hole.last, hole.gap, len(hole.known_by)) == (4, 9, "truncated", 1)


def of_run(records: list[Recorded], gone: int = 0) -> Accounts:
    _, raws = simulated(records, "run")
    left, _ = decode_batch([raw for raw in raws if raw.position != gone])
    audit = Audit([])
    audit.take(Batch(left, [], records[-1].position))
    state = StreamState(identity="run", first=1, last=records[-1].position, deleted=frozenset({gone} - {0}))
    return audit.accounts(state, {}, {})


def test_a_removed_event_of_a_run_is_named_by_those_it_led_to() -> None:
    records = play(draw(0)).records
    assert of_run(records).complete
    causes = {r.cause for r in records}
    gone = next(r for r in records if r.id in causes and r.actor == "ipam")
    found = of_run(records, gone.position)
    assert kinds(found)[0] == ("deleted", gone.position)
    assert any(gone.id in one.text for one in found.findings if one.what == "lost")


@given(
    st.sets(st.integers(1, 30), max_size=30),
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 30)),
    st.integers(0, 30),
)
def test_every_position_and_every_entry_is_accounted_for_once(
    present: set[int], deleted: set[int], lost: set[int], beyond: int
) -> None:
    last = min(max(present, default=0) + beyond, 30)
    messages = {n: request(n) for n in present}
    entries = [entry(n, n) for n in range(1, 31)]
    found = accounts(messages, entries, last=last, deleted=frozenset(deleted - present), lost=frozenset(lost - present))
    missing = [position for hole in found.holes for position in range(hole.first, hole.last + 1)]
    assert sorted(missing) == sorted({*range(1, 31)} - present)
    assert sum(found.ledger.values()) == 30
    assert found.ledger["accepted"] == len(present)
    assert found.complete == (len(present) == 30)


def test_a_ledger_is_read_as_it_was_written_and_an_unanswered_entry_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    ledger.intend([request(1), request(2)])
    ledger.acknowledge([request(1)], [Appended(7, False)])
    with path.open("ab") as file:
        file.write(b'{"id": "q3", "ty')  # died while writing
    assert read_ledger(path) == [entry(1, 7), entry(2)]
    assert merged([read_ledger(path), [entry(2, 9)]]) == [entry(1, 7), entry(2, 9)]


@pytest.mark.parametrize("torn", [b"{", b'{"id": "q2", "type": "' + b"x" * 10_000])
def test_a_publisher_goes_on_in_the_ledger_of_one_that_died_while_writing(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for start in (b"", msgspec.json.encode(entry(1)) + b"\n"):
        path.write_bytes(start + torn)
        Ledger(path).intend([request(3)])
        assert read_ledger(path) == [*([entry(1)] if start else []), entry(3)]


@pytest.mark.parametrize("content", [b"x\n", b'{"position": 3}\n'])
def test_what_is_no_ledger_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(content)
    with pytest.raises(UsageError, match="line 1"):
        read_ledger(tmp_path / "ledger")
    with pytest.raises(UsageError, match="No such file"):
        read_ledger(tmp_path / "none")
    with pytest.raises(UsageError, match="nothing more is published"):
        Ledger(tmp_path / "no" / "folder").intend([request(1)])


def test_findings_can_be_written_down() -> None:
    found = accounts({1: request(1), 3: request(3)})
    assert msgspec.json.decode(msgspec.json.encode(found))["findings"][0]["what"] == "unexplained"
