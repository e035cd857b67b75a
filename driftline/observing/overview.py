"""All processes that answered, put together: what ``driftline top`` shows, and its document. PURE.

Rates come of two looks at the same process; they are None where there was no earlier one.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from driftline.observing.look import OperationsLook, ProcessLook, ProjectorLook, SpawnsLook, WorkerLook
from driftline.observing.times import Times

#: What a process is known by, as long as it lives.
Key = tuple[str, str, int]


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """``cpu``: cores that it keeps busy; ``resident_bytes``: 0 for unknown; ``published_per_s``: a client's."""

    process: str
    host: str
    pid: int
    cpu: float | None
    resident_bytes: int
    published_per_s: float | None = None


class PartRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker or projector. ``lag``: events that it has not taken in, None while NATS does not answer its process.

    ``events_per_s``: taken in; ``written_per_s``: events of its own on disk, of a projector: rows. ``away``: its server
    did not answer last. ``hosts``: those it serves, of one that serves not all.
    """

    part: str
    process: str
    pid: int
    hosts: list[str]
    position: int
    lag: int | None
    events_per_s: float | None
    written_per_s: float | None
    effects_in_flight: int = 0
    effects_per_s: float | None = None
    effects_failed: int = 0
    effects_retried: int = 0
    away: bool = False


class SpawnsRow(msgspec.Struct, frozen=True, kw_only=True):
    """``active``, ``refused``, ``failed``: since the projector began. ``p50_s``, ``p99_s``: request to active.

    Of those that ended in the last ``over_s`` seconds; of all since the projector began (``over_s`` None) if none did.
    """

    in_flight: int
    active: int
    refused: int
    failed: int
    ended_per_s: float | None
    p50_s: float | None
    p99_s: float | None
    over_s: float | None


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Effects of one type that one process has devices carry out; who asks over the bus and who serves count both."""

    process: str
    pid: int
    effect: str
    asked: int
    failed: int
    unanswered: int
    asked_per_s: float | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """``log_last``: the end of the log, None if nobody knows. ``states``: live ports in Figure 8's nine pairs.

    ``over_s``: between the looks that rates come of. ``not_understood``: answers of processes of another version.
    """

    log_last: int | None
    over_s: float | None
    processes: list[ProcessRow]
    parts: list[PartRow]
    spawns: SpawnsRow | None
    states: dict[str, int]
    devices: list[DeviceRow]
    not_understood: int = 0


def key_of(look: ProcessLook) -> Key:
    """What says that two looks are of the same process."""
    return look.what, look.host, look.pid


def overview(looks: Sequence[ProcessLook], earlier: Iterable[ProcessLook] = (), *, not_understood: int = 0) -> Overview:
    """``looks`` beside those taken ``earlier``, of the processes that ran then already."""
    before = {key_of(look): look for look in earlier}
    pairs = [_Pair(look, before.get(key_of(look))) for look in looks]
    # More than one projector is a replica that waits: the one that is furthest tells.
    shown = [pair for pair in pairs if pair.now.projector is not None]
    told = max(shown, key=lambda pair: _position(pair.now.projector), default=None)
    spans = [pair.seconds for pair in pairs if pair.seconds]
    ends = [look.log_last for look in looks if look.log_last is not None]
    return Overview(
        log_last=max(ends, default=None),
        over_s=max(spans, default=None),
        processes=[_process(pair) for pair in pairs],
        parts=[row for pair in pairs for row in _parts(pair)],
        spawns=_spawns(told) if told is not None else None,
        states=dict(told.now.projector.states) if told is not None and told.now.projector is not None else {},
        devices=[row for pair in pairs for row in _devices(pair)],
        not_understood=not_understood,
    )


class _Pair:
    """A process now, and as it was looked at before; ``seconds`` between the two."""

    def __init__(self, now: ProcessLook, before: ProcessLook | None) -> None:
        self.now = now
        self.before = before
        self.seconds = now.at_s - before.at_s if before is not None and now.at_s > before.at_s else None

    def rate(self, now: float, before: float | None) -> float | None:
        """How much was added a second."""
        if self.seconds is None or before is None:
            return None
        return max(now - before, 0) / self.seconds


