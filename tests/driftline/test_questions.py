"""Questions to the book of a simulated run, against a plain look at its records."""

from pathlib import Path

import pytest

from bus.envelope import Recorded
from bus.events import InstanceActive, PortAllocated, PortBound
from driftline.book import Book, open_book
from driftline.errors import UsageError
from driftline.questions import Branch, causes, differences, find_event, history, kinds_of, told
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from projections.fold import Key, Row, Table
from projections.views import Views
from tests.driftline.test_book import logged


@pytest.fixture(scope="module")
def records() -> list[Recorded]:
    return play(draw(2)).records


@pytest.fixture
async def book(records: list[Recorded], tmp_path: Path) -> Book:
    return await open_book(await logged(records), folder=tmp_path)


def first(records: list[Recorded], kind: type) -> Recorded:
    return next(r for r in records if type(r.event) is kind)


async def test_the_history_of_a_port_is_every_event_that_names_it(book: Book, records: list[Recorded]) -> None:
    port = first(records, PortAllocated).event.port  # type: ignore[attr-defined]
    wanted = [r.position for r in records if getattr(r.event, "port", "") == port]
    assert [r.position for r in history(book, port, book.last)] == wanted
    assert [r.position for r in history(book, port, wanted[2])] == wanted[:3]


async def test_the_history_of_an_instance_has_its_ports_events_too(book: Book, records: list[Recorded]) -> None:
    active = first(records, InstanceActive).event.instance  # type: ignore[attr-defined]
    found = history(book, active, book.last)
    ports = {r.event.port for r in found if isinstance(r.event, PortBound)}
    assert ports
    assert all(getattr(r.event, "instance", active) == active or r.event.port in ports for r in found)  # type: ignore[attr-defined]
    name = book.rows("instances", found[0].position, {"instance": active})[0].name  # type: ignore[attr-defined]
    if name not in (active, ""):
        assert kinds_of(book, name, found[0].position) == ["instance"]


async def test_what_an_event_changed_is_told_with_both_values(book: Book, records: list[Recorded]) -> None:
    bound = first(records, PortBound)
    (port,) = (change for change in told(book, find_event(book, bound.id)).changes if change.table == "ports")
    changed = {one.field: (one.before, one.after) for one in port.fields}
    assert changed["bound"] == (False, True)
    assert "bound False → True" in str(port)


async def test_causes_go_up_to_the_request_and_down_to_all_effects(book: Book, records: list[Recorded]) -> None:
    by_id = {r.id: r for r in records}
    for r in records[::40]:
        found = causes(book, r)
        chain = [r]
        while chain[0].cause in by_id:
            chain.insert(0, by_id[chain[0].cause])
        assert [one.position for one in found.led_to] == [one.position for one in chain[:-1]]
        assert sorted(_positions(found.tree)) == sorted(_reached(records, r))


def _positions(branch: Branch) -> list[int]:
    return [branch.told.position, *(position for one in branch.branches for position in _positions(one))]


def _reached(records: list[Recorded], r: Recorded) -> list[int]:
    effects = [one for one in records if one.cause == r.id]
    return [r.position, *(position for one in effects for position in _reached(records, one))]


async def test_differences_lead_from_one_state_to_the_other(book: Book, records: list[Recorded]) -> None:
    after, until = len(records) // 4, len(records) // 2
    changes = {(c.table, tuple(c.key)): c for c in differences(book, after, until)}
    for table in Views().tables():
        before, now = _by_key(book, table, after), _by_key(book, table, until)
        differ = {key for key in {*before, *now} if before.get(key) != now.get(key)}
        assert {key for name, key in changes if name == table.name} == differ
    some = next(c for c in changes.values() if c.table == "ports")
    assert all(after < position <= until for position in some.events)
    only = list(differences(book, after, until, "ports", [str(some.key[0])]))
    assert [c.key for c in only] == [some.key]
    assert list(differences(book, until, until)) == []


def _by_key(book: Book, table: Table, position: int) -> dict[Key, Row]:
    return {tuple(getattr(row, name) for name in table.key): row for row in book.rows(table.name, position)}


async def test_what_is_not_there_is_said(book: Book) -> None:
    with pytest.raises(UsageError, match="nothing called nobody"):
        history(book, "nobody", book.last)
    with pytest.raises(UsageError, match="id or position 987654"):
        find_event(book, "987654")
