"""What a person sees of a run while it goes on: on a terminal, and in a file."""

import io
import re

import pytest
from rich.console import Console

from driftline.cli import panel
from driftline.loadtest.harness import Tally
from driftline.loadtest.samples import Sample

TALLY = Tally(requested=20, active=12, drifted=3, events=132)
SAMPLE = Sample(
    at_s=1.0,
    requested=20,
    active=12,
    ended=12,
    deleted=0,
    drifted=3,
    bulk_done=0,
    in_flight=8,
    events=132,
    lags={"nova": 4, "projections": 40, "cnc": 0},
    states={"ACTIVE_ACTIVE": 3, "DOWN_ACTIVE": 1, "DOWN_DOWN": 0},
)


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, samples: int) -> str:
    out = io.StringIO()
    monkeypatch.setattr(panel, "progress_console", lambda: Console(file=out, force_terminal=terminal, width=120))
    with panel.Panel(20) as one:
        one.update(TALLY)
        for _ in range(samples):
            one.sampled(SAMPLE)
    return re.sub("\x1b\\[[?0-9;]*[a-zA-Z]", "", out.getvalue())  # without colours


def test_a_terminal_shows_lag_and_the_shares_of_figure_8(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True, samples=1)
    assert "behind: projections 40, nova 4\n" in text
    assert "ACTIVE_ACTIVE 75.00 %  DOWN_ACTIVE 25.00 %" in text
    assert "DOWN_DOWN" not in text


def test_a_file_gets_a_line_now_and_then_and_one_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(shown(monkeypatch, terminal=False, samples=5).splitlines()) == 1
    monkeypatch.setattr(panel, "LINE_EVERY_S", 0.0)
    lines = shown(monkeypatch, terminal=False, samples=5).splitlines()
    assert len(lines) == 6
    assert all(line.startswith("12 of 20 active, 3 drifted, 132 events; ") for line in lines)
    assert all("behind: projections 40, nova 4; ACTIVE_ACTIVE 75.00 %" in line for line in lines)
