"""A run as one HTML page with plots, which needs nothing beside it. PURE: from the JSON of a run to text."""

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pygal
from pygal.style import CleanStyle

# pygal looks for its maps by an importer without ``find_spec``, at which each later import of what is not there warns.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

#: The document that ``driftline load --json`` printed.
Document = Mapping[str, Any]
Point = tuple[float, float]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; color: #222; }
h1 small { color: #777; font-weight: normal; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border-bottom: 1px solid #ddd; padding: .25em .9em .25em 0; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: #137333; } .bad { color: #b3261e; font-weight: bold; }
figure { margin: 2em 0; } figcaption { font-weight: bold; }
code { background: #f4f4f4; padding: .1em .3em; }
"""


def page(run: Document) -> str:
    """The whole page. ``run`` is a report, or what there is of a run that has ended before its end."""
    partial = "why" in run
    title = f"driftline load: {run['profile']}"
    parts = [
        f"<h1>{escape(title)} <small>{'not judged' if partial else 'judged'}</small></h1>",
        _verdict(run, partial=partial),
        _table(("what", "value"), _summary(run)),
        _table(("request", "count", "p50 ms", "p90", "p99", "p99.9", "max"), _latencies(run)),
        *_plots(run),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
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
    if "memory_mib" in run:
        yield "memory of Python, MiB", f"{run['memory_mib']}; {run['memory_judged_mib']} while it was checked"
    if run.get("limit_events_per_second"):
        share = f"{100 * run['share_of_limit']:.0f} % of {run['limit_events_per_second']:.0f} events/s"
        yield "share of what the log alone does", share
    for mark in run["marks"]:
        yield f"at {mark['at_s']:.1f} s", mark["what"]


def _latencies(run: Document) -> Iterable[Sequence[object]]:
    for kind, one in run["latency"].items():
        yield (kind, *(one[name] for name in ("count", "p50", "p90", "p99", "p99_9", "max")))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ["".join(_cell(value) for value in row) for row in rows]
    return "\n".join([f"<table><tr>{titles}</tr>", *(f"<tr>{line}</tr>" for line in lines), "</table>"])


def _cell(value: object) -> str:
    return f"<td{' class=n' if isinstance(value, int | float) else ''}>{escape(str(value))}</td>"


def _plots(run: Document) -> Iterable[str]:
    samples = run["samples"]
    marks = [(mark["at_s"], mark["what"]) for mark in run["marks"]]
    if len(samples) > 1:
        yield _over_time(
            "Done per second", {"spawns": _rate(samples, "active"), "events": _rate(samples, "events")}, marks
        )
        yield _over_time("Behind the log, events", _by_name(samples, "lags"), marks)
        yield _over_time("Requests under way", {"in flight": _line(samples, lambda one: one["in_flight"])}, marks)
        states = {name: line for name, line in _by_name(samples, "states").items() if any(y for _, y in line)}
        if states:
            yield _over_time("Ports by state (Figure 8)", states, marks)
        memory = _line(samples, lambda one: one["memory_mib"])
        yield _over_time("Memory of the Python processes, MiB", {"MiB": memory}, marks)
    if any(run["curves"].values()):
        yield _curves(run["curves"])
    for steps, title in (("steps", "spawns' time went (Figure 10)"), ("drift_steps", "drifts' time went (Figure 11)")):
        if any(step["since_due"] for step in run.get(steps, ())):
            yield _shares(f"Where the {title}", run[steps])


def _line(samples: Sequence[Document], value: Callable[[Document], float]) -> list[Point]:
    return [(one["at_s"], value(one)) for one in samples]


def _rate(samples: Sequence[Document], name: str) -> list[Point]:
    """How fast a count rose between each two samples, per second."""
    pairs = itertools.pairwise(samples)
    return [
        (after["at_s"], (after[name] - before[name]) / max(after["at_s"] - before["at_s"], 1e-3))
        for before, after in pairs
    ]


def _by_name(samples: Sequence[Document], field: str) -> dict[str, list[Point]]:
    names = dict.fromkeys(name for one in samples for name in one[field])
    return {name: [(one["at_s"], one[field][name]) for one in samples if name in one[field]] for name in names}


def _over_time(title: str, lines: Mapping[str, Sequence[Point]], marks: Sequence[tuple[float, str]]) -> str:
    chart = pygal.XY(**_common(), x_title="seconds", show_dots=False, truncate_legend=-1)
    for name, points in lines.items():
        chart.add(name, list(points))
    top = max((y for points in lines.values() for _, y in points), default=1.0) or 1.0
    for at_s, what in marks:
        chart.add(f"{what} at {at_s:.1f} s", [(at_s, 0), (at_s, top)], stroke_style={"dasharray": "4, 4"})
    return _figure(title, chart)


def _curves(curves: Mapping[str, Sequence[Point]]) -> str:
    """Latency over the share of requests, the rare ones spread out: each nine takes as much room as the one before."""
    chart = pygal.XY(**_common(), x_title="percent of the requests", y_title="ms", truncate_legend=-1)
    shown = (0, 50, 90, 99, 99.9, 99.99)
    chart.x_labels = [{"value": _nines(share), "label": f"{share:g}"} for share in shown]
    for kind, points in curves.items():
        chart.add(kind, [(_nines(share), ms) for share, ms in points])
    return _figure("Latency from when each request was due", chart)


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)


def _shares(title: str, steps: Sequence[Document]) -> str:
    chart = pygal.HorizontalBar(**_common(), show_legend=False, x_title="percent")
    shown = [step for step in reversed(steps) if step["since_due"]]
    chart.x_labels = [f"{step['step']} {step['text']}" for step in shown]
    chart.add("share", [round(100 * step["share"], 1) for step in shown])
    return _figure(title, chart)


def _common() -> dict[str, Any]:
    return {"style": CleanStyle, "js": (), "width": 1000, "height": 380, "legend_at_bottom": True}


def _figure(title: str, chart: Any) -> str:
    picture = chart.render(is_unicode=True, disable_xml_declaration=True)
    return f"<figure><figcaption>{escape(title)}</figcaption>{picture}</figure>"
