"""Many seeds on all cores: what failed, how fast it went, and what was never exercised."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import msgspec

from bus.events import EVENT_TYPES
from bus.subjects import name_of
from driftline.invariants import EDGES, INVARIANTS
from driftline.simulator.run import Outcome, simulate

#: Kinds of faults that every campaign is to have had.
FAULTS = (
    *("crash", "append lost", "append unacknowledged", "append held", "append repeated", "doubled"),
    *("log out of reach", "checkpoints out of reach", "beats out of reach", "devices out of reach"),
    *("effect failed", "effect applied and failed", "effect timed out", "effect lost", "effect partial", "effect late"),
    *("twin", "effect of a dead sender", "leaf broken", "host without power", "host cut off", "copied", "forged"),
    *("tampered: drop vnic", "tampered: drop flow", "tampered: drop entry"),
    *("tampered: add vnic", "tampered: add flow", "tampered: add entry", "tampered: drop row"),
)
#: At most this many seeds wait for a free process each.
_AHEAD = 4


class Tally(msgspec.Struct):
    """The sum of many runs. Counts are by kind; what is listed at 0 was never exercised."""

    seeds: int = 0
    events: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    real_s: float = 0.0
    failures: list[Outcome] = []
    faults: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    kinds: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(map(name_of, EVENT_TYPES), 0))
    edges: dict[str, int] = msgspec.field(default_factory=lambda: {f"{one} → {other}": 0 for one, other in EDGES})
    invariants: dict[int, int] = msgspec.field(
        default_factory=lambda: {one.number: 0 for one in INVARIANTS if one.applies}
    )

    def add(self, outcome: Outcome) -> None:
        """Count one run in."""
        self.seeds += 1
        self.events += outcome.events
        self.steps += outcome.steps
        self.virtual_s += outcome.virtual_s
        for total, counts in (
            (self.faults, outcome.faults),
            (self.kinds, outcome.kinds),
            (self.edges, outcome.edges),
            (self.invariants, outcome.invariants),
        ):
            _add(total, counts)  # type: ignore[arg-type]
        if outcome.failure is not None:
            self.failures.append(outcome)

    @property
    def hours_per_second(self) -> float:
        """Simulated hours per real second."""
        return self.virtual_s / 3600 / self.real_s if self.real_s else 0.0

    def never(self) -> dict[str, list[str]]:
        """What was never exercised, by what it is."""
        named: dict[str, dict[str, int]] = {
            "faults": self.faults,
            "events": self.kinds,
            "edges": self.edges,
            "invariants": {str(number): count for number, count in self.invariants.items()},
        }
        return {what: [name for name, count in counts.items() if not count] for what, counts in named.items()}


def _add(total: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


def cores() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def outcomes(first: int, seeds: int, jobs: int) -> Iterator[Outcome]:
    """The outcomes of ``seeds`` seeds from ``first`` on, as they come. Leaving early stops the processes."""
    left = iter(range(first, first + seeds))
    with ProcessPoolExecutor(jobs, initializer=_ignore_interrupts) as pool:
        under_way: set[Future[Outcome]] = set()
        try:
            for _, seed in zip(range(jobs * _AHEAD), left, strict=False):
                under_way.add(pool.submit(simulate, seed))
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {pool.submit(simulate, seed) for _, seed in zip(done, left, strict=False)}
                yield from sorted((future.result() for future in done), key=lambda outcome: outcome.seed)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C is the parent's: it stops handing out seeds and waits for the runs that are under way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
