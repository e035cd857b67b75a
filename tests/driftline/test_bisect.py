"""Bisect: planted violations are found at their very event; predicates against a plain look at each event."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Recorded
from bus.events import HostUp
from driftline.bisecting import Found, Judge, becomes_true, first, key_in
from driftline.book import Book, open_book
from driftline.errors import NotDone, UsageError
from driftline.invariants import Violation
from driftline.predicates import Moment, PredicateError, parse
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from projections.views import Views
from tests.driftline.test_book import logged
from tests.driftline.test_invariants_planted import PLANTED
from tests.driftline.test_invariants_tale import Tale

#: A judge who has the log alone sees none of these: devices tell of them, or the auditor's own books were changed.
NOT_IN_THE_LOG = {
    *("a_policy_that_is_never_applied", "a_request_for_a_policy_without_an_answer"),
    *("an_eni_held_in_another_zone", "an_eni_where_no_claim_needs_it", "an_eni_of_no_port"),
    *("a_pool_that_does_not_add_up", "a_pool_that_lost_a_port", "usable_without_a_vnic", "usable_without_flows"),
    *("two_vnis_on_a_vlan_of_a_leaf", "more_entries_than_the_hardware_holds", "an_entry_that_nobody_needs"),
    *("an_entry_removed_under_a_port", "a_reference_count_that_is_off", "flows_installed_anew_by_a_restart"),
    *("an_undeclared_edge", "a_count_of_figure_8_that_is_off", "the_old_host_holds_on"),
    *("a_device_that_holds_a_freed_port", "something_left_after_all_was_deleted", "a_vnic_with_another_address"),
    *("a_port_that_cnc_does_not_know", "a_leaf_that_serves_a_fenced_host", "usable_without_its_rules"),
    *(
        "an_open_vnic_of_a_port_under_enforcement",
        "rules_that_let_in_what_policy_forbids",
        "a_failed_spawn_that_keeps_its_port",
    ),
    *("a_policy_called_applied_that_is_not", "rules_that_stop_what_policy_allows", "an_identity_of_two_sets_of_labels"),
}
#: No event breaks these: something never came, and that is one only when all is quiet.
AT_REST = {
    *("a_request_never_answered", "a_port_that_waits_for_ever"),
    "a_drift_that_ended_elsewhere",
}


def overheard(plant: Callable[[Tale], None]) -> tuple[list[Recorded], Violation]:
    tale = Tale()
    heard = list(tale.auditor._records or ())
    take = tale.auditor.take

    def listen(records: list[Recorded]) -> None:
        heard.extend(records)
        take(records)

    tale.auditor.take = listen  # type: ignore[assignment, method-assign]
    with pytest.raises(Violation) as caught:
        plant(tale)
    return heard, caught.value


async def book_of(records: list[Recorded], folder: Path) -> Book:
    return await open_book(await logged(records), folder=folder)


def bisect(book: Book, text: str, after: int = 0, until: int = 1 << 40) -> Found | None:
    predicate = parse(text, lambda table, key: key_in(book, book.last, table, key))
    return first(book, text, predicate, after, min(until, book.last))


def named(plant: Callable[[Tale], None]) -> str:
    return plant.__name__


@pytest.mark.parametrize(
    ("number", "plant"),
    [one for one in PLANTED if named(one[1]) not in NOT_IN_THE_LOG | AT_REST],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_a_planted_violation_is_found_at_its_event(
    number: int, plant: Callable[[Tale], None], tmp_path: Path
) -> None:
    heard, violation = overheard(plant)
    book = await book_of(heard, tmp_path)
    found = bisect(book, f"invariant {number} breaks")
    assert found is not None
    assert found.event.position == heard[-1].position
    assert found.violation == str(violation)
    anything = bisect(book, "any invariant breaks")
    assert anything is not None
    assert anything.event == found.event
    other = 1 if number != 1 else 2
    with pytest.raises(NotDone, match=f"after which nothing is judged: invariant {number} "):
        bisect(book, f"invariant {other} breaks")
    assert bisect(book, "event.position > 3", after=3, until=4) is not None


@pytest.mark.parametrize(
    ("number", "plant"),
    [one for one in PLANTED if named(one[1]) in AT_REST],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
async def test_what_never_came_is_told_of_the_end(number: int, plant: Callable[[Tale], None], tmp_path: Path) -> None:
    heard, _ = overheard(plant)
    book = await book_of(heard, tmp_path)
    with pytest.raises(NotDone, match=r"no event breaks it; but if all is quiet at the end of the log: invariant"):
        bisect(book, f"invariant {number} breaks")


@pytest.mark.parametrize("plant", [one[1] for one in PLANTED if named(one[1]) in NOT_IN_THE_LOG], ids=named)
async def test_what_only_devices_tell_breaks_at_no_event(plant: Callable[[Tale], None], tmp_path: Path) -> None:
    heard, _ = overheard(plant)
    assert Judge(await book_of(heard, tmp_path)).up_to(1 << 40) is None


@pytest.fixture(scope="module")
def records() -> list[Recorded]:
    return play(draw(2)).records[:1500]


def plainly(records: list[Recorded], text: str, book: Book) -> list[int]:
    """As ``becomes_true``, by a look at every event in turn."""
    predicate = parse(text, lambda table, key: key_in(book, book.last, table, key))
    views, found = Views(), []
    for r in records:
        before = copy.deepcopy({t.name: views.rows(t.name) for t in views.tables() if t.name in WATCHED})
        views.evolve(r)
        now = Moment(r, lambda t, k, rows=before: rows[t].get(k), views.row)  # type: ignore[misc]
        then = Moment(r, now.before, now.before)
        if predicate.holds(now) and (predicate.instant or not predicate.holds(then)):
            found.append(r.position)
    return found


WATCHED = {"ports", "instances", "host_states"}
TEXTS = (
    "port {port} leaves ACTIVE_ACTIVE",
    "port {port} enters ACTIVE_ACTIVE",
    "port {port} enters NONE",
    "instance {instance} enters active",
    "instance {instance} leaves NONE or port {port} leaves NONE",
    "ports[{port}].bound",
    "not ports[{port}].bound and ports[{port}] exists",
    "ports[{port}].generation >= 2",
    "ports[{port}].host changes",
    "before.ports[{port}].bound and not ports[{port}].bound",
    "event.type == port.bound and event.port == {port}",
    "event.type == port.bound.v1 and (ports[{port}].plugged or event.host == nowhere)",
    "event.type == port.bound and not event.port == {port}",
    "event.actor == ipam and event.port == {port}",
    "event.vlan > 1",
    "ports[{port}].ip contains '10.'",
)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_predicate_becomes_true_where_a_plain_look_sees_it(
    text: str, records: list[Recorded], tmp_path: Path
) -> None:
    book = await book_of(records, tmp_path)
    row = max(book.rows("instances"), key=lambda row: len(book.concerning("port", row.port)))  # type: ignore[attr-defined]
    asked = text.format(port=row.port, instance=row.instance)  # type: ignore[attr-defined]
    predicate = parse(asked, lambda table, key: key_in(book, book.last, table, key))
    found = [r.position for r in becomes_true(book, predicate, 0, book.last, Judge(book))]
    wanted = plainly(records, asked, book)
    assert found == wanted
    if wanted:
        answer = bisect(book, asked)
        assert answer is not None
        assert answer.event.position == wanted[0]
    half = book.last // 2
    found = [r.position for r in becomes_true(book, predicate, half, book.last, Judge(book))]
    assert found == [position for position in wanted if position > half]


async def test_ports_are_known_by_their_names_too(records: list[Recorded], tmp_path: Path) -> None:
    book = await book_of(records, tmp_path)
    port = max(book.rows("ports", book.last // 2), key=lambda row: row.allocated_us)  # type: ignore[attr-defined]
    key = key_in(book, book.last, "ports", (port.port,))  # type: ignore[attr-defined]
    assert key == (port.port,)  # type: ignore[attr-defined]
    assert key_in(book, book.last, "ports", (port.instance,)) == key  # type: ignore[attr-defined]
    assert key_in(book, book.last, "ports", (port.name,)) == key  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"ports\[nobody\]: the log never had such a row"):
        key_in(book, book.last, "ports", ("nobody",))


WORDS = """port web-0 leaves enters ACTIVE_ACTIVE NONE ports instances leaf_interfaces [ ] . , ( ) and or not event type
host == != >= < contains invariant any breaks exists changes before after bound vlan h1 7 'x y' " true"""
TOKENS = st.sampled_from(WORDS.split())


