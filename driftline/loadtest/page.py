"""A run as one HTML page with plots, which needs nothing beside it. PURE: from the JSON of a run to text."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from driftline.loadtest.plots import COLORS, Point, latency_curves, over_time, shares

#: The document that ``driftline load --json`` printed.
Document = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #222; --faint: #6b6b6b; --grid: #dcdcdc; --mark: #b3261e;
  --good: #137333; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --text: #e4e4e4; --faint: #9a9a9a; --grid: #3a3d42;
  --mark: #ff8a80; --good: #6fcf87; --bad: #ff8a80; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; padding: 0 1em; max-width: 1100px;
  color: var(--text); background: var(--page); }
h1 small { color: var(--faint); font-weight: normal; }
h2 { font-size: 1.1em; margin: 2em 0 0; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border-bottom: 1px solid var(--grid); padding: .25em .9em .25em 0; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: bold; }
figure { margin: 2em 0; } figcaption { font-weight: bold; } figure svg { width: 100%; height: auto; }
figure ul { list-style: none; margin: .3em 0; padding: 0; color: var(--text); }
figure li { display: inline-block; margin-right: 1.2em; }
figure li i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
"""
_PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")
_TITLES = ("p50 ms", "p90", "p99", "p99.9", "max")
_FIGURES = (("steps", "spawns", "Figure 10"), ("drift_steps", "drifts", "Figure 11"))


def page(run: Document) -> str:
    """The whole page. ``run`` is a report, or what there is of a run that has ended before its end."""
    partial = "why" in run
    title = f"driftline load: {run['profile']}"
    parts = [
        f"<h1>{escape(title)} <small>{'not judged' if partial else 'judged'}</small></h1>",
        _verdict(run, partial=partial),
        _table(("what", "value"), _summary(run)),
        _table(("request", "count", *_TITLES), _latencies(run)),
        *_marks(run),
        *_over_time(run),
        *_durations(run),
    ]
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>',
            f"<style>{_STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        )
    )


def _verdict(run: Document, *, partial: bool) -> str:
    if partial:
        return f'<p class="bad">{escape(run["why"])}: nothing was checked.</p>'
    if run["faults"]:
        return '<ul class="bad">' + "".join(f"<li>{escape(fault)}</li>" for fault in run["faults"]) + "</ul>"
    return (
        '<p class="good">Every request ended once, nothing leaked, the fabric delivers and separates, the projections '
        "equal the log, all invariants hold, and every event is accounted for.</p>"
    )


def _summary(run: Document) -> Iterable[tuple[str, object]]:
    machine = run["machine"]
    yield "command", machine["command"]
    yield "machine", f"{machine['cores']} cores, {machine['architecture']}, Python {machine['python']}"
    counts = run.get("tally", run)
    names = ("requested", "active", "refused", "failed", "deleted", "drifted", "drift_failed", "bulk_done", "events")
    for name in names:
        if counts[name] or name in ("requested", "active", "failed"):
            yield name.replace("_", " "), counts[name]
    yield "seconds", run["seconds"]
    yield "spawns per second", run["spawns_per_second"]
    if run.get("memory_mib") is not None:
        yield "memory of Python, MiB", f"{run['memory_mib']}; {run['memory_judged_mib']} while it was checked"
    if run.get("share_of_limit") is not None:
        share = f"{100 * run['share_of_limit']:.0f} % of {run['limit_events_per_second']:.0f} events/s"
        yield "share of what the log alone does", share


def _latencies(run: Document) -> Iterable[Sequence[object]]:
    for kind, one in run["latency"].items():
        yield (kind, *(one[name] for name in ("count", *_PERCENTILES)))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """``head`` and ``rows``, cell by cell; a column of numbers, by what is in its first row, is set to the right."""
    lines = [list(row) for row in rows]
    kinds = [" class=n" if isinstance(value, int | float) else "" for value in lines[0]] if lines else [""] * len(head)

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(f"<{tag}{kind}>{escape(str(value))}</{tag}>" for kind, value in zip(kinds, row, strict=True))

    body = [f"<tr>{cells('td', line)}</tr>" for line in lines]
    return "\n".join([f"<table><tr>{cells('th', head)}</tr>", *body, "</table>"])


