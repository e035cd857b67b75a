"""The page of a run: whole, safe to open, and of one piece."""

import importlib
import re
from typing import Any

import pytest

from driftline.loadtest.page import page

LATENCY = {"count": 3, "p50": 10.0, "p90": 20.0, "p99": 30.0, "p99_9": 30.0, "max": 31.0}


def sample(at_s: float, active: int) -> dict[str, Any]:
    lags, states = {"workers": 3, "projections": 7}, {"ACTIVE_ACTIVE": active, "ERROR_ERROR": 0}
    done = {"active": active, "events": 11 * active, "in_flight": 2}
    return {"at_s": at_s, **done, "lags": lags, "states": states, "memory_mib": 100 + active}


def run(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("refused", "failed", "deleted", "drifted", "drift_failed", "bulk_done"), 0)
    return {
        **counts,
        "profile": "storm",
        "machine": {"command": "driftline load <b>", "cores": 2, "architecture": "x", "python": "3"},
        "requested": 3,
        "active": 3,
        "events": 33,
        "seconds": 2.0,
        "spawns_per_second": 1.5,
        "marks": [{"at_s": 1.5, "what": "HostsFail"}],
        "samples": [sample(0.0, 0), sample(1.0, 1), sample(2.0, 3)],
        "latency": {"spawn": LATENCY},
        "curves": {"spawn": [(0.0, 5.0), (50.0, 10.0), (99.99, 31.0)]},
        "steps": [{"step": "2", "text": "create port", "share": 1.0, "since_due": LATENCY}],
        "faults": [],
        **changes,
    }


def titles(html: str) -> list[str]:
    return re.findall("<figcaption>(.*?)</figcaption>", html)


def test_a_page_has_all_plots_and_needs_nothing_beside_it() -> None:
    html = page(run())
    assert titles(html) == [
        "Done per second",
        "Behind the log, events",
        "Requests under way",
        "Ports by state (Figure 8)",
        "Memory of the Python processes, MiB",
        "Latency from when each request was due",
        "Where the spawns&#x27; time went (Figure 10)",
    ]
    assert html.count("<svg") == 7
    assert "HostsFail at 1.5 s" in html
    assert "ERROR_ERROR" not in html  # nothing was ever in that state
    assert not re.search(r"<script[^>]*src=|<link|@import|url\(http", html)


def test_what_others_wrote_is_text_and_what_is_wrong_is_first() -> None:
    html = page(run(faults=["<script>alert(1)</script>"]))
    assert "<script>alert(1)" not in html
    assert html.index("&lt;script&gt;alert(1)") < html.index("<table>")
    assert "all invariants hold" not in html
    assert "driftline load &lt;b&gt;" in html


@pytest.mark.parametrize("samples", [[], [sample(0.0, 0)]])
def test_an_interrupted_run_says_so_and_has_the_plots_there_are(samples: list[dict[str, Any]]) -> None:
    whole = run(samples=samples, why="<interrupted>", curves={})
    partial = {name: whole[name] for name in whole if name not in ("steps", "faults")}
    html = page({**partial, "tally": whole})
    assert "&lt;interrupted&gt;: nothing was checked" in html
    assert titles(html) == []


def test_what_is_not_there_is_still_looked_for_in_peace() -> None:
    with pytest.raises(ModuleNotFoundError):  # and no ImportWarning: warnings are errors here
        importlib.import_module("no_such_module_anywhere")
