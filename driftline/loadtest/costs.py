"""What a spawn costs, by how many instances live already: of the CPU, whatever else kept the run waiting."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from driftline.loadtest.samples import Sample

#: In how many parts of about as many spawns a run is cut.
PARTS = 10


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a run. ``live_from``, ``live_until``: how many instances lived at its ends.

    ``cpu_us``: what each spawn took of the cores, microseconds, by program; ``per_s``: spawns a second.
    """

    live_from: int
    live_until: int
    per_s: float
    cpu_us: dict[str, int]


def costs(samples: Sequence[Sample]) -> list[Cost]:
    """The parts of a run; none where it was too short to be cut, or what it used is not known.

    A run that does other things than to spawn is cut before them. A process that ends takes what it used along.
    """
    if any(
        after.cpu_s.get(name, 0) < used for before, after in pairwise(samples) for name, used in before.cpu_s.items()
    ):
        return []
    spawning = [one for one in samples if not (one.deleted or one.drifted or one.bulk_done)]
    if len(spawning) <= PARTS or spawning[-1].active == spawning[0].active:
        return []
    live = [one.active for one in spawning]
    ends = [spawning[bisect_left(live, live[-1] * part / PARTS)] for part in range(PARTS + 1)]
    return [_cost(a, b) for a, b in pairwise(ends) if b.active > a.active]


def _cost(start: Sample, end: Sample) -> Cost:
    spawned = end.active - start.active
    return Cost(
        live_from=start.active,
        live_until=end.active,
        per_s=round(spawned / (end.at_s - start.at_s), 1),
        cpu_us={name: round((taken - start.cpu_s.get(name, 0)) / spawned * 1e6) for name, taken in end.cpu_s.items()},
    )
