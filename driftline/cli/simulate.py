"""``driftline simulate``: the control plane under faults drawn from seeds, many seeds at once or one in detail."""

import time
from collections.abc import Iterable
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from driftline.cli.common import force_option, people, print_json, print_table, progress_console
from driftline.cli.numbers import FiniteRange
from driftline.errors import NotDone, UsageError
from driftline.recording import Destination, simulated
from driftline.simulator.campaign import Tally, cores, outcomes
from driftline.simulator.run import Failure, Outcome, Run, play
from driftline.simulator.scenario import Scenario, draw
from driftline.simulator.shrink import shrink
from driftline.simulator.timeline import history, whole

#: Failures that are cut down after a campaign; the rest are named only.
SHOWN_MAX = 3


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many seeds to run.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first of them.")
@click.option("--jobs", type=click.IntRange(1), help="Processes to run them in. [default: one per core]")
@click.option("--seed", type=click.IntRange(0), help="Run this one alone and tell all that happens.")
@click.option(
    "--shrink-seconds",
    type=FiniteRange(min=0),
    default=20.0,
    show_default=True,
    help="How long to look for a shorter way to each failure.",
)
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), help="With --seed: keep its log in this file."
)
@force_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
def simulate(
    seeds: int,
    first: int,
    jobs: int | None,
    seed: int | None,
    shrink_seconds: float,
    record: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Run the real workers over a log in memory, in virtual time, under faults, and check what must hold.

    The same seed gives the same run. Exit 0 only if every invariant held in every run.
    """
    if record is not None and seed is None:
        raise UsageError("--record: say which run, by --seed")
    if seed is not None:
        destination = None if record is None else Destination(record, "--record", force=force)
        _one(seed, shrink_seconds, destination, as_json=as_json)
    else:
        _many(first, seeds, jobs or cores(), shrink_seconds, as_json=as_json)


def _one(seed: int, shrink_seconds: float, destination: Destination | None, *, as_json: bool) -> None:
    scenario = draw(seed)
    run = play(scenario)
    if destination is not None:
        destination.write(*simulated(run.records, f"simulated, seed {seed}, {run.outcome.theme}"))
    if as_json:
        print_json({"outcome": run.outcome, "actions": scenario.actions, "log": whole(run.records)})
    else:
        _tell_actions(scenario)
        people().print(f"[bold]log of seed {seed}[/]")
        _tell_lines(map(str, whole(run.records)))
        _tell_outcome(run.outcome)
        if run.outcome.failure is not None:
            _tell_failure(scenario, shrink_seconds)
    _finish([run.outcome] if run.outcome.failure else [])


def _many(first: int, seeds: int, jobs: int, shrink_seconds: float, *, as_json: bool) -> None:
    tally = Tally()
    started_s = time.monotonic()
    interrupted = False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("seeds", total=seeds)
        try:
            for outcome in outcomes(first, seeds, jobs):
                tally.add(outcome)
                found = f", [red]{len(tally.failures)} violations[/]" if tally.failures else ""
                progress.update(task, advance=1, description=f"seeds{found}")
        except KeyboardInterrupt:
            interrupted = True
    tally.real_s = time.monotonic() - started_s
    if as_json:
        print_json({"tally": tally, "hours_per_second": tally.hours_per_second, "never": tally.never()})
    else:
        _tell_tally(tally)
        for outcome in tally.failures[:SHOWN_MAX]:
            _tell_failure(draw(outcome.seed), 0.0 if interrupted else shrink_seconds)
    _finish(tally.failures)
    if interrupted:
        raise KeyboardInterrupt


def _finish(failures: list[Outcome]) -> None:
    if failures:
        named = ", ".join(str(outcome.seed) for outcome in failures[:20])
        raise NotDone(f"{len(failures)} seeds failed: {named}{', …' if len(failures) > 20 else ''}")


def _tell_tally(tally: Tally) -> None:
    rows: list[tuple[str, object]] = [
        ("seeds", tally.seeds),
        ("violations", len(tally.failures)),
        ("events", tally.events),
        ("steps judged", tally.steps),
        ("simulated hours", round(tally.virtual_s / 3600, 1)),
        ("real seconds", round(tally.real_s, 1)),
        ("simulated hours per real second", round(tally.hours_per_second, 2)),
        ("seeds per second", round(tally.seeds / tally.real_s, 1) if tally.real_s else 0),
    ]
    print_table("Simulation", ("what", "value"), [(what, str(value)) for what, value in rows])
    for title, counts in (
        ("Faults", tally.faults),
        ("Events", tally.kinds),
        ("Edges", tally.edges),
        ("Invariants", {str(number): count for number, count in tally.invariants.items()}),
    ):
        if counts:
            print_table(title, ("kind", "times"), list(counts.items()))
    for what, names in tally.never().items():
        if names:
            people().print(f"[yellow]never exercised, {what}: {', '.join(names)}[/]")


def _tell_failure(scenario: Scenario, bound_s: float) -> None:
    """The shortest way to a failure that was found in time, and the history of the port concerned."""
    shrunk = shrink(scenario, bound_s)
    run = shrunk.run
    failure = run.outcome.failure
    if failure is None:
        raise NotDone(f"seed {scenario.seed} fails once and not again")
    people().print(f"\n[bold red]seed {scenario.seed}[/] ({scenario.theme}, {scenario.layout})")
    people().print(_headline(failure), markup=False)
    count = f"{len(shrunk.scenario.actions)} of {len(scenario.actions)} actions still fail ({shrunk.tries} runs)"
    people().print(count, markup=False)
    _tell_actions(shrunk.scenario)
    _tell_history(run, failure)


def _headline(failure: Failure) -> str:
    what = f"invariant {failure.number}" if failure.number else "the core broke"
    return f"{what} at {failure.at_s:.3f}s: {failure.text}"


def _tell_history(run: Run, failure: Failure) -> None:
    about = f"history of {failure.port}" if failure.port else f"the log around {failure.position or 'its end'}"
    people().print(f"[bold]{about}[/] (position, time, event, key, host/generation, actor)")
    _tell_lines(map(str, history(run.records, failure.port, failure.position)))


def _tell_actions(scenario: Scenario) -> None:
    people().print(f"[bold]actions[/] ({scenario.theme}, processes {scenario.layout}, hosts {scenario.place.hosts})")
    _tell_lines(f"{action.at_s:9.3f}s {action}" for action in scenario.actions)


def _tell_lines(lines: Iterable[str]) -> None:
    for line in lines:
        people().print(line, markup=False, soft_wrap=True)


def _tell_outcome(outcome: Outcome) -> None:
    people().print(f"{outcome.events} events, {outcome.virtual_s:.1f} simulated seconds, digest {outcome.digest}")
    print_table("Faults", ("kind", "times"), list(outcome.faults.items()))
