"""A look at a process in Prometheus' words. The names are those of docs/howto/observe.md. PURE but for its own process.

Everything is made when it is asked for: nothing of this costs anything between two scrapes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from driftline.observing.look import LogLook, ProcessLook, ProjectorLook, SpawnsLook, WorkerLook
from driftline.observing.times import BOUNDS_S, Times


class Exposed(NamedTuple):
    """What is answered to a scrape."""

    body: bytes
    content_type: str


def exposed(look: ProcessLook, accept: str = "") -> Exposed:
    """``look`` and the process itself, in the newest format that ``accept`` (a header) allows."""
    registry = CollectorRegistry()
    registry.register(_Look(look))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return Exposed(encode(registry), content_type)


class _Look(Collector):
    def __init__(self, look: ProcessLook) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        yield from families(self._look)


def families(look: ProcessLook) -> Iterator[Metric]:
    """Each metric with all its series."""
    yield from _of_process(look)
    if look.workers:
        yield from _of_workers(look, look.workers)
    if look.log is not None:
        yield from _of_log("driftline_worker", look.log, "A batch that workers decided")
    if look.projector is not None:
        yield from _of_projector(look, look.projector)
    if look.spawns is not None:
        yield from _of_spawns(look.spawns)
    if look.operations:
        yield from _of_devices(look)
    if look.publisher is not None:
        yield from _of_publisher(look.publisher)


def _of_process(look: ProcessLook) -> Iterator[Metric]:
    yield _gauge("driftline_process", "What this process is; always 1", [((look.what,), 1)], ["what"])
    yield _gauge(
        "driftline_log_reachable", "Whether NATS has said where the log ends", [((), look.log_last is not None)]
    )
    if look.log_last is not None:
        yield _gauge(
            "driftline_log_last_position", "The position of the newest event of the log", [((), look.log_last)]
        )


def _of_workers(look: ProcessLook, workers: Sequence[WorkerLook]) -> Iterator[Metric]:
    names = [((one.worker,), one) for one in workers]
    labels = ["worker"]

    def gauge(name: str, text: str, field: str) -> Metric:
        return _gauge(f"driftline_worker_{name}", text, [(n, getattr(one, field)) for n, one in names], labels)

    def counter(name: str, text: str, field: str) -> Metric:
        return _counter(f"driftline_worker_{name}", text, [(n, getattr(one, field)) for n, one in names], labels)

    yield gauge("position", "Up to where it has taken in the log", "position")
    yield gauge("checkpoint", "Up to where everything is dealt with for good", "checkpoint")
    if look.log_last is not None:
        lags = [(n, look.lag(one.position) or 0) for n, one in names]
        yield _gauge("driftline_worker_lag_events", "Events of the log that it has not taken in", lags, labels)
    yield counter("events_folded", "Events of the types that it looks at", "folded")
    yield counter("events_decided", "Events that it answered", "decided")
    yield counter("events_appended", "Events of its own that are on disk", "appended")
    yield gauge("effects_in_flight", "Effects that are performed or wait for their slot", "effects_in_flight")
    yield counter("effects_done", "Effects that devices have carried out", "effects_done")
    yield counter("effects_failed", "Effects that were given up", "effects_failed")
    yield counter("effects_retried", "Further tries of effects", "effects_retried")
    steps = [(n, one.step) for n, one in names]
    yield _histogram("driftline_worker_step_seconds", "Folding one event and deciding on it", steps, labels)
    effects = [(n, one.effect) for n, one in names]
    yield _histogram("driftline_worker_effect_seconds", "An effect from the wish to its outcome", effects, labels)


def _of_log(prefix: str, log: LogLook, what: str) -> Iterator[Metric]:
    yield _histogram(f"{prefix}_append_seconds", f"{what}, until it was on disk", [((), log.append)])
    yield _counter(f"{prefix}_appends_failed", "Appends that were refused or not answered", [((), log.failed)])
    yield _counter(f"{prefix}_duplicates", "Events that were in the log already", [((), log.duplicates)])
    text = "How old the newest event of each batch was when it was read"
    yield _histogram(f"{prefix}_delay_seconds", text, [((), log.delay)])


def _of_projector(look: ProcessLook, projector: ProjectorLook) -> Iterator[Metric]:
    yield _gauge("driftline_projector_position", "The position whose rows are committed", [((), projector.position)])
    lag = look.lag(projector.position)
    if lag is not None:
        yield _gauge("driftline_projector_lag_events", "Events of the log that the tables do not show", [((), lag)])
    yield _gauge(
        "driftline_projector_away", "Whether PostgreSQL or the log did not answer last", [((), projector.away)]
    )
    yield _counter("driftline_projector_events_folded", "Events that it was given", [((), projector.folded)])
    rows = [((name,), count) for name, count in sorted(projector.rows.items())]
    yield _counter("driftline_projection_rows_written", "Rows written", rows, ["projection"])
    text = "One transaction, with all its tries"
    yield _histogram("driftline_projector_commit_seconds", text, [((), projector.commit)])
    pairs = [(tuple(pair.split("_")), count) for pair, count in projector.states.items()]
    yield _gauge(
        "driftline_ports", "Live ports by the states of their planes (Figure 8)", pairs, ["underlay", "overlay"]
    )


def _of_spawns(spawns: SpawnsLook) -> Iterator[Metric]:
    yield _gauge("driftline_spawns_in_flight", "Spawns without an outcome", [((), spawns.in_flight)])
    ended = [((how,), getattr(spawns, how)) for how in ("active", "refused", "failed")]
    yield _counter("driftline_spawns", "Spawns that have ended", ended, ["outcome"])
    yield _histogram("driftline_spawn_seconds", "A spawn, from its request to active", [((), spawns.whole)])
    steps = [((label,), times) for label, times in spawns.steps.items()]
    text = "A step of Figure 10, from the one that was done last before it"
    yield _histogram("driftline_spawn_step_seconds", text, steps, ["step"])


def _of_devices(look: ProcessLook) -> Iterator[Metric]:
    asked = [((one.effect,), one.asked) for one in look.operations]
    yield _counter("driftline_device_operations", "What devices were asked to do", asked, ["effect"])
    failed = [((one.effect,), one.failed) for one in look.operations]
    yield _counter("driftline_device_failures", "What devices have answered with an error", failed, ["effect"])
    silent = [((one.effect,), one.asked - one.done - one.failed) for one in look.operations]
    text = "What is under way, or was never answered"
    yield _gauge("driftline_device_unanswered", text, silent, ["effect"])


def _of_publisher(log: LogLook) -> Iterator[Metric]:
    yield _counter("driftline_publisher_requests", "Requests that are on disk", [((), log.appended)])
    yield _counter("driftline_publisher_duplicates", "Those that were in the log already", [((), log.duplicates)])
    yield _counter("driftline_publisher_failures", "Appends that were refused or not answered", [((), log.failed)])
    text = "Publishing, until it was on disk"
    yield _histogram("driftline_publisher_acknowledged_seconds", text, [((), log.append)])


_Series = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, text: str, series: _Series, labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in series:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, series: _Series, labels: Sequence[str] = ()) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in series:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, text: str, series: Iterable[tuple[Sequence[str], Times]], labels: Sequence[str] = ()
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, times in series:
        below, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), times.counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, times.total_s)
    return family
