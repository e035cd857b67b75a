"""How a run is shown to people, and when it counts as failed."""

from collections.abc import Sequence

import msgspec

from driftline.cli.common import people, print_table
from driftline.cli.ports import figure_8
from driftline.cli.verify import show_verdict
from driftline.errors import NotDone
from driftline.loadtest.compare import Comparison
from driftline.loadtest.latency import Percentiles
from driftline.loadtest.report import Partial, Report, StepTimes

_PERCENTILES = ("p50", "p90", "p99", "p99_9", "max")


def show_report(report: Report) -> None:
    """Print what a run came to."""
    people().print(figure_8(report.port_states))
    pairs = f"{report.reachable_pairs_ok} of {report.reachable_pairs_checked} pairs reach each other"
    apart = f"{report.isolated_pairs_ok} of {report.isolated_pairs_checked} pairs of different VRFs do not"
    rows: list[tuple[str, object]] = [
        (name.replace("_", " "), getattr(report, name))
        for name in ("requested", "active", "refused", "failed", "deleted", "drifted", "bulk_done", "live")
    ]
    rows += [
        ("addresses held", report.addresses_held),
        ("events", report.events),
        ("spawns per second", report.spawns_per_second),
        ("events per second, projected", report.events_per_second),
    ]
    if report.memory_mib is not None:
        rows.append(("memory of Python, MiB", f"{report.memory_mib}; {report.memory_judged_mib} while it was checked"))
    if report.share_of_limit is not None:
        rows.append(("share of what the log alone does", f"{100 * report.share_of_limit:.0f} %"))
    rows += [
        ("fabric", f"{pairs}; {apart}; {report.leftovers} left over"),
        ("invariants", report.invariants.violation or f"all hold ({report.invariants.scope})"),
        ("accounts", "; ".join(report.audit.findings) or f"{report.audit.events} events, nothing lost"),
    ]
    print_table(f"Run: {report.profile}", ("what", "value"), rows)
    show_latency(report.latency)
    _show_steps("Steps of the spawns (Figure 10), ms since each was due", report.steps)
    _show_steps("Steps of the drifts (Figure 11), ms since each was due", report.drift_steps)
    show_verdict(report.verify)
    missed = report.refused + report.failed - len(report.problems)
    for problem in [*report.problems, *([f"… and {missed} more"] if missed > 0 else [])]:
        people().print(f"[yellow]{problem}[/]")


def _show_steps(title: str, steps: Sequence[StepTimes]) -> None:
    rows = [
        (step.step, step.text, f"{100 * step.share:.1f} %", *_cells(step.since_due))
        for step in steps
        if step.since_due is not None
    ]
    if rows:
        print_table(title, ("step", "what", "share of the time", *_PERCENTILES), rows)


def show_partial(report: Partial) -> None:
    """Print what there is of a run that has ended before its end."""
    tally = report.tally
    rows = [("requested", tally.requested), ("active", tally.active), ("failed", tally.failed)]
    rows += [("deleted", tally.deleted), ("drifted", tally.drifted), ("in flight", tally.in_flight)]
    print_table(f"Ended after {report.seconds:.1f} s, nothing was checked: {report.why}", ("what", "value"), rows)
    show_latency(report.latency)


def show_comparison(comparison: Comparison) -> None:
    """Print how two runs compare."""
    if comparison.unlike:
        rows = [(one.what, one.before, one.after) for one in comparison.unlike]
        print_table("What was asked is not the same", ("what", "before", "after"), rows)
    cells = [tuple("-" if cell is None else cell for cell in msgspec.structs.astuple(x)) for x in comparison.lines]
    by = "" if comparison.verdict in ("wrong", "unlike") else f" (by {comparison.judged_by})"
    print_table(f"Runs: {comparison.verdict}{by}", ("what", "before", "after", "ratio"), cells)


def show_latency(latency: dict[str, Percentiles]) -> None:
    """Print latencies, from when each request was due."""
    if latency:
        rows = [(kind, one.count, *_cells(one)) for kind, one in latency.items()]
        print_table("Latency from when each was due, ms", ("request", "count", *_PERCENTILES), rows)


def _cells(one: Percentiles | None) -> tuple[float, ...]:
    return tuple(getattr(one, name) for name in _PERCENTILES) if one is not None else ()


def finish(report: Report) -> None:
    """Raise NotDone if anything was wrong with the run."""
    if report.faults:
        raise NotDone("; ".join(report.faults))
