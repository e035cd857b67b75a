"""``driftline why``: why a port or an instance is in its state."""

import click

from bus.log import Checkpoints
from driftline.cli.common import people, print_json, printable, reading_options, run
from driftline.errors import UsageError
from driftline.questions import moment
from driftline.reading import Past, Reading, moment_of, open_past
from driftline.why import Facts, Wait, Why, explain, find


@click.command()
@click.argument("name")
@reading_options
def why(reading: Reading, name: str, as_json: bool) -> None:
    """Tell why NAME, a port or an instance (its id or name), is in its state: what it waits for, since when, who should
    act, the last failures, what happens next by itself, and what you can do.
    """
    run(_why(reading, name, as_json=as_json))


async def _why(reading: Reading, name: str, *, as_json: bool) -> None:
    async with open_past(reading) as past:
        behind = {} if reading.as_of or past.checkpoints is None else await _behind(past, past.checkpoints)
        facts = Facts(past.book, past.position, moment_of(past, reading), behind)
        subject = find(facts, name)
        if subject is None:
            raise UsageError(f"NAME: the log knows no port and no instance called {name}")
        answer = explain(facts, subject)
    if as_json:
        print_json(answer)
    else:
        show(answer)


async def _behind(past: Past, checkpoints: Checkpoints) -> dict[str, int]:
    """By how many events each worker is behind; -1 if it has never run. One that runs per host has its own names."""
    from driftline.parts import all_workers  # noqa: PLC0415  # a recording needs none of them

    found: dict[str, int] = {}
    for name, worker in all_workers().items():
        position = await checkpoints.load(name)
        if position or not worker.per_host:
            found[name] = past.position - position if position else -1
    return found


def show(answer: Why) -> None:
    """Print the answer for people."""
    for line, style in lines(answer):
        people().print(printable(line), style=style, soft_wrap=True)


def lines(answer: Why) -> list[tuple[str, str]]:
    """The answer as (line, style)."""
    since = f" (for {span(answer.now_us - answer.since_us)})" if answer.since_us else ""
    said = [(f"{answer.summary}{since}", "bold green" if answer.well else "bold")]
    said += [(f"as of position {answer.position}, {moment(answer.now_us)}", "dim")]
    if answer.waits:
        said += [("", ""), ("It waits for", "bold")]
        for one in answer.waits:
            said += _wait(answer, one)
    if answer.next:
        said += [("", ""), ("What happens by itself", "bold")]
        for coming in answer.next:
            when = "in " + span(coming.at_us - answer.now_us) if coming.at_us >= answer.now_us else "overdue"
            said.append((f"  {moment(coming.at_us)[11:19]} ({when})  {coming.who}: {coming.what}", ""))
    if answer.failures:
        said += [("", ""), ("What went wrong", "bold")]
        for failed in answer.failures:
            who = f"{failed.actor}: " if failed.actor else ""
            said.append(
                (f"  {failed.position} {moment(failed.time_us)[11:19]} {failed.type}  {who}{failed.text}", "red")
            )
    if answer.advice:
        said += [("", ""), ("What you can do", "bold"), *((f"  • {sentence}", "") for sentence in answer.advice)]
    return said


def _wait(answer: Why, one: Wait) -> list[tuple[str, str]]:
    since = f": {span(answer.now_us - one.since_us)} so far, since event {one.position}" if one.position else ""
    where = f" on {one.where}" if one.where else ""
    said = [(f"  • {one.what}", ""), (f"    {one.who} should act{where}{since}", "dim")]
    if one.error:
        tried = f" ({one.failed} times)" if one.failed > 1 else ""
        said.append((f"    said not to work{tried}: {one.error}", "red"))
    if one.behind > 0:
        said.append((f"    {one.who}'s checkpoint is {one.behind} events behind the log", "yellow"))
    if one.behind < 0:
        said.append((f"    {one.who} has never run on this log", "yellow"))
    return said


def span(time_us: int) -> str:
    """How long that is, in words: ``19.8 s``, ``4 min 40 s``, ``3 h 5 min``."""
    seconds = time_us / 1_000_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
