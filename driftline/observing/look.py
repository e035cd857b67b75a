"""What is seen of a process at one moment: the one document behind /metrics, ``driftline top`` and /readyz. PURE."""

import msgspec

from driftline.observing.times import Times


class WorkerLook(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of a process. Counters run from the start of the process.

    ``position``: up to where it has taken in the log; ``checkpoint``: up to where all is dealt with for good.
    ``folded``: events of the types that it looks at; ``decided``: those of them that it answered; ``appended``: its
    events on disk.
    Effects are ``effects_in_flight`` until they are ``done``, or ``failed`` for good; each further try is a retry.
    ``step``: folding one event and deciding on it, where that is measured; ``effect``: from the wish to its outcome.
    """

    worker: str
    hosts: list[str]
    position: int
    checkpoint: int
    folded: int = 0
    decided: int = 0
    appended: int = 0
    effects_in_flight: int = 0
    effects_done: int = 0
    effects_failed: int = 0
    effects_retried: int = 0
    step: Times
    effect: Times


class ProjectorLook(msgspec.Struct, frozen=True, kw_only=True):
    """The projector of a process. ``position``: what is committed; ``rows``: written, by projection.

    ``states``: live ports in each of Figure 8's nine pairs. ``away``: PostgreSQL or the log did not answer last.
    """

    position: int
    folded: int
    rows: dict[str, int]
    commit: Times
    states: dict[str, int]
    away: bool


class SpawnsLook(msgspec.Struct, frozen=True, kw_only=True):
    """Spawns, as the projector sees them. Those that ended are counted from its start.

    ``steps``: by the labels of Figure 10, the time from the step that was done last before; ``whole``: all of them.
    """

    in_flight: int
    active: int
    refused: int
    failed: int
    steps: dict[str, Times]
    whole: Times


class OperationsLook(msgspec.Struct, frozen=True, kw_only=True):
    """What devices were asked to do: effects of one type.

    Those ``asked`` that are neither ``done`` nor ``failed`` are under way, or were never answered: who knows.
    """

    effect: str
    asked: int
    done: int
    failed: int


class LogLook(msgspec.Struct, frozen=True, kw_only=True):
    """What a process put on the log and read from it. ``duplicates`` of those ``appended`` were there already.

    ``failed``: appends that got no answer, or were refused. ``append``: from the call to the acknowledgement, one for
    each call; ``delay``: how old the newest event of each batch was when it was read.
    """

    appended: int
    duplicates: int
    failed: int
    append: Times
    delay: Times


class ProcessLook(msgspec.Struct, frozen=True, kw_only=True):
    """One process. ``what`` it is: ``up``, ``worker nova``, ``publisher k8s``; ``host`` and ``pid``: where it runs.

    ``at_s``: when it was looked at, on its own monotonic clock. ``log_last``: the end of the log, None if NATS did not
    answer. ``log``: what its workers did there; ``publisher``: what a client did. ``resident_bytes``: 0 for unknown.
    """

    what: str
    host: str
    pid: int
    at_s: float
    cpu_s: float
    resident_bytes: int
    log_last: int | None
    workers: list[WorkerLook] = []
    log: LogLook | None = None
    projector: ProjectorLook | None = None
    spawns: SpawnsLook | None = None
    operations: list[OperationsLook] = []
    publisher: LogLook | None = None

    def lag(self, position: int) -> int | None:
        """How many events of the log are above ``position``; None if the end of the log is not known."""
        return None if self.log_last is None else max(self.log_last - position, 0)