def _marks(run: Document) -> Iterable[str]:
    rows = [(number, f"{mark['at_s']:.1f}", mark["what"]) for number, mark in enumerate(run["marks"], 1)]
    if rows:
        yield "<h2>What was done to the system</h2>"
        yield _table(("mark", "at second", "what"), rows)


def _over_time(run: Document) -> Iterable[str]:
    until_s = run.get("projected_at_s") or float("inf")  # what the oracle does afterwards is not the run's
    samples = [sample for sample in run["samples"] if sample["at_s"] <= until_s]
    if len(samples) < 2:
        return
    marks = [(mark["at_s"], mark["what"]) for mark in run["marks"]]
    kinds = {"active": "spawns", "deleted": "deletes", "drifted": "drifts", "bulk_done": "bulk requests"}
    done = {name: _rate(samples, kind) for kind, name in kinds.items() if kind == "active" or samples[-1].get(kind)}
    yield over_time("Done per second", done, marks)
    yield over_time("Events per second", {"events": _rate(samples, "events")}, marks)
    behind = _most_first(_by_name(samples, "lags"))
    yield over_time("Behind the log, events", behind, marks)
    never = [name for name in _by_name(samples, "lags") if name not in behind]
    if never:
        yield f"<p>Not drawn, as they were behind the least or never: {escape(', '.join(never))}.</p>"
    yield over_time("Requests under way", {"in flight": _line(samples, "in_flight")}, marks)
    states = _most_first(_by_name(samples, "states"))
    if states:
        yield over_time("Ports by state (Figure 8: underlay_overlay)", states, marks)
    yield over_time("Memory of the Python processes, MiB", {"MiB": _line(samples, "memory_mib")}, marks)
    yield from _costs(run.get("costs", []))


def _costs(costs: Sequence[Document]) -> Iterable[str]:
    if costs:
        programs = sorted({program for one in costs for program in one["cpu_us"]})
        yield "<h2>What a spawn costs, by how many live</h2>"
        head = ("live", "spawns/s", *(f"{program}, µs of CPU" for program in programs), "all, µs")
        yield _table(head, [_cost(one, programs) for one in costs])


def _cost(one: Document, programs: Sequence[str]) -> Sequence[object]:
    taken = [one["cpu_us"].get(program, 0) for program in programs]
    return (f"{one['live_from']}–{one['live_until']}", one["per_s"], *taken, sum(taken))


def _most_first(lines: Mapping[str, list[Point]]) -> dict[str, list[Point]]:
    """As many as can be told apart, the one that rose highest first; without those that were never above 0."""
    highest = {name: max(y for _, y in points) for name, points in lines.items()}
    names = sorted((name for name, most in highest.items() if most), key=lambda name: -highest[name])
    return {name: lines[name] for name in names[: len(COLORS)]}


def _durations(run: Document) -> Iterable[str]:
    if any(run["curves"].values()):
        yield latency_curves("Latency from when each request was due", run["curves"])
    if (run.get("asked") or {}).get("flat_out"):
        yield "<p>All was due at once: the time before step 1 went by in the queue of the harness (--in-flight).</p>"
    for field, what, figure in _FIGURES:
        steps = [step for step in run.get(field, ()) if step["since_due"]]
        if steps:
            names = {f"{step['step']} {step['text']}": round(100 * step["share"], 1) for step in steps}
            yield shares(f"Where the time of the {what} went ({figure})", names)
            yield _table(("step", "what", "share", "count", *_TITLES), map(_step, steps))


def _step(step: Document) -> Sequence[object]:
    since = step["since_due"]
    percentiles = (since[name] for name in _PERCENTILES)
    return (step["step"], step["text"], f"{100 * step['share']:.1f} %", since["count"], *percentiles)


def _line(samples: Sequence[Document], field: str) -> list[Point]:
    return [(one["at_s"], one[field]) for one in samples]


def _rate(samples: Sequence[Document], name: str) -> list[Point]:
    """How fast a count rose, per second: as fast all the time from each sample to the next."""
    points: list[Point] = []
    for before, after in itertools.pairwise(samples):
        rate = (after[name] - before[name]) / max(after["at_s"] - before["at_s"], 1e-3)
        points += [(before["at_s"], rate), (after["at_s"], rate)]
    return points


def _by_name(samples: Sequence[Document], field: str) -> dict[str, list[Point]]:
    names = dict.fromkeys(name for one in samples for name in one[field])
    return {name: [(one["at_s"], one[field][name]) for one in samples if name in one[field]] for name in names}
