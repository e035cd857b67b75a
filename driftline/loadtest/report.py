"""What a run came to: the counts, the latencies, how it looked while it went on, and what the oracle says of it."""

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from driftline.figures import DRIFT_STEPS, STEPS, Step, TimedStep, timed_drift_steps, timed_steps
from driftline.loadtest.costs import Cost, costs
from driftline.loadtest.harness import Tally
from driftline.loadtest.latency import Latency, Percentiles
from driftline.loadtest.oracle import Accounted, Invariants, Judged
from driftline.loadtest.samples import Mark, Sample
from projections.drifts import DriftRow
from projections.spawns import SpawnRow
from projections.verify import Verdict


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One step of Figure 10 or 11. ``since_due``: when it was done; ``share`` of all the time went by before it.

    Both run from when the request was due. The share is of the time from the step that was done last before it, and of
    the time until the last step of the figure: what is cleared up later has held up nobody.
    """

    step: str
    text: str
    share: float
    since_due: Percentiles | None


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long things took. ``latencies``: by kind of request, from when each was due.

    ``spawns_due_us``: by instance; ``drifts_due_us``: by request, which for a host that failed is that of the host.
    """

    latencies: dict[str, Latency]
    samples: Sequence[Sample]
    marks: Sequence[Mark]
    started_us: int
    spawns_due_us: Mapping[str, int]
    drifts_due_us: Mapping[str, int]

    def seconds_until(self, time_us: int) -> float:
        """How long the run had been going on at that time, as ``Sample.at_s`` has it."""
        return (time_us - self.started_us) / 1e6


class MarkedAt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to the system, ``at_s`` after the run began."""

    at_s: float
    what: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run was made, and by what command."""

    cores: int
    architecture: str
    python: str
    command: str


