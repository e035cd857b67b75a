"""The debugger: forward, back, jump, along one thing or one story, and on to where a predicate becomes true."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Input, Static

from bus.envelope import Recorded
from driftline import stepping
from driftline.bisecting import Judge
from driftline.book import Book
from driftline.errors import UsageError
from driftline.predicates import Predicate
from driftline.tui import pictures

_PANES: dict[str, tuple[str, Callable[[stepping.Panes], object]]] = {
    "events": ("events", pictures.events),
    "event": ("event", pictures.event),
    "state": ("state: before → after", pictures.state),
    "figure": ("sequence so far", pictures.figure),
}


class Stepper(App[None]):
    """Steps through the log of ``book``, beginning at ``r``; ``breakpoint`` is a predicate to run to."""

    CSS = """
    #panes { height: 1fr; }
    #panes VerticalScroll { border: round $primary; padding: 0 1; }
    #panes VerticalScroll:focus { border: round $accent; }
    #left, #right { width: 1fr; }
    #events-box { height: 1fr; }
    #event-box { height: 1fr; }
    #state-box { height: 1fr; }
    #figure-box { height: 1fr; }
    #figure { width: auto; min-width: 100%; }
    #message { height: 1; padding: 0 1; }
    #ask { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,n", "go(False)", "forward"),
        Binding("left,p", "go(True)", "back"),
        Binding("g", "ask('jump')", "jump"),
        Binding("j", "along('subject', False)", "next of it"),
        Binding("k", "along('subject', True)", "previous of it"),
        Binding("s", "along('story', False)", "next of story"),
        Binding("S", "along('story', True)", "previous of story"),
        Binding("c", "cause", "cause"),
        Binding("b", "ask('breakpoint')", "breakpoint"),
        Binding("r", "run(False)", "run"),
        Binding("R", "run(True)", "run back"),
        Binding("home", "end(True)", "first", show=False),
        Binding("end", "end(False)", "last", show=False),
        Binding("escape", "stop", "stop", show=False),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = ""  # keys are the debugger's, until a question is asked

    def __init__(self, book: Book, r: Recorded, breakpoint_at: str = "", now_us: int | None = None) -> None:
        """``now_us``: as in ``reading.Past``. Raises PredicateError for a breakpoint that is none."""
        super().__init__()
        self.book, self.r = book, r
        self._now_us = now_us
        self._judge = Judge(book)
        self._asking = ""
        self.breakpoint_text = ""
        self._breakpoint: Predicate | None = None
        if breakpoint_at:
            self.set_breakpoint(breakpoint_at)

    def compose(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                yield from self._pane("events")
                yield from self._pane("state")
            with Vertical(id="right"):
                yield from self._pane("event")
                yield from self._pane("figure")
        yield Static(id="message")
        yield Input(id="ask", disabled=True)
        yield Footer()

    def on_mount(self) -> None:
        for name, (title, _) in _PANES.items():
            self.query_one(f"#{name}-box").border_title = title
        self.show(self.r)

    def show(self, r: Recorded) -> None:
        """Go to ``r``."""
        self.r = r
        seen = stepping.panes(self.book, r)
        for name, (_, draw) in _PANES.items():
            self.query_one(f"#{name}", Static).update(draw(seen))  # type: ignore[arg-type]  # all of them draw Text
        self._show_marked(seen)
        broken = self._judge.violation if self._judge.position == r.position else None
        self.say(str(broken) if broken is not None else "")

    def _show_marked(self, seen: stepping.Panes) -> None:
        """Keep the event that is looked at in the middle of the list."""
        box = self.query_one("#events-box", VerticalScroll)
        marked = next(index for index, one in enumerate(seen.around) if one.position == seen.position)
        box.call_after_refresh(box.scroll_to, y=max(marked - box.size.height // 2, 0), animate=False)

    def say(self, text: str) -> None:
        """One line below the panes; the breakpoint, if there is nothing to say."""
        waiting = f"breakpoint: {self.breakpoint_text}" if self.breakpoint_text else ""
        self.query_one("#message", Static).update(pictures.plain(text or waiting), layout=False)
        self.message = text or waiting

    def set_breakpoint(self, text: str) -> None:
        """What ``run`` runs to. Raises PredicateError and UsageError."""
        self._breakpoint = stepping.breakpoint_of(self.book, text)
        self.breakpoint_text = text

    def action_go(self, back: bool) -> None:  # a key's binding gives it by place
        self._to(stepping.beside(self.book, self.r, back=back), "the log begins here" if back else "the log ends here")

    def action_along(self, what: str, back: bool) -> None:
        look = stepping.same_subject if what == "subject" else stepping.same_story
        self._to(look(self.book, self.r, back=back), f"no {'earlier' if back else 'later'} event of this {what}")

    def action_cause(self) -> None:
        found = self.book.find(self.r.cause) if self.r.cause else None
        self._to(found, f"its cause {self.r.cause} is not in the log" if self.r.cause else "nothing led to it")

    def action_end(self, first: bool) -> None:
        records = self.book.events(0, self.book.last)
        self._to(next(records, None) if first else stepping.start(self.book, ""), "")

    def action_ask(self, what: str) -> None:
        field = self.query_one("#ask", Input)
        self._asking = what
        field.placeholder = "position, id or time" if what == "jump" else "e.g. port web-0 leaves ACTIVE_ACTIVE"
        field.value = "" if what == "jump" else self.breakpoint_text
        field.display, field.disabled = True, False
        field.focus()

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        text = submitted.value.strip()
        self._close_question()
        try:
            if self._asking == "jump":
                self.show(stepping.jump(self.book, text, self._now_us))
            else:
                self.set_breakpoint(text)
                self.action_run(back=False)
        except UsageError as error:
            self.say(str(error))

    def action_stop(self) -> None:
        self._close_question()
        self.workers.cancel_group(self, "run")

    def action_run(self, back: bool) -> None:
        if self._breakpoint is None:
            self.say("no breakpoint yet: press b")
        else:
            self._run_to(self._breakpoint, back=back)

    @work(exclusive=True, group="run")
    async def _run_to(self, predicate: Predicate, *, back: bool) -> None:
        async for position, found in stepping.hits(self.book, predicate, self.r.position, self._judge, back=back):
            if found is not None:
                self.show(found)
                return
            self.say(f"looked as far as {position} of {self.book.last} (escape stops)")
            await asyncio.sleep(0)  # let keys and the screen have their turn
        where = "before this event" if back else "after this event"
        self.say(stepping.no_hit(self.breakpoint_text, predicate, self._judge, where))

    def _to(self, r: Recorded | None, otherwise: str) -> None:
        if r is None:
            self.say(otherwise)
        else:
            self.show(r)

    def _close_question(self) -> None:
        field = self.query_one("#ask", Input)
        field.display, field.disabled = False, True
        self.set_focus(None)

    @staticmethod
    def _pane(name: str) -> ComposeResult:
        with VerticalScroll(id=f"{name}-box"):
            yield Static(id=name)
