"""The panes of the debugger as text: the same for the terminal application and for a plain print."""

from collections.abc import Collection
from typing import Any

from rich.text import Text

from driftline.questions import Told, moment
from driftline.stepping import Line, Panes, RowView

#: Columns that every event of a row moves.
_BOOKKEEPING = frozenset({"changed_us", "claimed_at"})


def events(panes: Panes) -> Text:
    """The events around the one that is looked at, which is marked."""
    return Text("\n").join(_event(one, here=one.position == panes.position) for one in panes.around)


def event(panes: Panes) -> Text:
    """The event whole, what led to it, and what came of it at once."""
    said = panes.event
    text = Text(f"{said.position} {said.type}", style="bold")
    text.append(f"  of {panes.last}\n", style="dim")
    text.append(
        plain(f"{moment(said.time_us)}  by {said.actor}\nid {said.id}\nstory {said.correlation}\n\n"), style="dim"
    )
    for name, value in said.event.items():
        if name != "type" and value not in (None, "", [], {}):
            text.append(f"  {name} ", style="cyan")
            text.append(plain(value) + "\n")
    text.append("\nwhat led to it\n", style="bold")
    for depth, cause in enumerate(panes.led_to):
        text.append(plain(f"{'  ' * min(depth, 8)}└ {told_line(cause)}\n"))
    if not panes.led_to:
        text.append("  somebody outside asked for it\n", style="dim")
    text.append("\nwhat came of it at once\n", style="bold")
    for effect in panes.effects:
        text.append(plain(f"  {effect.position} {effect.type} {effect.about} ({effect.actor})\n"))
    if not panes.effects:
        text.append("  nothing\n", style="dim")
    return text


def state(panes: Panes) -> Text:
    """The rows that the event touched, before and after, with what differs marked."""
    text = Text()
    for row in panes.rows:
        text.append_text(_row(row))
    if not panes.rows:
        text.append("it changed no row", style="dim")
    return text


def figure(panes: Panes) -> Text:
    """Figure 10 or 11 as far as it had got."""
    if not panes.figure:
        return Text("it belongs to no spawn and no drift", style="dim")
    return Text("\n".join([panes.figure_title, "", *panes.figure]))


def told_line(said: Told) -> str:
    """An event on one line."""
    names = (str(said.event.get(field) or "") for field in ("port", "instance", "host", "leaf", "network"))
    named = " ".join(dict.fromkeys(name for name in names if name))
    return f"{said.position} {said.type} {named} ({said.actor})"


def plain(value: Any) -> str:
    """What a publisher wrote, without control codes for the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in str(value))


def _event(one: Line, *, here: bool) -> Text:
    mark = "▶ " if here else "  "
    said = f"{mark}{one.position:>7} {moment(one.time_us)[11:]} {one.type} {one.about} ({one.actor})"
    return Text(plain(said), style="reverse" if here else "", no_wrap=True)


def _row(row: RowView) -> Text:
    what = "appeared" if row.before is None else "gone" if row.after is None else "changed"
    text = Text(plain(f"{row.table}[{', '.join(map(str, row.key))}] {what}\n"), style="bold")
    if row.before is None or row.after is None:
        style = "green" if row.before is None else "red"
        text.append(f"  {_all_of(row.after or row.before or {}, _BOOKKEEPING)}\n", style=style)
        return text
    told = [name for name in row.changed if name not in _BOOKKEEPING] or row.changed
    for name in told:
        text.append(f"  {name}: ", style="cyan")
        text.append(_value(name, row.before[name]), style="red")
        text.append(" → ")
        text.append(f"{_value(name, row.after[name])}\n", style="green")
    same = _all_of(row.after, {*row.changed, *_BOOKKEEPING})
    if same:
        text.append(f"  as before: {same}\n", style="dim")
    return text


def _all_of(row: dict[str, Any], aside: Collection[str]) -> str:
    """The columns of a row that say something."""
    said = {name: value for name, value in row.items() if name not in aside and value not in ("", None, [], 0, False)}
    return " ".join(f"{name}={_value(name, value)}" for name, value in said.items())


def _value(name: str, value: Any) -> str:
    if value in ("", None, []):
        return "–"
    if name.endswith("_us"):
        return moment(value)[11:] or "–"
    return plain(value)
