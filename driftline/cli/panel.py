"""The live panel of a run: what was asked, how it ended, how far the projections are, and Figure 8."""

import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from driftline.cli.common import progress_console
from driftline.loadtest.harness import Tally
from driftline.plane import Plane
from projections.port_states import PAIRS

REFRESH_PER_SECOND = 8


class Panel:
    """Shows a run on stderr while it lasts; a plain line at the end where stderr is no terminal."""

    def __init__(self, total: int, plane: Plane) -> None:
        self._total = total
        self._plane = plane
        self._tally = Tally()
        self._checking = ""
        self._started = time.monotonic()
        self._console = progress_console()
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=not self._console.is_terminal,
        )

    def __enter__(self) -> "Panel":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        else:
            tally = self._tally
            self._console.print(f"{tally.active} of {tally.requested} active, {tally.events} events")

    def update(self, tally: Tally) -> None:
        """Take in how far the run is."""
        self._tally = tally

    def checking(self, what: str) -> None:
        """Say what is being looked at, now that all has ended."""
        self._checking = what

    def _render(self) -> Group:
        tally = self._tally
        seconds = time.monotonic() - self._started
        table = Table.grid(padding=(0, 3))
        table.add_row(
            f"requested [bold]{tally.requested}[/]",
            f"active [bold green]{tally.active}[/]",
            f"refused [yellow]{tally.refused}[/]",
            f"failed [red]{tally.failed}[/]",
            f"deleted {tally.deleted}",
            f"drifted {tally.drifted}",
        )
        table.add_row(
            f"in flight {tally.in_flight}",
            f"events {tally.events}",
            f"{tally.active / seconds:.0f} spawns/s",
            f"behind: workers {self._workers_lag()}, projections {self._lag()}",
            f"{seconds:.1f} s",
        )
        ended = tally.active + tally.refused + tally.failed
        return Group(table, ProgressBar(total=self._total, completed=ended, width=72), self._states(), self._checking)

    def _states(self) -> str:
        if self._plane.projector is None:
            return ""
        latest = next(reversed(self._plane.projector.views.rows("port_states").values()), None)
        counts = {pair: getattr(latest, pair.lower(), 0) for pair in PAIRS}
        return "  ".join(f"{pair} {count}" for pair, count in counts.items() if count)

    def _workers_lag(self) -> str:
        if self._plane.runner is None:
            return "?"
        return f"{max(self._tally.last_position - self._plane.runner.position, 0)}"

    def _lag(self) -> str:
        if self._plane.projector is None:
            return "?"
        return f"{max(self._tally.last_position - self._plane.projector.position, 0)} events"