def _position(projector: ProjectorLook | None) -> int:
    return projector.position if projector is not None else -1


def _process(pair: _Pair) -> ProcessRow:
    now, before = pair.now, pair.before
    published = None
    if now.publisher is not None and before is not None and before.publisher is not None:
        published = pair.rate(now.publisher.appended, before.publisher.appended)
    return ProcessRow(
        process=now.what,
        host=now.host,
        pid=now.pid,
        cpu=pair.rate(now.cpu_s, before.cpu_s if before is not None else None),
        resident_bytes=now.resident_bytes,
        published_per_s=published,
    )


def _parts(pair: _Pair) -> list[PartRow]:
    before = {one.worker: one for one in pair.before.workers} if pair.before is not None else {}
    rows = [_worker(pair, one, before) for one in pair.now.workers]
    if pair.now.projector is not None:
        rows.append(_projector(pair, pair.now.projector))
    return rows


def _worker(pair: _Pair, now: WorkerLook, earlier: Mapping[str, WorkerLook]) -> PartRow:
    before = earlier.get(now.worker)

    def rate(field: str) -> float | None:
        return pair.rate(getattr(now, field), getattr(before, field)) if before is not None else None

    return PartRow(
        part=now.worker,
        process=pair.now.what,
        pid=pair.now.pid,
        hosts=now.hosts,
        position=now.position,
        lag=pair.now.lag(now.position),
        events_per_s=rate("folded"),
        written_per_s=rate("appended"),
        effects_in_flight=now.effects_in_flight,
        effects_per_s=rate("effects_done"),
        effects_failed=now.effects_failed,
        effects_retried=now.effects_retried,
    )


def _projector(pair: _Pair, now: ProjectorLook) -> PartRow:
    before = pair.before.projector if pair.before is not None else None
    return PartRow(
        part="projector",
        process=pair.now.what,
        pid=pair.now.pid,
        hosts=[],
        position=now.position,
        lag=pair.now.lag(now.position),
        events_per_s=pair.rate(now.folded, before.folded if before is not None else None),
        written_per_s=pair.rate(sum(now.rows.values()), sum(before.rows.values()) if before is not None else None),
        away=now.away,
    )


def _ended(spawns: SpawnsLook) -> int:
    return spawns.active + spawns.refused + spawns.failed


def _spawns(pair: _Pair) -> SpawnsRow | None:
    now, before = pair.now.spawns, pair.before.spawns if pair.before is not None else None
    if now is None:
        return None
    lately = now.whole.since(before.whole) if before is not None else Times()
    over_s = pair.seconds if lately.count else None
    times = lately if over_s else now.whole
    return SpawnsRow(
        in_flight=now.in_flight,
        active=now.active,
        refused=now.refused,
        failed=now.failed,
        ended_per_s=pair.rate(_ended(now), _ended(before) if before is not None else None),
        p50_s=times.quantile_s(0.5) if times.count else None,
        p99_s=times.quantile_s(0.99) if times.count else None,
        over_s=over_s,
    )


def _devices(pair: _Pair) -> list[DeviceRow]:
    before = {one.effect: one for one in pair.before.operations} if pair.before is not None else {}
    return [_device(pair, one, before.get(one.effect)) for one in pair.now.operations]


def _device(pair: _Pair, now: OperationsLook, before: OperationsLook | None) -> DeviceRow:
    return DeviceRow(
        process=pair.now.what,
        pid=pair.now.pid,
        effect=now.effect,
        asked=now.asked,
        failed=now.failed,
        unanswered=now.asked - now.done - now.failed,
        # One that was not asked for before was asked for 0 times.
        asked_per_s=pair.rate(now.asked, before.asked if before is not None else 0) if pair.before else None,
    )
