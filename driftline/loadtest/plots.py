"""Plots of a run as pictures in HTML, in light and dark. PURE: from points to text."""

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pygal
from pygal.style import Style

# pygal looks for its maps by an importer without ``find_spec``, at which each later import of what is not there warns.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

Point = tuple[float, float]
#: What was done to the system: at which second of the run, and what.
Marks = Sequence[tuple[float, str]]

#: Of lines, in their order; told apart on white and on black. More lines than that are not drawn.
COLORS = ("#3b82f6", "#f97316", "#16a34a", "#dc2626", "#a855f7", "#0d9488", "#ca8a04", "#ec4899", "#78716c", "#65a30d")
#: The page's colours, which its style sheet gives for light and for dark.
_TEXT, _FAINT, _GRID, _MARK = "var(--text)", "var(--faint)", "var(--grid)", "var(--mark)"
#: At these shares of the requests a curve of latencies is labelled, percent.
_SHARES = (0, 50, 90, 99, 99.9, 99.99)


def over_time(title: str, lines: Mapping[str, Sequence[Point]], marks: Marks) -> str:
    """Lines over the seconds of the run; ``marks`` are numbered, and stand across all of them."""
    drawn = dict(list(lines.items())[: len(COLORS)])
    top = max((y for points in drawn.values() for _, y in points), default=1.0) or 1.0
    chart = pygal.XY(**_common(len(drawn), marks=bool(marks)), x_title="seconds", show_dots=False, range=(0, top))
    for name, points in drawn.items():
        chart.add(name, list(points))
    if marks:
        chart.add("marks", _standing(marks, top), allow_interruptions=True, stroke_style={"dasharray": "3, 4"})
        places = [{"value": (at_s, top), "label": str(number)} for number, (at_s, _) in enumerate(marks, 1)]
        chart.add("numbers", places, stroke=False, show_dots=True, dots_size=0.01)
    return _figure(title, chart, list(drawn))


def latency_curves(title: str, curves: Mapping[str, Sequence[Point]]) -> str:
    """Latency over the share of requests, the rare ones spread out: each nine takes as much room as the one before."""
    chart = pygal.XY(**_common(len(curves)), x_title="percent of the requests", y_title="ms", include_x_axis=True)
    chart.x_labels = [{"value": _nines(share), "label": f"{share:g}"} for share in _SHARES]
    for kind, points in curves.items():
        chart.add(kind, [(_nines(share), ms) for share, ms in points])
    return _figure(title, chart, list(curves))


def shares(title: str, steps: Mapping[str, float]) -> str:
    """Bars: how many percent each of ``steps`` takes, the first on top."""
    chart = pygal.HorizontalBar(**_common(1), x_title="percent")
    chart.x_labels = list(steps)[::-1]
    chart.add("share", list(steps.values())[::-1])
    return _figure(title, chart, [])


def _standing(marks: Marks, top: float) -> list[tuple[float, float | None]]:
    """A line from the bottom to the top at each mark, with a gap behind it."""
    return [place for at_s, _ in marks for place in ((at_s, 0.0), (at_s, top), (at_s, None))]


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)


def _common(lines: int, *, marks: bool = False) -> dict[str, Any]:
    colors = (*COLORS[:lines], *((_MARK, _MARK) if marks else ()))
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground=_TEXT,
        foreground_strong=_TEXT,
        foreground_subtle=_GRID,
        guide_stroke_color=_GRID,
        major_guide_stroke_color=_GRID,
        guide_stroke_dasharray="1, 0",
        major_guide_stroke_dasharray="1, 0",
        font_family="system-ui, sans-serif",
        label_font_size=12,
        major_label_font_size=12,
        value_font_size=12,
        value_label_font_size=12,
        title_font_size=13,
        stroke_width=1.6,
        stroke_opacity=1,
        opacity=0.9,
        colors=colors,
        value_colors=(_TEXT,) * len(colors),
        value_label_font_family="system-ui, sans-serif",
    )
    size = {"width": 1000, "height": 300, "margin_top": 24 if marks else 10}
    return {"style": style, "js": (), "show_legend": False, "truncate_label": -1, "print_labels": True, **size}


def _figure(title: str, chart: Any, names: Sequence[str]) -> str:
    picture = chart.render(is_unicode=True, disable_xml_declaration=True)
    keys = "".join(
        f'<li><i style="background:{color}"></i>{escape(name)}</li>' for name, color in zip(names, COLORS, strict=False)
    )
    legend = f"<ul>{keys}</ul>" if keys else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{legend}{picture}</figure>"