def this_machine() -> Machine:
    """This one, and the command of this process."""
    return Machine(
        cores=os.cpu_count() or 1,
        architecture=platform.machine(),
        python=platform.python_version(),
        command=" ".join(["driftline", *sys.argv[1:]]),
    )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked for, as far as its profile looks at it. ``instances``, ``hosts``: in all ``zones`` together.

    ``flat_out``: all came as fast as the system took it, so that what counts is the rate; else it is the latency.
    ``chaos``: the faults that were let in, ``faults``: those of the devices, both as they were given. ``target``: the
    network or label that ports come from, ``trace`` and ``world`` the files, each empty if none was given. ``servers``:
    its own, those of a folder, or others'; ``apart``: workers in a process of their own. None: of no
    use to the profile.
    """

    profile: str
    instances: int
    zones: int
    hosts: int
    flat_out: bool
    rate: float | None = None
    lives_s: float | None = None
    size: int | None = None
    scope: str | None = None
    speed: float | None = None
    in_flight: int | None = None
    for_s: float | None = None
    chaos: str = ""
    faults: str = ""
    seed: int = 0
    target: str = ""
    trace: str = ""
    world: str = ""
    servers: str = "own"
    apart: bool = True


class Report(msgspec.Struct, kw_only=True):
    """The document that ``demo`` and ``load`` print with ``--json``.

    ``live``: instances that are active now. ``addresses_held``: without a leak there are as many as ports.
    ``seconds``: first request to last outcome; ``projected_seconds``: until PostgreSQL had it all, which was at
    ``projected_at_s`` by the clock of the samples. ``leftovers``: what
    devices hold that no live port needs. ``latency``: by kind of request, milliseconds from when each was due;
    ``curves``: (percent, milliseconds) of the same.
    ``limit_events_per_second``: what the log alone did in the same run; it and the share are null if not measured.
    ``memory_mib``: what the Python processes held at most until all was projected; ``memory_judged_mib``: from then on;
    null: nobody looked.
    ``costs``: what a spawn took of the cores, part after part of a run that only spawns; servers count that it started.
    ``faults``: what is wrong with the run, empty when all is as it must be.
    """

    profile: str = "burst"
    asked: Asked | None = None
    machine: Machine
    requested: int
    active: int
    failed: int
    refused: int
    deleted: int
    delete_refused: int
    drifted: int
    drift_failed: int
    bulk_done: int
    bulk_refused: int
    skipped: int
    twice: int
    live: int
    addresses_held: int
    events: int
    seconds: float
    projected_seconds: float
    projected_at_s: float = 0.0
    spawns_per_second: float
    events_per_second: float
    limit_events_per_second: float | None = None
    share_of_limit: float | None = None
    memory_mib: int | None = None
    memory_judged_mib: int | None = None
    latency: dict[str, Percentiles]
    curves: dict[str, list[tuple[float, float]]]
    steps: list[StepTimes]
    drift_steps: list[StepTimes]
    port_states: dict[str, int]
    reachable_pairs_checked: int
    reachable_pairs_ok: int
    isolated_pairs_checked: int
    isolated_pairs_ok: int
    leftovers: int
    verify: Verdict
    invariants: Invariants
    audit: Accounted
    costs: list[Cost]
    samples: list[Sample]
    marks: list[MarkedAt]
    problems: list[str]
    faults: list[str] = []


#: What is said of a run that a person has ended, or whoever runs the process.
INTERRUPTED, TERMINATED = "interrupted", "terminated"


class Partial(msgspec.Struct, kw_only=True):
    """What there is of a run that has ended before its end: nothing of it was judged. ``why``: what has ended it."""

    why: str
    profile: str
    asked: Asked | None = None
    machine: Machine
    tally: Tally
    seconds: float
    spawns_per_second: float
    latency: dict[str, Percentiles]
    curves: dict[str, list[tuple[float, float]]]
    samples: list[Sample]
    marks: list[MarkedAt]


def faults_of(report: Report, *, may_fail: bool = False) -> list[str]:
    """What is wrong with a run. A refused request is none: refusing is what it should do with a bad one.

    ``may_fail``: devices were broken on purpose, so that a request may have failed.
    """
    checks = {
        "a request ended more than once": report.twice == 0,
        "a spawn failed": may_fail or report.failed == 0,
        "a request has no outcome": report.requested == report.active + report.failed + report.refused,
        "a delete was refused": report.delete_refused == 0,
        "a drift failed": may_fail or report.drift_failed == 0,
        "a bulk request was refused": report.bulk_refused == 0,
        "an address leaked": report.addresses_held == sum(report.port_states.values()),
        "a live instance has no usable port": report.live == report.port_states["ACTIVE_ACTIVE"],
        "a pair that should reach each other does not": report.reachable_pairs_ok == report.reachable_pairs_checked,
        "a pair that should be isolated is not": report.isolated_pairs_ok == report.isolated_pairs_checked,
        "a device holds what no port needs": report.leftovers == 0,
        "the projections differ from the log": report.verify.equal,
        f"invariant {report.invariants.violation}": not report.invariants.violation,
        f"lost, or amiss: {'; '.join(report.audit.findings[:3])}": not report.audit.findings,
    }
    return [text for text, holds in checks.items() if not holds]


def made(tally: Tally, judged: Judged, projected_us: int, timing: Timing, *, may_fail: bool = False) -> Report:
    """The report of a run that is over and was judged; ``may_fail`` as in ``faults_of``."""
    seconds = (projected_us - tally.first_us) / 1e6
    proof = judged.proof
    held, held_judged = _memory(timing, projected_us)
    report = Report(
        machine=this_machine(),
        requested=tally.requested,
        active=tally.active,
        failed=tally.failed,
        refused=tally.refused,
        deleted=tally.deleted,
        delete_refused=tally.delete_refused,
        drifted=tally.drifted,
        drift_failed=tally.drift_failed + tally.drift_refused,
        bulk_done=tally.bulk_done,
        bulk_refused=tally.bulk_refused,
        skipped=tally.skipped,
        twice=tally.twice,
        live=judged.live,
        addresses_held=judged.addresses_held,
        events=tally.events,
        seconds=round(tally.seconds, 3),
        projected_seconds=round(seconds, 3),
        projected_at_s=round(timing.seconds_until(projected_us), 3),
        spawns_per_second=round(tally.spawns_per_second, 1),
        events_per_second=round(tally.events / seconds, 1),
        memory_mib=held,
        memory_judged_mib=held_judged,
        latency=percentiles(timing),
        curves={kind: latency.curve() for kind, latency in timing.latencies.items()},
        steps=_spawn_steps(judged.spawns, timing.spawns_due_us),
        drift_steps=_drift_steps(judged.drifts, timing.drifts_due_us),
        port_states=judged.port_states,
        reachable_pairs_checked=proof.reachable_checked,
        reachable_pairs_ok=proof.reachable_ok,
        isolated_pairs_checked=proof.isolated_checked,
        isolated_pairs_ok=proof.isolated_ok,
        leftovers=proof.leftovers,
        verify=judged.verify,
        invariants=judged.invariants,
        audit=judged.audit,
        costs=costs([sample for sample in timing.samples if sample.at_s <= timing.seconds_until(projected_us)]),
        samples=list(timing.samples),
        marks=marked(timing),
        problems=[*tally.problems, *([proof.first_problem] if proof.first_problem else [])],
    )
    report.faults = faults_of(report, may_fail=may_fail)
    return report


def partial(tally: Tally, timing: Timing, profile: str, why: str) -> Partial:
    """The report of a run that has ended before its end."""
    return Partial(
        why=why,
        profile=profile,
        machine=this_machine(),
        tally=tally,
        seconds=round(tally.seconds, 3),
        spawns_per_second=round(tally.spawns_per_second, 1),
        latency=percentiles(timing),
        curves={kind: latency.curve() for kind, latency in timing.latencies.items()},
        samples=list(timing.samples),
        marks=marked(timing),
    )


def percentiles(timing: Timing) -> dict[str, Percentiles]:
    """The latencies by kind of request, where there are any."""
    found = {kind: latency.percentiles() for kind, latency in timing.latencies.items()}
    return {kind: one for kind, one in found.items() if one is not None}


def marked(timing: Timing) -> list[MarkedAt]:
    """The marks by the clock of the run."""
    return [MarkedAt(at_s=round((mark.at_us - timing.started_us) / 1e6, 3), what=mark.what) for mark in timing.marks]


def _memory(timing: Timing, projected_us: int) -> tuple[int | None, int | None]:
    """The most that was held until then, and after it, MiB."""
    until_s = timing.seconds_until(projected_us)
    before = [sample.memory_mib for sample in timing.samples if sample.at_s <= until_s]
    after = [sample.memory_mib for sample in timing.samples if sample.at_s > until_s]
    return max(before, default=None), max(after, default=None)


def _spawn_steps(spawns: Iterable[SpawnRow], due_us: Mapping[str, int]) -> list[StepTimes]:
    """The thirteen steps of Figure 10 over the spawns that were due and came about."""
    done = [row for row in spawns if row.outcome == "active" and row.instance in due_us]
    late = ((timed_steps(row), max(row.step_01_us - due_us[row.instance], 0) / 1000) for row in done)
    return _steps(STEPS, late)


def _drift_steps(drifts: Iterable[DriftRow], due_us: Mapping[str, int]) -> list[StepTimes]:
    """The steps of Figure 11 over the drifts that were due and came about."""
    done = [row for row in drifts if row.outcome == "drifted" and row.request in due_us]
    late = ((timed_drift_steps(row), max(row.step_01_us - due_us[row.request], 0) / 1000) for row in done)
    return _steps(DRIFT_STEPS, late)


def _steps(steps: Sequence[Step], stories: Iterable[tuple[list[TimedStep], float]]) -> list[StepTimes]:
    """How long each step took in all stories; each with how late it was asked for, milliseconds."""
    since = {step.label: Latency() for step in steps}
    waited = dict.fromkeys(since, 0.0)
    for timed, late_ms in stories:
        before, end_ms = 0.0, late_ms + (timed[-1].at_ms or 0.0)
        for step, at_ms in sorted(timed, key=lambda one: one.at_ms or 0.0):
            if at_ms is not None:
                since_due_ms = late_ms + at_ms
                since[step.label].record(0, round(since_due_ms * 1000))
                waited[step.label] += max(min(since_due_ms, end_ms) - before, 0.0)
                before = max(before, since_due_ms)
    total = sum(waited.values()) or 1.0
    return [
        StepTimes(
            step=step.label,
            text=step.text,
            share=round(waited[step.label] / total, 4),
            since_due=since[step.label].percentiles(),
        )
        for step in steps
    ]
