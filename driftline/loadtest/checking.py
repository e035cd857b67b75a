"""Whether the phases of a profile can be driven in the world that there is. PURE: nothing has been asked for yet."""

import math
from collections.abc import Iterable, Sequence

from driftline.errors import UsageError
from driftline.loadtest.profile import Bulk, HostsFail, Instances, LeavesFail, Phase, PodsDrift
from driftline.trace import TraceRow
from projections.world import World


def check(phases: Sequence[Phase], world: World) -> None:
    """Raise UsageError that names the phase, the field and the value for what cannot be."""
    came: set[str] = set()
    for number, phase in enumerate(phases, 1):
        for problem in _problems(phase, came, world):
            raise UsageError(f"phase {number} of the profile, {type(phase).__name__}: {problem}")
        if isinstance(phase, Instances):
            came |= {row.name for row in phase.rows}


def _problems(phase: Phase, came: set[str], world: World) -> Iterable[str]:
    """What is wrong with ``phase``, after phases in which ``came`` have come."""
    match phase:
        case Instances():
            yield from _of_instances(phase, came)
        case Bulk(ports=ports, size=size, rate=rate):
            yield from (
                f"{name}: {value!r} is less than 1" for name, value in (("ports", ports), ("size", size)) if value < 1
            )
            if not 0 < rate < math.inf:
                yield f"rate: {rate!r} is not a finite number above 0"
        case HostsFail(hosts=hosts):
            yield from _unknown("hosts", hosts, world.hosts)
        case LeavesFail(leaves=leaves, hosts=hosts):
            yield from _unknown(
                "leaves", leaves, {leaf for row in world.hosts.values() for leaf in (row.leaf_a, row.leaf_b)}
            )
            yield from _unknown("hosts", hosts, world.hosts)
        case PodsDrift(az=az):
            yield from _unknown("az", [az], world.azs)


def _of_instances(phase: Instances, came: set[str]) -> Iterable[str]:
    names: set[str] = set()
    for row in phase.rows:
        if not isinstance(row, TraceRow):
            yield f"rows: {row!r:.80} is no TraceRow"
        elif row.name in came or row.name in names:
            yield f"rows: name: {row.name} comes twice (at_once(count, first=…) goes on counting)"
        else:
            names.add(row.name)
    for name, gone_s in phase.gone_s.items():
        if name not in came:
            yield f"gone_s: {name} does not come in a phase before this one"
        if not 0 <= gone_s < math.inf:
            yield f"gone_s: {name}: {gone_s!r} is not a finite number of seconds"


def _unknown(field: str, names: Iterable[str], known: Iterable[str]) -> Iterable[str]:
    there = set(known)
    return (f"{field}: {name!r} is not in the world" for name in names if name not in there)