@given(st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=12).map(" ".join), st.lists(TOKENS).map("".join)))
def test_any_text_is_a_predicate_or_told_why_not(text: str) -> None:
    try:
        predicate = parse(text)
    except PredicateError:
        return
    r = Recorded(1, "x", HostUp(host="h1", az="az1"), "", "s", "liveness", 0)
    assert predicate.holds(Moment(r, lambda table, key: None, lambda table, key: None)) in (True, False)
    assert predicate.places is None or predicate.places


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port web-0 leaves ACTIVE", r"at character 19 \(ACTIVE\): a port's state is one of ACTIVE_ACTIVE"),
        ("ports[web-0.host == h2", r"at character 18 \(== h2\): expected ,, \]"),
        ("prts[a].x == 3", r"at character 1 .*: the tables are addresses"),
        ("ports[a].hst == 3", r"at character 10 .*: ports has the columns port, name"),
        ("ports[a].vlan == x", r"at character 18 \(x\): expected a whole number"),
        ("ports[a].bound == x", r"at character 19 \(x\): expected true or false"),
        ("ports[a, b] exists", r"a row of it has the key \[port\]"),
        ("leaf_interfaces[a] exists", r"a row of it has the key \[leaf, interface, vlan\]"),
        ("event.type == foo", r"no such type of event"),
        ("event.nothing == 1", r"no event has such a field"),
        ("port web-0 leaves ACTIVE_ACTIVE and", r"at character 36 \(the end\): expected"),
        ("invariant 99 breaks", r"invariants have the numbers 1 to 24"),
        ("ports[a].host", r"ports.host is not a yes or no"),
        ("__import__('os').system('x')", r"at character"),
        ("", r"at character 1 \(the end\)"),
    ],
)
def test_what_is_no_predicate_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(PredicateError, match=said):
        parse(text)
