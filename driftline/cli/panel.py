"""The live panel of a run: what was asked, how it ended, how far the projections are, and Figure 8."""

import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from driftline.cli.common import progress_console
from driftline.loadtest.exercise import Watcher
from driftline.loadtest.harness import Tally
from driftline.loadtest.samples import Sample

REFRESH_PER_SECOND = 8
#: Where stderr is no terminal, a line is printed so often, seconds.
LINE_EVERY_S = 10.0


class Panel(Watcher):
    """Shows a run on stderr while it lasts; where that is no terminal, a plain line now and then, and at the end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._tally = Tally()
        self._sample: Sample | None = None
        self._checking = ""
        self._started = self._told = time.monotonic()
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
            self._tell()

    def update(self, tally: Tally) -> None:
        self._tally = tally

    def sampled(self, sample: Sample) -> None:
        self._sample = sample
        if not self._console.is_terminal and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            self._tell()

    def checking(self, what: str) -> None:
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
            f"{self._sample.memory_mib if self._sample else 0} MiB",
            f"{seconds:.1f} s",
        )
        ended = tally.active + tally.refused + tally.failed
        bar = ProgressBar(total=self._total, completed=ended, width=72)
        return Group(table, bar, self._lags(), self._states(), self._checking)

    def _tell(self) -> None:
        tally = self._tally
        seconds = time.monotonic() - self._started
        checking = f"; {self._checking}" if self._checking else ""
        drifted = f", {tally.drifted} drifted" if tally.drifted else ""
        self._console.print(
            f"{tally.active} of {tally.requested} active{drifted}, {tally.events} events; {seconds:.0f} s, "
            f"in flight {tally.in_flight}; {self._lags()}; {self._states() or 'no ports'}{checking}",
            soft_wrap=True,
        )

    def _states(self) -> str:
        """Figure 8: the share of each pair of states."""
        counts = self._sample.states if self._sample else {}
        total = sum(counts.values())
        return "  ".join(f"{pair} {100 * count / total:.2f} %" for pair, count in counts.items() if count)

    def _lags(self) -> str:
        """Who is behind the log by how many events, the last first."""
        lags = self._sample.lags if self._sample else {}
        last_first = sorted(lags.items(), key=lambda one: -one[1])
        return "behind: " + (", ".join(f"{name} {lag}" for name, lag in last_first if lag) or "nobody")
