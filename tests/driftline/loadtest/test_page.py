"""The page of a run: whole, safe to open, and of one piece."""

import importlib
import re
from typing import Any

import pytest

from driftline.loadtest.page import page
from driftline.loadtest.plots import COLORS

LATENCY = {"count": 3, "p50": 10.0, "p90": 20.0, "p99": 30.0, "p99_9": 30.0, "max": 31.0}


def sample(at_s: float, active: int) -> dict[str, Any]:
    lags, states = {"workers": 3, "projections": 7}, {"ACTIVE_ACTIVE": active, "ERROR_ERROR": 0}
    done = {"active": active, "deleted": 0, "drifted": 0, "bulk_done": 0, "events": 11 * active, "in_flight": 2}
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
        "Events per second",
        "Behind the log, events",
        "Requests under way",
        "Ports by state (Figure 8: underlay_overlay)",
        "Memory of the Python processes, MiB",
        "Latency from when each request was due",
        "Where the time of the spawns went (Figure 10)",
    ]
    assert html.count("<svg") == 8
    assert "ERROR_ERROR" not in html  # nothing was ever in that state
    assert not re.search(r"<link|<img|@import|url\(|src=", html)


def test_what_was_done_is_listed_and_stands_in_each_plot_over_time_by_its_number() -> None:
    html = page(run(marks=[{"at_s": 0.5, "what": "kill nova"}, {"at_s": 1.5, "what": "HostsFail"}]))
    rows = re.findall("<tr><td class=n>(\\d)</td><td[^>]*>([\\d.]+)</td><td>(.*?)</td></tr>", html)
    assert rows == [("1", "0.5", "kill nova"), ("2", "1.5", "HostsFail")]
    numbers = [re.findall(r'class="[^"]*label[^"]*"[^>]*>(\d)</text>', plot) for plot in html.split("<figure>")[1:7]]
    assert numbers == [["1", "2"]] * 6


def test_each_step_has_its_percentiles_and_its_share() -> None:
    html = page(run(drift_steps=[{"step": "4a", "text": "claim port", "share": 0.5, "since_due": LATENCY}]))
    cells = "</td><td class=n>".join(str(LATENCY[name]) for name in ("count", "p50", "p90", "p99", "p99_9", "max"))
    assert f"<td>2</td><td>create port</td><td>100.0 %</td><td class=n>{cells}</td>" in html
    assert f"<td>4a</td><td>claim port</td><td>50.0 %</td><td class=n>{cells}</td>" in html
    assert titles(html)[-1] == "Where the time of the drifts went (Figure 11)"


def test_no_more_lines_than_can_be_told_apart_the_worst_of_them() -> None:
    lags = {f"w{number}": number for number in range(len(COLORS) + 3)}
    html = page(run(samples=[{**sample(at_s, 1), "lags": lags} for at_s in (0.0, 1.0)]))
    legend = html.split("Behind the log, events")[1].split("</ul>")[0]
    assert re.findall("</i>(w\\d+)</li>", legend) == [f"w{number}" for number in range(len(COLORS) + 2, 2, -1)]
    assert "behind the least or never: w0, w1, w2." in html


def test_light_and_dark_have_colours_for_all_that_is_drawn() -> None:
    html = page(run())
    light, dark = (html.split(":root {")[number].split("}")[0] for number in (1, 2))
    assert html.split(":root {")[1].rstrip().endswith("@media (prefers-color-scheme: dark) {")
    used = set(re.findall(r"var\((--\w+)\)", html))
    assert used == set(re.findall(r"(--\w+):", light)) == set(re.findall(r"(--\w+):", dark))


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


def test_what_a_spawn_costs_is_a_table() -> None:
    cost = {"live_from": 0, "live_until": 2000, "per_s": 1000.0, "cpu_us": {"python": 1100, "nats-server": 400}}
    other = {"live_from": 2000, "live_until": 4000, "per_s": 900.0, "cpu_us": {"python": 1000, "postgres": 70}}
    drawn = page(run(costs=[cost, other]))
    assert "0–2000" in drawn
    assert ">1500<" in drawn
    assert ">1070<" in drawn
    assert "What a spawn costs" not in page(run(costs=[]))


def test_the_plots_end_with_the_run_and_not_with_the_oracle() -> None:
    samples = [sample(0.0, 0), sample(1.0, 1), {**sample(2.0, 3), "memory_mib": 98765}]
    assert "98765" in page(run(samples=samples))
    assert "98765" not in page(run(samples=samples, projected_at_s=1.5))


def test_what_is_due_at_once_waits_in_the_harness_and_that_is_said() -> None:
    said = "in the queue of the harness"
    assert said in page(run(asked={"flat_out": True}))
    assert said not in page(run(asked={"flat_out": False}))
    assert said not in page(run())
