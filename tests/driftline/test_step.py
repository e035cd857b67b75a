"""The debugger: what each key does, on the log of a played scenario, in Textual without a screen."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from bus.envelope import Recorded
from bus.events import InstanceFailed, PortBound, PortDeleted, PortOverlayReported
from driftline.book import open_book
from driftline.errors import UsageError
from driftline.predicates import PredicateError
from driftline.scenario import load
from driftline.scenario.virtual import play_virtually
from driftline.stepping import panes, start
from driftline.tui.stepper import Stepper
from tests.driftline.test_bisect import overheard
from tests.driftline.test_book import SECOND, logged
from tests.driftline.test_invariants_planted import an_address_twice

EXAMPLE = Path(__file__).parents[2] / "examples" / "stuck-port.toml"


@cache
def records() -> list[Recorded]:
    return list(play_virtually(load(EXAMPLE)).records)


@pytest.fixture(scope="module", autouse=True)
def _played() -> None:
    """Virtual time needs a loop of its own, so the scenario is played before any other loop runs."""
    records()


def at(kind: type, port: str = "") -> int:
    found = (r.position for r in records() if type(r.event) is kind and getattr(r.event, "port", "") in ("", port))
    return next(found)


def stepped(
    folder: Path,
    look: Callable[[Stepper, Pilot[None]], Awaitable[None]],
    begin: str = "",
    log: list[Recorded] | None = None,
) -> None:
    """Run the debugger at ``begin`` and give it to ``look``."""

    async def run() -> None:
        book = await open_book(await logged(log or records()), folder=folder)
        app = Stepper(book, start(book, begin))
        async with app.run_test(size=(160, 60)) as pilot:
            await look(app, pilot)
        book.close()

    asyncio.run(run())


async def typed(pilot: Pilot[None], key: str, text: str) -> None:
    """Press ``key``, answer the question with ``text``, and wait until what it began is done."""
    await pilot.press(key)
    pilot.app.query_one("#ask", Input).value = text
    await pilot.press("enter")
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def text(app: Stepper, pane: str) -> str:
    return str(app.query_one(f"#{pane}", Static).render())


def test_forward_back_first_and_last(tmp_path: Path) -> None:
    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        last = app.book.last
        assert app.r.position == last
        await pilot.press("right")
        assert (app.r.position, app.message) == (last, "the log ends here")
        await pilot.press("left", "p")
        assert app.r.position == last - 2
        await pilot.press("n")
        assert app.r.position == last - 1
        await pilot.press("home")
        assert app.r.position == 1
        await pilot.press("left")
        assert (app.r.position, app.message) == (1, "the log begins here")
        await pilot.press("end")
        assert app.r.position == last

    stepped(tmp_path, look)


def test_a_jump_to_a_position_an_id_and_a_time(tmp_path: Path) -> None:
    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        await typed(pilot, "g", "20")
        assert app.r.position == 20
        await typed(pilot, "g", records()[30].id)
        assert app.r.position == 31
        await typed(pilot, "g", "1970-01-01T00:00:44.5")
        assert app.r.stored_us == 44 * SECOND
        await typed(pilot, "g", "nonsense")
        assert app.r.stored_us == 44 * SECOND
        assert "--at 'nonsense'" in app.message
        await typed(pilot, "g", "99999")
        assert "the log ends at position" in app.message

    stepped(tmp_path, look)


def test_along_a_port_a_story_and_to_the_cause(tmp_path: Path) -> None:
    bound = at(PortBound, "db-0-0")
    of_port = [r.position for r in records() if getattr(r.event, "port", "") == "db-0-0"]
    of_story = [r.position for r in records() if r.correlation == records()[bound - 1].correlation]

    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        await pilot.press("j")
        assert app.r.position == of_port[of_port.index(bound) + 1]
        await pilot.press("k", "k")
        assert app.r.position == of_port[of_port.index(bound) - 1]
        await pilot.press("j", "s")
        assert app.r.position == of_story[of_story.index(bound) + 1]
        await pilot.press("S", "S")
        assert app.r.position == of_story[of_story.index(bound) - 1]
        await pilot.press("s", "c")
        assert app.r.id == records()[bound - 1].cause
        await pilot.press("c", "c", "c", "c", "c", "c", "c")
        assert (app.r.cause, app.message) == ("", "nothing led to it")
        await typed(pilot, "g", str(of_port[-1]))
        await pilot.press("j")
        assert (app.r.position, app.message) == (of_port[-1], "no later event of this subject")

    stepped(tmp_path, look, str(bound))


def test_run_to_a_breakpoint_forward_and_back(tmp_path: Path) -> None:
    failed, deleted = at(InstanceFailed), at(PortDeleted, "db-0-0")

    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        await pilot.press("r")
        assert app.message == "no breakpoint yet: press b"
        await typed(pilot, "b", "instance db-0 enters failed")
        assert app.r.position == failed
        await pilot.press("r")
        await app.workers.wait_for_complete()
        assert app.r.position == failed
        assert app.message == "instance db-0 enters failed: it does not become true after this event"
        await pilot.press("home")
        await typed(pilot, "b", "port db-0 enters NONE or port db-0 leaves DOWN_DOWN")
        until = [app.r.position]
        assert until == [at(PortBound, "db-0-0")]
        while until[-1] != deleted:
            await pilot.press("r")
            await app.workers.wait_for_complete()
            until.append(app.r.position)
            assert until[-1] != until[-2]
        await pilot.press("R")
        await app.workers.wait_for_complete()
        assert app.r.position == until[-2]
        await typed(pilot, "b", "port db-0 enters ACTIVE")
        assert "a port's state is one of" in app.message
        await pilot.press("b", "escape")
        assert not app.query_one("#ask").display

    stepped(tmp_path, look, "1")


def test_a_broken_invariant_is_run_to_and_named(tmp_path: Path) -> None:
    heard, violation = overheard(an_address_twice)

    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        await typed(pilot, "b", "invariant 1 breaks")
        assert app.r.position == heard[-1].position
        assert app.message == str(violation)

    stepped(tmp_path, look, "1", heard)


def test_an_invariant_that_is_not_judged_any_more_is_not_said_to_hold(tmp_path: Path) -> None:
    heard, violation = overheard(an_address_twice)

    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        await typed(pilot, "b", "invariant 2 breaks")
        assert f"not found; nothing is judged after position {heard[-1].position}: {violation}" in app.message

    stepped(tmp_path, look, "1", heard)


def test_the_panes_show_the_event_its_causes_the_state_and_the_figure(tmp_path: Path) -> None:
    bound = at(PortBound, "db-0-0")

    async def look(app: Stepper, pilot: Pilot[None]) -> None:
        assert f"{bound} port.bound.v1" in text(app, "event")
        assert "vlan 2" in text(app, "event")
        assert "instance.spawn_requested.v1 db-0" in text(app, "event")
        assert f"▶ {bound:>7}" in text(app, "events")
        assert "ports[db-0-0] changed" in text(app, "state")
        assert "bound: False → True" in text(app, "state")
        assert "underlay: DOWN → ACTIVE" in text(app, "state")
        assert "leaf_interfaces[leaf2, e1, 2] appeared" in text(app, "state")
        assert "Figure 10: db-0 on h1" in text(app, "figure")
        assert "10 postcommit" in text(app, "figure")

    stepped(tmp_path, look, str(bound))


async def test_the_same_panes_for_programs(tmp_path: Path) -> None:
    book = await open_book(await logged(records()), folder=tmp_path)
    bound = at(PortBound, "db-0-0")
    seen = panes(book, start(book, str(bound)))
    assert [one.position for one in seen.around] == list(range(bound - 12, bound + 13))
    port = next(row for row in seen.rows if row.table == "ports")
    assert port.before is not None
    assert port.after is not None
    assert {name for name in port.before if port.before[name] != port.after[name]} == set(port.changed)
    assert [one.type for one in seen.led_to][:2] == ["instance.spawn_requested.v1", "instance.scheduled.v1"]
    assert {one.type for one in seen.effects} == {"leaf.vlan_added.v1"}
    reported = panes(book, start(book, str(at(PortOverlayReported, "web-0-0"))))
    assert reported.figure_title == "Figure 10: web-0 on h1"
    with pytest.raises(UsageError, match="the log ends at position"):
        start(book, "100000")
    with pytest.raises(PredicateError):
        Stepper(book, start(book, ""), "port x leaves home")


async def test_an_empty_log_has_nothing_to_step_through(tmp_path: Path) -> None:
    book = await open_book(await logged([]), folder=tmp_path)
    with pytest.raises(UsageError, match="the log is empty"):
        start(book, "")
